"""Fitted coefficients as frozen nouns: what `devices/calibration` holds, apart from cited facts.

A `Response` says how far a family of kernels stays below its roofline: class efficiencies, saturations, fixed
costs, and a small network over device-relative geometry. It is shared by all devices of a unit kind and runtime.
A `ContextOffset` says how one context (a device, a runtime version, a precision) departs from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

STEEP_CACHE_EXPONENT: Final = 5.77078
"""4 ÷ ln 2, of responses that state none: residency is all or nothing, e^(−4·log₂(bytes ÷ cache))."""


@dataclass(frozen=True, slots=True)
class ContextOffset:
    """Departure of one context from its response; natural logarithms, 0 = none.

    Attributes
    ----------
    compute, memory : float
        Added to the log of the compute and memory rates.
    overhead, fixed : float
        Added to the log of launch overhead and of the fixed cost per inference.
    classes : array [kernel class]
        Added to the log of each class's kernel time.
    """

    compute: float
    memory: float
    overhead: float
    fixed: float
    classes: FloatArray

    def vector(self) -> FloatArray:
        """[compute, memory, overhead, fixed, *classes]."""
        return np.concatenate([[self.compute, self.memory, self.overhead, self.fixed], self.classes])

    def scaled(self, factor: float) -> ContextOffset:
        """Return `factor` times this offset."""
        return ContextOffset.from_vector(factor * self.vector())

    @classmethod
    def from_vector(cls, vector: FloatArray) -> ContextOffset:
        """Inverse of `vector`."""
        compute, memory, overhead, fixed = (float(v) for v in vector[:4])
        return cls(compute, memory, overhead, fixed, np.array(vector[4:], dtype=np.float64))


@dataclass(frozen=True, slots=True)
class Network:
    """Two tanh layers over standardised features; the output is a log time factor within ±`limit`.

    Attributes
    ----------
    hidden_by_class : array [class, hidden]
        First-layer bias of each kernel class.
    """

    feature_mean: FloatArray
    feature_scale: FloatArray
    hidden: FloatArray
    hidden_by_class: FloatArray
    second: FloatArray
    second_bias: FloatArray
    output: FloatArray
    output_bias: float
    limit: float


@dataclass(frozen=True, slots=True)
class Residual:
    """Correction by networks of like composition; see `timing.residual`.

    Attributes
    ----------
    anchors : array [record, composition]
        Compositions of the measured networks.
    weights : array [record]
        Of each anchor's similarity in the log time factor.
    length : float
        Distance at which similarity has fallen to exp(−½).
    only_on : str
        The device that alone departs so, where the records are all of one and its departures do not carry over; "" for
        every device.
    """

    anchors: FloatArray
    weights: FloatArray
    length: float
    only_on: str = ""

    def on(self, device: str) -> Residual:
        """As it applies to a device: elsewhere than where it belongs its weights are zero, its anchors still known."""
        return self if self.only_on in ("", device) else replace(self, weights=np.zeros_like(self.weights))


@dataclass(frozen=True, slots=True)
class Spread:
    """Held-out log residuals (measured ÷ predicted) of records like these: their p10 and p90."""

    log_p10: float
    log_p90: float
    median_ape: float
    records: int


@dataclass(frozen=True, slots=True)
class Response:
    """Coefficients of one unit kind × runtime (× layout); arrays are [kernel class].

    Attributes
    ----------
    log_compute_efficiency, log_memory_efficiency : array
        Natural log of attained ÷ ceiling at full saturation.
    log_k_half, log_n_half : array
        Reduction length and output width at which a product reaches half of its rate.
    log_weight_cost : array
        Extra DRAM passes over the weights (reorder, cast), natural log.
    log_launch_s, log_fixed_s : float
        Seconds per launch and per inference.
    log_launch_by_class : array
        Added to the log of the launch overhead of each class.
    cache_gain, unaligned_cost, wave_exponent : float
        Bandwidth gain of cache-resident kernels; log cost per unaligned extent; softness of wave quantisation.
    cache_exponent : float
        How sharply residency falls once a kernel's bytes exceed the cache; see `timing.response.cache_hit`.
    spreads : mapping
        By provenance (family, datasheet), and `novel`: networks like none that was measured.
    """

    name: str
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    log_compute_efficiency: FloatArray
    log_memory_efficiency: FloatArray
    log_k_half: FloatArray
    log_n_half: FloatArray
    log_weight_cost: FloatArray
    log_launch_s: float
    log_launch_by_class: FloatArray
    log_fixed_s: float
    cache_gain: float
    unaligned_cost: float
    wave_exponent: float
    network: Network | None
    residual: Residual | None = None
    contexts: Mapping[str, ContextOffset] = field(default_factory=dict)
    spreads: Mapping[str, Spread] = field(default_factory=dict)
    records: int = 0
    cache_exponent: float = STEEP_CACHE_EXPONENT


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was fitted for one device and runtime, on top of a shared response.

    Attributes
    ----------
    response : str
        Name of the shared response that the offset applies to.
    dataset_sha256 : str
        Digest of the records, so that a reader can tell which data made these numbers.
    """

    device: str
    unit: str
    runtime: str
    runtime_version: str
    response: str
    offset: ContextOffset
    spread: Spread
    sample_count: int
    dataset_sha256: str
    date: str
    precisions: tuple[str, ...] = ()
    other_responses: tuple[str, ...] = ()
    """Responses of the same runtime (other layouts) that the offset was fitted with as well."""

    @property
    def target(self) -> str:
        """``device/unit runtime``, for a person."""
        return f"{self.device}/{self.unit} {self.runtime}"
