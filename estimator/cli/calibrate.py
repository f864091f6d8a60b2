"""``estimator-cli calibrate RECORDS.csv --device D --runtime R -o FILE.yaml``: a device's own coefficients."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from estimator.cli.measure import measured
from estimator.cli.options import OutputFormat, device_option, output_option, table_or_json_option
from estimator.cli.output import device_files, keep_inputs, say_written, write_result, write_warnings
from estimator.cli.progress import ProgressLine
from estimator.cli.suggest import load_candidates
from estimator.dtypes import Precision
from estimator.errors import BadOptionError
from estimator.files import check_writable

if TYPE_CHECKING:
    from estimator.calibration.device_fit import HeldOut
    from estimator.calibration.measure import MeasureOptions
    from estimator.calibration.records import Record
    from estimator.catalogue.calibration import Calibration
    from estimator.catalogue.device import Device, Unit


@click.command()
@click.argument("records_file", metavar="[RECORDS.csv[.gz]]", type=click.Path(path_type=Path), required=False)
@device_option
@click.option("--runtime", required=True, metavar="R", help="Runtime of the records, e.g. torch-eager, tflite, qnn.")
@output_option("FILE.yaml", "Calibration to write; use it with --calibration FILE.yaml.")
@click.option(
    "--here",
    is_flag=True,
    help="Measure this machine first, with torch, what `suggest` would; RECORDS.csv, if named, receives the records.",
)
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Processes that trace.")
@table_or_json_option
def calibrate(
    records_file: Path | None,
    device: str,
    runtime: str,
    output: Path,
    here: bool,
    workers: int,
    output_format: OutputFormat,
) -> None:
    """Fit a device's coefficients from measured RECORDS, five to ten of them or thousands.

    Prints the error on records that were left out of the fit, beside the error without any calibration.
    """
    from estimator.calibration.device_fit import calibrate_device
    from estimator.catalogue.calibration_file import dump_calibration, load_response

    keep_inputs(output, *device_files(device))
    if records_file is not None:
        keep_inputs(output, records_file)
        if here:
            keep_inputs(records_file, *device_files(device))
            check_writable(records_file)
    records = _measured_here(records_file, device, runtime) if here else _read(records_file)
    today = datetime.now(tz=UTC).date().isoformat()
    with ProgressLine("models traced") as progress:
        calibration, held_out = calibrate_device(
            records, device, runtime, date=today, worker_count=workers, progress=progress
        )
    write_warnings(f"left out {failure}" for failure in held_out.failures)
    dump_calibration(calibration, load_response(calibration.response).class_names, output)
    write_result(_result(calibration, held_out, output, output_format), beside=output)
    write_warnings(_harm(held_out))
    use = shlex.join(["--device", device, "--runtime", runtime, "--calibration", str(output)])
    say_written(output, f"use it with {use}")


def _read(path: Path | None) -> tuple[Record, ...]:
    from estimator.calibration.records import read_records

    if path is None:
        raise BadOptionError("no records named", expected="RECORDS.csv, or --here to measure this machine")
    return read_records(path)


def _measured_here(path: Path | None, device: str, runtime: str) -> tuple[Record, ...]:
    """Measure the models that tell most about this machine; keep the records where asked."""
    from estimator.calibration.measure import TORCH_RUNTIMES, MeasureOptions, check_reachable, measured_unit
    from estimator.calibration.records import write_records
    from estimator.calibration.starter_models import GPU_BATCH
    from estimator.catalogue.device import UnitKind
    from estimator.catalogue.loader import load_device, split_reference

    known, unit = load_device(device)
    name, unit_name = measured_unit(f"{split_reference(device)[0]}/{unit.name}")
    if runtime not in TORCH_RUNTIMES:
        raise BadOptionError(
            f"--here measures torch models, which {runtime} does not run",
            where="--runtime",
            expected=" or ".join(TORCH_RUNTIMES),
            hint="time models with it, by `estimator-cli measure` if they are files, and calibrate from those records",
        )
    check_reachable(unit_name)
    batch = GPU_BATCH if unit.kind is UnitKind.GPU else 1
    options = MeasureOptions(runtime, Precision.FP32)
    records = measured(_most_telling(known, unit, options, batch), name, unit_name, options, batch=batch)
    if path is not None:
        write_records(records, path)
        say_written(path, f"{len(records)} records")
    return records


def _most_telling(device: Device, unit: Unit, options: MeasureOptions, batch: int) -> tuple[str, ...]:
    """Choose what to measure as `suggest` does."""
    from estimator.calibration.choose import suggest
    from estimator.calibration.starter_models import CANDIDATE_MODELS, STARTER_COUNT
    from estimator.engine import EstimateOptions, site_of

    site = site_of(device, unit, EstimateOptions(options.runtime, options.precision, options.layout))
    _, suggestions = suggest(load_candidates(CANDIDATE_MODELS, options.layout, batch), site, STARTER_COUNT)
    return tuple(one.model for one in suggestions)


def _result(calibration: Calibration, held_out: HeldOut, output: Path, output_format: OutputFormat) -> str:
    from estimator.report.json_document import json_text

    score, before = held_out.score, held_out.before
    if output_format is OutputFormat.JSON:
        return json_text(
            {
                "device": calibration.device,
                "unit": calibration.unit,
                "runtime": calibration.runtime,
                "precisions": list(calibration.precisions),
                "output": str(output),
                "records": calibration.sample_count,
                "heldout_median_ape": score.median_ape,
                "heldout_p90_ape": score.p90_ape,
                "heldout_within_10": score.within_10,
                "heldout_bias": score.bias,
                "uncalibrated_median_ape": before.median_ape,
                "uncalibrated_p90_ape": before.p90_ape,
                "failures": list(held_out.failures),
            }
        )
    offset = calibration.offset
    return (
        f"{calibration.device}/{calibration.unit} · {calibration.runtime} · {calibration.sample_count} records\n\n"
        f"  heldout_median_ape  {_percent(score.median_ape)}   without calibration {_percent(before.median_ape)}\n"
        f"  heldout_p90_ape     {_percent(score.p90_ape)}   without calibration {_percent(before.p90_ape)}\n"
        f"  rates               compute × {_factor(offset.compute)}, memory × {_factor(offset.memory)}\n"
        f"  fixed costs         launch × {_factor(offset.overhead)}, per inference × {_factor(offset.fixed)}\n"
    )


def _harm(held_out: HeldOut) -> tuple[str, ...]:
    """Say so where records that the fit did not see are estimated worse with it than without."""
    after, before = held_out.score.median_ape, held_out.before.median_ape
    if after is None or before is None or after <= before:
        return ()
    return (
        f"this calibration makes records that were left out of it worse: median error {_percent(after).strip()}, "
        f"without calibration {_percent(before).strip()}; measure more models, or leave --calibration out",
    )


def _percent(fraction: float | None) -> str:
    from estimator.report.wording import percent

    return f"{'–' if fraction is None else percent(fraction):>7}"


def _factor(log_value: float) -> str:
    from math import exp

    return f"{exp(log_value):.2f}"
