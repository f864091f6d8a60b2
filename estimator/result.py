"""What an estimate is: frozen nouns that reports print and the wire carries. Base SI inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from estimator.errors import EstimatorError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Bound(StrEnum):
    """What limits a kernel."""

    COMPUTE = "compute"
    MEMORY = "memory"
    OVERHEAD = "overhead"


class ProvenanceKind(StrEnum):
    """Where the coefficients of an estimate come from, best first."""

    CALIBRATED = "calibrated"
    """Fitted on records of this device, unit, runtime and precision."""
    FAMILY = "family"
    """Fitted on records of related devices, scaled by this device's facts."""
    DATASHEET = "datasheet"
    """Published facts and class priors only."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Quantiles of a duration in seconds; p10 ≤ p50 ≤ p90."""

    p10_s: float
    p50_s: float
    p90_s: float


@dataclass(frozen=True, slots=True)
class EstimateColumns:
    """Answers to many networks on one target, as columns [network].

    Attributes
    ----------
    p10_s, p50_s, p90_s : array of float64
        Quantiles of the latency; NaN where a network failed.
    peak_bytes : array of int64
        Peak device memory; 0 where a network failed.
    failures : mapping of int to EstimatorError
        Why networks have no answer, by position.
    """

    p10_s: NDArray[np.float64]
    p50_s: NDArray[np.float64]
    p90_s: NDArray[np.float64]
    peak_bytes: NDArray[np.int64]
    failures: Mapping[int, EstimatorError]

    def __len__(self) -> int:
        return len(self.p50_s)


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Peak device memory by part, in bytes; `peak_bytes` is their sum."""

    weights_bytes: int
    activation_bytes: int
    workspace_bytes: int
    kv_cache_bytes: int = 0

    @property
    def peak_bytes(self) -> int:
        """Weights + activation arena + workspace + KV cache."""
        return self.weights_bytes + self.activation_bytes + self.workspace_bytes + self.kv_cache_bytes


@dataclass(frozen=True, slots=True)
class BoundShare:
    """Fractions of latency by what bounds them; they add up to 1."""

    compute: float
    memory: float
    overhead: float


@dataclass(frozen=True, slots=True)
class Provenance:
    """What the numbers rest on.

    Attributes
    ----------
    records : int
        Measured records behind the coefficients.
    heldout_median_ape : float or None
        Median absolute percentage error on records left out of the fit, as a fraction.
    calibration : str
        The calibration's name, e.g. ``rtx4090/torch-eager``.
    """

    kind: ProvenanceKind
    records: int = 0
    heldout_median_ape: float | None = None
    calibration: str = ""


@dataclass(frozen=True, slots=True)
class KernelEstimate:
    """One kernel's time and why.

    Attributes
    ----------
    time_s : float
        Including its share of launch overhead.
    share : float
        Of the whole latency, in [0, 1].
    intensity_flops_per_byte : float or None
        FLOPs ÷ bytes moved; None when nothing is moved.
    utilisation : float
        Attained ÷ binding ceiling; the ceiling is the datasheet's, so a boosted clock can exceed 1.
    """

    name: str
    ops: tuple[str, ...]
    kernel_class: str
    time_s: float
    share: float
    bound: Bound
    flops: int
    bytes_moved: int
    intensity_flops_per_byte: float | None
    utilisation: float
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The answer for one model on one device.

    Attributes
    ----------
    naive_latency_s : float
        FLOPs ÷ the device's advertised peak of this precision.
    roofline_latency_s : float
        Σ max(FLOPs ÷ ceiling, bytes ÷ bandwidth) over kernels, nothing fitted.
    coverage : float
        Share of operators (metadata-only ones left out) that have a cost rule, in [0, 1].
    assumptions : tuple of str
        Device values that nobody published and what replaced them.
    """

    model: str
    device: str
    device_name: str
    unit: str
    runtime: str
    precision: str
    layout: str
    batch: int
    latency: Interval
    naive_latency_s: float
    roofline_latency_s: float
    macs: int
    flops: int
    params: int
    bytes_moved: int
    memory: MemoryEstimate
    memory_capacity_bytes: int | None
    bound_share: BoundShare
    coverage: float
    unsupported_ops: tuple[str, ...]
    provenance: Provenance
    kernels: tuple[KernelEstimate, ...]
    peak_flops_per_s: float
    peak_bandwidth_bytes_per_s: float
    warnings: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
