"""``estimator-cli calibrate RECORDS.csv --device D --runtime R -o D.yaml``: fit coefficients from records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from estimator.cli.options import device_option
from estimator.cli.output import write_file
from estimator.cli.progress import ProgressLine
from estimator.errors import BadOptionError
from estimator.report.wording import percent

if TYPE_CHECKING:
    from estimator.calibration.records import Record

HERE_MODELS = (
    "torchvision:mobilenet_v2", "torchvision:resnet18", "torchvision:resnet50", "torchvision:squeezenet1_1",
    "torchvision:mnasnet1_0", "torchvision:densenet121", "torchvision:shufflenet_v2_x1_0", "torchvision:vit_b_16",
)  # fmt: skip
"""What ``--here`` measures: dense, depthwise, grouped, concatenating and attention networks."""


@click.command()
@click.argument("records_file", metavar="RECORDS.csv[.gz]", required=False, type=click.Path(path_type=Path))
@device_option
@click.option("--runtime", required=True, metavar="R", help="The runtime that the records were measured with.")
@click.option("-o", "--output", required=True, metavar="FILE.yaml", type=click.Path(dir_okay=False, path_type=Path),
              help="Calibration to write, as a whole or not at all.")  # fmt: skip
@click.option("--here", is_flag=True, help="Measure this machine first instead of reading records.")
def calibrate(records_file: Path | None, device: str, runtime: str, output: Path, here: bool) -> None:
    """Fit a device's coefficients from measured records; 5 to 10 of them already help.

    Use the file with ``--calibration FILE.yaml``. It states its data, its date and its held-out error.
    """
    from estimator.calibration.fit import calibrate as fit
    from estimator.calibration.records import read_records
    from estimator.catalogue.loader import load_device

    target, unit = load_device(device)
    if here == (records_file is not None):
        raise BadOptionError("nothing to calibrate from", expected="RECORDS.csv, or --here to measure this machine")
    records = _measured_here(target.id, unit.name, runtime) if records_file is None else read_records(records_file)
    with ProgressLine("models traced") as progress:
        fitted = fit(records, target, unit, runtime, progress=progress)
    write_file(output, fitted.yaml_text())
    error = fitted.heldout_median_ape
    summary = f", held-out median error {percent(error)}" if error is not None else ""
    click.echo(f"wrote {output}: {fitted.sample_count} records{summary}", err=True)


def _measured_here(device: str, unit: str, runtime: str) -> tuple[Record, ...]:
    from estimator.calibration.measure import MeasureOptions, measure

    options = MeasureOptions(runtime)
    records = []
    for model in HERE_MODELS:
        records.append(measure(model, device, unit, options))
        click.echo(f"measured {model}", err=True)
    return tuple(records)
