"""``estimator-cli [estimate] MODEL --device D``: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from estimator.cli.options import (
    ModelRequest,
    OutputFormat,
    TargetRequest,
    device_option,
    format_option,
    model_argument,
    model_options,
    target_options,
)
from estimator.cli.output import colour_wanted, write_result, write_warnings
from estimator.errors import BadOptionError, UnknownDeviceError
from estimator.result import Estimate

if TYPE_CHECKING:
    from estimator.catalogue.device import Device, Unit

DEFAULT_TOP = 8


@click.command()
@model_argument
@device_option
@target_options
@model_options
@format_option
@click.option("--top", type=click.IntRange(min=0), default=DEFAULT_TOP, show_default=True, help="Kernels to list.")
@click.option(
    "--explain",
    metavar="KERNEL",
    help="Show formula, inputs and sources of one kernel's time; KERNEL as listed, or #N.",
)
def estimate(
    model: str,
    device: str,
    runtime: str | None,
    precision: str | None,
    layout: str | None,
    strict: bool,
    calibrations: tuple[Path, ...],
    input_shapes: tuple[str, ...],
    batch: int | None,
    seq_len: int | None,
    output_format: OutputFormat,
    top: int,
    explain: str | None,
) -> None:
    """Estimate latency and memory of MODEL on a device, and say what bounds them.

    MODEL is torchvision:NAME, timm:NAME, a bare name, transformers:CONFIG.json, pkg.module:callable,
    or a file: .onnx, .tflite, .pt2, .pb, .meta, saved_model/, graph.json.
    """
    from estimator.engine import estimate as estimate_graph

    if explain is not None and output_format is not OutputFormat.TABLE:
        raise BadOptionError(
            f"--format {output_format} has no effect here",
            where="--explain",
            expected="no --explain: the kernels of --format json and csv have the numbers it is made of",
        )
    options = TargetRequest(runtime, precision, layout, strict, calibrations=calibrations).options()
    target, unit = _one_device(device)  # before the model: a typing slip must not cost a trace
    graph = ModelRequest(model, input_shapes, batch, layout, seq_len).load()
    made = estimate_graph(graph, target, unit, options)
    if explain is not None:
        from estimator.report.explanation import explain_kernel

        write_result(explain_kernel(made, explain, graph))
        return
    write_result(render(made, output_format, top=top))
    if output_format not in (OutputFormat.JSON, OutputFormat.MARKDOWN):  # these documents carry them
        write_warnings(made.warnings)


def _one_device(reference: str) -> tuple[Device, Unit]:
    from estimator.catalogue.loader import load_device

    try:
        return load_device(reference)
    except UnknownDeviceError as error:
        if "," in reference:
            raise BadOptionError(
                f"{reference!r} is no one device (--device)",
                expected="one device",
                hint=f"estimator-cli compare MODEL --device {reference}",
            ) from error
        raise


def render(made: Estimate, output_format: OutputFormat, *, top: int) -> str:
    """Write an estimate in one of the four formats."""
    match output_format:
        case OutputFormat.JSON:
            from estimator.report.json_document import estimate_json

            return estimate_json(made)
        case OutputFormat.CSV:
            from estimator.report.csv_table import estimate_csv

            return estimate_csv(made)
        case OutputFormat.MARKDOWN:
            from estimator.report.markdown import estimate_markdown

            return estimate_markdown(made, top=top)
        case OutputFormat.TABLE:
            from estimator.report.table import estimate_screen

            return estimate_screen(made, top=top, colour=colour_wanted())
