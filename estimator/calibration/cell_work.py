"""What a NAS-Bench-201 network really executes, and how often: features for ranking.

Two kinds of runtime show in the records. An eager framework runs every edge, also those whose result is
multiplied by zero. A graph compiler folds the zeros: work that cannot reach the output is removed, unless the
multiplication directly follows a convolution; then it is folded into the convolution's weights, and the convolution
runs for nothing. A network whose cells do not depend on their input shrinks to its last cell.
Source: these rules explain all cells of the compiled columns of ``benchmarks/nas/nasbench201.csv.gz`` whose
latency a count of ops does not (docs/model/ranking.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from estimator.calibration.nasbench201 import CELLS_PER_STAGE, EDGES, STAGES, Cell, EdgeOp

FloatArray = NDArray[np.float64]

FEATURES: Final = ("fixed", *(op.value for op in EdgeOp))
"""Columns: work that every network does (stem, reductions, classifier, sums), then edges executed per cell."""

CELL_COUNT: Final = STAGES * CELLS_PER_STAGE
_CONVOLUTIONS = frozenset({EdgeOp.CONV_1X1, EdgeOp.CONV_3X3})
_OUTPUT = 3


class Execution(StrEnum):
    """What a runtime does about zeros."""

    EVERY_EDGE = "every edge"
    """Runs the graph as written (eager frameworks)."""
    FOLDED = "folded"
    """Folds constants and removes what they make dead (graph compilers)."""


@dataclass(frozen=True, slots=True)
class CellWork:
    """Edges of one cell that execute.

    Attributes
    ----------
    executed : tuple of bool
        Per edge, in the order of `EDGES`.
    live : bool
        The cell's output depends on its input; if not, only the network's last cell is left.
    """

    executed: tuple[bool, ...]
    live: bool


class _Value(StrEnum):
    """What a folding compiler knows of a node's value."""

    ZERO = "zero"
    CONVOLVED = "convolved"
    """The result of a convolution, nothing added: a factor can move into its weights."""
    OTHER = "other"


def cell_work(cell: Cell, execution: Execution) -> CellWork:
    """Decide which edges of a cell execute."""
    if execution is Execution.EVERY_EDGE:
        return CellWork((True,) * len(EDGES), True)
    terms = _nonzero_terms(cell)
    needed, executed = {_OUTPUT}, [False] * len(EDGES)
    for edge in reversed(range(len(EDGES))):
        source, target = EDGES[edge]
        if target in needed and edge in terms[target]:
            executed[edge] = True
            needed.add(source)
    reached = {0}
    for edge, (source, target) in enumerate(EDGES):
        if executed[edge] and source in reached:
            reached.add(target)
    return CellWork(tuple(executed), _OUTPUT in reached)


def _nonzero_terms(cell: Cell) -> dict[int, list[int]]:
    """Edges that a folding compiler keeps in each node's sum."""
    value = {0: _Value.OTHER}
    terms: dict[int, list[int]] = {}
    for target in (1, 2, _OUTPUT):
        incoming = [edge for edge, (_, to) in enumerate(EDGES) if to == target]
        results = {edge: _edge_value(cell, edge, value) for edge in incoming}
        terms[target] = [edge for edge in incoming if results[edge] is not _Value.ZERO]
        if not terms[target]:
            value[target] = _Value.ZERO
        else:
            value[target] = results[terms[target][0]] if len(terms[target]) == 1 else _Value.OTHER
    return terms


def _edge_value(cell: Cell, edge: int, value: dict[int, _Value]) -> _Value:
    op, source = cell.ops[edge], EDGES[edge][0]
    if op in _CONVOLUTIONS:
        return _Value.CONVOLVED
    if op is EdgeOp.SKIP:
        return value[source]
    if op is EdgeOp.NONE:
        return _Value.CONVOLVED if _moves_into_weights(cell, edge, value) else _Value.ZERO
    return _Value.OTHER


def _moves_into_weights(cell: Cell, edge: int, value: dict[int, _Value]) -> bool:
    """Whether the zero of a ``none`` edge is folded into the convolution before it: it must be its only reader.

    Node 1 is read by edges 2 and 4, node 2 by edge 5 alone. Where both readers of node 1 are ``none``, they are one
    multiplication after common subexpressions are merged, which edge 2 stands for.
    """
    if value[EDGES[edge][0]] is not _Value.CONVOLVED:
        return False
    return edge == 5 or (edge == 2 and cell.ops[4] is EdgeOp.NONE)


def cell_features(cells: Sequence[Cell], execution: Execution) -> FloatArray:
    """Work of each network, in units of "one edge in every cell".

    Returns
    -------
    array [network, len(FEATURES)]
        Every op runs once per cell at each of the three resolutions, so that one coefficient per op covers all stages.
    """
    rows = np.zeros((len(cells), len(FEATURES)))
    column = {op: i for i, op in enumerate(EdgeOp, start=1)}
    for row, cell in zip(rows, cells, strict=True):
        work = cell_work(cell, execution)
        for op, executed in zip(cell.ops, work.executed, strict=True):
            row[column[op]] += executed
        if execution is Execution.FOLDED:
            row[column[EdgeOp.NONE]] = 0
        if work.live:
            row[0] = 1
        else:
            row /= CELL_COUNT
    return rows
