from __future__ import annotations

import math
from dataclasses import replace

import pytest

from estimator.timing.response import combined_offset, kernel_times
from tests.timing.coefficients import CLASSES, FIXED_S, LAUNCH_S, features_of, ideal_response, no_offset, product


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
