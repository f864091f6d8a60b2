"""What a CPU's cores make of an advertised rate: the slowest kind, the width of their vectors, how fast they dispatch.

Coefficients of x86 CPUs were fitted on an i9-10940X (Cascade Lake: 64 fp32 FLOPs per core and cycle, 4.6 GHz), so that
every factor here is 1 on it.
"""

from __future__ import annotations

import math
from typing import Final

from estimator.catalogue.device import Unit, UnitKind

FITTED_FLOPS_PER_CYCLE: Final = 64.0
WIDTH_EXPONENT: Final = 0.6
"""A core of twice the FLOPs per cycle gets through a network's products 2^0.4 times as fast, not twice: loads from
caches, addresses, remainders of tiles and clocks do not double with the vectors. From one Zen 5 machine that ran
inductor's code with 256-bit and with 512-bit vectors (docs/adr/0007-time-model.md, "Another CPU")."""
MKL_FLOPS_PER_CYCLE_ON_AMD: Final = 32.0
"""oneMKL runs its AVX2 code on AMD's cores: 101 GFLOP/s of matrix product where convolutions do 249 on one Zen 5 core
(measured by this project, PyTorch 2.14)."""
MOBILE_THREADS: Final = 4
"""What benchmarks of TFLite and ONNX Runtime on phones run with (assumed for the records: they do not say). Known from
the other chip, one is missed by 25 % so, and by 36 % if all cores waited for the slowest."""
WIDE_FROM_BITS: Final = 256
"""Vectors of up to 128 bits are mobile cores', whose coefficients were fitted on cores of their own kind."""
FITTED_CORES: Final = 14
FORK_SHARE: Final = 0.5
"""Of a launch on 14 cores, what waking and joining its threads takes (assumed, with two Zen 5 cores in view: none, 0.3
and 0.5 put these at a median error of 7.8 to 14.9, 6.2 to 12.1 and 6.0 to 11.1 %; ADR 0010)."""
FITTED_CLOCK_HZ: Final = 4.6e9
SCALAR_PER_CYCLE: Final = {
    "skylake-sp": 1.0, "cascade-lake": 1.0, "ice-lake": 1.18, "sapphire-rapids": 1.40, "alder-lake": 1.40,
    "zen2": 1.05, "zen3": 1.25, "zen4": 1.41, "zen5": 1.64,
}  # fmt: skip
"""Work per cycle of one thread of scalar code, Skylake = 1, of a part's fastest core. Vendors' own figures, recalled:
Sunny Cove +18 % on Skylake, Golden Cove +19 % on that; Zen 3 +19 %, Zen 4 +13 %, Zen 5 +16 %, each on the one before.
That Zen 2 is 5 % above Skylake is assumed. A core that is not listed counts as Skylake."""


def shared_fraction(unit: Unit) -> float:
    """Share of the advertised peak of a CPU of several kinds of core that its runtimes draw on; 1 for one kind.

    OpenMP's static schedule gives every core the same work, so all wait for the slowest kind: n · min(rate) ÷ Σ rate.
    Phones' runtimes start four threads, which the system puts on the fastest cores, and deal out small pieces. A part
    of equal cores is no phone: all of them work.
    """
    rates = sorted((flops * hz for flops, hz in _core_rates(unit)), reverse=True)
    if not rates or rates[0] == rates[-1]:
        return 1.0
    drawn = len(rates) * rates[-1] if _is_wide(unit) else sum(rates[:MOBILE_THREADS])
    return drawn / sum(rates)


def narrow_core_gain(unit: Unit) -> float:
    """How much better than the fitted CPU's cores narrower ones are kept busy; see `WIDTH_EXPONENT`.

    The slowest kind of core counts, since all wait for it.
    """
    slowest = min(_core_rates(unit), key=math.prod, default=(unit.fp32_flops_per_cycle_per_core or 0.0, 0.0))[0]
    return math.pow(FITTED_FLOPS_PER_CYCLE / slowest, WIDTH_EXPONENT) if _is_wide(unit) and slowest else 1.0


def matrix_product_gain(unit: Unit) -> float:
    """As `narrow_core_gain`, of matrix products, which go to oneMKL; relative to the core's own rate."""
    flops_per_cycle = unit.fp32_flops_per_cycle_per_core or 0.0
    if not unit.architecture.startswith("zen") or flops_per_cycle <= MKL_FLOPS_PER_CYCLE_ON_AMD:
        return narrow_core_gain(unit)
    return narrow_core_gain(unit) * math.pow(MKL_FLOPS_PER_CYCLE_ON_AMD / flops_per_cycle, 1 - WIDTH_EXPONENT)


def fast_core_ratio(unit: Unit) -> float:
    """Fastest ÷ slowest core of a hybrid CPU, whose static partition runs every core at the slowest rate; else 1."""
    rates = [flops * hz for flops, hz in _core_rates(unit)]
    return max(rates) / min(rates) if rates else 1.0


def dispatch_slowness(unit: Unit) -> float:
    """Time that a launch takes on this CPU ÷ on the one that launches were fitted on.

    One thread runs scalar code, and half of a launch wakes and joins threads, in as many steps as a tree of them has.
    """
    clock_hz = max((cluster.clock_hz for cluster in unit.clusters), default=None) or unit.boost_clock_hz
    clock_hz = clock_hz or unit.sustained_clock_hz
    if not _is_wide(unit) or not clock_hz:
        return 1.0
    scalar = FITTED_CLOCK_HZ / clock_hz / SCALAR_PER_CYCLE.get(unit.architecture, 1.0)
    steps = math.log2(max(2, unit.core_count or FITTED_CORES)) / math.log2(FITTED_CORES)
    return scalar * (1 - FORK_SHARE + FORK_SHARE * steps)


def _is_wide(unit: Unit) -> bool:
    return unit.kind is UnitKind.CPU and (unit.vector_bits or 0) >= WIDE_FROM_BITS


def _core_rates(unit: Unit) -> list[tuple[float, float]]:
    """(FLOPs per cycle, clock) of every core of a CPU of clusters; empty where one is unknown, and for other units."""
    rates = [(c.fp32_flops_per_cycle or 0.0, c.clock_hz) for c in unit.clusters for _ in range(c.core_count)]
    return rates if unit.kind is UnitKind.CPU and all(flops * hz > 0 for flops, hz in rates) else []
