"""The whole time model: kernels' times, the correction by like networks, and the spread around their sum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from estimator.catalogue.calibration import FloatArray, Spread
from estimator.lowering.kernel import IntArray
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


@dataclass(frozen=True, slots=True)
class Launches:
    """What many networks launch: rows of a kernel table, which they may share.

    Attributes
    ----------
    row : array [launch]
        Row of the table; launches of one network after those of another, each in its order.
    network : array [launch]
        Which network launches it, from 0.
    network_count : int
        Networks, also those that launch nothing.
    """

    row: IntArray
    network: IntArray
    network_count: int

    @classmethod
    def of_one(cls, row_count: int) -> Launches:
        """Make every row a launch of a single network."""
        return cls(np.arange(row_count), np.zeros(row_count, dtype=np.int64), 1)

    @classmethod
    def of_many(cls, rows: Sequence[Sequence[int]]) -> Launches:
        """Launch the rows of one network after another's."""
        network = np.repeat(np.arange(len(rows)), [len(one) for one in rows])
        return cls(np.fromiter(chain.from_iterable(rows), np.int64), network, len(rows))

    def sums(self, values: FloatArray) -> FloatArray:
        """Add up values [launch] by network, in order: the sum has the same bits whatever stands beside it."""
        return np.bincount(self.network, weights=values, minlength=self.network_count).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Latencies:
    """Times of many networks.

    Attributes
    ----------
    kernels : KernelTimes
        Per launch, corrected; `KernelTimes.fixed_s` is not, `fixed_s` has every network's.
    fixed_s, latency_s, log_p10, log_p90 : array [network]
        Cost per inference and median; log p10 and p90 around the median.
    similarity : array [network]
        NaN where there is no correction.
    waits_for_host : boolean array [network]
    """

    kernels: KernelTimes
    fixed_s: FloatArray
    latency_s: FloatArray
    log_p10: FloatArray
    log_p90: FloatArray
    similarity: FloatArray
    waits_for_host: np.ndarray

    def interval(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """p10, p50 and p90 in seconds [network]."""
        return interval(self.latency_s, self.log_p10, self.log_p90)


def interval(latency_s: ArrayLike, log_p10: ArrayLike, log_p90: ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
    """p10, p50 and p90 by the spread of held-out residuals around an estimate; they always contain it."""
    p50_s = np.asarray(latency_s, dtype=np.float64)
    return p50_s * np.exp(np.minimum(log_p10, 0.0)), p50_s, p50_s * np.exp(np.maximum(log_p90, 0.0))


SLOW_HOST_LOG: Final = math.log(3.0)
"""p90 of a network that waits for its host: PyTorch's dispatch takes 15 to 50 µs by processor and module (assumed)."""


def time_network(features: KernelFeatures, coefficients: Coefficients) -> Latency:
    """Time one network whose kernels have these features: `time_networks` of one."""
    one = time_networks(features, Launches.of_one(len(features)), coefficients)
    spread = replace(coefficients.spread, log_p10=float(one.log_p10[0]), log_p90=float(one.log_p90[0]))
    similarity = float(one.similarity[0])
    return Latency(
        kernels=replace(one.kernels, fixed_s=float(one.fixed_s[0])),
        latency_s=float(one.latency_s[0]),
        spread=spread,
        similarity=None if math.isnan(similarity) else similarity,
        waits_for_host=bool(one.waits_for_host[0]),
    )


def time_networks(features: KernelFeatures, launches: Launches, coefficients: Coefficients) -> Latencies:
    """Time networks that launch kernels with these features.

    A fitted efficiency may exceed 1 against the rated peak, but carried over to another device or shape it may
    also promise what no clock reaches: no kernel takes less than `KernelFeatures.floor_s`. What of that is waiting,
    neither arithmetic nor memory, counts as overhead.
    """
    times = kernel_times(coefficients.response, features, coefficients.offset).taken(launches.row)
    features = features.taken(launches.row)
    log_factor, similarity = _corrections(features, times, launches, coefficients)
    factor = np.exp(log_factor)
    times = _scaled(times, factor[launches.network])
    fixed_s = times.fixed_s * factor
    busy_s = np.maximum(times.body_s, features.busy_floor_s)
    waits_s = np.maximum(features.floor_s - busy_s, 0.0)
    times = replace(times, body_s=busy_s, overhead_s=times.overhead_s + waits_s)
    device_s = launches.sums(times.kernel_s * features.count) + fixed_s
    host_s = launches.sums(times.dispatch_s * features.count)
    log_p10, log_p90 = _bounds(coefficients, similarity)
    waits = host_s > device_s
    awaited = np.where(waits, 1 - device_s / np.where(waits, host_s, 1.0), 0.0)
    return Latencies(
        kernels=replace(times, overhead_s=times.overhead_s + times.dispatch_s * awaited[launches.network]),
        fixed_s=fixed_s,
        latency_s=np.where(waits, host_s, device_s),
        log_p10=log_p10,
        log_p90=np.where(waits, np.maximum(log_p90, SLOW_HOST_LOG), log_p90),
        similarity=similarity,
        waits_for_host=waits,
    )


def _corrections(
    features: KernelFeatures, times: KernelTimes, launches: Launches, coefficients: Coefficients
) -> tuple[FloatArray, FloatArray]:
    """Log time factor and similarity of every network; 0 and NaN where nothing corrects it."""
    residual = coefficients.response.residual
    if residual is None:
        return np.zeros(launches.network_count), np.full(launches.network_count, np.nan)
    composition = compositions(features, times, launches.network, launches.network_count)
    log_factor, nearest = residual_log_factors(residual, composition)
    launches_any = np.isin(np.arange(launches.network_count), launches.network)
    return np.where(launches_any, log_factor, 0.0), np.where(launches_any, nearest, np.nan)


def _scaled(times: KernelTimes, factor: FloatArray) -> KernelTimes:
    """Scale what the device takes, by a factor of every launch."""
    return replace(
        times,
        compute_s=times.compute_s * factor,
        memory_s=times.memory_s * factor,
        weights_s=times.weights_s * factor,
        body_s=times.body_s * factor,
        overhead_s=times.overhead_s * factor,
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
    log_p10, log_p90 = _bounds(coefficients, np.array([np.nan if similarity is None else similarity]))
    return replace(coefficients.spread, log_p10=float(log_p10[0]), log_p90=float(log_p90[0]))


def _bounds(coefficients: Coefficients, similarity: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Log p10 and p90 at similarities; see `spread_at`. NaN, where nothing corrects, has the near spread."""
    near, far = coefficients.spread, coefficients.response.spreads.get("novel")
    known = ~np.isnan(similarity) & (far is not None)
    far = far or near
    unlike = novelty(np.where(known, similarity, 1.0))
    p10 = bound_at(near.log_p10, far.log_p10, unlike, outward=-1)
    p90 = bound_at(near.log_p90, far.log_p90, unlike, outward=1)
    return np.where(known, p10, near.log_p10), np.where(known, p90, near.log_p90)


REPEAT_LOG: Final = 0.015
"""Two measurements of one network on one GPU differ by 1.4 % in the middle: no interval is narrower either way."""


def bound_at(near: float, far: float, unlike: FloatArray, *, outward: int) -> FloatArray:
    """Bound of the interval at some novelty, `REPEAT_LOG` or more. `outward` is −1 for p10, 1 for p90."""
    return outward * np.maximum(outward * line_at(near, far, unlike, outward=outward), REPEAT_LOG)


def line_at(near: float, far: float, unlike: FloatArray, *, outward: int) -> FloatArray:
    """Line of a bound over novelty; it never narrows with distance."""
    return near + outward * max(outward * (far - near), 0.0) * unlike
