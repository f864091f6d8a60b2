"""A device's own departure from its family, from as few as three of its records.

Everything about kernels is kept as the family's response says; what moves is the device's offset: its compute and
memory rates, its launch and fixed costs, and (held tightly) its kernel classes. A few records move the scalars; many
records move the classes too. Records that do not fit (a throttled run, a fallback) lose their weight.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from estimator.calibration.graph_cache import GraphCache
from estimator.calibration.objective import concatenate_features
from estimator.calibration.observe import Usable, usable_records
from estimator.calibration.predict import features_of
from estimator.calibration.records import Record, records_digest
from estimator.calibration.score import Score, score, spread_of, steadied
from estimator.calibration.workload import DEFAULT_WORKERS, Progress
from estimator.catalogue.calibration import Calibration, ContextOffset, FloatArray, Response, Spread
from estimator.catalogue.loader import load_device, name_key, split_reference
from estimator.engine import EstimateOptions, Site, place_at, resolve_target
from estimator.errors import CalibrationError, EstimatorError
from estimator.lowering.kernel import IntArray
from estimator.timing.coefficients import Coefficients
from estimator.timing.composition import COMPOSITION_SIZE, compositions
from estimator.timing.features import KernelFeatures
from estimator.timing.residual import kernel_matrix, residual_log_factors
from estimator.timing.response import KernelTimes, combined_offset, kernel_times

MIN_RECORDS: Final = 3
LEAVE_ONE_OUT_UP_TO: Final = 20
FOLDS: Final = 5
LISTED_TARGETS: Final = 6
MAX_FIT_RECORDS: Final = 1000
"""More records of one device say nothing new about its thirty numbers; a seeded sample stands for them."""
_SCALARS: Final = 4
_MAX_STEPS: Final = 20
_MAX_HALVINGS: Final = 6
_TOLERANCE: Final = 1e-4
_STEP: Final = 1e-4


@dataclass(frozen=True, slots=True)
class OffsetPrior:
    """How far a device may depart from its family: standard deviations of natural logarithms.

    Attributes
    ----------
    common : float
        Of speed as a whole: compute and memory together (clocks under the power limit, cooling).
    compute, memory : float
        Of each rate beyond that.
    overhead, fixed : float
        Of launch and fixed cost.
    class_time : float
        Of each kernel class's time.
    noise : float
        Of a record around its prediction; Student-t with four degrees of freedom.

    Notes
    -----
    Between an RTX 3090 and an RTX 4090 (each predicted by a fit of the other, all records, two layouts) the marginal
    likelihood of a Gaussian with these deviations is highest at compute 0.05 to 0.13, memory 0.10 to 0.19, class_time
    0.08 to 0.21, overhead 0.1 to 1 and noise 0.01 to 0.05. One pair of devices says little about `common`, which is
    kept wide.
    """

    common: float = 0.4
    compute: float = 0.08
    memory: float = 0.12
    overhead: float = 0.5
    fixed: float = 0.5
    class_time: float = 0.10
    noise: float = 0.03


NOISE_SHARE: Final = 0.6
LEAST_NOISE: Final = 0.03
MOST_NOISE: Final = 0.12
UNCORRECTED: Final = 2.0

LIKE_NETWORKS_DEVIATION: Final = 0.085
LIKE_NETWORKS_LENGTH: Final = 0.3
"""Of what an offset cannot say, by networks alike in composition (the same likelihood as in `OffsetPrior`). Too local
for ten records to correct the others by; it does tell which ten to measure."""


def default_prior(coefficients: Coefficients) -> OffsetPrior:
    """Prior of a device whose family is known so well: what the family does not explain is noise.

    Records of a domain that is known to 5 % say more about a device than those of one known to 15 %: the noise is
    0.6 of the median error (a normal's quartile is 0.67 of its deviation, and part of the error is the device's own
    departure, which the offset takes), within 3 and 12 %. It doubles where that error profits from a correction by
    like networks that stays on another device: on two Zen 5 cores the networks left differ by 12 to 15 %.
    """
    residual = coefficients.response.residual
    share = NOISE_SHARE if residual is None or residual.weights.any() else NOISE_SHARE * UNCORRECTED
    return OffsetPrior(noise=min(MOST_NOISE, max(LEAST_NOISE, share * coefficients.spread.median_ape)))


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Errors on records that the fit did not see."""

    score: Score
    spread: Spread
    before: Score
    """The same records estimated without any of the device's own."""
    failures: tuple[str, ...] = field(default=())


