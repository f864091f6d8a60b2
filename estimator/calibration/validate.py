"""Score the estimator against measured records, with FLOPs ÷ peak and the plain roofline beside it."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from estimator.calibration.graph_cache import GraphCache
from estimator.calibration.predict import (
    Failure,
    Prediction,
    find_places,
    own_devices,
    predict_all,
    workloads_of,
)
from estimator.calibration.records import Record, shape_text
from estimator.calibration.score import Score, score
from estimator.calibration.workload import DEFAULT_WORKERS, Progress, lower_workloads
from estimator.catalogue.calibration import FloatArray
from estimator.catalogue.calibration_file import load_calibration
from estimator.catalogue.loader import load_device, name_key
from estimator.engine import Place, fits
from estimator.errors import EstimatorError
from estimator.units import ms_from_s

PREDICTION_COLUMNS = (
    "model", "input_shape", "device", "unit", "runtime", "precision", "layout", "measured_ms", "predicted_ms",
    "p10_ms", "p90_ms", "naive_ms", "roofline_ms", "error", "provenance",
)  # fmt: skip
LISTED_DEVICES = 4


@dataclass(frozen=True, slots=True)
class GroupScore:
    """Figures of one device, unit, runtime and precision."""

    device: str
    unit: str
    runtime: str
    precision: str
    scored: int
    score: Score
    interval_coverage: float | None
    naive: Score
    roofline: Score


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """What `validate` says.

    Attributes
    ----------
    records : int
        Records that were asked for: scored plus failed.
    interval_coverage : float or None
        Share of measurements between p10 and p90; 0.8 is right.
    groups : tuple of GroupScore
        In the order of the group's first record.
    warnings : tuple of str
        Of the user's calibrations and device files, those that are for none of the records; devices that are in no file
        known here.
    """

    records: int
    failures: tuple[Failure, ...]
    predictions: tuple[Prediction, ...]
    score: Score
    interval_coverage: float | None
    naive: Score
    roofline: Score
    groups: tuple[GroupScore, ...]
    warnings: tuple[str, ...] = ()

    @property
    def scored(self) -> int:
        """Records with a prediction."""
        return len(self.predictions)


def validate_records(
    records: Sequence[Record],
    *,
    source: str | None = None,
    calibrations: tuple[Path, ...] = (),
    devices: Sequence[str] = (),
    cache: GraphCache | None = None,
    worker_count: int = DEFAULT_WORKERS,
    progress: Progress | None = None,
) -> ValidationReport:
    """Estimate every record and compare.

    Parameters
    ----------
    source : {"calibrated", "family", "datasheet"} or None
        Best provenance that an estimate may use; None is calibrated.
    calibrations : tuple of Path
        Calibration files of the user's own.
    devices : sequence of str
        Device files of the user's own, which records name by the id in them.

    Returns
    -------
    ValidationReport
        A record that cannot be estimated (unknown device, unreadable model) is a failure with its reason.

    Raises
    ------
    UnknownDeviceError, BadOptionError, CatalogueError
        A device or calibration file of the user's own is missing or wrong.
    """
    own = own_devices(devices)
    place_of = find_places(records, source, calibrations, own)
    lowered = lower_workloads(
        workloads_of(records, place_of), cache=cache, worker_count=worker_count, progress=progress
    )
    predictions, failures = predict_all(records, place_of, lowered)
    by_group: dict[tuple[str, str, str, str], list[Prediction]] = {}
    for prediction in predictions:
        by_group.setdefault(_group(prediction.record), []).append(prediction)
    return ValidationReport(
        records=len(records),
        failures=failures,
        predictions=predictions,
        score=_score(predictions),
        interval_coverage=interval_coverage(predictions),
        naive=_score_of([p.naive_s for p in predictions], predictions),
        roofline=_score_of([p.roofline_s for p in predictions], predictions),
        groups=tuple(_group_score(key, members) for key, members in by_group.items()),
        warnings=(
            *_unused(calibrations, [place for place in map(place_of, records) if not isinstance(place, str)]),
            *_unlisted({failure.record.device: None for failure in failures}, own),
            *_unnamed(own, {record.device: None for record in records}),
        ),
    )


def sample_records(records: Sequence[Record], count: int, seed: int) -> tuple[Record, ...]:
    """Draw records without replacement, in file order; all of them if there are no more."""
    if count >= len(records):
        return tuple(records)
    return tuple(records[i] for i in sorted(random.Random(seed).sample(range(len(records)), count)))


def _unused(calibrations: Sequence[Path], places: Sequence[Place]) -> tuple[str, ...]:
    sites = {(place.device.id, place.unit.name, place.target.runtime): place for place in places}.values()
    return tuple(
        f"{path} is for {load_calibration(path).target}, which no record is"
        for path in calibrations
        if not any(fits(load_calibration(path), site.device, site.unit, site.target) for site in sites)
    )


def _unlisted(names: Iterable[str], own: Mapping[str, str]) -> tuple[str, ...]:
    """Say how records of devices that the catalogue lacks could be scored."""
    unknown = [name for name in names if name_key(name) not in own and not _in_catalogue(name)]
    if not unknown:
        return ()
    if own:
        return (f"neither the catalogue nor --device has a device {_listed(unknown)}: given were {_listed(_ids(own))}",)
    return (f"the catalogue has no device {_listed(unknown)}: --device FILE names a file of your own, by the id in it",)


def _unnamed(own: Mapping[str, str], names: Iterable[str]) -> tuple[str, ...]:
    """Name the user's device files that no record asks for, beside what the records ask for."""
    named = {name_key(name): name for name in names}
    return tuple(
        f"{own[key]} has the id {device_id}, which no record names; records name {_listed(tuple(named.values()))}"
        for key, device_id in zip(own, _ids(own), strict=True)
        if key not in named
    )


