"""``estimator-cli validate RECORDS.csv``: the estimator against what was measured."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import click

from estimator.cli.options import OutputFormat, format_option
from estimator.cli.output import colour_wanted, progress_line, write_file, write_result
from estimator.errors import BadOptionError

if TYPE_CHECKING:
    from estimator.calibration.records import Record
    from estimator.calibration.validate import ValidationReport

SOURCES = ("datasheet", "family", "calibrated")


@click.command()
@click.argument("records_file", metavar="RECORDS.csv[.gz]", type=click.Path(path_type=Path))
@click.option("--sample", type=click.IntRange(min=1), metavar="N", help="Score N records drawn at random.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="S", help="Of the drawing.")
@click.option(
    "--from", "source", type=click.Choice(SOURCES), help="Best provenance allowed; default: whatever there is."
)
@click.option(
    "--calibration", "calibrations", metavar="FILE.yaml", multiple=True, type=click.Path(path_type=Path),
    help="A calibration of your own; repeatable.",
)  # fmt: skip
@click.option(
    "--predictions", metavar="OUT.csv", type=click.Path(dir_okay=False, path_type=Path),
    help="Write every record with its estimate.",
)  # fmt: skip
@format_option
def validate(
    records_file: Path,
    sample: int | None,
    seed: int,
    source: str | None,
    calibrations: tuple[Path, ...],
    predictions: Path | None,
    output_format: OutputFormat,
) -> None:
    """Score the estimator against measured records, with FLOPs ÷ peak and the spec roofline beside it.

    A record whose model cannot be estimated is a failure and listed; none is left out silently.
    """
    from estimator.calibration.records import read_records

    records = drawn(read_records(records_file), sample, seed)
    if not records:
        raise BadOptionError("no records to score", where=str(records_file), expected="at least one line")
    from estimator.calibration.validate import validate_records

    report = validate_records(records, source=source, calibrations=calibrations, progress=progress_line("scored"))
    if predictions is not None:
        from estimator.cli.validation_form import predictions_csv

        write_file(predictions, predictions_csv(report))
    write_result(_render(report, output_format))


def drawn(records: tuple[Record, ...], sample: int | None, seed: int) -> tuple[Record, ...]:
    """Draw `sample` records, the same ones for the same seed, in the file's order."""
    if sample is None or sample >= len(records):
        return records
    chosen = sorted(random.Random(seed).sample(range(len(records)), sample))
    return tuple(records[index] for index in chosen)


def _render(report: ValidationReport, output_format: OutputFormat) -> str:
    from estimator.cli import validation_form

    match output_format:
        case OutputFormat.JSON:
            return validation_form.validation_json(report)
        case OutputFormat.CSV:
            return validation_form.validation_csv(report)
        case OutputFormat.MARKDOWN:
            return validation_form.validation_markdown(report)
        case OutputFormat.TABLE:
            return validation_form.validation_screen(report, colour=colour_wanted())
