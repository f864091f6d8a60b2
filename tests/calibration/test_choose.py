import numpy as np
import pytest

from estimator.calibration.choose import most_telling, suggest
from estimator.catalogue.loader import load_device
from estimator.engine import EstimateOptions, Site, estimate, site_of
from estimator.errors import CalibrationError
from estimator.frontends.select import load_graph
from estimator.ir.graph import Graph


@pytest.fixture
def site() -> Site:
    return site_of(*load_device("i7-12700h"), EstimateOptions(runtime="torch-compile"))


@pytest.fixture
def candidates() -> dict[str, Graph]:
    shapes = {"kernel:conv3x3-64": "1x64x56x56", "kernel:linear-4096": "1x4096", "kernel:softmax": "4096x4096"}
    return {model: load_graph(model, input_shapes=[shape]) for model, shape in shapes.items()}


def test_the_one_that_others_move_with_is_measured_first():
    covariance = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.8], [0.0, 0.8, 1.0]])
    # measuring 1 takes 1² ÷ (1 + 0.25) off itself and 0.8² ÷ 1.25 off its neighbour; measuring 0 takes 0.8 off itself
    assert most_telling(covariance, np.array([0, 1]), 1, noise=0.5).tolist() == [1]


def test_what_is_known_already_is_not_measured_again():
    covariance = np.array([[1.0, 0.0, 0.0], [0.0, 4.0, 4.0], [0.0, 4.0, 4.0]])
    # after 1, its twin 2 has 4 − 4² ÷ 4.25 = 0.24 left, 0 still all of its 1
    assert most_telling(covariance, np.arange(3), 2, noise=0.5).tolist() == [1, 0]


def test_no_more_are_chosen_than_can_be_measured():
    assert sorted(most_telling(np.eye(3), np.array([2, 0]), 10, noise=0.1).tolist()) == [0, 2]


def test_each_measurement_leaves_less_to_be_wrong_about(candidates, site):
    before, suggestions = suggest(candidates, site, 3)
    left = [before, *(one.left for one in suggestions)]
    assert left == sorted(left, reverse=True)
    assert {one.model for one in suggestions} == set(candidates)


def test_a_suggestion_has_the_latency_that_an_estimate_prints(candidates, site):
    _, (first, *_) = suggest(candidates, site, 1)
    printed = estimate(candidates[first.model], site.device, site.unit, EstimateOptions(runtime="torch-compile"))
    assert first.latency_s == pytest.approx(printed.latency.p50_s, rel=1e-6)


def test_without_candidates_there_is_nothing_to_choose(site):
    with pytest.raises(CalibrationError, match="no model to choose from"):
        suggest({}, site, 3)
