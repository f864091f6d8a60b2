from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from estimator.lowering.kernel import KernelTable
from estimator.timing.features import kernel_features
from estimator.timing.response import cache_hit, combined_offset, kernel_times
from tests.timing.coefficients import (
    CEILINGS,
    CLASSES,
    FIXED_S,
    LAUNCH_S,
    features_of,
    ideal_response,
    no_offset,
    product,
)


def test_with_all_efficiencies_one_the_body_is_the_smooth_maximum_of_the_two_rooflines():
    times = kernel_times(ideal_response(), features_of(product(1500, 20)), no_offset())
    compute, memory = 2 * 1500 / 1000, 20 / 10
    assert times.compute_s[0] == pytest.approx(compute)
    assert times.memory_s[0] == pytest.approx(memory)
    assert times.body_s[0] == pytest.approx((compute**3 + memory**3) ** (1 / 3))
    assert (times.overhead_s[0], times.fixed_s) == pytest.approx((LAUNCH_S, FIXED_S))


def test_a_half_extent_halves_the_rate_of_a_product_of_that_length():
    response = ideal_response()
    halved = replace(response, log_k_half=response.log_k_half * 0 + math.log(128))
    features = features_of(product(1500, 0, k=128))
    assert kernel_times(halved, features, no_offset()).compute_s[0] == pytest.approx(
        2 * kernel_times(response, features, no_offset()).compute_s[0]
    )


def test_a_core_of_four_times_the_rate_needs_twice_the_length_for_half_of_it():
    """Which no product pays for by more than the rate: at worst √ρ in k times √ρ in n."""
    halved = replace(ideal_response(), log_k_half=ideal_response().log_k_half * 0 + math.log(128))
    slow, fast = (
        kernel_features(KernelTable.from_kernels([product(1500, 0, k=128)]), replace(CEILINGS, core_rate=rate))
        for rate in (1.0, 4.0)
    )
    slow_s, fast_s = (kernel_times(halved, features, no_offset()).compute_s[0] for features in (slow, fast))
    assert fast_s / slow_s == pytest.approx((128 + 2 * 128) / (128 + 128))


def test_an_offset_scales_rates_and_overheads_by_its_exponential():
    offset = replace(no_offset(), compute=math.log(2), overhead=math.log(3), fixed=math.log(5))
    times = kernel_times(ideal_response(), features_of(product(1500, 0)), offset)
    assert times.compute_s[0] == pytest.approx(2 * 1500 / 1000 / 2)
    assert times.overhead_s[0] == pytest.approx(3 * LAUNCH_S)
    assert times.fixed_s == pytest.approx(5 * FIXED_S)


def test_contexts_add_up_and_none_is_zero():
    part = replace(no_offset(), compute=0.1, memory=0.2)
    assert combined_offset((part, part), CLASSES).compute == pytest.approx(0.2)
    assert not combined_offset((), CLASSES).vector().any()


def test_a_stream_of_three_times_the_cache_finds_a_quarter_of_itself_there():
    thrice = features_of(product(1500, 3 * int(CEILINGS.cache_bytes)))
    assert cache_hit(thrice, 1.0)[0] == pytest.approx(1 / (1 + 3))
    assert cache_hit(thrice, 2.0)[0] == pytest.approx(1 / (1 + 9))


def test_a_full_gain_on_that_quarter_shortens_the_memory_time():
    thrice = features_of(product(0, 3 * int(CEILINGS.cache_bytes)))
    cached = replace(ideal_response(), cache_gain=2.0, cache_exponent=1.0)
    plain = kernel_times(ideal_response(), thrice, no_offset()).memory_s[0]
    assert kernel_times(cached, thrice, no_offset()).memory_s[0] == pytest.approx(plain / (1 + 2.0 / 4))


def test_passes_over_weights_make_a_kernel_memory_bound():
    """3 s of arithmetic, none of traffic; 4 s of weights at 10 bytes a second."""
    response = replace(ideal_response(), log_weight_cost=np.zeros(CLASSES))
    light, heavy = (
        kernel_times(response, features_of(product(1500, 0, weights=weights)), no_offset()) for weights in (10, 40)
    )
    assert (light.weights_s[0], heavy.weights_s[0]) == pytest.approx((1.0, 4.0))
    assert light.compute_bound[0]
    assert not heavy.compute_bound[0]
