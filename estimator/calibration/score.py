"""How far predictions are from measurements, in the figures that every accuracy table here uses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from estimator.catalogue.calibration import FloatArray, Spread


@dataclass(frozen=True, slots=True)
class Score:
    """Error figures of one set of predictions; all are fractions. None where too few records define it.

    Attributes
    ----------
    median_ape, p90_ape, mape : float or None
        Median, 90th percentile and mean of |predicted ÷ measured − 1|.
    within_10, within_20 : float or None
        Share of records with an absolute error of at most 10 and 20 %.
    bias : float or None
        Median of predicted ÷ measured − 1: negative is too fast.
    spearman : float or None
        Rank correlation; None for fewer than three records or constant values.
    """

    median_ape: float | None = None
    p90_ape: float | None = None
    mape: float | None = None
    within_10: float | None = None
    within_20: float | None = None
    bias: float | None = None
    spearman: float | None = None


def score(predicted: FloatArray, measured: FloatArray) -> Score:
    """Compare arrays [record] in the same unit; measured values are positive."""
    if not len(measured):
        return Score()
    error = predicted / measured - 1
    ape = np.abs(error)
    return Score(
        median_ape=float(np.median(ape)),
        p90_ape=float(np.quantile(ape, 0.9)),
        mape=float(ape.mean()),
        within_10=float(np.mean(ape <= 0.10)),
        within_20=float(np.mean(ape <= 0.20)),
        bias=float(np.median(error)),
        spearman=_spearman(predicted, measured),
    )


def _spearman(predicted: FloatArray, measured: FloatArray) -> float | None:
    if len(measured) < 3 or np.ptp(predicted) == 0 or np.ptp(measured) == 0:
        return None
    from scipy.stats import spearmanr

    return float(spearmanr(predicted, measured).statistic)


def spread_of(predicted: FloatArray, measured: FloatArray) -> Spread:
    """Spread of the log residuals of held-out predictions."""
    residual = np.log(measured / predicted)
    return Spread(
        log_p10=float(np.quantile(residual, 0.1)),
        log_p90=float(np.quantile(residual, 0.9)),
        median_ape=float(np.median(np.abs(predicted / measured - 1))),
        records=len(measured),
    )


STEADYING_RECORDS: Final = 8.0
"""Records that the wider spread counts as beside a device's own, so that three lucky ones do not promise the world."""


def steadied(own: Spread, wider: Spread) -> Spread:
    """Draw the interval of a device with few records towards that of its family or domain.

    Only the interval: the held-out error that is reported stays the one measured on the device's own records.
    """
    share = own.records / (own.records + STEADYING_RECORDS)
    return replace(
        own,
        log_p10=share * own.log_p10 + (1 - share) * wider.log_p10,
        log_p90=share * own.log_p90 + (1 - share) * wider.log_p90,
    )
