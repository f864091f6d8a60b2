"""How a validation is shown: a screen, JSON, Markdown or CSV. Here because it joins two rooms that do not meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from rich.table import Table
from rich.text import Text

from estimator.calibration.predict import Failure
from estimator.calibration.records import Record
from estimator.calibration.score import Score
from estimator.calibration.validate import GroupScore, ValidationReport
from estimator.cli.options import OutputFormat
from estimator.report.csv_table import csv_text
from estimator.report.escaping import markdown_cell, printable, shorten
from estimator.report.json_document import SCHEMA_VERSION, Json, json_text
from estimator.report.markdown import markdown_table
from estimator.report.table import captured, text_console
from estimator.report.wording import percent
from estimator.report.wrapping import WIDTH

LISTED_FAILURES: Final = 12
LISTED_LINES: Final = 3
"""How many line numbers stand beside a reason that several records share."""
_FIGURES: Final = ("median", "p90", "±10 %", "±20 %", "bias", "ρ")
_GROUP_HEADER: Final = (
    "device", "runtime", "n", "median", "p90", "±10 %", "bias", "ρ", "in range", "roofline", "naive",
)  # fmt: skip


def render(report: ValidationReport, output_format: OutputFormat, *, colour: bool = False) -> str:
    """Write a report in one of the four formats."""
    match output_format:
        case OutputFormat.JSON:
            return json_text(report_document(report))
        case OutputFormat.CSV:
            return _csv(report)
        case OutputFormat.MARKDOWN:
            return _markdown(report)
        case OutputFormat.TABLE:
            return _screen(report, colour=colour)


# ---------------------------------------------------------------- JSON
def report_document(report: ValidationReport) -> dict[str, Json]:
    """Make the fields that scripts rely on: fractions, never per cent, and null where undefined."""
    return {
        "schema_version": SCHEMA_VERSION,
        "records": report.records,
        "scored": report.scored,
        "failed": len(report.failures),
        "failures": [_failure_object(failure) for failure in report.failures],
        **_figures(report.score),
        "interval_coverage": report.interval_coverage,
        "baselines": {"naive": _figures(report.naive), "roofline": _figures(report.roofline)},
        "groups": [_group_object(group) for group in report.groups],
        "warnings": list(report.warnings),
    }


def _figures(score: Score) -> dict[str, Json]:
    return dict(asdict(score))


def _failure_object(failure: Failure) -> Json:
    record = failure.record
    return {"line": record.line, "model": record.model, "device": record.device_reference, "reason": failure.reason}


def _group_object(group: GroupScore) -> Json:
    return {
        "device": group.device,
        "unit": group.unit,
        "runtime": group.runtime,
        "precision": group.precision,
        "scored": group.scored,
        **_figures(group.score),
        "interval_coverage": group.interval_coverage,
        "baselines": {"naive": _figures(group.naive), "roofline": _figures(group.roofline)},
    }


# ---------------------------------------------------------------- text
def _screen(report: ValidationReport, *, colour: bool) -> str:
    console = text_console(colour=colour)
    failed = len(report.failures)
    console.print(Text(f"{report.records} records · {report.scored} scored · {failed} failed", style="bold"))
    if report.scored:
        console.print()
        console.print(_table(("", *_FIGURES, "in p10 … p90"), _summary_rows(report), gap=2))
        console.print()
        console.print(_table(_GROUP_HEADER, [_group_row(group) for group in report.groups], gap=1))
    if failed:
        console.print()
        for line in _failure_lines(report.failures):
            text = Text(line)
            text.truncate(WIDTH, overflow="ellipsis")
            console.print(text)
    return captured(console)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], gap: int) -> Table:
    table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, show_edge=False)
    for name in header:
        left = name in ("", "device", "runtime")
        table.add_column(
            name, justify="left" if left else "right", no_wrap=True, overflow="ellipsis", header_style="dim"
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _summary_rows(report: ValidationReport) -> list[tuple[str, ...]]:
    return [
        ("estimate", *_cells(report.score), _percent(report.interval_coverage)),
        ("roofline", *_cells(report.roofline), ""),
        ("FLOPs ÷ peak", *_cells(report.naive), ""),
    ]


def _cells(score: Score) -> tuple[str, ...]:
    shares = (score.median_ape, score.p90_ape, score.within_10, score.within_20)
    return (*(_percent(share) for share in shares), _signed(score.bias), _rho(score.spearman))


def _group_row(group: GroupScore) -> tuple[str, ...]:
    s = group.score
    return (
        shorten(printable(f"{group.device}/{group.unit}"), 16),
        shorten(printable(f"{group.runtime} {group.precision}"), 22),
        str(group.scored),
        _percent(s.median_ape), _percent(s.p90_ape), _percent(s.within_10), _signed(s.bias), _rho(s.spearman),
        _percent(group.interval_coverage), _percent(group.roofline.median_ape), _percent(group.naive.median_ape),
    )  # fmt: skip


def _failure_lines(failures: Sequence[Failure]) -> list[str]:
    """Failures by reason, the most frequent first."""
    by_reason: dict[str, list[Record]] = {}
    for failure in failures:
        by_reason.setdefault(failure.reason, []).append(failure.record)
    ordered = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    lines = [_failure_line(reason, records) for reason, records in ordered[:LISTED_FAILURES]]
    if len(ordered) > LISTED_FAILURES:
        lines.append(f"        … {len(ordered) - LISTED_FAILURES} more reasons; --format json lists all")
    return lines


def _failure_line(reason: str, records: Sequence[Record]) -> str:
    names = ", ".join(printable(name) for name in dict.fromkeys(record.model for record in records))
    numbers = [str(record.line) for record in records if record.line is not None]
    if len(records) == 1:
        at = "".join(f"line {number}, " for number in numbers)
        return f"failed  {at}{names}: {printable(reason)}"
    more = ", …" if len(numbers) > LISTED_LINES else ""
    at = f"lines {', '.join(numbers[:LISTED_LINES])}{more}: " if numbers else ""
    return f"failed  {len(records)} × {printable(reason)}  ({at}{names})"


def _percent(fraction: float | None) -> str:
    return "–" if fraction is None else percent(fraction)


def _signed(fraction: float | None) -> str:
    if fraction is None:
        return "–"
    return f"{'−' if fraction < 0 else '+'}{percent(abs(fraction))}"


def _rho(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


# ---------------------------------------------------------------- Markdown and CSV
def _markdown(report: ValidationReport) -> str:
    rows = [[markdown_cell(cell) for cell in row] for row in (_group_row(group) for group in report.groups)]
    parts = [
        f"{report.records} records, {report.scored} scored, {len(report.failures)} failed\n",
        markdown_table(("", *_FIGURES, "in p10 … p90"), _summary_rows(report), "lrrrrrrr"),
        markdown_table(_GROUP_HEADER, rows, "llrrrrrrrrr"),
    ]
    if report.failures:
        parts.append(
            "".join(f"- {markdown_cell(line.removeprefix('failed  '))}\n" for line in _failure_lines(report.failures))
        )
    return "\n".join(parts)


def _csv(report: ValidationReport) -> str:
    figures = tuple(Score.__dataclass_fields__)
    header = ("device", "unit", "runtime", "precision", "scored", *figures, "interval_coverage",
              *(f"roofline_{name}" for name in figures), *(f"naive_{name}" for name in figures))  # fmt: skip
    return csv_text(
        header,
        (
            (g.device, g.unit, g.runtime, g.precision, g.scored, *asdict(g.score).values(), g.interval_coverage,
             *asdict(g.roofline).values(), *asdict(g.naive).values())
            for g in report.groups
        ),
    )  # fmt: skip
