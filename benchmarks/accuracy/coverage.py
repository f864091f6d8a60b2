"""Whether intervals hold on records that neither the fit nor the interval has seen.

Errors on other models and on other families become intervals as in a fit (`estimator.calibration.intervals`), but
without the family that they are then tested on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.accuracy.fit import HeldOutRow
from estimator.calibration.domains import DOMAINS, device_runtime_context
from estimator.calibration.fit import FOLDS, Predicted, fold_by_weight, unseen_errors
from estimator.calibration.intervals import inside_when_left_out
from estimator.frontends.zoo_family import family_of


@dataclass(frozen=True)
class RowCoverage:
    """Whether a record lies inside the interval of its prediction without its model, and without its family."""

    row: HeldOutRow
    without_model: bool
    without_family: bool


def cover(rows: Sequence[HeldOutRow]) -> tuple[RowCoverage, ...]:
    """Test the intervals of every domain; rows of no domain are left out."""
    return tuple(one for domain in DOMAINS for one in _cover([r for r in rows if r.belongs_to(domain)]))


def _cover(rows: Sequence[HeldOutRow]) -> list[RowCoverage]:
    families = [family_of(row.model) for row in rows]
    if len(set(families)) < 2:
        return []
    measured = np.array([row.measured_ms for row in rows])
    errors = unseen_errors(measured, _predicted(rows, "model"), _predicted(rows, "family"))
    groups = [device_runtime_context(row.device, row.runtime) for row in rows]
    inside = inside_when_left_out(errors, groups * 2, np.tile(fold_by_weight(families, FOLDS), 2))
    return [RowCoverage(row, *map(bool, pair)) for row, pair in zip(rows, inside.reshape(2, -1).T, strict=True)]


def _predicted(rows: Sequence[HeldOutRow], kind: str) -> Predicted:
    return Predicted(
        np.array([row.predicted_ms[kind] for row in rows], dtype=float),
        np.array([row.novelty[kind] for row in rows], dtype=float),
    )
