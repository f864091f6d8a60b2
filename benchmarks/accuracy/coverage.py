"""Whether intervals hold on records that neither the fit nor the interval has seen.

Errors on other models and on other families become intervals as in a fit (`estimator.calibration.intervals`), but
without the family that they are then tested on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.accuracy.fit import HeldOutRow
from estimator.calibration.domains import DOMAINS, Domain
from estimator.calibration.fit import FAMILY_WEIGHT, FOLDS, fold_by_weight
from estimator.calibration.intervals import HeldOutErrors, inside_when_left_out
from estimator.frontends.zoo_family import family_of

_KINDS = {"model": 1.0, "family": FAMILY_WEIGHT}


@dataclass(frozen=True)
class RowCoverage:
    """Whether a record lies inside the interval of its prediction without its model, and without its family."""

    row: HeldOutRow
    without_model: bool
    without_family: bool


def cover(rows: Sequence[HeldOutRow]) -> tuple[RowCoverage, ...]:
    """Test the intervals of every domain; rows of no domain are left out."""
    return tuple(one for domain in DOMAINS for one in _cover([r for r in rows if _belongs(r, domain)]))


def _belongs(row: HeldOutRow, one: Domain) -> bool:
    return row.unit == one.unit and row.runtime in one.runtimes and one.layout in ("", row.layout)


def _cover(rows: Sequence[HeldOutRow]) -> list[RowCoverage]:
    families = [family_of(row.model) for row in rows]
    if len(set(families)) < 2:
        return []
    measured = np.array([row.measured_ms for row in rows])
    log_errors = [np.log(measured / np.array([row.predicted_ms[kind] for row in rows], dtype=float)) for kind in _KINDS]
    errors = HeldOutErrors(
        np.concatenate(log_errors),
        np.array([row.novelty[kind] for kind in _KINDS for row in rows], dtype=float),
        np.repeat(list(_KINDS.values()), len(rows)),
    )
    groups = [f"{row.device} {row.runtime}" for row in rows] * len(_KINDS)
    inside = inside_when_left_out(errors, groups, np.tile(fold_by_weight(families, FOLDS), len(_KINDS)))
    return [RowCoverage(row, *map(bool, pair)) for row, pair in zip(rows, inside.reshape(2, -1).T, strict=True)]
