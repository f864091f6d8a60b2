from __future__ import annotations

import math
from dataclasses import replace

import pytest

from estimator.timing.features import DEVICE_RELATIVE, FEATURE_NAMES, NETWORK_FEATURES
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


def test_a_network_sees_neither_ridge_nor_cache_nor_cores():
    assert set(FEATURE_NAMES) - set(NETWORK_FEATURES) == DEVICE_RELATIVE
    assert set(DEVICE_RELATIVE) == {"log2_intensity_over_ridge", "log2_cache_over_bytes", "wave_fill", "log2_waves"}
    features = features_of(product(1000, 8, k=64))
    assert features.columns(("log2_bytes", "log2_k")).tolist() == [[math.log2(8), math.log2(64)]]
