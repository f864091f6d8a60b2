"""Compare predicted peaks with measured ones, for both executors."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import geometric_mean, median

import torch

from estimator.frontends.select import load_graph
from estimator.frontends.torch_recorder import record_module
from estimator.ir.graph import Graph
from estimator.memory.peak import plan_memory

HERE = Path(__file__).parent
MIB = 2**20
RUNTIMES = {"eager_peak_mib": "torch-eager", "graph_peak_mib": "torch-export"}


@dataclass(frozen=True)
class Scored:
    """One peak, predicted and measured."""

    model: str
    batch: int
    runtime: str
    predicted_mib: float
    measured_mib: float

    @property
    def ratio(self) -> float:
        """Predicted ÷ measured."""
        return self.predicted_mib / self.measured_mib


@cache
def graph_of(model: str, batch: int) -> Graph:
    if model == "gpt2_small":
        return _gpt2(batch)
    shape = f"{batch}x3x8x112x112" if "video." in model else f"{batch}x3x224x224"
    return load_graph(model, input_shapes=(shape,))


def _gpt2(batch: int) -> Graph:
    from transformers import GPT2Config, GPT2LMHeadModel

    ids = {"bos_token_id": 0, "eos_token_id": 0}
    config = GPT2Config(n_layer=4, n_embd=256, n_head=4, vocab_size=5000, n_positions=256, use_cache=False, **ids)
    tokens = torch.zeros(batch, 128, dtype=torch.long)  # real: the attention mask depends on data
    return record_module(GPT2LMHeadModel(config), (tokens,), name="gpt2_small")


def score(path: Path) -> Iterator[Scored]:
    with path.open(newline="") as stream:
        for row in csv.DictReader(stream):
            graph = graph_of(row["model"], int(row["batch"]))
            for column, runtime in RUNTIMES.items():
                plan = plan_memory(graph, runtime=runtime)
                predicted = (plan.activation_bytes + plan.workspace_bytes - plan.input_bytes) / MIB
                yield Scored(row["model"], int(row["batch"]), runtime, predicted, float(row[column]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, default=sorted(HERE.glob("measured_*.csv")))
    results: list[Scored] = []
    for path in parser.parse_args().files:
        results += score(path)
    print(f"{'model':38s} {'batch':>5s} {'runtime':14s} {'predicted':>9s} {'measured':>9s}  ratio")
    for one in results:
        print(
            f"{one.model:38s} {one.batch:5d} {one.runtime:14s} {one.predicted_mib:9.3f} {one.measured_mib:9.3f}"
            f"  {one.ratio:5.3f}"
        )
    for runtime in RUNTIMES.values():
        ratios = [one.ratio for one in results if one.runtime == runtime]
        near = sum(0.9 <= ratio <= 1.1 for ratio in ratios)
        print(
            f"{runtime}: {near} of {len(ratios)} within 10 %; median {median(ratios):.3f}, "
            f"geometric mean {geometric_mean(ratios):.3f}, {min(ratios):.3f} … {max(ratios):.3f}"
        )


if __name__ == "__main__":
    main()
