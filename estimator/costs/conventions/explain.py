"""Why two conventions differ on a model: op class by op class, closing to exactly zero."""

from __future__ import annotations

from dataclasses import dataclass

from estimator.costs.conventions.count import Convention, Count
from estimator.costs.conventions.registry import convention_of
from estimator.ir.graph import Graph


@dataclass(frozen=True, slots=True)
class ExplanationRow:
    """One reason.

    Attributes
    ----------
    reason : str
        "unit" for what counting a MAC as 1 or 2 explains, "bias", or an op class.
    first, second : int
        What each convention counts there, the first already in the second's unit of MAC; bias apart.
    difference : int
        second − first.
    first_rule, second_rule : str
        What each convention counts for the class.
    """

    reason: str
    first: int
    second: int
    difference: int
    first_rule: str
    second_rule: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Rows from one convention's total to the other's: first.total + Σ difference = second.total, exactly."""

    first: Count
    second: Count
    rows: tuple[ExplanationRow, ...]

    @property
    def remainder(self) -> int:
        """What the rows leave unexplained; 0 by construction, printed so that anyone can see it."""
        return self.second.total - self.first.total - sum(row.difference for row in self.rows)


def explain(graph: Graph, first: str, second: str) -> Explanation:
    """Explain why two conventions differ on a graph.

    Raises
    ------
    UnknownConventionError
        One of the names is none.
    """
    return explain_counts(convention_of(first).count(graph), convention_of(second).count(graph))


def explain_counts(count_a: Count, count_b: Count) -> Explanation:
    """Explain why two counts of one model differ; for tools that must read the file each in its own way."""
    a, b = convention_of(count_a.convention), convention_of(count_b.convention)
    rows = [_unit_row(a, b, count_a)] if a.mac_weight != b.mac_weight and count_a.macs else []
    rescale = b.mac_weight - a.mac_weight
    work_a, bias_a = _by_class(count_a, rescale)
    work_b, bias_b = _by_class(count_b, 0)
    for op_class in sorted(work_a.keys() | work_b.keys(), key=lambda c: -abs(work_b.get(c, 0) - work_a.get(c, 0))):
        x, y = work_a.get(op_class, 0), work_b.get(op_class, 0)
        if x != y:
            rows.append(ExplanationRow(op_class, x, y, y - x, _rule(a, op_class), _rule(b, op_class)))
    if bias_a != bias_b:
        rows.append(ExplanationRow("bias", bias_a, bias_b, bias_b - bias_a, _bias_rule(bias_a), _bias_rule(bias_b)))
    return Explanation(count_a, count_b, tuple(rows))


def _unit_row(a: Convention, b: Convention, count_a: Count) -> ExplanationRow:
    before, after = a.mac_weight * count_a.macs, b.mac_weight * count_a.macs
    return ExplanationRow("unit", before, after, after - before, f"1 MAC = {a.mac_weight}", f"1 MAC = {b.mac_weight}")


def _by_class(count: Count, rescale: int) -> tuple[dict[str, int], int]:
    """Value without bias per op class, MACs rescaled; and the bias of all."""
    work: dict[str, int] = {}
    bias = 0
    for layer in count.layers:
        work[layer.op_class] = work.get(layer.op_class, 0) + layer.value - layer.bias + rescale * layer.macs
        bias += layer.bias
    return work, bias


def _rule(convention: Convention, op_class: str) -> str:
    return convention.rules.get(op_class, "nothing")


def _bias_rule(bias: int) -> str:
    return "bias additions counted" if bias else "no bias additions"
