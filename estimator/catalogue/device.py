"""A device as frozen facts in base SI: what `catalogue/loader.py` makes of a YAML file.

Everything that timing and memory may know about hardware is here. Unknown is `None`, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from estimator.dtypes import Precision
from estimator.errors import MissingCeilingError


class UnitKind(StrEnum):
    """Kinds of processing unit."""

    CPU = "cpu"
    GPU = "gpu"
    NPU = "npu"


class Basis(StrEnum):
    """How sure a value is."""

    DATASHEET = "datasheet"
    SECONDARY = "secondary"
    MEASURED = "measured"
    DERIVED = "derived"
    ASSUMED = "assumed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Ceiling:
    """A dense compute rate of one engine for one input dtype.

    Attributes
    ----------
    engine : str
        ``tensor`` (tensor core, matrix engine, HMX/HTA, systolic array) or ``vector`` (SIMD, CUDA cores).
    dtype : str
        Input element type: fp64, fp32, tf32, fp16, bf16, fp8, fp4, int16, int8, int4.
    accumulate : str or None
        Accumulator type where it changes the rate (GeForce halves fp16 with fp32 accumulate).
    flops_per_s : float
        1 MAC = 2 FLOPs (or ops, for integers), at the rated boost clock.
    """

    engine: str
    dtype: str
    accumulate: str | None
    flops_per_s: float
    basis: Basis


@dataclass(frozen=True, slots=True)
class MemoryLevel:
    """One level, outermost (``dram``) first; then ``slc``, ``l3``, ``l2``, ``vtcm`` (Hexagon) or ``sram`` (other NPUs).

    Sizes are of the whole unit: a cache per core counts once per core. A level that keeps weights holds those that fit
    from one inference to the next.
    """

    level: str
    bandwidth_bytes_per_s: float | None
    size_bytes: int | None
    basis: Basis
    keeps_weights: bool = False


@dataclass(frozen=True, slots=True)
class CoreCluster:
    """Identical CPU cores."""

    name: str
    core_count: int
    clock_hz: float
    fp32_flops_per_cycle: float | None
    vector_bits: int | None = None


@dataclass(frozen=True, slots=True)
class RuntimeSupport:
    """A runtime that exists on a unit, and the precisions it takes there; the first is its default."""

    name: str
    precisions: tuple[Precision, ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """One processing unit of a device.

    Attributes
    ----------
    architecture : str
        E.g. ``ada``, ``ampere``, ``cascade-lake``, ``hexagon-v66``, ``cortex-a72``.
    core_count : int or None
        SMs, CPU cores, NPU engines.
    sustained_clock_hz : float or None
        What it holds under load, if published or measured; else None.
    max_clock_hz : float or None
        Highest clock the part may reach, where above the rated boost.
    fp32_flops_per_cycle_per_core : float or None
        Of a CPU core or SM, where published and the same for all; clusters have their own.
    launch_overhead_s : float or None
        Time of a GPU's host to launch one kernel from PyTorch, where it is known or no fast desktop's.
    assumptions : tuple of str
        Values with basis assumed, as sentences: "launch overhead 8 µs: class prior".
    """

    name: str
    kind: UnitKind
    display_name: str
    architecture: str
    ceilings: tuple[Ceiling, ...]
    memory: tuple[MemoryLevel, ...]
    runtimes: tuple[RuntimeSupport, ...]
    core_count: int | None = None
    base_clock_hz: float | None = None
    boost_clock_hz: float | None = None
    sustained_clock_hz: float | None = None
    max_clock_hz: float | None = None
    vector_bits: int | None = None
    clusters: tuple[CoreCluster, ...] = ()
    power_w: float | None = None
    assumptions: tuple[str, ...] = ()
    fp32_flops_per_cycle_per_core: float | None = None
    launch_overhead_s: float | None = None

    @property
    def default_runtime(self) -> RuntimeSupport:
        """The first listed runtime."""
        return self.runtimes[0]

    def ceiling(self, dtype: str, engine: str | None = None, accumulate: str | None = None) -> Ceiling | None:
        """Highest dense rate listed for an input dtype, optionally of one engine and accumulator."""
        matches = [
            c
            for c in self.ceilings
            if c.dtype == dtype
            and (engine is None or c.engine == engine)
            and (accumulate is None or c.accumulate in (None, accumulate))
        ]
        return max(matches, key=lambda c: c.flops_per_s, default=None)

    def memory_level(self, *names: str) -> MemoryLevel | None:
        """First level among `names` that the unit has."""
        for name in names:
            for level in self.memory:
                if level.level == name:
                    return level
        return None

    @property
    def dram_bandwidth_bytes_per_s(self) -> float:
        """Bandwidth of the outermost level.

        Raises
        ------
        MissingCeilingError
            Not listed.
        """
        for level in self.memory:
            if level.bandwidth_bytes_per_s:
                return level.bandwidth_bytes_per_s
        raise MissingCeilingError(f"unit {self.name!r} ({self.display_name}) lists no memory bandwidth")


@dataclass(frozen=True, slots=True)
class Claim:
    """What a vendor says, kept apart from facts: ``15 TOPS (AI Engine, whole chip)``.

    Attributes
    ----------
    ops_per_s : float or None
        The figure, where the claim is one rate of int8 operations.
    unit : str or None
        The unit for which it is usually read.
    """

    text: str
    source: str
    ops_per_s: float | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class SourcedValue:
    """One value of the file, as `devices show` prints it."""

    path: str
    value: str
    basis: Basis
    source: str
    where: str


@dataclass(frozen=True, slots=True)
class Device:
    """One product: shared facts and its units."""

    id: str
    display_name: str
    vendor: str
    aliases: tuple[str, ...]
    units: Mapping[str, Unit]
    default_unit: str
    release_year: int | None
    memory_capacity_bytes: int | None
    app_memory_bytes: int | None
    power_w: float | None
    claims: tuple[Claim, ...] = ()
    values: tuple[SourcedValue, ...] = field(default=(), repr=False)
    host_link_bytes_per_s: float | None = None
    extends: str | None = None
    """Id of the device this variant was derived from; its calibrations apply as family."""
