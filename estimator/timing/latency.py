"""The whole time model: kernels' times, the correction by like networks, and the spread around their sum."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from estimator.catalogue.calibration import FloatArray, Spread
from estimator.timing.coefficients import Coefficients
from estimator.timing.composition import compositions
from estimator.timing.features import KernelFeatures
from estimator.timing.residual import residual_log_factors
from estimator.timing.response import KernelTimes, kernel_times


@dataclass(frozen=True, slots=True)
class Latency:
    """Times of one network.

    Attributes
    ----------
    kernels : KernelTimes
        Per table row, corrected; they and the fixed cost add up to the median.
    spread : Spread
        Log p10 and p90 around the median, at this network's similarity.
    similarity : float or None
        To the nearest network that was measured, in [0, 1]; None without a correction.
    waits_for_host : bool
        The device is through with kernels faster than its host queues them; the wait is part of their overhead.
    """

    kernels: KernelTimes
    latency_s: float
    spread: Spread
    similarity: float | None
    waits_for_host: bool = False


SLOW_HOST_LOG: Final = math.log(3.0)
"""p90 of a network that waits for its host: PyTorch's dispatch takes 15 to 50 µs by processor and module (assumed)."""


def time_network(features: KernelFeatures, coefficients: Coefficients) -> Latency:
    """Time one network whose kernels have these features.

    A fitted efficiency may exceed 1 against the rated peak, but carried over to another device or shape it may
    also promise what no clock reaches: no kernel takes less than `KernelFeatures.floor_s`. What of that is waiting,
    neither arithmetic nor memory, counts as overhead.
    """
    times = kernel_times(coefficients.response, features, coefficients.offset)
    similarity = None
    residual = coefficients.response.residual
    if residual is not None and len(features):
        composition = compositions(features, times, np.zeros(len(features), dtype=np.int64), 1)
        log_factor, nearest = residual_log_factors(residual, composition)
        times = _scaled(times, float(np.exp(log_factor[0])))
        similarity = float(nearest[0])
    busy_s = np.maximum(times.body_s, features.busy_floor_s)
    waits_s = np.maximum(features.floor_s - busy_s, 0.0)
    times = replace(times, body_s=busy_s, overhead_s=times.overhead_s + waits_s)
    spread = spread_at(coefficients, similarity)
    device_s = float((times.kernel_s * features.count).sum() + times.fixed_s)
    host_s = float((times.dispatch_s * features.count).sum())
    if host_s <= device_s:
        return Latency(times, device_s, spread, similarity)
    waits = replace(times, overhead_s=times.overhead_s + times.dispatch_s * (1 - device_s / host_s))
    slow_host = replace(spread, log_p90=max(spread.log_p90, SLOW_HOST_LOG))
    return Latency(waits, host_s, slow_host, similarity, waits_for_host=True)


def _scaled(times: KernelTimes, factor: float) -> KernelTimes:
    return replace(
        times,
        compute_s=times.compute_s * factor,
        memory_s=times.memory_s * factor,
        weights_s=times.weights_s * factor,
        body_s=times.body_s * factor,
        overhead_s=times.overhead_s * factor,
        fixed_s=times.fixed_s * factor,
    )


def novelty(similarity: ArrayLike) -> FloatArray:
    """How unlike a network is to the nearest measured one, in [0, 1]: √(1 − similarity).

    Similarity is exp(−d² ÷ 2ℓ²), so near a measured network this is its distance d in units of √2·ℓ.
    """
    return np.asarray(np.sqrt(np.maximum(1.0 - np.asarray(similarity, dtype=np.float64), 0.0)))


def spread_at(coefficients: Coefficients, similarity: float | None) -> Spread:
    """Spread of a network at some similarity to the measured ones.

    Networks like those measured have the spread of held-out models, networks like none of them the spread of
    held-out families; in between it is interpolated over `novelty`.
    """
    near, far = coefficients.spread, coefficients.response.spreads.get("novel")
    if similarity is None or far is None:
        return near
    unlike = novelty(similarity)
    return replace(
        near,
        log_p10=float(bound_at(near.log_p10, far.log_p10, unlike, outward=-1)),
        log_p90=float(bound_at(near.log_p90, far.log_p90, unlike, outward=1)),
    )


REPEAT_LOG: Final = 0.015
"""Two measurements of one network on one GPU differ by 1.4 % in the middle: no interval is narrower either way."""


def bound_at(near: float, far: float, unlike: FloatArray, *, outward: int) -> FloatArray:
    """Bound of the interval at some novelty, `REPEAT_LOG` or more. `outward` is −1 for p10, 1 for p90."""
    return outward * np.maximum(outward * line_at(near, far, unlike, outward=outward), REPEAT_LOG)


def line_at(near: float, far: float, unlike: FloatArray, *, outward: int) -> FloatArray:
    """Line of a bound over novelty; it never narrows with distance."""
    return near + outward * max(outward * (far - near), 0.0) * unlike
