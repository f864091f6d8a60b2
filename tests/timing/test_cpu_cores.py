"""What a CPU's cores make of an advertised rate, relative to the one CPU that was fitted."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from estimator.catalogue.device import CoreCluster
from estimator.catalogue.loader import load_device
from estimator.dtypes import DType, Precision
from estimator.lowering.kernel import Kernel, KernelClass, KernelTable
from estimator.timing.cpu_cores import (
    FITTED_CLOCK_HZ,
    FITTED_CORES,
    FITTED_FLOPS_PER_CYCLE,
    FORK_SHARE,
    MKL_FLOPS_PER_CYCLE_ON_AMD,
    SCALAR_PER_CYCLE,
    WIDTH_EXPONENT,
    dispatch_slowness,
    fast_core_ratio,
    matrix_product_gain,
    narrow_core_gain,
    shared_fraction,
)
from estimator.timing.features import kernel_features
from estimator.timing.response import KernelTimes, kernel_times
from estimator.timing.roofline import ceilings_of
from tests.timing.coefficients import ideal_response, no_offset

FITTED = load_device("i9-10940x")[1]
HYBRID = replace(
    FITTED, vector_bits=256, architecture="alder-lake", boost_clock_hz=None,
    clusters=(CoreCluster("fast", 2, 4e9, 32.0), CoreCluster("slow", 6, 2e9, 16.0)),
)  # fmt: skip
ZEN5 = replace(FITTED, architecture="zen5", fp32_flops_per_cycle_per_core=64.0)


def test_every_factor_is_one_on_the_cpu_that_was_fitted():
    factors = (shared_fraction, narrow_core_gain, matrix_product_gain, fast_core_ratio, dispatch_slowness)
    assert [factor(FITTED) for factor in factors] == [1.0] * len(factors)


def test_every_factor_is_one_on_a_phone_and_on_a_gpu():
    for name in ("sd865/cpu", "rtx4090"):
        unit = load_device(name)[1]
        assert (narrow_core_gain(unit), dispatch_slowness(unit)) == (1.0, 1.0)


def test_equal_chunks_wait_for_the_slow_cores():
    # 8 cores at 32 GFLOP/s of (2 · 128 + 6 · 32) GFLOP/s
    assert shared_fraction(HYBRID) == pytest.approx(8 * 32 / (2 * 128 + 6 * 32))
    assert fast_core_ratio(HYBRID) == 128 / 32


def test_a_part_of_equal_cores_works_with_all_of_them():
    equal = replace(HYBRID, vector_bits=128, clusters=(CoreCluster("all", 12, 2e9, 16.0),))
    phone = replace(HYBRID, vector_bits=128)
    assert shared_fraction(equal) == 1.0
    assert shared_fraction(phone) == pytest.approx((2 * 128 + 2 * 32) / (2 * 128 + 6 * 32))  # the fastest four of eight


def test_no_product_outruns_all_cores_together_but_some_outrun_equal_chunks():
    """Fast cores that finish early take further work where the schedule lets them, so chunks bound nothing."""
    for name in ("sd865/cpu", "i7-12700h"):
        ceilings = ceilings_of(load_device(name)[1], Precision.FP32)
        assert ceilings.product_flops_per_s < ceilings.fastest_flops_per_s == ceilings.rated_flops_per_s


def test_the_slow_cores_vectors_decide_how_well_a_hybrid_is_kept_busy():
    assert narrow_core_gain(HYBRID) == pytest.approx((FITTED_FLOPS_PER_CYCLE / 16) ** WIDTH_EXPONENT)


def test_matrix_products_on_amd_gain_nothing_from_vectors_that_their_library_leaves_idle():
    """With half of the width idle they take as long as on a core of half the width: rate ½, kept busy 2^a better."""
    half = replace(ZEN5, fp32_flops_per_cycle_per_core=MKL_FLOPS_PER_CYCLE_ON_AMD)
    assert matrix_product_gain(ZEN5) == pytest.approx(matrix_product_gain(half) * MKL_FLOPS_PER_CYCLE_ON_AMD / 64)
    assert matrix_product_gain(half) == narrow_core_gain(half)


def test_a_launch_is_scalar_code_on_the_fastest_core():
    assert dispatch_slowness(HYBRID) == pytest.approx(FITTED_CLOCK_HZ / 4e9 / SCALAR_PER_CYCLE["alder-lake"])
    unheard = replace(FITTED, architecture="unheard-of", boost_clock_hz=FITTED_CLOCK_HZ / 2)
    assert dispatch_slowness(unheard) == 2.0


@pytest.mark.parametrize(
    ("cores", "steps"), [(FITTED_CORES, 1.0), (FITTED_CORES**2, 2.0), (1, 1 / math.log2(FITTED_CORES))]
)
def test_half_of_a_launch_wakes_threads_in_as_many_steps_as_their_tree_has(cores: int, steps: float):
    assert dispatch_slowness(replace(FITTED, core_count=cores)) == pytest.approx(1 - FORK_SHARE + FORK_SHARE * steps)


def test_gains_shorten_compute_and_slowness_lengthens_launches():
    table = KernelTable.from_kernels([Kernel("k", KernelClass.CONV_DENSE, ("k",), DType.F32, 10**9, 0, 1, 1)])
    ceilings = replace(ceilings_of(FITTED, Precision.FP32), core_count=1)

    def times(**changes: float) -> KernelTimes:
        return kernel_times(ideal_response(), kernel_features(table, replace(ceilings, **changes)), no_offset())

    assert times(narrow_core_gain=2.0).compute_s[0] == pytest.approx(times().compute_s[0] / 2)
    assert times(matrix_product_gain=2.0).compute_s[0] == pytest.approx(times().compute_s[0])
    assert times(dispatch_slowness=3.0).overhead_s[0] == pytest.approx(3 * times().overhead_s[0])
