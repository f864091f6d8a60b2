"""A handful of measurements finds a linear device, through outliers and wrong hypotheses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from estimator.calibration.few_shot import choose_measurements, fit_few, rank_prior
from estimator.errors import CalibrationError

DEVICES = np.array([[1.0, 0.2, 3.0], [2.0, 0.1, 5.0], [0.5, 0.4, 1.5]])


@pytest.fixture
def pool() -> np.ndarray:
    return np.column_stack([np.ones(200), np.random.default_rng(0).integers(0, 7, (200, 2))]).astype(float)


@pytest.fixture
def prior(pool):
    return rank_prior({"linear": pool}, [pool @ c for c in DEVICES])


def test_without_measurements_the_mean_device_ranks(pool, prior):
    fit = fit_few(prior, {"linear": pool[:0]}, np.array([]))
    mean = np.mean([c / (pool @ c).mean() for c in DEVICES], axis=0)
    assert spearmanr(fit.predict({"linear": pool}), pool @ mean).statistic == pytest.approx(1.0)


def test_exact_measurements_of_a_new_device_are_reproduced(pool, prior):
    truth = pool @ np.array([7.0, 1.0, 20.0])
    rows = list(choose_measurements(prior, {"linear": pool}, 5))
    predicted = fit_few(prior, {"linear": pool[rows]}, truth[rows]).predict({"linear": pool})
    assert np.median(np.abs(predicted / truth - 1)) < 0.05


@given(st.floats(1e-3, 1e3))
@settings(max_examples=20, deadline=None)
def test_the_unit_of_measurement_does_not_matter(scale):
    pool = np.column_stack([np.ones(60), np.random.default_rng(1).integers(0, 7, (60, 2))]).astype(float)
    prior = rank_prior({"linear": pool}, [pool @ c for c in DEVICES])
    latency = pool[:8] @ np.array([3.0, 0.3, 9.0])
    one = fit_few(prior, {"linear": pool[:8]}, latency).predict({"linear": pool})
    other = fit_few(prior, {"linear": pool[:8]}, scale * latency).predict({"linear": pool})
    np.testing.assert_allclose(other, scale * one, rtol=1e-4)


def test_one_wild_measurement_among_ten_does_not_spoil_the_ranking(pool, prior):
    truth = pool @ np.array([2.0, 0.3, 6.0])
    latency = truth[:10].copy()
    latency[3] *= 12
    predicted = fit_few(prior, {"linear": pool[:10]}, latency).predict({"linear": pool})
    assert spearmanr(predicted, truth).statistic > 0.98


def test_measurements_weigh_the_hypotheses(pool, prior):
    halved = pool.copy()
    halved[::2, 1:] = 0
    features = {"as written": pool, "every other network is empty": halved}
    truth = halved @ np.array([2.0, 0.3, 6.0])
    rows = list(choose_measurements(prior, features, 6))
    fit = fit_few(prior, {n: x[rows] for n, x in features.items()}, truth[rows])
    assert fit.most_likely.name == "every other network is empty"
    assert sum(h.weight for h in fit.hypotheses) == pytest.approx(1.0)


def test_coefficients_are_never_negative(pool, prior):
    latency = 10.0 - pool[:6, 2]
    fit = fit_few(prior, {"linear": pool[:6]}, latency)
    assert (fit.most_likely.coefficients >= 0).all()


def test_chosen_networks_are_distinct_and_no_more_than_there_are(pool, prior):
    few = {"linear": pool[:4]}
    assert sorted(choose_measurements(prior, few, 9)) == [0, 1, 2, 3]


@pytest.mark.parametrize("latency", [0.0, -1.0, np.nan, np.inf])
def test_an_impossible_latency_is_refused(pool, prior, latency):
    with pytest.raises(CalibrationError, match="positive"):
        fit_few(prior, {"linear": pool[:2]}, np.array([1.0, latency]))


def test_a_prior_needs_known_devices_with_enough_records(pool):
    with pytest.raises(CalibrationError, match="at least one"):
        rank_prior({"linear": pool}, [])
    with pytest.raises(CalibrationError, match="2 measurements for 3 coefficients"):
        rank_prior({"linear": pool[:2]}, [np.array([1.0, 2.0])])
