"""Kernels of compiled networks: ours against those that inductor itself schedules.

::

    python -m benchmarks.kernels                    compare with the schedules on file
    python -m benchmarks.kernels schedule MODEL…    schedule more models (timm:NAME) and add them to the file

Needs no GPU; see `pretended_gpu`. A schedule is of batch 256 at the model's own size, autocast in fp16.
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

SCHEDULES = Path(__file__).with_name("inductor_schedules.csv")
BATCH = 256
_TARGET = ResolvedTarget("torch-compile", Precision.AMP_FP16, "nchw", source="calibrated")
_LIBRARY = frozenset(
    {
        KernelClass.CONV_DENSE, KernelClass.CONV_POINTWISE, KernelClass.CONV_DEPTHWISE, KernelClass.CONV_GROUPED,
        KernelClass.CONV_STEM, KernelClass.MATMUL, KernelClass.BATCHED_MATMUL, KernelClass.MATVEC,
        KernelClass.ATTENTION, KernelClass.LAYOUT,
    }
)  # fmt: skip
_COPY_OF_A_LIBRARY = ".contiguous"
"""A convolution's own copy of what it reads."""


@dataclass(frozen=True)
class Scheduled:
    """Inductor's schedule of a network."""

    model: str
    input_shape: str
    torch: str
    generated_count: int
    generated_bytes: int
    library_count: int
    library_bytes: int


def read_schedules(path: Path = SCHEDULES) -> Iterator[Scheduled]:
    """Schedules on file."""
    with path.open(newline="") as stream:
        for row in csv.DictReader(stream):
            yield Scheduled(row["model"], row["input_shape"], row["torch"], *(int(v) for v in list(row.values())[3:]))


def generated_kernels(model: str, input_shape: str) -> list[Kernel]:
    """Our kernels of a network that inductor generates code for."""
    kernels = lower_for(load_graph(model, input_shapes=(input_shape,)), UnitKind.GPU, _TARGET).kernels
    return [k for k in kernels if k.kernel_class not in _LIBRARY and not k.name.endswith(_COPY_OF_A_LIBRARY)]


def moved_bytes(kernels: Iterable[Kernel]) -> int:
    """Sum what kernels read and write."""
    return sum(kernel.bytes_read + kernel.bytes_written for kernel in kernels)


def schedule(models: Iterable[str]) -> None:
    """Schedule models and add them to the file; runs under `pretended_gpu.start`."""
    import torch

    from benchmarks.kernels.inductor_schedule import schedule_of

    known = {row.model: row for row in read_schedules()} if SCHEDULES.exists() else {}
    for model in models:
        shape = (BATCH, *load_graph(model).tensors[load_graph(model).inputs[0]].shape[1:])
        try:
            found = schedule_of(model, shape)
        except Exception as error:  # whatever a compiler may raise must not lose the other models
            print(f"{model}: {type(error).__name__}: {str(error).splitlines()[0]}", file=sys.stderr)
            continue
        known[model] = Scheduled(model, shape_text(shape), torch.__version__, **asdict(found))
        lines = [",".join(Scheduled.__dataclass_fields__)]
        lines += [",".join(str(value) for value in asdict(row).values()) for _, row in sorted(known.items())]
        write_whole(SCHEDULES, "\n".join(lines) + "\n")
        print(model, found, flush=True)


def compare() -> None:
    """Print our kernels and bytes beside inductor's, and how far apart they are."""
    print("model                                          kernels: inductor   ours    MB: inductor     ours  ratio")
    ratios = []
    for row in read_schedules():
        try:
            own = generated_kernels(row.model, row.input_shape)
        except EstimatorError as error:
            print(f"{row.model}: {error.first_line}", file=sys.stderr)
            continue
        ratio = moved_bytes(own) / row.generated_bytes
        ratios.append(abs(math.log(ratio)))
        print(
            f"{row.model:48s} {row.generated_count:15d} {len(own):6d} {row.generated_bytes / 1e6:15.1f} "
            f"{moved_bytes(own) / 1e6:8.1f} {ratio:6.2f}"
        )
    ratios.sort()
    print(
        f"{len(ratios)} networks; bytes differ by {statistics.median(ratios):.1%} in the median, "
        f"{statistics.mean(ratios):.1%} in the mean, {ratios[int(0.9 * len(ratios))]:.1%} at the 90th percentile"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("compare", "schedule", "schedule-here"), default="compare")
    parser.add_argument("models", nargs="*", help="timm:NAME or timm:NAME?branches=merged")
    options = parser.parse_args()
    if options.what == "compare":
        compare()
    elif options.what == "schedule-here":
        schedule(options.models)
    else:
        from benchmarks.kernels.pretended_gpu import start

        sys.exit(start("benchmarks.kernels", ["schedule-here", *options.models]))


if __name__ == "__main__":
    main()
