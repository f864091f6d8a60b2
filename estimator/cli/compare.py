"""``estimator-cli compare MODEL --device A,B,C``: one model on several devices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from estimator.cli.options import (
    ModelRequest,
    OutputFormat,
    TargetRequest,
    format_option,
    model_argument,
    model_options,
    target_options,
)
from estimator.cli.output import colour_wanted, write_result, write_warnings
from estimator.errors import BadOptionError, EstimatorError

if TYPE_CHECKING:
    from estimator.report.comparison import ComparedDevice


@click.command()
@model_argument
@click.option("--device", "devices", required=True, metavar="A,B,…", help="Devices, separated by commas, or ID/UNIT.")
@target_options
@model_options
@format_option
def compare(
    model: str,
    devices: str,
    runtime: str | None,
    precision: str | None,
    layout: str | None,
    strict: bool,
    calibrations: tuple[Path, ...],
    input_shapes: tuple[str, ...],
    batch: int | None,
    seq_len: int | None,
    output_format: OutputFormat,
) -> None:
    """Estimate MODEL on several devices, side by side.

    A device that cannot run it (no such runtime or precision there) is listed with the reason.
    """
    from estimator.catalogue.loader import load_device
    from estimator.engine import estimate as estimate_graph
    from estimator.report.comparison import ComparedDevice

    references = split_devices(devices, "--device")
    options = TargetRequest(runtime, precision, layout, strict, calibrations=calibrations).options()
    targets = [(reference, *load_device(reference)) for reference in references]
    graph = ModelRequest(model, input_shapes, batch, layout, seq_len).load()
    rows: list[ComparedDevice] = []
    failures: list[EstimatorError] = []
    for reference, device, unit in targets:
        try:
            rows.append(ComparedDevice(reference, estimate_graph(graph, device, unit, options)))
        except EstimatorError as error:
            failures.append(error)
            rows.append(ComparedDevice(reference, None, str(error)))
    if len(failures) == len(rows):
        raise failures[0]
    write_result(render(model, rows, output_format))
    if output_format is not OutputFormat.JSON:
        write_warnings(f"{row.reference}: {text}" for row in rows if row.estimate for text in row.estimate.warnings)


def split_devices(text: str, option: str) -> tuple[str, ...]:
    """Split an option's ``A,B,C``, dropping repetitions.

    Raises
    ------
    BadOptionError
        No device is named.
    """
    references = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not references:
        raise BadOptionError(f"no device named ({option})", expected="A,B,C", hint="estimator-cli devices list")
    return references


def render(model: str, rows: list[ComparedDevice], output_format: OutputFormat) -> str:
    """Write a comparison in one of the four formats."""
    from estimator.report import comparison

    match output_format:
        case OutputFormat.JSON:
            return comparison.comparison_json(model, rows)
        case OutputFormat.CSV:
            return comparison.comparison_csv(model, rows)
        case OutputFormat.MARKDOWN:
            return comparison.comparison_markdown(model, rows)
        case OutputFormat.TABLE:
            return comparison.comparison_screen(model, rows, colour=colour_wanted())
