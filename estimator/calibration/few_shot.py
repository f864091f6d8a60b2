"""Rank networks on a new device from a handful of measurements.

Latency is taken to be linear in a few physical features of a network. What other devices have in common about
the coefficients is the prior; a few measurements update it. Where it is unknown what the new device executes, there
is one feature matrix per hypothesis, and the measurements weigh the hypotheses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import lsq_linear, nnls

from estimator.errors import CalibrationError

FloatArray = NDArray[np.float64]

NOISE_FLOOR_SHARE: Final = 0.25
"""Noise is relative to latency plus this share of the median, so that near-zero latencies do not rule a fit."""
SCALE_VARIANCE: Final = 4.0
"""Prior variance of the new device's overall speed, relative to the mean device's."""
SPREAD_SHARE: Final = 1.0
"""A coefficient's prior standard deviation is at least this share of its mean: devices are few."""
SHRINKAGE: Final = 0.5
"""Weight of that diagonal against the devices' own covariance."""
STUDENT_DEGREES: Final = 4.0
"""Degrees of freedom of the measurement noise: single records are wild (a phone that throttled)."""
ROBUST_STEPS: Final = 6


@dataclass(frozen=True, slots=True)
class CoefficientPrior:
    """What is known of coefficients before a device is measured.

    Attributes
    ----------
    mean : array [feature]
        In units of the mean latency of the pool that it was learned on.
    covariance : array [feature, feature]
        Including the unknown overall speed.
    relative_noise : float
        Typical residual of a device's own full fit, as a fraction.
    """

    mean: FloatArray
    covariance: FloatArray
    relative_noise: float


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One reading of what the device executes, with its weight after the measurements."""

    name: str
    weight: float
    coefficients: FloatArray


@dataclass(frozen=True, slots=True)
class FewShotFit:
    """A device known from a few measurements (or none)."""

    hypotheses: tuple[Hypothesis, ...]

    def predict(self, features: Mapping[str, FloatArray]) -> FloatArray:
        """Latency of each network, in the unit of the measurements.

        Parameters
        ----------
        features : mapping of hypothesis to array [network, feature]
        """
        rows: list[FloatArray] = [h.weight * (features[h.name] @ h.coefficients) for h in self.hypotheses]
        total: FloatArray = np.sum(rows, axis=0)
        return total

    @property
    def most_likely(self) -> Hypothesis:
        """The hypothesis with the largest weight."""
        return max(self.hypotheses, key=lambda h: h.weight)


def _noise_scale(latency: FloatArray) -> FloatArray:
    return np.maximum(latency, 0) + NOISE_FLOOR_SHARE * np.median(latency)


def rank_prior(features: Mapping[str, FloatArray], latencies: Sequence[FloatArray]) -> CoefficientPrior:
    """Learn what devices have in common.

    Parameters
    ----------
    features : mapping of hypothesis to array [network, feature]
        Of one pool of networks; each device is fitted under the hypothesis that explains it best.
    latencies : sequence of array [network]
        One per known device, any unit; NaN where it was not measured.

    Raises
    ------
    CalibrationError
        No device, or a device with fewer measurements than features.
    """
    if not latencies:
        raise CalibrationError("a prior needs at least one known device", expected="latencies of one or more devices")
    fits = [min((_full_fit(x, y) for x in features.values()), key=lambda fit: fit[1]) for y in latencies]
    coefficients = np.array([c for c, _ in fits])
    mean = coefficients.mean(axis=0)
    own = np.cov(coefficients.T) if len(fits) > 1 else np.zeros((len(mean), len(mean)))
    floor = np.diag(np.maximum(np.diag(own), (SPREAD_SHARE * mean) ** 2) + 1e-4)
    covariance = (1 - SHRINKAGE) * own + SHRINKAGE * floor + SCALE_VARIANCE * np.outer(mean, mean)
    return CoefficientPrior(mean, covariance, float(np.median([noise for _, noise in fits])))


def _full_fit(features: FloatArray, latency: FloatArray) -> tuple[FloatArray, float]:
    """(Non-negative coefficients relative to the mean latency, residual as a fraction)."""
    known = np.isfinite(latency)
    x, y = features[known], latency[known]
    if len(y) <= x.shape[1]:
        raise CalibrationError(
            f"a known device has {len(y)} measurements for {x.shape[1]} coefficients",
            expected="more measurements than coefficients",
        )
    y = y / y.mean()
    scale = _noise_scale(y)
    coefficients, _ = nnls(x / scale[:, None], y / scale)
    return coefficients, float(np.sqrt(np.mean(((x @ coefficients - y) / scale) ** 2)))


def fit_few(prior: CoefficientPrior, features: Mapping[str, FloatArray], latency: FloatArray) -> FewShotFit:
    """Update a prior with a device's few measurements.

    Parameters
    ----------
    features : mapping of hypothesis to array [measured network, feature]
    latency : array [measured network]
        Any unit; may be empty: the prior alone then ranks, and its unit is arbitrary.

    Returns
    -------
    FewShotFit
        Maximum a posteriori, non-negative coefficients under each hypothesis; hypotheses weighted by their posterior
        density, equally likely beforehand.

    Raises
    ------
    CalibrationError
        A latency is not a positive number.

    Notes
    -----
    θ ~ N(μ, Σ), y = Xθ + ε with Student-t noise of a scale proportional to y, solved by reweighting.
    """
    names = tuple(features)
    if not len(latency):
        return FewShotFit(tuple(Hypothesis(name, 1 / len(names), prior.mean) for name in names))
    if not np.all(np.isfinite(latency)) or np.any(latency <= 0):
        raise CalibrationError("a measured latency is not a positive number", expected="positive latencies")
    fits = [_posterior(prior, features[name], latency) for name in names]
    density = np.array([d for _, d in fits])
    weights = np.exp(density - density.max())
    weights /= weights.sum()
    return FewShotFit(tuple(Hypothesis(n, float(w), c) for n, w, (c, _) in zip(names, weights, fits, strict=True)))


def _posterior(prior: CoefficientPrior, x: FloatArray, latency: FloatArray) -> tuple[FloatArray, float]:
    """(Coefficients in the unit of `latency`, log posterior density up to a constant)."""
    guess = float(np.median(x @ prior.mean))
    unit = float(np.median(latency)) / (guess if guess > 0 else 1.0)
    y = latency / unit
    precision_root = np.linalg.cholesky(np.linalg.inv(prior.covariance)).T
    noise = prior.relative_noise * _noise_scale(y) + 1e-2
    scale, residual, theta = noise, np.zeros_like(y), prior.mean
    for _ in range(ROBUST_STEPS):
        matrix = np.vstack([x / scale[:, None], precision_root])
        target = np.concatenate([y / scale, precision_root @ prior.mean])
        theta = lsq_linear(matrix, target, bounds=(0, np.inf)).x
        residual = (y - x @ theta) / noise
        scale = noise * np.sqrt((STUDENT_DEGREES + residual**2) / (STUDENT_DEGREES + 1))
    deviation = precision_root @ (theta - prior.mean)
    fit = np.log1p(residual**2 / STUDENT_DEGREES).sum()
    return theta * unit, float(-0.5 * deviation @ deviation - 0.5 * (STUDENT_DEGREES + 1) * fit)


def choose_measurements(prior: CoefficientPrior, features: Mapping[str, FloatArray], count: int) -> tuple[int, ...]:
    """Choose the networks whose measurement will tell most about a new device.

    Parameters
    ----------
    features : mapping of hypothesis to array [candidate, feature]
    count : int
        How many to choose, at most the number of candidates.

    Returns
    -------
    tuple of int
        Row indices, best first. Greedy: each choice takes most uncertainty out of the coefficients (Bayesian
        D-optimality); every third, the second included, is the candidate on which the hypotheses disagree most.
    """
    names = tuple(features)
    uncertainty = {name: prior.covariance.copy() for name in names}
    predicted = {name: features[name] @ prior.mean for name in names}
    noise = {name: prior.relative_noise * _noise_scale(predicted[name]) + 1e-2 for name in names}
    spread = np.ptp(np.array([predicted[name] for name in names]), axis=0)
    candidates = len(spread)
    free = np.ones(candidates, dtype=bool)
    chosen: list[int] = []
    for turn in range(min(count, candidates)):
        gain = np.zeros(candidates)
        for name in names:
            x = features[name]
            gain += np.log1p(np.einsum("ij,jk,ik->i", x, uncertainty[name], x) / noise[name] ** 2)
        score = spread if turn % 3 == 1 and np.any(spread[free] > 0) else gain
        best = int(np.argmax(np.where(free, score, -np.inf)))
        free[best] = False
        chosen.append(best)
        for name in names:
            row = features[name][best]
            column = uncertainty[name] @ row
            uncertainty[name] -= np.outer(column, column) / (noise[name][best] ** 2 + row @ column)
    return tuple(chosen)
