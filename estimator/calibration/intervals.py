"""Intervals that hold on what a fit did not see: quantiles of held-out errors as a line over novelty.

A network like one that was measured errs as held-out models do, one like nothing measured as held-out families do.
Novelty (`timing.latency.novelty`) tells them apart when nobody says which it is, so each bound is

    log p = near + (far − near) · novelty

fitted by quantile regression on the errors of both. Source: Koenker & Bassett (1978), Econometrica 46(1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from estimator.calibration.score import steadied
from estimator.catalogue.calibration import FloatArray, Spread
from estimator.lowering.kernel import IntArray
from estimator.timing.latency import bound_at, line_at

LOW: Final = 0.1
HIGH: Final = 0.9
WIDEST_LOG: Final = 3.0
"""Bounds are looked for within a factor of 20 either way."""
BISECTIONS: Final = 40

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class HeldOutErrors:
    """Errors of predictions that did not see their record.

    Attributes
    ----------
    log_error : array [prediction]
        log measured − log predicted.
    novelty : array [prediction]
        Of the network to what the fit did see, in [0, 1]; all 0 for a fit that knows no similarity.
    weight : array [prediction]
        How much it counts.
    """

    log_error: FloatArray
    novelty: FloatArray
    weight: FloatArray

    def __len__(self) -> int:
        return len(self.log_error)

    def select(self, chosen: IntArray | BoolArray) -> HeldOutErrors:
        """Keep some predictions."""
        return HeldOutErrors(self.log_error[chosen], self.novelty[chosen], self.weight[chosen])


@dataclass(frozen=True, slots=True)
class Spreads:
    """Intervals of a domain: of networks like measured ones (`near`, by group) and like none (`far`).

    Attributes
    ----------
    near : mapping
        By group (a device under a runtime); groups of few errors are drawn towards `whole`.
    whole : Spread
        `near` of all groups together.
    """

    near: Mapping[str, Spread]
    whole: Spread
    far: Spread

    def contains(self, errors: HeldOutErrors, groups: Sequence[str]) -> BoolArray:
        """Which errors lie inside p10 … p90 of their group [prediction]."""
        near = [self.near.get(group, self.whole) for group in groups]
        low = [bound_at(n.log_p10, self.far.log_p10, u, outward=-1) for n, u in zip(near, errors.novelty, strict=True)]
        high = [bound_at(n.log_p90, self.far.log_p90, u, outward=1) for n, u in zip(near, errors.novelty, strict=True)]
        inside: BoolArray = (low <= errors.log_error) & (errors.log_error <= high)
        return inside


def fit_spreads(errors: HeldOutErrors, groups: Sequence[str]) -> Spreads:
    """Fit a line over all errors, then every group's own interval at novelty 0.

    Raises
    ------
    ValueError
        There are no errors.
    """
    if not len(errors):
        raise ValueError("an interval needs errors")
    (near_low, far_low), (near_high, far_high) = _line(errors, LOW), _line(errors, HIGH)
    whole, far = _spread(errors, near_low, near_high), _spread(errors, far_low, far_high)
    names = np.array(groups)
    near = {str(name): steadied(near_spread(errors.select(names == name), far), whole) for name in np.unique(names)}
    return Spreads(near, whole, far)


def near_spread(errors: HeldOutErrors, far: Spread) -> Spread:
    """Interval at novelty 0 of some of a domain's errors, given the domain's at novelty 1."""
    return _spread(errors, _near(errors, far.log_p10, LOW), _near(errors, far.log_p90, HIGH))


def inside_when_left_out(errors: HeldOutErrors, groups: Sequence[str], fold_of: IntArray) -> BoolArray:
    """Which errors lie inside an interval that was made without their fold [prediction]."""
    inside = np.zeros(len(errors), dtype=bool)
    names = np.array(groups)
    for fold in np.unique(fold_of):
        out = fold_of == fold
        spreads = fit_spreads(errors.select(~out), names[~out].tolist())
        inside[out] = spreads.contains(errors.select(out), names[out].tolist())
    return inside


def _spread(errors: HeldOutErrors, low: float, high: float) -> Spread:
    return Spread(low, high, float(np.median(np.abs(np.expm1(-errors.log_error)))), len(errors))


def _outward(quantile: float) -> int:
    return 1 if quantile > 0.5 else -1


def _side(outward: int) -> tuple[float, float]:
    """Where a bound may lie: p10 below the estimate, p90 above it."""
    return (0.0, WIDEST_LOG) if outward > 0 else (-WIDEST_LOG, 0.0)


def _line(errors: HeldOutErrors, quantile: float) -> tuple[float, float]:
    """(near, far) of the line below which `quantile` of the errors lie; it keeps its side and never narrows.

    Linear programme: minimise Σ weight · (q·above + (1 − q)·below), where error = line(novelty) + above − below.
    """
    from scipy.optimize import linprog
    from scipy.sparse import eye_array, hstack

    outward, count = _outward(quantile), len(errors)
    # The line is near + outward · widening · novelty, widening ≥ 0.
    line = np.column_stack([np.ones(count), outward * errors.novelty])
    result = linprog(
        np.concatenate([[0.0, 0.0], quantile * errors.weight, (1 - quantile) * errors.weight]),
        A_eq=hstack([line, eye_array(count), -eye_array(count)], format="csc"),
        b_eq=errors.log_error,
        bounds=[_side(outward), (0.0, WIDEST_LOG)] + [(0.0, None)] * (2 * count),
        method="highs",
    )
    near, widening = float(result.x[0]), float(result.x[1])
    return near, near + outward * widening


def _near(errors: HeldOutErrors, far: float, quantile: float) -> float:
    """Bisect for the bound at novelty 0 that leaves `quantile` of the errors below.

    It keeps its side of the estimate: errors that are all of unlike networks say little of like ones.
    """
    outward = _outward(quantile)
    low, high = _side(outward)
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        bound = line_at(middle, far, errors.novelty, outward=outward)
        below = float(np.average(errors.log_error <= bound, weights=errors.weight))
        low, high = (middle, high) if below < quantile else (low, middle)
    return high
