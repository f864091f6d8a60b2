"""Which networks to measure on a new device: those whose times tell most about all the others'."""

from __future__ import annotations

import numpy as np

from estimator.catalogue.calibration import FloatArray
from estimator.lowering.kernel import IntArray


def most_telling(covariance: FloatArray, candidates: IntArray, count: int, noise: float) -> IntArray:
    """Choose, one after another, what leaves least variance in everything.

    Greedy A-optimal design: measuring j takes cov(i, j)² ÷ (cov(j, j) + noise²) off the variance of every i; what is
    left is conditioned on j before the next choice. Source: Krause, Singh, Guestrin (2008), JMLR 9, section 3.

    Parameters
    ----------
    covariance : array [network, network]
        Prior covariance of log departures from what the family says.
    candidates : array
        Indices of networks that can be measured; all of them count among those to be predicted.
    noise : float
        Standard deviation of one measurement.

    Returns
    -------
    array [count]
        In order of choice; fewer where there are fewer candidates.
    """
    left = covariance.copy()
    chosen: list[int] = []
    open_to_choice = [int(index) for index in candidates]
    for _ in range(min(count, len(open_to_choice))):
        columns = left[:, open_to_choice]
        gain = (columns**2).sum(axis=0) / (left[open_to_choice, open_to_choice] + noise**2)
        best = open_to_choice.pop(int(np.argmax(gain)))
        chosen.append(best)
        left = left - np.outer(left[:, best], left[:, best]) / (left[best, best] + noise**2)
    return np.array(chosen, dtype=np.int64)
