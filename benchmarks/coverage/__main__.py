"""Which zoo models are traced with a rule for every operator; what fails is listed, nothing is hidden.

::

    python -m benchmarks.coverage                     all torchvision classification, segmentation and video models
    python -m benchmarks.coverage --timm 200          and a seeded sample of 200 timm architectures
    python -m benchmarks.coverage --timm all

Needs no network and no weights: models are built on the meta device. About 0.3 s a model.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torchvision

from estimator.costs.registry import graph_cost
from estimator.errors import EstimatorError
from estimator.frontends.select import load_graph
from estimator.frontends.torch_zoo import timm_names

REQUIRED = {"torchvision": 5, "timm": 0.05}
"""Failures allowed: a number of torchvision models, a share of the timm sample."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One model: the operators without a rule, or the error; both empty is full coverage."""

    reference: str
    seconds: float
    op_count: int
    problem: str


def torchvision_references() -> list[str]:
    """Classification (no prefix), segmentation and video models."""
    zoo = torchvision.models
    groups = {"": zoo, "segmentation.": zoo.segmentation, "video.": zoo.video}
    return [f"torchvision:{prefix}{name}" for prefix, group in groups.items() for name in zoo.list_models(group)]


def timm_references(count: str, seed: int) -> list[str]:
    """All architectures, or a seeded sample."""
    names = list(timm_names())
    if count != "all":
        names = sorted(random.Random(seed).sample(names, min(int(count), len(names))))
    return [f"timm:{n}" for n in names]


def outcomes(references: list[str]) -> Iterator[Outcome]:
    """Trace and cost each model."""
    for reference in references:
        start = time.perf_counter()
        op_count, problem = 0, ""
        try:
            graph = load_graph(reference)
            cost = graph_cost(graph)
            op_count = len(graph.ops)
            if cost.unsupported:
                problem = "no rule for " + ", ".join(sorted(set(cost.unsupported)))
        except EstimatorError as error:
            problem = str(error).replace("\n", "; ")
        yield Outcome(reference, time.perf_counter() - start, op_count, problem)


def report(title: str, references: list[str]) -> int:
    """Print one section; returns the number of failures."""
    found = []
    for done in outcomes(references):
        found.append(done)
        print(f"\r{title}: {len(found)} of {len(references)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    failures = [o for o in found if o.problem]
    seconds = sum(o.seconds for o in found)
    print(f"{title}: {len(found) - len(failures)} of {len(found)} with full coverage, {seconds:.0f} s")
    for outcome in failures:
        print(f"  {outcome.reference}: {outcome.problem}")
    for outcome in sorted(found, key=lambda o: -o.seconds)[:3]:
        print(f"  slowest: {outcome.reference} {outcome.seconds:.1f} s, {outcome.op_count} ops")
    return len(failures)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__.split("\n")[0])
    parser.add_argument("--timm", default="0", help="how many timm architectures, or 'all' (default 0)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    failed = report("torchvision", torchvision_references()) > REQUIRED["torchvision"]
    if options.timm != "0":
        sample = timm_references(options.timm, options.seed)
        failed |= report("timm", sample) > REQUIRED["timm"] * len(sample)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of this process: {peak_mib:.0f} MiB")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
