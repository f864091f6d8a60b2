"""An estimate as CSV: a total, then one row per kernel, for a spreadsheet or a data frame."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

from estimator.report.escaping import spreadsheet_cell
from estimator.result import Estimate
from estimator.units import us_from_s

COLUMNS: Final = (
    "row", "name", "class", "ops", "latency_us", "latency_p10_us", "latency_p90_us", "share", "bound", "flops",
    "bytes", "intensity", "utilisation", "scope", "peak_memory_bytes", "model", "device", "unit", "runtime",
    "precision", "layout", "batch",
)  # fmt: skip

Cell = str | int | float | None


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Write rows; texts are defused against spreadsheet formulas, None is an empty cell."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([spreadsheet_cell(cell) if isinstance(cell, str) else cell for cell in row])
    return stream.getvalue()


def estimate_csv(estimate: Estimate) -> str:
    """Write the total and every kernel, in execution order."""
    run = (
        estimate.model, estimate.device, estimate.unit, estimate.runtime, estimate.precision, estimate.layout,
        estimate.batch,
    )  # fmt: skip
    latency = estimate.latency
    total = (
        "total", estimate.model, None, None, us_from_s(latency.p50_s), us_from_s(latency.p10_s),
        us_from_s(latency.p90_s), 1.0, None, estimate.flops, estimate.bytes_moved, None, None, None,
        estimate.memory.peak_bytes, *run,
    )  # fmt: skip
    kernels = (
        (
            "kernel", k.name, k.kernel_class, " ".join(k.ops), us_from_s(k.time_s), None, None, k.share, k.bound.value,
            k.flops, k.bytes_moved, k.intensity_flops_per_byte, k.utilisation, k.scope, None, *run,
        )
        for k in estimate.kernels
    )  # fmt: skip
    return csv_text(COLUMNS, (total, *kernels))
