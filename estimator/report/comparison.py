"""One model on several devices, side by side, in every output format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from estimator.report.csv_table import Cell, csv_text
from estimator.report.escaping import markdown_cell, printable, shorten
from estimator.report.json_document import SCHEMA_VERSION, Json, estimate_document, json_text
from estimator.report.markdown import markdown_table
from estimator.report.table import captured, text_console
from estimator.report.wording import milliseconds
from estimator.report.wrapping import WIDTH
from estimator.result import Estimate
from estimator.units import format_bytes, ms_from_s


@dataclass(frozen=True, slots=True)
class ComparedDevice:
    """What one device answered.

    Attributes
    ----------
    reference : str
        The device as it was asked for.
    estimate : Estimate or None
        None where none could be made; `reason` says why.
    """

    reference: str
    estimate: Estimate | None
    reason: str = ""


_HEADER = ("device", "runtime", "latency", "p10 … p90", "bound", "memory", "basis")


def comparison_screen(model: str, rows: Sequence[ComparedDevice], *, colour: bool = False) -> str:
    """Write a table of at most 100 columns, fastest device first."""
    console = text_console(colour=colour)
    title = Text(shorten(printable(model), WIDTH), style="bold")
    title.truncate(WIDTH, overflow="ellipsis")
    console.print(title)
    console.print()
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False)
    for name in _HEADER:
        right = name in ("latency", "p10 … p90", "memory")
        justify: JustifyMethod = "right" if right else "left"
        table.add_column(name, justify=justify, no_wrap=True, overflow="ellipsis", header_style="dim")
    ordered = _fastest_first(rows)
    for row in ordered:
        if row.estimate is not None:
            table.add_row(*(Text(cell) for cell in _cells(row.estimate)))
    if any(row.estimate is not None for row in rows):
        console.print(table)
    for row in ordered:
        if row.estimate is None:
            line = Text(f"{printable(row.reference)}  {printable(row.reason.splitlines()[0] if row.reason else '')}")
            line.truncate(WIDTH, overflow="ellipsis")
            console.print(line)
    return captured(console)


def comparison_markdown(model: str, rows: Sequence[ComparedDevice]) -> str:
    """Write a Markdown table, fastest device first."""
    cells = [
        tuple(markdown_cell(cell) for cell in _cells(row.estimate))
        if row.estimate is not None
        else (markdown_cell(row.reference), *[""] * (len(_HEADER) - 2), markdown_cell(_one_line(row.reason)))
        for row in _fastest_first(rows)
    ]
    return f"### {markdown_cell(model)}\n\n" + markdown_table(_HEADER, cells, "llrrlrl")


def comparison_json(model: str, rows: Sequence[ComparedDevice]) -> str:
    """Write ``rows[]`` in the order asked for: an estimate without its kernels, or ``error``."""
    listed: list[Json] = [
        {"device": row.reference, "error": row.reason}
        if row.estimate is None
        else estimate_document(row.estimate, with_kernels=False)
        for row in rows
    ]
    return json_text({"schema_version": SCHEMA_VERSION, "model": model, "rows": listed})


def comparison_csv(model: str, rows: Sequence[ComparedDevice]) -> str:
    """Write one row per device in the order asked for."""
    header = (
        "model", "device", "unit", "runtime", "precision", "layout", "batch", "latency_p10_ms", "latency_p50_ms",
        "latency_p90_ms", "naive_latency_ms", "roofline_latency_ms", "bound_compute", "bound_memory", "bound_overhead",
        "peak_memory_bytes", "coverage", "provenance", "error",
    )  # fmt: skip
    return csv_text(header, (_csv_row(model, row, len(header)) for row in rows))


def _csv_row(model: str, row: ComparedDevice, width: int) -> tuple[Cell, ...]:
    estimate = row.estimate
    if estimate is None:
        return (model, row.reference, *[None] * (width - 3), _one_line(row.reason))
    latency, share = estimate.latency, estimate.bound_share
    return (
        model, estimate.device, estimate.unit, estimate.runtime, estimate.precision, estimate.layout,
        estimate.batch, ms_from_s(latency.p10_s), ms_from_s(latency.p50_s), ms_from_s(latency.p90_s),
        ms_from_s(estimate.naive_latency_s), ms_from_s(estimate.roofline_latency_s), share.compute, share.memory,
        share.overhead, estimate.memory.peak_bytes, estimate.coverage, estimate.provenance.kind.value, None,
    )  # fmt: skip


def _one_line(reason: str) -> str:
    """Join the lines of an error: ``… with tflite; expected int8``."""
    return "; ".join(" ".join(line.split()) for line in reason.splitlines())


def _fastest_first(rows: Sequence[ComparedDevice]) -> list[ComparedDevice]:
    return sorted(rows, key=lambda row: (row.estimate is None, row.estimate.latency.p50_s if row.estimate else 0.0))


def _cells(estimate: Estimate) -> tuple[str, ...]:
    latency, share = estimate.latency, estimate.bound_share
    shares = {"compute": share.compute, "memory": share.memory, "overhead": share.overhead}
    return (
        shorten(printable(f"{estimate.device}/{estimate.unit}"), 22),
        shorten(printable(f"{estimate.runtime} {estimate.precision}"), 22),
        f"{milliseconds(latency.p50_s)} ms",
        f"{milliseconds(latency.p10_s)} … {milliseconds(latency.p90_s)}",
        max(shares, key=shares.__getitem__),
        format_bytes(estimate.memory.peak_bytes),
        estimate.provenance.kind.value,
    )
