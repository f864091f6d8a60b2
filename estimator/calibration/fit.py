"""Fit a domain: the shared response, every device's offset, and what the errors are on records that were left out.

Three kinds of record are left out in turn: some models (what a device with records of its own can expect), whole
families of models (what an architecture unlike any other can expect) and whole devices (what a device without
records can expect). Each gives the interval of one provenance.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from estimator.calibration.domains import Context, Domain, device_context, device_runtime_context
from estimator.calibration.graph_cache import GraphCache
from estimator.calibration.intervals import HeldOutErrors, Spreads, fit_spreads, near_spread
from estimator.calibration.objective import Objective, Observations
from estimator.calibration.observe import Usable, observe, usable_records
from estimator.calibration.optimise import fit_parameters, select_records
from estimator.calibration.predict import Failure
from estimator.calibration.records import Record, records_digest
from estimator.calibration.residual_fit import fit_residual, record_compositions
from estimator.calibration.score import Score, score
from estimator.calibration.workload import DEFAULT_WORKERS
from estimator.catalogue.calibration import Calibration, ContextOffset, FloatArray, Response, Spread
from estimator.errors import CalibrationError
from estimator.frontends.zoo_family import family_of
from estimator.lowering.kernel import CLASS_INDEX, IntArray
from estimator.timing.latency import novelty
from estimator.timing.residual import residual_log_factors
from estimator.timing.response import combined_offset

FOLDS: Final = 8
"""The fit that ships sees all records; a fit on two thirds of them would look worse than it is on new families."""
MIN_RECORDS: Final = 4
FAMILY_WEIGHT: Final = 2.0
"""An error on another family counts as this many on other models when intervals are made: with 1, intervals cover 83 %
of other models but 75 % of other families."""
UNSEEN_DEVICE_DEVIATION: Final = 0.08
"""Of the log time of a device that no fit has seen, from what its family says: between an RTX 3090 and an RTX 4090
(`device_fit.OffsetPrior`), and of two Zen 5 cores from an i9-10940X (docs/adr/0007-time-model.md)."""
P90_DEVIATIONS: Final = 1.2816
"""A normal's 90th percentile, in standard deviations."""
DATASHEET_WIDENING: Final = 1.5
"""A runtime without any records is this much less certain (in log) than one whose devices are known."""

FitProgress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Fitted:
    """One fit: its objective, its parameters and the response that they make (residual included)."""

    objective: Objective
    vector: FloatArray
    response: Response

    def log_latency(self, observations: Observations) -> FloatArray:
        """Log seconds of every record, by the whole time model."""
        return np.log(self.predict(observations).latency_s)

    def predict(self, observations: Observations) -> Predicted:
        """Predict every record by the whole time model."""
        objective = self.objective
        standard = (objective.feature_mean, objective.feature_scale)
        priors = replace(objective.priors, fits_under_floor=True)
        log_physics, _ = Objective(observations, priors, standard).forward(self.vector)
        log_device = np.asarray(log_physics, dtype=np.float64)
        unlike = np.zeros(len(log_device))
        if self.response.residual is not None:
            composition = record_compositions(self.response, observations)
            log_factor, similarity = residual_log_factors(self.response.residual, composition)
            log_device, unlike = log_device + log_factor, novelty(similarity)
        return Predicted(np.maximum(np.exp(log_device), _host_s(observations)), unlike)


