"""The fit's objective is the time model, and its gradient is the slope of its loss."""

import numpy as np
import pytest

from estimator.calibration.objective import Objective, Priors
from estimator.calibration.optimise import fit_parameters, select_records
from estimator.timing.response import combined_offset, kernel_times
from tests.calibration.workloads import observations, random_parameters


@pytest.mark.parametrize("hidden", [0, 4])
def test_the_gradient_equals_finite_differences(hidden):
    objective = Objective(observations(6), Priors(hidden=hidden))
    at = random_parameters(objective)
    _, gradient = objective(at)
    step = 1e-3 if hidden else 1e-6  # the network runs in single precision
    for index in np.random.default_rng(1).choice(len(at), 60, replace=False):
        moved = np.zeros_like(at)
        moved[index] = step
        slope = (objective(at + moved)[0] - objective(at - moved)[0]) / (2 * step)
        assert gradient[index] == pytest.approx(slope, rel=2e-2 if hidden else 1e-4, abs=1e-2 if hidden else 1e-5)


@pytest.mark.parametrize("hidden", [0, 4])
def test_the_forward_pass_is_the_time_model(hidden):
    seen = observations(6)
    objective = Objective(seen, Priors(hidden=hidden))
    at = random_parameters(objective)
    response = objective.response(at, "made")
    log_predicted, _ = objective.forward(at)
    for record in range(6):
        one = select_records(seen, np.array([record])).features
        context = seen.contexts[record % 2]
        offset = combined_offset((response.contexts[context],), len(response.class_names))
        times = kernel_times(response, one, offset)
        latency_s = (times.kernel_s * one.count).sum() + times.fixed_s
        assert np.exp(log_predicted[record]) == pytest.approx(latency_s, rel=1e-5 if hidden else 1e-12)


def test_a_record_far_off_pulls_no_harder_than_one_a_little_off():
    seen = observations(1)
    objective = Objective(seen, Priors(hidden=0))
    start = objective.blocks.start(objective.priors)
    log_predicted, _ = objective.forward(start)
    pulls = []
    for distance in (0.1, 10.0):
        seen.log_measured[0] = log_predicted[0] + distance
        pulls.append(objective(start)[1])
    np.testing.assert_allclose(pulls[0], pulls[1], atol=1e-9)


def test_selecting_records_keeps_their_kernels_in_order():
    seen = observations(5)
    chosen = select_records(seen, np.array([3, 1]))
    assert chosen.record_index.tolist() == sorted(chosen.record_index.tolist())
    np.testing.assert_array_equal(
        chosen.features.matrix[chosen.record_index == 0], seen.features.matrix[seen.record_index == 3]
    )


def test_a_fit_is_the_same_to_the_bit_when_it_is_repeated():
    priors = Priors(hidden=3)
    first, second = (fit_parameters(observations(20), priors, epochs=2)[1] for _ in range(2))
    np.testing.assert_array_equal(first, second)
