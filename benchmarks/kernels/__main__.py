"""Kernels of compiled networks: ours against those that inductor itself schedules.

::

    python -m benchmarks.kernels                            compare with the schedules on file
    python -m benchmarks.kernels schedule gpu MODEL…        schedule more models (timm:NAME) and add them to the file

Needs no GPU; see `pretended_gpu`. A schedule is of the model's own size: batch 256, autocast in fp16 on a GPU; batch 1,
fp32 on a CPU.
"""

from __future__ import annotations

import argparse
import csv
import math
import statistics
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from estimator.calibration.records import shape_text
from estimator.catalogue.device import UnitKind
from estimator.dtypes import Precision
from estimator.engine import ResolvedTarget, lower_for
from estimator.errors import EstimatorError
from estimator.files import write_whole
from estimator.frontends.select import load_graph
from estimator.lowering.kernel import Kernel, KernelClass
from estimator.timing.roofline import PRODUCT_CLASSES

SCHEDULES = Path(__file__).with_name("inductor_schedules.csv")
_BATCH = {"gpu": 256, "cpu": 1}
_PRECISION = {"gpu": Precision.AMP_FP16, "cpu": Precision.FP32}
_NOT_GENERATED = PRODUCT_CLASSES | {KernelClass.LAYOUT, KernelClass.CAST_WEIGHT}
_COPY_OF_A_LIBRARY = ".contiguous"
"""A convolution's own copy of what it reads."""


@dataclass(frozen=True)
class Scheduled:
    """Inductor's schedule of a network."""

    unit: str
    model: str
    input_shape: str
    torch: str
    generated_count: int
    generated_bytes: int
    library_count: int


def read_schedules(path: Path = SCHEDULES) -> Iterator[Scheduled]:
    """Schedules on file."""
    with path.open(newline="") as stream:
        for row in csv.DictReader(stream):
            texts = (row[name] for name in ("unit", "model", "input_shape", "torch"))
            yield Scheduled(*texts, *(int(row[n]) for n in ("generated_count", "generated_bytes", "library_count")))


def generated_kernels(row: Scheduled) -> list[Kernel]:
    """Our kernels of a network that inductor generates code for, without what only converts weights."""
    target = ResolvedTarget("torch-compile", _PRECISION[row.unit], "nchw", source="calibrated")
    kernels = lower_for(load_graph(row.model, input_shapes=(row.input_shape,)), UnitKind(row.unit), target).kernels
    return [k for k in kernels if k.kernel_class not in _NOT_GENERATED and not k.name.endswith(_COPY_OF_A_LIBRARY)]


def moved_bytes(kernels: Iterable[Kernel]) -> int:
    """Sum what kernels read and write."""
    return sum(kernel.bytes_moved for kernel in kernels)


def schedule(unit: str, models: Iterable[str]) -> None:
    """Schedule models and add them to the file; for a GPU, it runs under `pretended_gpu.start`."""
    import torch

    from benchmarks.kernels.inductor_schedule import Scheduler

    known = {(row.unit, row.model): row for row in read_schedules()} if SCHEDULES.exists() else {}
    scheduler = Scheduler(unit)
    for model in models:
        graph = load_graph(model)
        shape = (_BATCH[unit], *graph.tensors[graph.inputs[0]].shape[1:])
        try:
            found = scheduler.schedule(model, shape)
        except Exception as error:  # whatever a compiler may raise must not lose the other models
            print(f"{model}: {type(error).__name__}: {str(error).splitlines()[0]}", file=sys.stderr)
            continue
        known[unit, model] = Scheduled(unit, model, shape_text(shape), torch.__version__, **asdict(found))
        lines = [",".join(Scheduled.__dataclass_fields__)]
        lines += [",".join(str(value) for value in asdict(row).values()) for _, row in sorted(known.items())]
        write_whole(SCHEDULES, "\n".join(lines) + "\n")
        print(model, found, flush=True)


def compare() -> None:
    """Print our kernels and bytes beside inductor's, and how far apart they are."""
    print(
        "unit model                                          kernels: inductor   ours    MB: inductor     ours  ratio"
    )
    ratios: dict[str, list[float]] = {}
    for row in read_schedules():
        try:
            own = generated_kernels(row)
        except EstimatorError as error:
            print(f"{row.model}: {error.first_line}", file=sys.stderr)
            continue
        ratio = moved_bytes(own) / row.generated_bytes
        ratios.setdefault(row.unit, []).append(abs(math.log(ratio)))
        print(
            f"{row.unit:4s} {row.model:48s} {row.generated_count:15d} {len(own):6d} {row.generated_bytes / 1e6:15.1f} "
            f"{moved_bytes(own) / 1e6:8.1f} {ratio:6.2f}"
        )
    for unit, errors in ratios.items():
        errors.sort()
        print(
            f"{unit}: {len(errors)} networks; bytes differ by {statistics.median(errors):.1%} in the median, "
            f"{statistics.mean(errors):.1%} in the mean, {errors[int(0.9 * len(errors))]:.1%} at the 90th percentile"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("compare", "schedule", "schedule-here"), default="compare")
    parser.add_argument("unit", nargs="?", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("models", nargs="*", help="timm:NAME or timm:NAME?branches=merged")
    options = parser.parse_args()
    if options.what == "compare":
        compare()
    elif options.what == "schedule-here" or options.unit == "cpu":
        schedule(options.unit, options.models)
    else:
        from benchmarks.kernels.pretended_gpu import start

        sys.exit(start("benchmarks.kernels", ["schedule-here", options.unit, *options.models]))


if __name__ == "__main__":
    main()
