"""Estimate records from their lowered kernels: the engine's own formula, without the report around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from estimator.calibration.graph_cache import LoweredModel, Workload
from estimator.calibration.records import Record
from estimator.calibration.workload import Lowered, Unlowered, workload_of
from estimator.catalogue.device import Device, Unit
from estimator.catalogue.loader import load_device
from estimator.engine import EstimateOptions, coefficients_for, interval_around, resolve_target
from estimator.errors import EstimatorError
from estimator.result import Interval
from estimator.timing.coefficients import Coefficients
from estimator.timing.features import KernelFeatures, kernel_features
from estimator.timing.latency import time_network
from estimator.timing.roofline import Ceilings, ceilings_of


@dataclass(frozen=True, slots=True)
class Place:
    """Where and how a record ran, resolved: everything but the model."""

    device: Device
    unit: Unit
    ceilings: Ceilings
    coefficients: Coefficients


@dataclass(frozen=True, slots=True)
class Prediction:
    """A record beside what would have been said about it.

    Attributes
    ----------
    naive_s, roofline_s : float
        The baselines: FLOPs ÷ advertised peak, and the sum of the kernels' rooflines.
    kind : str
        Provenance: calibrated, family or datasheet.
    """

    record: Record
    latency: Interval
    naive_s: float
    roofline_s: float
    kind: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A record that could not be estimated."""

    record: Record
    reason: str


def find_place(record: Record, source: str | None = None, calibrations: tuple[Path, ...] = ()) -> Place:
    """Resolve a record's device, runtime and precision.

    Raises
    ------
    EstimatorError
        Unknown device, runtime or combination.
    """
    device, unit = load_device(record.device_reference)
    options = EstimateOptions(
        runtime=record.runtime,
        precision=record.precision,
        layout=record.layout or None,
        source=source,
        calibrations=calibrations,
    )
    target = resolve_target(device, unit, options)
    return Place(
        device, unit, ceilings_of(unit, target.precision), coefficients_for(device, unit, target, calibrations)
    )


def find_places(
    records: Sequence[Record], source: str | None = None, calibrations: tuple[Path, ...] = ()
) -> Callable[[Record], Place | str]:
    """Resolve each distinct place once; the result maps a record to its place, or to the reason why it has none."""
    known: dict[tuple[str, str, str, str], Place | str] = {}

    def place_of(record: Record) -> Place | str:
        return known[_place_key(record)]

    for record in records:
        key = _place_key(record)
        if key in known:
            continue
        try:
            known[key] = find_place(record, source, calibrations)
        except EstimatorError as error:
            known[key] = str(error).partition("\n")[0]
    return place_of


def _place_key(record: Record) -> tuple[str, str, str, str]:
    return record.device_reference, record.runtime, record.precision.value, record.layout


def features_of(lowered: LoweredModel, place: Place) -> KernelFeatures:
    """Features of a record's kernels under its unit's ceilings."""
    return kernel_features(lowered.table, place.ceilings)


def predict(record: Record, lowered: LoweredModel, place: Place) -> Prediction:
    """Estimate one record."""
    features = features_of(lowered, place)
    latency = time_network(features, place.coefficients)
    return Prediction(
        record=record,
        latency=interval_around(latency.latency_s, latency.spread),
        naive_s=lowered.flops / place.ceilings.rated_flops_per_s,
        roofline_s=float((features.times.roofline_s * features.count).sum()),
        kind=place.coefficients.kind,
    )


def predict_all(
    records: Sequence[Record], place_of: Callable[[Record], Place | str], lowered: Mapping[Workload, Lowered]
) -> tuple[tuple[Prediction, ...], tuple[Failure, ...]]:
    """Estimate every record; what cannot be estimated comes back as a failure with its reason."""
    predictions: list[Prediction] = []
    failures: list[Failure] = []
    for record in records:
        place = place_of(record)
        if isinstance(place, str):
            failures.append(Failure(record, place))
            continue
        model = lowered[workload_of(record, place.unit.kind)]
        if isinstance(model, Unlowered):
            failures.append(Failure(record, model.reason))
            continue
        try:
            predictions.append(predict(record, model, place))
        except EstimatorError as error:
            failures.append(Failure(record, str(error).partition("\n")[0]))
    return tuple(predictions), tuple(failures)


def workloads_of(records: Sequence[Record], place_of: Callable[[Record], Place | str]) -> tuple[Workload, ...]:
    """Workloads of the records that have a place."""
    return tuple(
        workload_of(record, place.unit.kind) for record in records if not isinstance(place := place_of(record), str)
    )