def calibrate_device(
    records: Sequence[Record],
    device: str,
    runtime: str,
    *,
    date: str,
    prior: OffsetPrior | None = None,
    cache: GraphCache | None = None,
    worker_count: int = DEFAULT_WORKERS,
    progress: Progress | None = None,
) -> tuple[Calibration, HeldOut]:
    """Fit one device and runtime.

    Parameters
    ----------
    records : sequence of Record
        Those of other devices, units and runtimes are ignored.
    device : str
        As for ``--device``: ``ID`` or ``ID/UNIT``, or a file.
    date : str
        ISO date to write into the calibration.

    Raises
    ------
    UnknownDeviceError
        No such device.
    UnknownRuntimeError, UnsupportedCombinationError
        No such runtime, or none of the device's.
    CalibrationError
        Fewer than three usable records.
    """
    known, unit = load_device(device)
    resolve_target(known, unit, EstimateOptions(runtime=runtime))
    own = _records_of(records, known.id, unit.name, runtime, reference=split_reference(device)[0])
    usable = usable_records(own, cache=cache, worker_count=worker_count, progress=progress)
    if len(usable) < MIN_RECORDS:
        raise _too_few(records, len(own), usable, f"{known.id}/{unit.name} with {runtime}")
    kept = _thinned(usable)
    fit = OffsetFit(kept, _family_coefficients, prior)
    everything = np.arange(len(kept))
    offset = fit.offset(everything)
    predicted = _held_out(fit, len(kept))
    measured = np.exp(fit.log_measured)
    family = fit.shared[0].coefficients
    responses = sorted({shared.response.name for shared in fit.shared})
    held_out = HeldOut(
        score(predicted, measured),
        steadied(spread_of(predicted, measured), family.spread),
        score(fit.predict(combined_offset((), fit.class_count), everything), measured),
        tuple(f"{f.record.model}: {f.reason}" for f in usable.failures),
    )
    versions = sorted({record.conditions for record in usable.records})
    calibration = Calibration(
        device=known.id,
        unit=unit.name,
        runtime=runtime,
        runtime_version=versions[0] if len(versions) == 1 else "",
        response=family.response.name,
        offset=offset,
        spread=held_out.spread,
        sample_count=len(usable),
        dataset_sha256=records_digest(replace(record, device=known.id) for record in usable.records),
        date=date,
        precisions=tuple(sorted({record.precision.value for record in usable.records})),
        other_responses=tuple(name for name in responses if name != family.response.name),
    )
    return calibration, held_out


def _records_of(
    records: Sequence[Record], device: str, unit: str, runtime: str, *, reference: str
) -> tuple[Record, ...]:
    """Keep the records of one device (by any of its names or files), unit and runtime, all under one reference."""
    names = {name: _names_device(name, device) for name in {record.device for record in records}}
    return tuple(
        replace(record, device=reference, unit=unit)
        for record in records
        if names[record.device] and record.unit in ("", unit) and record.runtime == runtime
    )


def _names_device(name: str, device: str) -> bool:
    """Whether a record's device, as written, is the one of this id; a file's id need not be in the catalogue."""
    try:
        return name_key(name) == name_key(device) or load_device(name)[0].id == device
    except EstimatorError:
        return False


def _too_few(records: Sequence[Record], found: int, usable: Usable, what: str) -> CalibrationError:
    reasons = sorted({failure.reason for failure in usable.failures})
    held = Counter(f"{record.device_reference} with {record.runtime}" for record in records).most_common()
    listed = ", ".join(f"{count} of {target}" for target, count in held[:LISTED_TARGETS])
    more = f", … ({len(held)} in all)" if len(held) > LISTED_TARGETS else ""
    return CalibrationError(
        f"{len(usable)} usable records of {what}" + (f" ({found} in the file)" if found != len(usable) else ""),
        where="; ".join((*reasons[:3], f"the file holds {listed or 'none'}{more}")),
        expected=f"{MIN_RECORDS} or more; ten of different sizes make a good calibration",
        hint="estimator-cli measure MODEL… -o RECORDS.csv makes records of this machine",
    )


def _thinned(usable: Usable) -> Usable:
    if len(usable) <= MAX_FIT_RECORDS:
        return usable
    return usable.select(np.sort(np.random.default_rng(0).permutation(len(usable))[:MAX_FIT_RECORDS]))


