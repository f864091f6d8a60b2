"""A validation in the four output formats.

Here and not in `report`, because `report` and `calibration` are neighbours that never import each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from estimator.report.csv_table import Cell, csv_text
from estimator.report.escaping import markdown_cell, printable, shorten
from estimator.report.json_document import SCHEMA_VERSION, Json, json_text
from estimator.report.markdown import markdown_table
from estimator.report.table import WIDTH, captured, text_console
from estimator.report.wording import percent, significant
from estimator.units import ms_from_s

if TYPE_CHECKING:
    from estimator.calibration.validate import ValidationReport

MAX_FAILURES_SHOWN: Final = 10
BASELINES: Final = (("naive", "FLOPs ÷ peak"), ("roofline", "spec roofline"))
_HEADER: Final = ("", "n", "median", "p90", "±10 %", "±20 %", "bias", "ρ", "p10–p90")


def validation_document(report: ValidationReport) -> dict[str, Json]:
    """Turn a report into plain JSON values: its fields by their names, without the single predictions."""
    document: dict[str, Json] = {"schema_version": SCHEMA_VERSION}
    document |= {name: value for name, value in asdict(report).items() if name != "predictions"}
    return document


def validation_json(report: ValidationReport) -> str:
    """Write the report as JSON."""
    return json_text(validation_document(report))


def validation_screen(report: ValidationReport, *, colour: bool = False) -> str:
    """Write at most 100 columns: the whole, its baselines, then every group, worst first."""
    document = validation_document(report)
    console = text_console(colour=colour)
    console.print(Text(_headline(document), style="bold"))
    console.print()
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False)
    for index, name in enumerate(_HEADER):
        justify: JustifyMethod = "right" if index else "left"
        table.add_column(name, justify=justify, no_wrap=True, overflow="ellipsis", header_style="dim")
    for row in _rows(document):
        table.add_row(*map(Text, row))
    console.print(table)
    failures = _objects(document, "failures")
    if failures:
        console.print()
        console.print(Text("not scored", style="dim"))
    for failure in failures[:MAX_FAILURES_SHOWN]:
        line = Text(printable(f"  {failure.get('model')}: {str(failure.get('reason')).partition(chr(10))[0]}"))
        line.truncate(WIDTH, overflow="ellipsis")
        console.print(line)
    if len(failures) > MAX_FAILURES_SHOWN:
        console.print(Text(f"  and {len(failures) - MAX_FAILURES_SHOWN} more; --format json lists all", style="dim"))
    return captured(console)


def validation_markdown(report: ValidationReport) -> str:
    """Write the same table as Markdown."""
    document = validation_document(report)
    rows = [tuple(markdown_cell(cell) for cell in row) for row in _rows(document)]
    failures = [
        f"- not scored: {markdown_cell(str(one.get('model')))}: {markdown_cell(str(one.get('reason')))}"
        for one in _objects(document, "failures")
    ]
    return "\n".join([_headline(document), "", markdown_table(_HEADER, rows, "lrrrrrrrr"), *failures])


def validation_csv(report: ValidationReport) -> str:
    """Write one row for the whole and one per group, fractions as they are."""
    keys = ("device", "unit", "runtime", "precision", "layout")
    scores = (
        "scored",
        "median_ape",
        "p90_ape",
        "mape",
        "within_10",
        "within_20",
        "bias",
        "spearman",
        "interval_coverage",
    )
    document = validation_document(report)
    rows: list[list[Cell]] = [["all", *[None] * len(keys), *(_cell(document.get(name)) for name in scores)]]
    rows += [
        ["group", *(_cell(group.get(key)) for key in keys), *(_cell(group.get(name)) for name in scores)]
        for group in _objects(document, "groups")
    ]
    return csv_text(("row", *keys, *scores), rows)


def predictions_csv(report: ValidationReport) -> str:
    """Write every scored record with its estimate."""
    header = (
        "model", "input_shape", "device", "unit", "runtime", "precision", "layout", "measured_ms", "p10_ms", "p50_ms",
        "p90_ms", "naive_ms", "roofline_ms", "error", "provenance",
    )  # fmt: skip
    return csv_text(
        header,
        (
            (
                one.record.model, "x".join(map(str, one.record.input_shape)), one.record.device, one.record.unit,
                one.record.runtime, one.record.precision.value, one.record.layout, ms_from_s(one.record.latency_s),
                ms_from_s(one.latency.p10_s), ms_from_s(one.latency.p50_s), ms_from_s(one.latency.p90_s),
                ms_from_s(one.naive_latency_s), ms_from_s(one.roofline_latency_s),
                one.latency.p50_s / one.record.latency_s - 1.0, one.provenance.value,
            )
            for one in report.predictions
        ),
    )  # fmt: skip


def _headline(document: Mapping[str, Json]) -> str:
    return f"{document.get('scored')} of {document.get('records')} records scored, {document.get('failed')} failed"


def _rows(document: Mapping[str, Json]) -> list[tuple[str, ...]]:
    rows = [_score_row("all", document)]
    baselines = document.get("baselines")
    if isinstance(baselines, Mapping):
        rows += [_score_row(f"  {label}", _object(baselines.get(key))) for key, label in BASELINES]
    groups = _objects(document, "groups")
    worst_first = sorted(groups, key=lambda group: -_number(group.get("median_ape")))
    return rows + [_score_row(_group_label(group), group) for group in worst_first]


def _group_label(group: Mapping[str, Json]) -> str:
    parts = [
        f"{group.get('device')}/{group.get('unit')}",
        group.get("runtime"),
        group.get("precision"),
        group.get("layout"),
    ]
    return shorten(printable(" ".join(str(part) for part in parts if part)), 44)


def _score_row(label: str, score: Mapping[str, Json]) -> tuple[str, ...]:
    count = score.get("scored", score.get("records"))
    shares = ("median_ape", "p90_ape", "within_10", "within_20")
    return (
        label,
        "" if count is None else str(count),
        *(_share(score.get(name)) for name in shares),
        _signed(score.get("bias")),
        "–" if score.get("spearman") is None else significant(_number(score.get("spearman"))),
        _share(score.get("interval_coverage")),
    )


def _share(value: Json) -> str:
    return "–" if value is None else percent(_number(value))


def _signed(value: Json) -> str:
    if value is None:
        return "–"
    number = _number(value)
    return f"{'+' if number >= 0 else '−'}{percent(abs(number))}"


def _number(value: Json) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _cell(value: Json) -> Cell:
    return value if isinstance(value, str | int | float) or value is None else None


def _object(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}


def _objects(document: Mapping[str, Json], key: str) -> list[Mapping[str, Json]]:
    value = document.get(key)
    return [_object(one) for one in value] if isinstance(value, Sequence) and not isinstance(value, str) else []
