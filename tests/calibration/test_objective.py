"""The fit's objective: it predicts what the time model does, and its gradient is the slope of its loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from estimator.calibration.objective import Blocks, Objective, Observations, Priors, concatenate_features
from estimator.lowering.kernel import CLASS_INDEX, KernelClass
from estimator.timing.response import combined_offset, kernel_times
from tests.timing.coefficients import features_of, product

PARTS = [
    features_of(product(1500, 20, n=130), product(300, 400, k=16, weights=64)),
    features_of(product(9000, 10, m=640)),
    features_of(product(500, 100, n=7), product(2500, 50), product(100, 4000)),
]
RECORD_INDEX = np.repeat(np.arange(len(PARTS)), [len(part) for part in PARTS])
MEMBERSHIP = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
OBSERVATIONS = Observations(
    concatenate_features(PARTS), RECORD_INDEX, np.log([2.0, 20.0, 400.0]), ("device:a", "precision:fp16"), MEMBERSHIP
)


def objective_and_point(hidden: int) -> tuple[Objective, np.ndarray]:
    objective = Objective(OBSERVATIONS, replace(Priors(), hidden=hidden, launch_s=0.1, fixed_s=0.1))
    start = objective.blocks.start(objective.priors)
    return objective, start + np.random.default_rng(3).normal(0.0, 0.1, len(start))


@pytest.mark.parametrize("hidden", [0, 4])
def test_it_predicts_what_the_fitted_response_predicts(hidden):
    objective, point = objective_and_point(hidden)
    log_predicted, _ = objective.forward(point)
    response = objective.response(point, "fitted")
    for index, part in enumerate(PARTS):
        members = [c for c, member in zip(OBSERVATIONS.contexts, MEMBERSHIP[index], strict=True) if member]
        offset = combined_offset(tuple(response.contexts[c] for c in members), len(response.class_names))
        times = kernel_times(response, part, offset)
        latency_s = float((times.kernel_s * part.count).sum()) + times.fixed_s
        assert np.exp(log_predicted[index]) == pytest.approx(
            latency_s, rel=1e-5
        )  # the fit's network is single precision


@pytest.mark.parametrize("under_floor", [True, False])
def test_weights_and_body_together_keep_to_the_floor(under_floor):
    part = features_of(product(10_000, 1, weights=1))
    floor_s = 2 * 10_000 / 1250
    observations = Observations(
        part, np.array([0]), np.log([20.0]), ("device:a", "precision:fp16"), np.array([[0.0, 0.0]])
    )
    priors = replace(
        Priors(), hidden=0, compute_efficiency_prior=1e6, weight_cost_prior=10.0, launch_s=1.0, fixed_s=2.0,
        fits_under_floor=under_floor,
    )  # fmt: skip
    objective = Objective(observations, priors)
    weights_s = 10.0 * 1 / 10
    log_predicted, _ = objective.forward(objective.blocks.prior_mean)
    seconds = np.exp(log_predicted[0]) - 1.0 - 2.0
    if under_floor:
        assert seconds == pytest.approx(floor_s)
    else:
        assert weights_s < seconds < floor_s


def test_the_gradient_is_the_slope_of_the_loss():
    objective, point = objective_and_point(0)
    _, gradient = objective(point)
    step = 1e-6
    for index in np.flatnonzero(np.abs(gradient) > 1e-3):
        shift = np.zeros_like(point)
        shift[index] = step
        slope = (objective(point + shift)[0] - objective(point - shift)[0]) / (2 * step)
        assert slope == pytest.approx(gradient[index], rel=1e-4, abs=1e-6)


def test_the_networks_gradient_is_the_slope_of_the_loss():
    objective, point = objective_and_point(4)
    _, gradient = objective(point)
    step = 1e-3  # the network runs in single precision
    output = objective.blocks.slices["output"][0]
    for index in range(output.start, output.stop):
        shift = np.zeros_like(point)
        shift[index] = step
        slope = (objective(point + shift)[0] - objective(point - shift)[0]) / (2 * step)
        assert slope == pytest.approx(gradient[index], rel=1e-2, abs=1e-3)


def test_priors_of_single_classes():
    priors = replace(
        Priors(),
        hidden=0,
        launch_by_class=0.5,
        memory_efficiency_priors=((KernelClass.TRANSPOSE, 0.1),),
        tensor_efficiency=0.4,
    )
    blocks = Blocks((), priors)
    mean, deviation = blocks.view(blocks.prior_mean), blocks.view(blocks.prior_sigma)
    transpose, pool = CLASS_INDEX[KernelClass.TRANSPOSE], CLASS_INDEX[KernelClass.POOL]
    assert np.exp(mean["memory_efficiency"][transpose]) == pytest.approx(0.1)
    assert np.exp(mean["memory_efficiency"][pool]) == pytest.approx(priors.memory_efficiency_prior)
    dense, depthwise = CLASS_INDEX[KernelClass.CONV_DENSE], CLASS_INDEX[KernelClass.CONV_DEPTHWISE]
    assert deviation["compute_efficiency"][dense] == 0.4
    assert deviation["compute_efficiency"][depthwise] == priors.efficiency
    assert np.exp(mean["compute_efficiency"][dense]) == pytest.approx(priors.tensor_efficiency_prior)
