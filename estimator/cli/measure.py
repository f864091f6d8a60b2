"""``estimator-cli measure MODEL… -o RECORDS.csv``: records of the machine at hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from estimator.cli.options import LAYOUTS, finite, output_option
from estimator.cli.output import device_files, keep_inputs, model_files, say_written, write_warnings
from estimator.errors import EstimatorError, UnknownRuntimeError
from estimator.report.escaping import printable
from estimator.report.wrapping import wrapped

if TYPE_CHECKING:
    from estimator.calibration.measure import MeasureOptions
    from estimator.calibration.records import Record


@click.command()
@click.argument("models", metavar="MODEL…", nargs=-1, required=True)
@output_option("RECORDS.csv", "Records to write.")
@click.option("--device", default="here", show_default=True, metavar="ID[/UNIT]|FILE",
              help="What this machine is; a unit cpu or gpu.")  # fmt: skip
@click.option("--runtime", default="torch-eager", show_default=True, metavar="R",
              help="torch-eager, torch-compile, onnxruntime (.onnx) or tflite (.tflite).")  # fmt: skip
@click.option("--precision", metavar="P", help="Default: fp32; that of a file, which has no other.")
@click.option("--layout", type=click.Choice(LAYOUTS), default=LAYOUTS[0], show_default=True)
@click.option("--batch", type=click.IntRange(min=1), metavar="N", help="Rescale the leading dimension.")
@click.option("--input-shape", "input_shapes", metavar="[NAME=]1x3x224x224", multiple=True, help="Shape of an input.")
@click.option(
    "--seconds", type=click.FloatRange(min=0), callback=finite, default=3.0, show_default=True, help="Timed per model."
)
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Threads of the runtime; default: its own.")
def measure(
    models: tuple[str, ...],
    output: Path,
    device: str,
    runtime: str,
    precision: str | None,
    layout: str,
    batch: int | None,
    input_shapes: tuple[str, ...],
    seconds: float,
    threads: int | None,
) -> None:
    """Measure MODELs on this machine and write them as records.

    A model that cannot be measured is named on standard error and left out; the others are written.
    """
    from estimator.calibration.measure import MeasureOptions, measured_unit
    from estimator.calibration.records import write_records
    from estimator.dtypes import Precision

    keep_inputs(output, *model_files(*models), *device_files(device))
    name, unit = measured_unit(device)
    asked = None if precision is None else Precision.parse(precision)
    options = MeasureOptions(runtime, asked, layout, budget_s=seconds, thread_count=threads)
    records = measured(models, name, unit, options, input_shapes=input_shapes, batch=batch)
    write_records(records, output)
    say_written(output, f"{len(records)} of {len(models)} models")


def measured(
    models: Sequence[str],
    device: str,
    unit: str,
    options: MeasureOptions,
    *,
    input_shapes: Sequence[str] = (),
    batch: int | None = None,
) -> tuple[Record, ...]:
    """Measure models one after another; one that cannot be measured is named on standard error and left out.

    Raises
    ------
    UnknownRuntimeError
        Not a runtime that can be measured here.
    EstimatorError
        None can be measured: why the first cannot.
    """
    from estimator.calibration.measure import RUNTIMES, TORCH_RUNTIMES, check_reachable
    from estimator.calibration.measure import measure as measure_model
    from estimator.units import ms_from_s

    if options.runtime not in RUNTIMES:
        raise UnknownRuntimeError(options.runtime, RUNTIMES)
    if options.runtime in TORCH_RUNTIMES:
        check_reachable(unit)
    records: list[Record] = []
    failures: list[EstimatorError] = []
    for model in models:
        try:
            record = measure_model(model, device, unit, options, input_shapes=input_shapes, batch=batch)
        except EstimatorError as error:
            failures.append(error)
            if len(models) > 1:
                write_warnings([f"left out {model}: {error.first_line}"])
            continue
        records.append(record)
        click.echo(wrapped(printable(f"{model}: {ms_from_s(record.latency_s):.4g} ms; {record.conditions}")), err=True)
    if not records:
        raise failures[0]
    return tuple(records)
