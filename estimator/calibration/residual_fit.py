"""Fit the correction by networks of like composition: a Gaussian-process mean over what the response leaves."""

from __future__ import annotations

from dataclasses import fields
from typing import Final

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from estimator.calibration.objective import Observations
from estimator.catalogue.calibration import ContextOffset, FloatArray, Residual, Response
from estimator.timing.composition import compositions
from estimator.timing.residual import kernel_matrix
from estimator.timing.response import KernelTimes, combined_offset, kernel_times

LENGTH: Final = 0.3
"""Distance in composition at which networks stop telling about each other; chosen on held-out models and families."""
NOISE: Final = 0.05
"""Variance of a record's own residual ÷ variance of the correction."""
CLIP_LOG: Final = 0.5
"""A residual beyond this is an outlier and pulls no further."""


def record_compositions(response: Response, observations: Observations) -> FloatArray:
    """Composition of every record, each timed in its own contexts [record, composition]."""
    features, count = observations.features, len(observations.log_measured)
    columns = {f.name: np.zeros(len(features)) for f in fields(KernelTimes) if f.name != "fixed_s"}
    combinations, which = np.unique(observations.membership, axis=0, return_inverse=True)
    which = which.ravel()
    for index, membership in enumerate(combinations):
        offset = combined_offset(_offsets(response, observations, membership), len(response.class_names))
        times = kernel_times(response, features, offset)
        rows = (which == index)[observations.record_index]
        for name, column in columns.items():
            column[rows] = getattr(times, name)[rows]
    return compositions(features, KernelTimes(**columns, fixed_s=0.0), observations.record_index, count)


def _offsets(response: Response, observations: Observations, membership: FloatArray) -> tuple[ContextOffset, ...]:
    return tuple(
        response.contexts[name].scaled(float(member))
        for name, member in zip(observations.contexts, membership, strict=True)
        if member
    )


def fit_residual(
    composition: FloatArray, log_residuals: FloatArray, *, length: float = LENGTH, noise: float = NOISE
) -> Residual:
    """Solve for the anchors' weights.

    Parameters
    ----------
    composition : array [record, composition]
        Of the fitted records.
    log_residuals : array [record]
        log measured − log predicted.
    """
    rounded = np.round(composition, 4)
    covariance = kernel_matrix(rounded, rounded, length) + noise * np.eye(len(rounded))
    weights = cho_solve(cho_factor(covariance), np.clip(log_residuals, -CLIP_LOG, CLIP_LOG))
    return Residual(rounded, weights, length)
