from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from estimator.calibration.residual_fit import fit_residual
from estimator.lowering.kernel import KernelTable
from estimator.timing.composition import compositions
from estimator.timing.features import kernel_features
from estimator.timing.residual import kernel_matrix, residual_log_factors
from estimator.timing.response import kernel_times
from tests.timing.coefficients import CEILINGS, ideal_response, no_offset, product

ANCHORS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
MEASURED = np.array([0.1, -0.2, 0.05])


def test_similarity_at_one_length_is_exp_of_minus_a_half():
    assert kernel_matrix(ANCHORS[:1], ANCHORS[1:2], 1.0)[0, 0] == pytest.approx(math.exp(-0.5))


def test_far_from_every_anchor_nothing_is_corrected():
    residual = fit_residual(ANCHORS, MEASURED, length=0.3, noise=0.05)
    log_factor, similarity = residual_log_factors(residual, np.array([[50.0, 50.0]]))
    assert (log_factor[0], similarity[0]) == (0.0, 0.0)


def test_on_an_anchor_the_measured_residual_comes_back_but_for_the_noise():
    exact = fit_residual(ANCHORS, MEASURED, length=0.3, noise=1e-9)
    log_factor, similarity = residual_log_factors(exact, ANCHORS)
    assert log_factor == pytest.approx(MEASURED, abs=1e-6)
    assert similarity == pytest.approx(1.0)
    alone = fit_residual(ANCHORS[:1], MEASURED[:1], length=0.3, noise=0.25)
    assert residual_log_factors(alone, ANCHORS[:1])[0][0] == pytest.approx(0.1 / 1.25)  # shrunk by 1 + noise


def test_a_network_has_the_same_composition_whatever_the_cache_of_the_device():
    table = KernelTable.from_kernels([product(1500, 20), product(0, 400)])

    def composition(cache_bytes: float) -> np.ndarray:
        features = kernel_features(table, replace(CEILINGS, cache_bytes=cache_bytes))
        times = kernel_times(ideal_response(), features, no_offset())
        return compositions(features, times, np.zeros(2, dtype=np.int64), 1)

    assert composition(2.0**22) == pytest.approx(composition(2.0**27))
