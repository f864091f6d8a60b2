"""Intervals made from held-out errors: they cover what they say, and widen with novelty."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.calibration.intervals import HeldOutErrors, fit_spreads, inside_when_left_out, near_spread
from estimator.catalogue.calibration import Spread


def errors(log_error, novelty=None, weight=None):
    e = np.asarray(log_error, dtype=float)
    return HeldOutErrors(
        e,
        np.zeros(len(e)) if novelty is None else np.asarray(novelty, dtype=float),
        np.ones(len(e)) if weight is None else np.asarray(weight, dtype=float),
    )


def test_without_novelty_the_bounds_are_the_quantiles():
    made = fit_spreads(errors(np.linspace(-0.5, 0.5, 101)), ["gpu"] * 101)
    assert made.whole.log_p10 == pytest.approx(-0.4, abs=0.01)
    assert made.whole.log_p90 == pytest.approx(0.4, abs=0.01)
    assert made.near["gpu"].log_p90 == pytest.approx(0.4, abs=0.01)


def test_errors_that_grow_with_novelty_make_a_line():
    """Half of the networks are known (±0.1), half are new (±0.4): p90 of evenly spread errors is 0.8 of the end."""
    known, new = np.linspace(-0.1, 0.1, 201), np.linspace(-0.4, 0.4, 201)
    made = fit_spreads(errors([*known, *new], [0] * 201 + [1] * 201), ["a"] * 402)
    assert made.whole.log_p90 == pytest.approx(0.08, abs=0.005)
    assert made.far.log_p90 == pytest.approx(0.32, abs=0.005)
    assert made.far.log_p10 == pytest.approx(-0.32, abs=0.005)


def test_an_interval_never_narrows_with_novelty():
    made = fit_spreads(errors([*np.linspace(-0.4, 0.4, 99), *np.zeros(99)], [0] * 99 + [1] * 99), ["a"] * 198)
    assert made.far.log_p90 >= made.whole.log_p90
    assert made.far.log_p10 <= made.whole.log_p10


def test_a_weight_of_two_counts_as_two_errors():
    e = [-0.3, -0.1, 0.0, 0.1, 0.25]
    weighted = near_spread(errors(e, weight=[1, 1, 1, 1, 2]), Spread(0.0, 0.0, 0.0, 0))
    doubled = near_spread(errors([*e, 0.25]), Spread(0.0, 0.0, 0.0, 0))
    assert (weighted.log_p10, weighted.log_p90) == pytest.approx((doubled.log_p10, doubled.log_p90))


def test_a_noisy_device_gets_a_wider_interval_than_a_quiet_one():
    e = [*np.linspace(-0.1, 0.1, 200), *np.linspace(-0.3, 0.3, 200)]
    made = fit_spreads(errors(e), ["quiet"] * 200 + ["noisy"] * 200)
    assert made.near["noisy"].log_p90 > 2 * made.near["quiet"].log_p90


def test_errors_on_unlike_networks_do_not_turn_the_interval_of_like_ones_around():
    """All of a device's errors are −0.5 at novelty 0.9, far below a domain's p90 of 0.4 there."""
    near = near_spread(errors([-0.5] * 5, [0.9] * 5), Spread(-0.4, 0.4, 0.1, 100))
    assert near.log_p10 < 0 <= near.log_p90


def test_no_errors_make_no_interval():
    with pytest.raises(ValueError, match="needs errors"):
        fit_spreads(errors([]), [])


@given(st.integers(0, 1000))
def test_unseen_errors_are_covered_as_often_as_promised(seed):
    generator = np.random.default_rng(seed)
    novelty = generator.uniform(0, 1, 600)
    e = generator.normal(0, 0.05 + 0.2 * novelty)
    inside = inside_when_left_out(errors(e, novelty), ["a"] * 600, np.arange(600) % 5)
    assert 0.72 < inside.mean() < 0.88  # 80 % ± five standard errors of a share of 600