@dataclass(frozen=True, slots=True)
class _Shared:
    """Records that share the coefficients beneath the device's own."""

    coefficients: Coefficients
    """Of the family; its offset is the base that the device's own is added to."""
    records: IntArray
    """Their indices."""
    owner: IntArray
    """Which of them a row belongs to, from 0."""
    features: KernelFeatures

    @property
    def response(self) -> Response:
        return self.coefficients.response


def _family_coefficients(site: Site) -> Coefficients:
    return place_at(site).coefficients


class OffsetFit:
    """Maximum a posteriori of one offset over records of one device.

    Parameters
    ----------
    coefficients_of : callable
        What a site is estimated with before any of the device's own records.
    prior : OffsetPrior or None
        None: as the family's held-out errors suggest.

    Attributes
    ----------
    log_measured, log_before : array [record]
        Log seconds as measured, and as estimated without any offset.
    """

    def __init__(
        self, usable: Usable, coefficients_of: Callable[[Site], Coefficients], prior: OffsetPrior | None = None
    ) -> None:
        self.log_measured = np.log([record.latency_s for record in usable.records])
        by_site: dict[int, list[int]] = {}
        for index, site in enumerate(usable.sites):
            by_site.setdefault(id(site), []).append(index)
        self.shared = [_shared(usable, indices, coefficients_of) for indices in by_site.values()]
        self.class_count = len(self.shared[0].response.class_names)
        self.prior = prior or default_prior(self.shared[0].coefficients)
        self.log_before, self._jacobian = self._linearised(np.zeros(_SCALARS + self.class_count))
        self._precision = np.linalg.inv(_prior_covariance(self.prior, self.class_count))

    def offset(self, chosen: IntArray) -> ContextOffset:
        """Fit to some of the records: reweighted Gauss-Newton steps, shortened until they improve the posterior."""
        theta = np.zeros(_SCALARS + self.class_count)
        log_time, jacobian = self.log_before, self._jacobian
        for _ in range(_MAX_STEPS):
            residual = (self.log_measured - log_time)[chosen]
            weight = 5.0 / (4.0 + (residual / self.prior.noise) ** 2) / self.prior.noise**2
            slopes = jacobian[chosen]
            normal = slopes.T @ (weight[:, None] * slopes) + self._precision
            step = np.asarray(
                np.linalg.solve(normal, slopes.T @ (weight * residual) - self._precision @ theta), dtype=np.float64
            )
            moved = self._improved(theta, step, chosen, self._misfit(theta, residual))
            if moved is None or np.abs(moved - theta).max() < _TOLERANCE:
                break
            theta = moved
            log_time, jacobian = self._linearised(theta, chosen)
        return ContextOffset.from_vector(theta)

    def _improved(self, theta: FloatArray, step: FloatArray, chosen: IntArray, before: float) -> FloatArray | None:
        """Go as far along a step as it pays, by halves; None where no part of it does."""
        for halving in range(_MAX_HALVINGS):
            moved: FloatArray = theta + step / 2**halving
            log_time = self._evaluate(moved, chosen)[0]
            if self._misfit(moved, (self.log_measured - log_time)[chosen]) < before:
                return moved
        return None

    def _misfit(self, theta: FloatArray, residual: FloatArray) -> float:
        """Negative log posterior, up to a constant: Student-t records and a normal prior."""
        records = 2.5 * np.log1p((residual / self.prior.noise) ** 2 / 4.0).sum()
        return float(records + 0.5 * theta @ self._precision @ theta)

    def predict(self, offset: ContextOffset, chosen: IntArray) -> FloatArray:
        """Seconds of the chosen records."""
        return np.exp(self._evaluate(offset.vector(), chosen)[0][chosen])

    def departure_covariance(self) -> FloatArray:
        """Prior covariance of the records' log departures from their family [record, record].

        What the offset makes networks depart by together, and what networks of like composition share beyond it.
        """
        composition = np.zeros((len(self.log_measured), COMPOSITION_SIZE))
        for one in self.shared:
            times = kernel_times(one.response, one.features, one.coefficients.offset)
            composition[one.records] = compositions(one.features, times, one.owner, len(one.records))
        like = LIKE_NETWORKS_DEVIATION**2 * kernel_matrix(composition, composition, LIKE_NETWORKS_LENGTH)
        prior = _prior_covariance(self.prior, self.class_count)
        covariance: FloatArray = self._jacobian @ prior @ self._jacobian.T + like
        return covariance

    def _linearised(self, theta: FloatArray, chosen: IntArray | None = None) -> tuple[FloatArray, FloatArray]:
        """Log time [record] and its slopes [record, parameter] at an offset.

        A kernel's time depends on no class but its own, so one step of all classes together gives every class's
        slope; the scalars take one step each.
        """
        log_time, rows, factors = self._evaluate(theta, chosen)
        slopes = np.zeros((len(log_time), len(theta)))
        for scalar in range(_SCALARS):
            moved = theta.copy()
            moved[scalar] += _STEP
            slopes[:, scalar] = (self._evaluate(moved, chosen, factors)[0] - log_time) / _STEP
        moved = theta.copy()
        moved[_SCALARS:] += _STEP
        _, moved_rows, _ = self._evaluate(moved, chosen, factors)
        for one, before, after in zip(self.shared, rows, moved_rows, strict=True):
            if before is None or after is None:
                continue
            change = (after - before) / _STEP
            flat = np.bincount(
                one.owner * self.class_count + one.features.class_index,
                weights=change,
                minlength=len(one.records) * self.class_count,
            )
            slopes[one.records, _SCALARS:] = flat.reshape(-1, self.class_count) / np.exp(log_time[one.records])[:, None]
        return log_time, slopes

    def _evaluate(
        self, theta: FloatArray, chosen: IntArray | None, factors: FloatArray | None = None
    ) -> tuple[FloatArray, list[FloatArray | None], FloatArray]:
        """Log time [record] (0 where nobody asked), the kernels' seconds per group, and the corrections [record].

        The seconds are 0 where the device waits for its host.

        The correction by like networks hardly moves with the offset: `factors` keeps it while slopes are taken.
        """
        count = len(self.log_measured)
        log_time, log_factor = np.zeros(count), np.zeros(count)
        wanted = np.ones(count, dtype=bool) if chosen is None else np.isin(np.arange(count), chosen)
        rows: list[FloatArray | None] = []
        for one in self.shared:
            if not wanted[one.records].any():
                rows.append(None)
                continue
            times = kernel_times(
                one.response, one.features, ContextOffset.from_vector(one.coefficients.offset.vector() + theta)
            )
            own = _log_factors(one, times) if factors is None else factors[one.records]
            factor = np.exp(own)[one.owner]
            body_s = np.maximum(times.body_s * factor, one.features.floor_s)
            kernel_s = (body_s + times.overhead_s * factor) * one.features.count
            total_s = np.bincount(one.owner, weights=kernel_s, minlength=len(one.records))
            device_s = total_s + times.fixed_s * np.exp(own)
            host_s = np.bincount(one.owner, times.dispatch_s * one.features.count, len(one.records))
            log_time[one.records] = np.log(np.maximum(device_s, host_s))
            log_factor[one.records] = own
            rows.append(np.where(host_s > device_s, 0.0, 1.0)[one.owner] * kernel_s)
        return log_time, rows, log_factor