def _host_s(observations: Observations) -> FloatArray:
    """Time of the host to launch every record's kernels [record]: of no device in particular."""
    features = observations.features
    weights = features.dispatch_s * features.count
    return np.bincount(observations.record_index, weights, len(observations.log_measured)).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Predicted:
    """What a fit says of records that it did not see.

    Attributes
    ----------
    latency_s : array [record]
    novelty : array [record]
        How unlike the network is to those that the fit saw, in [0, 1]; see `timing.latency.novelty`.
    """

    latency_s: FloatArray
    novelty: FloatArray


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Predictions for every record by fits that did not see its model, its family, its device.

    Attributes
    ----------
    by_device : Predicted or None
        None for a domain of one device.
    """

    records: tuple[Record, ...]
    by_model: Predicted
    by_family: Predicted
    by_device: Predicted | None

    @property
    def measured(self) -> FloatArray:
        """Seconds measured."""
        return np.array([record.latency_s for record in self.records])

    def scores(self) -> dict[str, Score]:
        """Figures by what was left out."""
        kinds = {"model": self.by_model, "family": self.by_family, "device": self.by_device}
        return {kind: score(one.latency_s, self.measured) for kind, one in kinds.items() if one is not None}

    def spreads(self) -> Spreads:
        """Intervals of this domain, by device and runtime."""
        groups = [device_runtime_context(record.device, record.runtime) for record in self.records]
        return fit_spreads(unseen_errors(self.measured, self.by_model, self.by_family), groups * 2)


def unseen_errors(measured: FloatArray, by_model: Predicted, by_family: Predicted) -> HeldOutErrors:
    """Errors on other models, then on other families, of every record: what intervals are made from.

    Parameters
    ----------
    measured : array [record]
        In the unit of the predictions.
    """
    return HeldOutErrors(
        np.log(np.concatenate([measured / by_model.latency_s, measured / by_family.latency_s])),
        np.concatenate([by_model.novelty, by_family.novelty]),
        np.repeat([1.0, FAMILY_WEIGHT], len(measured)),
    )


@dataclass(frozen=True, slots=True)
class DomainFit:
    """What `fit_domain` makes; `failures` are records that could not be used."""

    response: Response
    calibrations: tuple[Calibration, ...]
    held_out: HeldOut
    failures: tuple[Failure, ...]


def fit_domain(
    domain: Domain,
    records: Sequence[Record],
    *,
    date: str,
    cache: GraphCache | None = None,
    worker_count: int = DEFAULT_WORKERS,
    progress: FitProgress | None = None,
) -> DomainFit:
    """Fit the shared response of a domain and the calibration of each of its devices.

    Parameters
    ----------
    records : sequence of Record
        Others than the domain's are ignored.
    date : str
        ISO date to write into the calibrations; the only thing that is not decided by the records.

    Raises
    ------
    CalibrationError
        Too few usable records.
    """
    tell = progress or _silent
    own = domain.select(records)
    tell(f"{domain.name}: {len(own)} records, lowering")
    usable = usable_records(own, cache=cache, worker_count=worker_count)
    if len(usable) < MIN_RECORDS:
        reasons = "; ".join(sorted({failure.reason for failure in usable.failures})[:3])
        raise CalibrationError(
            f"{len(usable)} usable records for {domain.name}", where=reasons, expected=f"{MIN_RECORDS} or more"
        )
    observations = observe(usable, domain)
    held_out = hold_out(domain, usable, observations, tell)
    tell(f"{domain.name}: all records")
    fitted = fit_once(domain, observations)
    response = with_likenesses(recentred(fitted.response), domain)
    spreads = held_out.spreads()
    calibrations = _calibrations(domain, response, held_out, spreads, date)
    return DomainFit(_finished(response, held_out, spreads), calibrations, held_out, usable.failures)


def fit_once(domain: Domain, observations: Observations) -> Fitted:
    """Fit all terms to these observations: physics and network, then the correction by like networks."""
    objective, vector = fit_parameters(observations, domain.priors, epochs=domain.epochs)
    _start_unseen_devices_from_the_mean(objective, vector, observations)
    response = objective.response(vector, domain.name)
    fitted = Fitted(objective, vector, response)
    if domain.residual is None:
        return fitted
    length, noise = domain.residual
    left = observations.log_measured - fitted.log_latency(observations)
    residual = fit_residual(record_compositions(response, observations), left, length=length, noise=noise)
    residual = replace(residual, only_on=domain.residual_only_on)
    return replace(fitted, response=replace(response, residual=residual))


def recentred(response: Response) -> Response:
    """Move the mean of the devices' offsets into the shared terms, so that an unseen device starts from it.

    Exact: the time of every record stays what it was.
    """
    devices = [name for name in response.contexts if name.startswith(device_context(""))]
    mean = np.mean([response.contexts[name].vector() for name in devices], axis=0)
    offset = ContextOffset.from_vector(mean)
    moved = {
        name: ContextOffset.from_vector(response.contexts[name].vector() - mean) if name in devices else kept
        for name, kept in response.contexts.items()
    }
    return replace(
        response,
        log_compute_efficiency=response.log_compute_efficiency + offset.compute - offset.classes,
        log_memory_efficiency=response.log_memory_efficiency + offset.memory - offset.classes,
        log_weight_cost=response.log_weight_cost - offset.memory,
        log_launch_s=response.log_launch_s + offset.overhead,
        log_fixed_s=response.log_fixed_s + offset.fixed,
        contexts=moved,
    )


def with_likenesses(response: Response, domain: Domain) -> Response:
    """Give classes that no record has the coefficients of those that the domain says they are like."""
    names = ("log_compute_efficiency", "log_memory_efficiency", "log_k_half", "log_n_half", "log_weight_cost")
    columns = {name: getattr(response, name).copy() for name in names}
    for unseen, like in domain.like:
        for column in columns.values():
            column[CLASS_INDEX[unseen]] = column[CLASS_INDEX[like]]
    return replace(response, **columns)


def _start_unseen_devices_from_the_mean(objective: Objective, vector: FloatArray, observations: Observations) -> None:
    """Give a device without any record here the mean offset of those that have some."""
    offsets = objective.blocks.view(vector)["context"]
    is_device = np.array([name.startswith(device_context("")) for name in observations.contexts])
    seen = observations.membership.any(axis=0)
    if (is_device & seen).any():
        offsets[is_device & ~seen] = offsets[is_device & seen].mean(axis=0)


def hold_out(domain: Domain, usable: Usable, observations: Observations, tell: FitProgress | None = None) -> HeldOut:
    """Predict every record by fits without its model, its family, its device."""
    records = usable.records
    models = fold_by_hash([record.model for record in records], domain.folds)
    families = fold_by_weight([family_of(record.model) for record in records], domain.folds)
    devices = _codes([record.device for record in records])
    tell = tell or _silent
    if len(np.unique(models)) < 2:
        raise CalibrationError(f"the records of {domain.name} are all of one model", expected="two models or more")
    if len(np.unique(families)) < 2:
        families = models

    def predicted(kind: str, fold_of: IntArray) -> Predicted:
        latency_s, unlike = np.zeros(len(records)), np.zeros(len(records))
        folds = np.unique(fold_of)
        for number, fold in enumerate(folds, start=1):
            tell(f"{domain.name}: without {kind} {number} of {len(folds)}")
            left_out = np.flatnonzero(fold_of == fold)
            fitted = fit_once(domain, select_records(observations, np.flatnonzero(fold_of != fold)))
            part = fitted.predict(select_records(observations, left_out))
            latency_s[left_out], unlike[left_out] = part.latency_s, part.novelty
        return Predicted(latency_s, unlike)

    return HeldOut(
        records,
        predicted("models", models),
        predicted("families", families),
        predicted("device", devices) if len(np.unique(devices)) > 1 else None,
    )


def fold_by_hash(names: Sequence[str], folds: int = FOLDS) -> IntArray:
    """Spread names over folds evenly, the same way wherever and whenever it is done."""
    distinct = sorted(set(names))
    order = np.random.default_rng(0).permutation(len(distinct))
    fold_of = {name: int(position) % folds for name, position in zip(distinct, order, strict=True)}
    return np.array([fold_of[name] for name in names])


def fold_by_weight(names: Sequence[str], folds: int = FOLDS) -> IntArray:
    """Spread names over folds of about as many records each: the largest first, into the emptiest."""
    loads = [0] * folds
    fold_of: dict[str, int] = {}
    for name, count in sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])):
        fold_of[name] = loads.index(min(loads))
        loads[fold_of[name]] += count
    return np.array([fold_of[name] for name in names])


def _codes(names: Sequence[str]) -> IntArray:
    return np.unique(np.array(names), return_inverse=True)[1].ravel()


def _silent(_: str) -> None:
    return None


def _finished(response: Response, held_out: HeldOut, spreads: Spreads) -> Response:
    """Make the catalogue's response: with spreads of what was left out, without any device's own context."""
    measured = held_out.measured
    novel = replace(spreads.far, median_ape=_median_ape(held_out.by_family.latency_s, measured), records=len(measured))
    family, device_count = novel, len({record.device for record in held_out.records})
    if held_out.by_device is not None:
        unseen = held_out.by_device
        errors = HeldOutErrors(np.log(measured / unseen.latency_s), unseen.novelty, np.ones(len(measured)))
        family = near_spread(errors, spreads.far)
    family = _on_unseen_device(family, device_count)
    shared = {name: offset for name, offset in response.contexts.items() if not name.startswith(_OF_DEVICES)}
    by_provenance = {"family": family, "novel": novel, "datasheet": _widened(family, DATASHEET_WIDENING)}
    return replace(response, contexts=shared, spreads=by_provenance)


def _on_unseen_device(spread: Spread, known_devices: int) -> Spread:
    """Add, in quadrature, what a device may depart by that is unlike the known ones; less where many are known."""
    own = P90_DEVIATIONS * UNSEEN_DEVICE_DEVIATION / math.sqrt(max(1, known_devices - 1))
    return replace(spread, log_p10=-math.hypot(spread.log_p10, own), log_p90=math.hypot(spread.log_p90, own))


def _median_ape(predicted: FloatArray, measured: FloatArray) -> float:
    return float(np.median(np.abs(predicted / measured - 1)))


def _widened(spread: Spread, factor: float) -> Spread:
    return replace(spread, log_p10=spread.log_p10 * factor, log_p90=spread.log_p90 * factor)


_OF_DEVICES: Final = (device_context(""), device_runtime_context("", "").rstrip(":"))


def _own_offsets(response: Response, device: str, runtime: str) -> tuple[ContextOffset, ...]:
    """Return a device's departure, and what it departs by under this runtime only."""
    names = (device_context(device), device_runtime_context(device, runtime))
    return tuple(response.contexts[name] for name in names if name in response.contexts)


