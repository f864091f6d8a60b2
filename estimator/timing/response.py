"""Kernel times from rooflines and a fitted response: one vectorised formula for one model or ten thousand.

For a kernel of class c in context x (device + runtime + precision offsets add up):

    log t_compute = log(compute roofline) − log e_c[c] − x.compute − log s_k·s_n·u·w·v
    log t_memory  = log(memory roofline)  − log e_m[c] − x.memory  − log(1 + g·hit)
    t_body        = (t_compute³ + t_memory³)^(1/3) · exp(network + x.classes[c])
    t             = t_body + weight passes + launches · launch overhead

with s_k = k/(k + √ρ·k_half), ρ the core rate, s_n alike, u the cost of unaligned extents, w the filled share of the
last wave, v the gain of a CPU's cores and hit = 1 ÷ (1 + (bytes ÷ cache)^q). The latency of an inference adds
its fixed cost.
Source: docs/model/time.md; the smooth maximum's exponent 3 and every term's gain: docs/adr/0007-time-model.md.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np

from estimator.catalogue.calibration import ContextOffset, FloatArray, Network, Response
from estimator.lowering.kernel import IntArray
from estimator.timing.features import FLOOR_S, KernelFeatures

SMOOTH_MAX: Final = 3.0
"""Exponent of the smooth maximum of compute and memory time."""


@dataclass(frozen=True, slots=True)
class KernelTimes:
    """Seconds per table row (one kernel, not times its count): arrays [kernel].

    `weights_s`, of passes over weights, is part of the body, and memory's like `memory_s`. `dispatch_s` is the host's,
    which queues kernels while the device works: it is no part of `kernel_s`.
    """

    compute_s: FloatArray
    memory_s: FloatArray
    weights_s: FloatArray
    body_s: FloatArray
    overhead_s: FloatArray
    dispatch_s: FloatArray
    fixed_s: float

    def taken(self, rows: IntArray) -> KernelTimes:
        """Return these rows, in this order."""
        return replace(self, **{name: getattr(self, name)[rows] for name in _PER_ROW})

    @property
    def compute_bound(self) -> np.ndarray:
        """Boolean [kernel]: arithmetic takes at least as long as memory does."""
        bound: np.ndarray = self.compute_s >= self.memory_s + self.weights_s
        return bound

    @property
    def kernel_s(self) -> FloatArray:
        """Body plus launch overhead."""
        return self.body_s + self.overhead_s


_PER_ROW: Final = tuple(field.name for field in fields(KernelTimes) if field.name != "fixed_s")


def combined_offset(offsets: tuple[ContextOffset, ...], class_count: int) -> ContextOffset:
    """Sum of the offsets of all contexts that apply; zero without any."""
    total = np.zeros(4 + class_count)
    for offset in offsets:
        total = total + offset.vector()
    return ContextOffset.from_vector(total)


def network_log_factor(network: Network, feature_names: tuple[str, ...], features: KernelFeatures) -> FloatArray:
    """Bounded log time factor of every kernel; with the same bits however many there are, hence `einsum`."""
    standard = (features.columns(feature_names) - network.feature_mean) / network.feature_scale
    hidden = np.einsum("kf,fh->kh", standard, network.hidden) + network.hidden_by_class[features.class_index]
    second = np.einsum("kh,hs->ks", np.tanh(hidden), network.second) + network.second_bias
    output = np.einsum("ks,s->k", np.tanh(second), network.output) + network.output_bias
    log_factor: FloatArray = network.limit * np.tanh(output)
    return log_factor


def saturation_log(response: Response, features: KernelFeatures) -> FloatArray:
    """Compute log(s_k · s_n · u · w) of products; 0 for other kernels."""
    c = features.class_index
    log_saturation = (
        np.log(features.k / (features.k + features.fill_growth * np.exp(response.log_k_half[c])))
        + np.log(features.n / (features.n + features.fill_growth * np.exp(response.log_n_half[c])))
        + response.wave_exponent * np.log(features.wave_fill)
    )
    return features.is_product * log_saturation - response.unaligned_cost * features.unaligned


def cache_hit(features: KernelFeatures, exponent: float) -> FloatArray:
    """Share of a kernel's traffic that the last cache level serves, by size alone: 1 ÷ (1 + (bytes ÷ cache)^q).

    With q = 1 it is cache ÷ (cache + bytes), what random replacement leaves of a stream that is written by one
    kernel and read by the next; a larger q approaches least-recently-used, which leaves all or nothing.
    """
    hit: FloatArray = 1.0 / (1.0 + np.exp2(-exponent * features.cache_ratio_log2))
    return hit


def kernel_times(response: Response, features: KernelFeatures, offset: ContextOffset) -> KernelTimes:
    """Time every kernel; see the module docstring for the formula."""
    c = features.class_index
    log_compute = (
        np.log(features.times.compute_s + FLOOR_S)
        - response.log_compute_efficiency[c]
        - offset.compute
        - np.log(features.core_gain)
        - saturation_log(response, features)
    )
    log_memory = (
        np.log(features.times.memory_s + FLOOR_S)
        - response.log_memory_efficiency[c]
        - offset.memory
        - np.log1p(response.cache_gain * cache_hit(features, response.cache_exponent))
    )
    log_body = np.logaddexp(SMOOTH_MAX * log_compute, SMOOTH_MAX * log_memory) / SMOOTH_MAX + offset.classes[c]
    if response.network is not None:
        log_body = log_body + network_log_factor(response.network, response.feature_names, features)
    weight_passes = features.weight_s * np.exp(response.log_weight_cost[c] - offset.memory)
    return KernelTimes(
        compute_s=np.exp(log_compute),
        memory_s=np.exp(log_memory),
        weights_s=weight_passes,
        body_s=np.exp(log_body) + weight_passes,
        overhead_s=features.launches
        * np.exp(response.log_launch_s + response.log_launch_by_class[c] + offset.overhead),
        dispatch_s=features.dispatch_s * np.exp(offset.overhead),
        fixed_s=float(np.exp(response.log_fixed_s + offset.fixed)),
    )
