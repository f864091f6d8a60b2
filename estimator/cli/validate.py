"""``estimator-cli validate RECORDS.csv[.gz]``: the estimator against measured records."""

from __future__ import annotations

from pathlib import Path

import click

from estimator.cli.options import OutputFormat, calibration_option, format_option, writable
from estimator.cli.output import colour_wanted, device_files, keep_inputs, say_written, write_result, write_warnings
from estimator.cli.progress import ProgressLine
from estimator.errors import RecordError
from estimator.files import write_whole


@click.command()
@click.argument("records_file", metavar="RECORDS.csv[.gz]", type=click.Path(path_type=Path))
@click.option("--sample", type=click.IntRange(min=1), metavar="N", help="Score N records drawn at random.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the sample.")
@click.option(
    "--from", "source", type=click.Choice(("datasheet", "family", "calibrated")), metavar="SOURCE",
    help="Best provenance to rely on: datasheet, family or calibrated (default: the best there is).",
)  # fmt: skip
@click.option(
    "--device", "devices", metavar="FILE", multiple=True,
    help="A device file of your own, whose id the records name; repeatable.",
)  # fmt: skip
@calibration_option
@click.option(
    "--predictions", metavar="OUT.csv", type=click.Path(dir_okay=False, path_type=Path), callback=writable,
    help="Write every prediction beside its measurement.",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Processes that trace models."
)
@format_option
def validate(
    records_file: Path,
    sample: int | None,
    seed: int,
    source: str | None,
    devices: tuple[str, ...],
    calibrations: tuple[Path, ...],
    predictions: Path | None,
    workers: int,
    output_format: OutputFormat,
) -> None:
    """Score the estimator against measured RECORDS, with FLOPs ÷ peak and the plain roofline beside it.

    Records that cannot be estimated are listed with the reason and scored as failed, never hidden. Exit status 1 when
    none can.
    """
    from estimator.calibration.records import read_records
    from estimator.calibration.validate import predictions_csv, sample_records, validate_records
    from estimator.catalogue.calibration_file import load_calibration
    from estimator.cli.validation_view import render

    if predictions is not None:
        keep_inputs(predictions, records_file, *device_files(*devices), *calibrations)
    records = read_records(records_file)
    for path in calibrations:
        load_calibration(path)
    if sample is not None:
        records = sample_records(records, sample, seed)
    with ProgressLine("models traced") as progress:
        report = validate_records(
            records, source=source, calibrations=calibrations, devices=devices, worker_count=workers, progress=progress
        )
    if predictions is not None:
        write_whole(predictions, predictions_csv(report.predictions))
        say_written(predictions, f"{len(report.predictions)} predictions")
    write_result(render(report, output_format, colour=colour_wanted()), beside=predictions)
    if output_format is not OutputFormat.JSON:
        write_warnings(report.warnings)
    if not report.scored:
        raise RecordError(
            f"none of the {report.records} records could be estimated",
            where=str(records_file),
            expected="models, devices, runtimes and precisions that `estimate` takes",
            hint="the reason is listed beside each record",
        )
