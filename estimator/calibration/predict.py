"""Estimate records from their lowered kernels: the engine's own formula, without the report around it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from estimator.calibration.graph_cache import LoweredModel, Workload
from estimator.calibration.records import Record
from estimator.calibration.workload import Lowered, Unlowered, workload_of
from estimator.catalogue.loader import load_device, name_key
from estimator.engine import EstimateOptions, Place, Site, interval_around, place_at, site_of
from estimator.errors import EstimatorError
from estimator.result import Interval
from estimator.timing.features import KernelFeatures, kernel_features
from estimator.timing.latency import time_network


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


S = TypeVar("S", bound=Site)


def own_devices(references: Iterable[str]) -> Mapping[str, str]:
    """Map the ids of devices, as `name_key` spells them, to the references of the user's own files that hold them.

    Raises
    ------
    UnknownDeviceError, CatalogueError
        A file is missing or wrong.
    """
    return {name_key(load_device(reference)[0].id): reference for reference in references}


def find_site(record: Record, source: str | None = None, own: Mapping[str, str] | None = None) -> Site:
    """Resolve a record's device, runtime and precision; `own` are the devices of `own_devices`.

    Raises
    ------
    EstimatorError
        Unknown device, runtime or combination.
    """
    name = (own or {}).get(name_key(record.device), record.device)
    device, unit = load_device(f"{name}/{record.unit}" if record.unit else name)
    options = EstimateOptions(
        runtime=record.runtime,
        precision=record.precision,
        layout=record.layout or None,
        source=source,
    )
    return site_of(device, unit, options)


def find_places(
    records: Sequence[Record],
    source: str | None = None,
    calibrations: tuple[Path, ...] = (),
    own: Mapping[str, str] | None = None,
) -> Callable[[Record], Place | str]:
    """Resolve each distinct place once; the result maps a record to its place, or to the reason why it has none."""
    return _each_once(records, lambda record: place_at(find_site(record, source, own), calibrations))


def find_sites(records: Sequence[Record], source: str | None = None) -> Callable[[Record], Site | str]:
    """As `find_places`, for fits that start from no coefficients."""
    return _each_once(records, lambda record: find_site(record, source))


def _each_once(records: Sequence[Record], find: Callable[[Record], S]) -> Callable[[Record], S | str]:
    known: dict[tuple[str, str, str, str], S | str] = {}
    for record in records:
        key = _site_key(record)
        if key in known:
            continue
        try:
            known[key] = find(record)
        except EstimatorError as error:
            known[key] = error.first_line
    return lambda record: known[_site_key(record)]


def _site_key(record: Record) -> tuple[str, str, str, str]:
    return record.device_reference, record.runtime, record.precision.value, record.layout


def features_of(lowered: LoweredModel, site: Site) -> KernelFeatures:
    """Features of a record's kernels under its unit's ceilings."""
    return kernel_features(lowered.table, site.ceilings)


def predict(record: Record, lowered: LoweredModel, place: Place) -> Prediction:
    """Estimate one record."""
    features = features_of(lowered, place)
    latency = time_network(features, place.coefficients)
    return Prediction(
        record=record,
        latency=interval_around(latency.latency_s, latency.spread),
        naive_s=lowered.flops / place.ceilings.rated_flops_per_s,
        roofline_s=float((features.roofline_s * features.count).sum()),
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
            failures.append(Failure(record, error.first_line))
    return tuple(predictions), tuple(failures)


def workloads_of(records: Sequence[Record], site_of: Callable[[Record], Site | str]) -> tuple[Workload, ...]:
    """Workloads of the records that have a site."""
    return tuple(
        workload_of(record, site.unit.kind) for record in records if not isinstance(site := site_of(record), str)
    )
