"""``estimator-cli suggest --device D --runtime R [MODEL…]``: which models to measure for a calibration."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from estimator.calibration.starter_models import STARTER_COUNT
from estimator.cli.options import (
    ModelRequest,
    OutputFormat,
    TargetRequest,
    device_option,
    layout_option,
    table_or_json_option,
)
from estimator.cli.output import write_result, write_warnings
from estimator.cli.progress import ProgressLine
from estimator.errors import EstimatorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from estimator.calibration.choose import Suggestion
    from estimator.engine import ResolvedTarget
    from estimator.ir.graph import Graph


@click.command()
@click.argument("models", metavar="[MODEL…]", nargs=-1)
@device_option
@click.option("--runtime", metavar="R", help="Runtime, e.g. torch-eager, tflite, qnn; default: the unit's own.")
@click.option("--precision", metavar="P", help="Precision; default: the runtime's own.")
@layout_option
@click.option("--batch", type=click.IntRange(min=1), metavar="N", help="Rescale the leading dimension of every model.")
@click.option(
    "--count", type=click.IntRange(min=1), default=STARTER_COUNT, show_default=True, metavar="N", help="How many."
)
@table_or_json_option
def suggest(
    models: tuple[str, ...],
    device: str,
    runtime: str | None,
    precision: str | None,
    layout: str | None,
    batch: int | None,
    count: int,
    output_format: OutputFormat,
) -> None:
    """Choose which MODELs to measure on a device before `calibrate`, the most telling first.

    Without MODELs, about forty light ones of torchvision are the choice. Every model named counts among those whose
    estimates are to get better, so name what you care about.
    """
    from estimator.calibration.choose import suggest as choose
    from estimator.calibration.starter_models import CANDIDATE_MODELS
    from estimator.catalogue.loader import load_device
    from estimator.engine import site_of

    found, unit = load_device(device)
    site = site_of(found, unit, TargetRequest(runtime, precision, layout).options())
    graphs = load_candidates(models or CANDIDATE_MODELS, site.target.layout, batch)
    before, suggestions = choose(graphs, site, count)
    target = site.target
    what = f"{found.id}/{unit.name} · {target.runtime} · {target.precision.value}"
    if output_format is OutputFormat.JSON:
        write_result(_json(before, suggestions))
        return
    next_steps = _commands(device, target, batch, [one.model for one in suggestions])
    write_result(_table(what, before, suggestions, len(graphs)) + next_steps)


def load_candidates(models: Sequence[str], layout: str, batch: int | None) -> dict[str, Graph]:
    """Trace the models to choose from; those that cannot be are named in a warning and left out."""
    graphs: dict[str, Graph] = {}
    failures: list[str] = []
    with ProgressLine("models traced") as progress:
        for number, model in enumerate(dict.fromkeys(models), start=1):
            try:
                graphs[model] = ModelRequest(model, batch=batch, layout=layout).load()
            except EstimatorError as error:
                failures.append(f"{model}: {error.first_line}")
            progress(number, len(models))
    write_warnings(f"left out {failure}" for failure in failures)
    return graphs


def _json(before: float, suggestions: Sequence[Suggestion]) -> str:
    from estimator.report.json_document import json_text
    from estimator.units import ms_from_s

    return json_text(
        {
            "expected_error_before": before,
            "suggestions": [
                {"model": one.model, "latency_ms": ms_from_s(one.latency_s), "expected_error_after": one.left}
                for one in suggestions
            ],
        }
    )


def _table(what: str, before: float, suggestions: Sequence[Suggestion], candidates: int) -> str:
    from estimator.report.wording import milliseconds, percent

    width = max(len(one.model) for one in suggestions)
    rows = [
        f"  {number:2}  {one.model:{width}}  {milliseconds(one.latency_s) + ' ms':>13}  {percent(one.left)}"
        for number, one in enumerate(suggestions, start=1)
    ]
    lines = [
        f"{what} · {len(suggestions)} of {candidates} models, the most telling first",
        "",
        f"      {'model':{width}}  estimated now  expected error of all {candidates} once measured",
        f"      {'(none)':{width}}  {'':13}  {percent(before)}",
        *rows,
    ]
    return "\n".join(lines) + "\n"


def _commands(device: str, target: ResolvedTarget, batch: int | None, models: Sequence[str]) -> str:
    """Say what to type next; a runtime that takes files of its own is measured by other means."""
    from estimator.calibration.measure import TORCH_RUNTIMES
    from estimator.calibration.records import COLUMNS

    device = shlex.quote(device)
    calibrate = f"  estimator-cli calibrate few.csv --device {device} --runtime {target.runtime} -o own.yaml\n"
    if target.runtime not in TORCH_RUNTIMES:
        columns = ",".join(COLUMNS[: COLUMNS.index("latency_ms") + 1])
        return f"\nTime them with {target.runtime} and write few.csv, whose first line is\n\n  {columns}\n\n{calibrate}"
    measure = [
        f"  estimator-cli measure --device {device} --runtime {target.runtime} -o few.csv",
        f"--precision {target.precision.value} --layout {target.layout}" + (f" --batch {batch}" if batch else ""),
        *map(shlex.quote, models),
    ]
    return "\nNext, on that machine:\n\n" + " \\\n      ".join(measure) + f"\n{calibrate}"