def _calibrations(
    domain: Domain, response: Response, held_out: HeldOut, spreads: Spreads, date: str
) -> tuple[Calibration, ...]:
    """One calibration per device and runtime."""
    if Context.DEVICE not in domain.contexts:
        raise CalibrationError(f"domain {domain.name} lacks the context of the device")
    measured = held_out.measured
    members: dict[tuple[str, str], list[int]] = {}
    for index, record in enumerate(held_out.records):
        members.setdefault((record.device, record.runtime), []).append(index)
    made = []
    for (device, runtime), indices in sorted(members.items()):
        records = [held_out.records[i] for i in indices]
        conditions = sorted({record.conditions for record in records})
        spread = replace(
            spreads.near[device_runtime_context(device, runtime)],
            median_ape=_median_ape(held_out.by_model.latency_s[indices], measured[indices]), records=len(indices),
        )  # fmt: skip
        made.append(
            Calibration(
                device=device,
                unit=domain.unit,
                runtime=runtime,
                runtime_version=conditions[0] if len(conditions) == 1 else "",
                response=domain.name,
                offset=combined_offset(_own_offsets(response, device, runtime), len(response.class_names)),
                spread=spread,
                sample_count=len(records),
                dataset_sha256=records_digest(records),
                date=date,
                precisions=tuple(sorted({record.precision.value for record in records})),
            )
        )
    return tuple(made)
