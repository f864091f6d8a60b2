from __future__ import annotations

import math
from dataclasses import replace

import pytest

from estimator.lowering.kernel import Kernel, KernelClass, KernelTable
from estimator.timing.features import (
    DEVICE_RELATIVE,
    FEATURE_NAMES,
    MEMORY_LATENCY_S,
    NETWORK_FEATURES,
    kernel_features,
)
from estimator.timing.roofline import Ceilings
from tests.timing.coefficients import CEILINGS, features_of, product


def feature(name: str, **extents: int) -> float:
    return float(features_of(product(1000, 8, **extents)).matrix[0, FEATURE_NAMES.index(name)])


def test_a_tile_that_one_column_overflows_is_half_empty():
    assert feature("n_fill_128", n=128) == 0.0
    assert feature("n_fill_128", n=129) == pytest.approx(math.log2(129 / 256))


def test_five_tiles_on_four_cores_fill_two_waves_to_five_eighths():
    assert CEILINGS.core_count == 4
    assert feature("wave_fill", m=5 * 128, n=128) == 5 / 8
    assert feature("log2_waves", m=5 * 128, n=128) == pytest.approx(math.log2(5 / 4))


def test_an_extent_that_eight_does_not_divide_is_unaligned():
    assert features_of(product(1000, 8, n=128)).unaligned[0] == 0
    assert features_of(product(1000, 8, n=127)).unaligned[0] == 1


def test_the_floor_is_flops_over_the_ceiling_at_the_highest_clock():
    assert features_of(product(1000, 8)).floor_s[0] == 2 * 1000 / 1250


def test_accesses_that_wait_for_each_other_take_their_latency_one_by_one():
    waiting = replace(product(0, 8), serial_steps=1_000_000)
    assert features_of(waiting).floor_s[0] == pytest.approx(1_000_000 * 200e-9)


GPU = replace(CEILINGS, shortest_kernel_s=2e-6, fastest_flops_per_s=1e15)


def floor_s(kernel: Kernel, ceilings: Ceilings) -> float:
    return float(kernel_features(KernelTable.from_kernels([kernel]), ceilings).floor_s[0])


def test_a_product_waits_for_memory_once_every_256_steps():
    assert floor_s(product(1000, 8, k=257), GPU) == pytest.approx(2e-6 + 2 * MEMORY_LATENCY_S)
    assert floor_s(replace(product(1000, 8), kernel_class=KernelClass.POINTWISE), GPU) == pytest.approx(2e-6)


def test_what_exceeds_the_last_cache_comes_from_dram():
    cache, weights = int(CEILINGS.cache_bytes), 500
    moved = cache + 1000
    assert floor_s(product(0, moved), replace(CEILINGS, spilt_share=1.0)) == pytest.approx(1000 / 10)
    assert floor_s(product(0, moved), CEILINGS) == 0.0
    streamed = replace(CEILINGS, spilt_share=1.0, streams_weights=True)
    assert floor_s(product(0, moved, weights=weights), streamed) == pytest.approx(500 / 10)


def test_where_weights_are_kept_the_rest_spills_to_dram():
    kept = replace(CEILINGS, spilt_share=0.5, weight_bandwidth_bytes_per_s=1.0)
    assert floor_s(product(0, int(CEILINGS.cache_bytes) + 1000), kept) == pytest.approx(1000 / 2 / 1.0)


def test_a_library_that_changes_the_layout_is_called_once():
    copy, loop = (
        replace(product(0, 8), kernel_class=kernel_class) for kernel_class in (KernelClass.LAYOUT, KernelClass.COPY)
    )
    table = KernelTable.from_kernels([copy, loop])
    assert kernel_features(table, replace(CEILINGS, dispatch_s=15e-6)).dispatch_s.tolist() == [0.0, 15e-6]


def test_a_network_sees_neither_ridge_nor_cache_nor_cores():
    assert set(FEATURE_NAMES) - set(NETWORK_FEATURES) == DEVICE_RELATIVE
    assert set(DEVICE_RELATIVE) == {"log2_intensity_over_ridge", "log2_cache_over_bytes", "wave_fill", "log2_waves"}
    features = features_of(product(1000, 8, k=64))
    assert features.columns(("log2_bytes", "log2_k")).tolist() == [[math.log2(8), math.log2(64)]]
