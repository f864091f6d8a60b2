"""Correct a prediction by what was measured on networks of like composition.

A Gaussian-process mean: log factor = Σ_i w_i · exp(−|x − a_i|² ÷ 2ℓ²) over the anchors a_i (the compositions of
the records that were fitted). Far from every anchor the factor fades to 1, and `similarity` to 0, which widens
the interval. Source: Rasmussen & Williams (2006), eq. 2.25; its gain on held-out networks: docs/adr/0007-time-model.md.
"""

from __future__ import annotations

import numpy as np

from estimator.catalogue.calibration import FloatArray, Residual


def kernel_matrix(left: FloatArray, right: FloatArray, length: float) -> FloatArray:
    """Squared-exponential similarities [left, right], in (0, 1].

    Rows of `left` have the same bits however many there are (`einsum`: a BLAS product's depend on that).
    """
    products = np.einsum("lf,rf->lr", left, right)
    squared = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1)[None, :] - 2.0 * products
    similarity: FloatArray = np.exp(-np.maximum(squared, 0.0) / (2.0 * length**2))
    return similarity


def residual_log_factors(residual: Residual, composition: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Log time factor and similarity to the nearest anchor of every composition [record, feature]."""
    similarity = kernel_matrix(composition, residual.anchors, residual.length)
    return np.einsum("ra,a->r", similarity, residual.weights), similarity.max(axis=1)
