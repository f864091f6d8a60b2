"""torchstat's table and its four total lines.

Source: torchstat/reporter.py, release 0.0.7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from estimator.costs.conventions.torchstat import StatRow, stat_rows
from estimator.costs.layouts.text_columns import columns
from estimator.ir.graph import Graph
from estimator.ir.tensor import Shape
from estimator.units import MIB

_HEADER = (
    "", "module name", "input shape", "output shape", "params", "memory(MB)", "MAdd", "Flops", "MemRead(B)",
    "MemWrite(B)", "duration[%]", "MemR+W(B)",
)  # fmt: skip


def table(graph: Graph, duration_share: Mapping[str, float] | None = None) -> str:
    """Render the table.

    Parameters
    ----------
    duration_share : mapping of module path to float, optional
        In [0, 1]; torchstat measures it, a count without a device leaves it open.
    """
    rows = stat_rows(graph)
    if duration_share is not None:  # torchstat's shares are of what its modules take together
        whole = sum(duration_share.get(row.name, 0.0) for row in rows) or 1.0
        duration_share = {row.name: duration_share.get(row.name, 0.0) / whole for row in rows}
    body = [_cells(i, row, duration_share) for i, row in enumerate(rows)]
    body.append(_total_cells(rows, duration_share))
    lines = columns(_HEADER, body)
    width = max(map(len, lines))
    read_written = sum(r.read_bytes + r.written_bytes for r in rows)
    memory_mib = sum(r.memory_bytes for r in rows) / MIB
    return "\n".join(
        [
            *lines,
            "=" * width,
            f"Total params: {sum(r.params for r in rows):,}",
            "-" * width,
            f"Total memory: {memory_mib:.2f}MB",
            f"Total MAdd: {short(sum(r.madd for r in rows))}MAdd",
            f"Total Flops: {short(sum(r.flops for r in rows))}Flops",
            f"Total MemR+W: {short(read_written, binary=True)}B",
        ]
    )


def _extents(shape: Shape) -> str:
    return " ".join(f"{extent:>3d}" for extent in shape)


def _share(name: str, duration_share: Mapping[str, float] | None) -> str:
    return "-" if duration_share is None else f"{duration_share.get(name, 0.0):.2%}"


def _cells(index: int, row: StatRow, duration_share: Mapping[str, float] | None) -> tuple[str, ...]:
    return (
        str(index),
        row.name,
        _extents(row.input_shape),
        _extents(row.output_shape),
        f"{float(row.params)}",
        f"{row.memory_bytes / MIB:.2f}",
        f"{float(row.madd):,}",
        f"{float(row.flops):,}",
        f"{float(row.read_bytes)}",
        f"{float(row.written_bytes)}",
        _share(row.name, duration_share),
        f"{float(row.read_bytes + row.written_bytes)}",
    )


def _total_cells(rows: Sequence[StatRow], duration_share: Mapping[str, float] | None) -> tuple[str, ...]:
    """Add up; torchstat shows the *last* module's MemRead and MemWrite in this row, kept."""
    last_read = rows[-1].read_bytes if rows else 0
    last_written = rows[-1].written_bytes if rows else 0
    covered = None if duration_share is None else sum(duration_share.get(r.name, 0.0) for r in rows)
    return (
        "total",
        "",
        "",
        "",
        f"{float(sum(r.params for r in rows))}",
        f"{sum(r.memory_bytes for r in rows) / MIB:.2f}",
        f"{float(sum(r.madd for r in rows)):,}",
        f"{float(sum(r.flops for r in rows)):,}",
        f"{float(last_read)}",
        f"{float(last_written)}",
        "-" if covered is None else f"{covered:.2%}",
        f"{float(sum(r.read_bytes + r.written_bytes for r in rows))}",
    )


def short(value: float, *, binary: bool = False) -> str:
    """Shorten a number as torchstat does: ``4.12G``; divisor 1024 for bytes."""
    divisor = 1024.0 if binary else 1000.0
    for power, suffix in ((4, "T"), (3, "G"), (2, "M"), (1, "K")):
        if value // divisor**power > 0:
            return f"{round(value / divisor**power, 2)}{suffix}"
    return str(value)
