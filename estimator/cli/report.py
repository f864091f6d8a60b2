"""``estimator-cli report MODEL --device D -o report.html``: a page to send around."""

from __future__ import annotations

from pathlib import Path

import click

from estimator.cli.options import (
    ModelRequest,
    TargetRequest,
    device_option,
    model_argument,
    model_options,
    output_option,
    target_options,
)
from estimator.cli.output import device_files, keep_inputs, model_files, say_written, write_warnings
from estimator.files import write_whole


@click.command()
@model_argument
@device_option
@output_option("report.html")
@target_options
@model_options
def report(
    model: str,
    device: str,
    output: Path,
    runtime: str | None,
    precision: str | None,
    layout: str | None,
    strict: bool,
    calibrations: tuple[Path, ...],
    input_shapes: tuple[str, ...],
    batch: int | None,
    seq_len: int | None,
) -> None:
    """Write a self-contained HTML page on MODEL: roofline plot, kernels, memory over time.

    The page holds no script and loads nothing; it opens anywhere.
    """
    from estimator.catalogue.loader import load_device
    from estimator.engine import as_run, resolve_target
    from estimator.engine import estimate as estimate_graph
    from estimator.memory.peak import plan_memory
    from estimator.report.html_page import html_report

    keep_inputs(output, *model_files(model), *device_files(device), *calibrations)
    options = TargetRequest(runtime, precision, layout, strict, calibrations=calibrations).options()
    target, unit = load_device(device)
    graph = ModelRequest(model, input_shapes, batch, layout, seq_len).load()
    made = estimate_graph(graph, target, unit, options)
    plan = plan_memory(
        as_run(graph, unit.kind, resolve_target(target, unit, options)),
        fused=[kernel.ops for kernel in made.kernels],
        runtime=made.runtime,
        unit_kind=unit.kind,
        layout=made.layout,
    )
    write_whole(output, html_report(made, plan.timeline))
    write_warnings(made.warnings)
    say_written(output)