def _log_factors(shared: _Shared, times: KernelTimes) -> FloatArray:
    """Corrections by like networks [record]; see `timing.latency`."""
    count = len(shared.records)
    if shared.response.residual is None:
        return np.zeros(count)
    composition = compositions(shared.features, times, shared.owner, count)
    log_factor, _ = residual_log_factors(shared.response.residual, composition)
    return log_factor


def _shared(usable: Usable, indices: Sequence[int], coefficients_of: Callable[[Site], Coefficients]) -> _Shared:
    parts = [features_of(usable.lowered[i], usable.sites[i]) for i in indices]
    return _Shared(
        coefficients_of(usable.sites[indices[0]]),
        np.array(indices),
        np.repeat(np.arange(len(parts)), [len(part) for part in parts]),
        concatenate_features(parts),
    )


def _prior_covariance(prior: OffsetPrior, class_count: int) -> FloatArray:
    deviations = np.array([prior.compute, prior.memory, prior.overhead, prior.fixed, *[prior.class_time] * class_count])
    covariance = np.diag(deviations**2)
    covariance[:2, :2] += prior.common**2
    return covariance


def _held_out(fit: OffsetFit, count: int) -> FloatArray:
    """Seconds of every record, predicted by a fit without it: leave one out, or five folds."""
    folds = count if count <= LEAVE_ONE_OUT_UP_TO else FOLDS
    fold_of = np.random.default_rng(0).permutation(count) % folds
    predicted = np.zeros(count)
    for fold in range(folds):
        left_out = np.flatnonzero(fold_of == fold)
        predicted[left_out] = fit.predict(fit.offset(np.flatnonzero(fold_of != fold)), left_out)
    return predicted