def _ids(own: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(load_device(reference)[0].id for reference in own.values())


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:LISTED_DEVICES]) + (", …" if len(names) > LISTED_DEVICES else "")


def _in_catalogue(name: str) -> bool:
    try:
        load_device(name)
    except EstimatorError:
        return False
    return True


def _group(record: Record) -> tuple[str, str, str, str]:
    return record.device, record.unit, record.runtime, record.precision.value


def _group_score(key: tuple[str, str, str, str], members: Sequence[Prediction]) -> GroupScore:
    device, unit, runtime, precision = key
    return GroupScore(
        device, unit, runtime, precision,
        scored=len(members),
        score=_score(members),
        interval_coverage=interval_coverage(members),
        naive=_score_of([p.naive_s for p in members], members),
        roofline=_score_of([p.roofline_s for p in members], members),
    )  # fmt: skip


def _score(predictions: Sequence[Prediction]) -> Score:
    return _score_of([p.latency.p50_s for p in predictions], predictions)


def _score_of(predicted_s: Sequence[float], predictions: Sequence[Prediction]) -> Score:
    return score(np.array(predicted_s, dtype=np.float64), _measured(predictions))


def _measured(predictions: Sequence[Prediction]) -> FloatArray:
    return np.array([p.record.latency_s for p in predictions], dtype=np.float64)


def interval_coverage(predictions: Sequence[Prediction]) -> float | None:
    """Share of measurements inside p10 … p90."""
    if not predictions:
        return None
    return sum(p.latency.p10_s <= p.record.latency_s <= p.latency.p90_s for p in predictions) / len(predictions)


def predictions_csv(predictions: Sequence[Prediction]) -> str:
    """One line per scored record; `error` is predicted ÷ measured − 1."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(PREDICTION_COLUMNS)
    for p in predictions:
        r = p.record
        times_s = (r.latency_s, p.latency.p50_s, p.latency.p10_s, p.latency.p90_s, p.naive_s, p.roofline_s)
        writer.writerow(
            (r.model, shape_text(r.input_shape), r.device, r.unit, r.runtime, r.precision.value, r.layout,
             *(f"{ms_from_s(t):.6g}" for t in times_s), f"{p.latency.p50_s / r.latency_s - 1:.6g}", p.kind)
        )  # fmt: skip
    return stream.getvalue()
