from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.catalogue.calibration import Residual, Spread
from estimator.lowering.kernel import KernelTable
from estimator.timing.coefficients import Coefficients
from estimator.timing.composition import COMPOSITION_SIZE
from estimator.timing.features import kernel_features
from estimator.timing.latency import REPEAT_LOG, SLOW_HOST_LOG, spread_at, time_network
from tests.timing.coefficients import CEILINGS, FIXED_S, LAUNCH_S, features_of, ideal_response, no_offset, product

NEAR = Spread(-0.1, 0.1, 0.05, 100)
FAR = Spread(-0.3, 0.5, 0.2, 100)
COEFFICIENTS = Coefficients(
    replace(ideal_response(), spreads={"novel": FAR}), no_offset(), "calibrated", NEAR, 100, "hand"
)
similarities = st.floats(0.0, 1.0)


def test_networks_like_those_measured_have_the_near_spread_and_others_the_far_one():
    near, far = spread_at(COEFFICIENTS, 1.0), spread_at(COEFFICIENTS, 0.0)
    assert (near.log_p10, near.log_p90) == (NEAR.log_p10, NEAR.log_p90)
    assert (far.log_p10, far.log_p90) == pytest.approx((FAR.log_p10, FAR.log_p90))


@given(similarities, similarities)
def test_the_less_alike_a_network_is_the_wider_its_interval(first, second):
    alike, strange = (spread_at(COEFFICIENTS, s) for s in (max(first, second), min(first, second)))
    assert strange.log_p10 <= alike.log_p10
    assert strange.log_p90 >= alike.log_p90


def test_no_interval_is_narrower_than_a_measurement_repeats():
    exact = replace(COEFFICIENTS, spread=Spread(0.0, 0.001, 0.05, 100))
    spread = spread_at(exact, 1.0)
    assert (spread.log_p10, spread.log_p90) == (-REPEAT_LOG, REPEAT_LOG)


def test_kernels_launches_and_the_fixed_cost_add_up_to_the_latency():
    latency = time_network(features_of(product(1500, 0), product(3000, 0)), COEFFICIENTS)
    assert latency.latency_s == pytest.approx(3.0 + 6.0 + 2 * LAUNCH_S + FIXED_S)
    assert latency.similarity is None


def test_an_efficiency_above_one_stops_at_the_highest_clock():
    response = COEFFICIENTS.response
    tenfold = replace(response, log_compute_efficiency=response.log_compute_efficiency + np.log(10.0))
    latency = time_network(features_of(product(1500, 0)), replace(COEFFICIENTS, response=tenfold))
    assert latency.kernels.body_s[0] == 2 * 1500 / 1250


def test_what_a_kernel_waits_for_is_overhead():
    """6 s of a serial chain of accesses, 3 s of which the arithmetic fills."""
    waiting = replace(product(1500, 0), serial_steps=int(6 / 200e-9))
    latency = time_network(features_of(waiting), COEFFICIENTS)
    assert latency.kernels.body_s[0] == pytest.approx(3.0)
    assert latency.kernels.overhead_s[0] == pytest.approx(3.0 + LAUNCH_S)
    assert latency.latency_s == pytest.approx(6.0 + LAUNCH_S + FIXED_S)


def test_a_correction_scales_every_time_alike():
    features = features_of(product(1500, 0))
    plain = time_network(features, COEFFICIENTS)
    everywhere = Residual(np.zeros((1, COMPOSITION_SIZE)), np.array([np.log(2.0)]), length=1e6)
    doubled = time_network(
        features, replace(COEFFICIENTS, response=replace(COEFFICIENTS.response, residual=everywhere))
    )
    assert doubled.latency_s == pytest.approx(2 * plain.latency_s)
    assert doubled.similarity == pytest.approx(1.0)


def test_a_device_waits_for_a_host_that_queues_more_slowly():
    """Two kernels of 3 and 6 s with a launch each; the host takes 1 s or 10 s for each of them."""
    kernels = KernelTable.from_kernels([product(1500, 0), product(3000, 0)])
    alone = 3.0 + 6.0 + 2 * LAUNCH_S + FIXED_S
    fast, slow = (
        time_network(kernel_features(kernels, replace(CEILINGS, dispatch_s=seconds)), COEFFICIENTS)
        for seconds in (1.0, 10.0)
    )
    assert (fast.latency_s, fast.waits_for_host, fast.spread.log_p90) == (pytest.approx(alone), False, NEAR.log_p90)
    assert (slow.latency_s, slow.waits_for_host, slow.spread.log_p90) == (2 * 10.0, True, SLOW_HOST_LOG)
    assert slow.kernels.overhead_s == pytest.approx([LAUNCH_S + (20.0 - alone) / 2] * 2)
    assert slow.kernels.kernel_s.sum() + slow.kernels.fixed_s == pytest.approx(slow.latency_s)
