"""The table from `OpKind` to cost rule, and the two functions that read it.

A rule is a function of one op and its tensor specs, declared with `@cost_of(kind)`. A kind that
costs nothing says why (`zero_cost`); a kind that cannot be costed says why (`no_rule`). A test walks
`OpKind` and fails on any kind without one of the three.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from estimator.costs.opcost import OpCost
from estimator.ir.graph import Graph, SpecBook
from estimator.ir.op import Op, OpKind
from estimator.ir.tensor import TensorSpec

Tensors = tuple[TensorSpec, ...]
CostRule = Callable[[Op, Tensors, Tensors], OpCost]

_RULES: dict[OpKind, CostRule] = {}
_FREE: dict[OpKind, str] = {}
_WITHOUT_RULE: dict[OpKind, str] = {}
_NOTHING = OpCost()


def cost_of(kind: OpKind) -> Callable[[CostRule], CostRule]:
    """Register the decorated function as the cost rule of `kind`; a second declaration raises."""

    def register(rule: CostRule) -> CostRule:
        _claim(kind)
        _RULES[kind] = rule
        return rule

    return register


def zero_cost(kind: OpKind, *, because: str) -> None:
    """Declare that ops of `kind` compute nothing and move nothing, and why."""
    _claim(kind)
    _FREE[kind] = because


def no_rule(kind: OpKind, *, because: str) -> None:
    """Declare that ops of `kind` cannot be costed, and why: they lower coverage, never count as zero."""
    _claim(kind)
    _WITHOUT_RULE[kind] = because


def _claim(kind: OpKind) -> None:
    if kind in _RULES or kind in _FREE or kind in _WITHOUT_RULE:
        raise ValueError(f"{kind} has two cost declarations")


def declaration(kind: OpKind) -> str | None:
    """How `kind` is declared: "rule", or the reason why it is free or has no rule; None if undeclared."""
    if kind in _RULES:
        return "rule"
    return _FREE.get(kind) or _WITHOUT_RULE.get(kind)


def is_free(kind: OpKind) -> bool:
    """Whether ops of `kind` are metadata only; they do not enter coverage."""
    return kind in _FREE


def is_costed(kind: OpKind) -> bool:
    """Whether ops of `kind` have a cost, be it nothing."""
    return kind in _RULES or kind in _FREE


def cost_of_op(op: Op, graph: SpecBook) -> OpCost | None:
    """Cost one op.

    Returns
    -------
    OpCost or None
        Exact integers; None if the kind has no rule.
    """
    rule = _RULES.get(op.kind)
    if rule is not None:
        tensors = graph.tensors
        return rule(op, tuple([tensors[name] for name in op.inputs]), tuple([tensors[name] for name in op.outputs]))
    return _NOTHING if op.kind in _FREE else None


@dataclass(frozen=True, slots=True)
class GraphCost:
    """The native cost of a whole graph.

    Attributes
    ----------
    total : OpCost
        Sum over ops, except `params`: the graph's own parameters, each once (`Graph.params`).
    per_op : tuple of OpCost or None
        Parallel to `Graph.ops`; None where there is no rule.
    coverage : float
        Ops with a rule ÷ all ops that are not metadata only; 1.0 for an empty graph.
    unsupported : tuple of str
        Source names of the ops without a rule, most frequent first, each once.
    """

    total: OpCost
    per_op: tuple[OpCost | None, ...]
    coverage: float
    unsupported: tuple[str, ...]


def graph_cost(graph: Graph) -> GraphCost:
    """Cost every op of `graph` and add up; an op without a rule is listed, never taken for zero."""
    per_op = tuple([cost_of_op(op, graph) for op in graph.ops])
    missing: dict[str, int] = {}
    working = macs = other = read = written = 0
    for op, cost in zip(graph.ops, per_op, strict=True):
        if op.kind in _FREE:
            continue
        working += 1
        if cost is None:
            name = op.source or str(op.kind)
            missing[name] = missing.get(name, 0) + 1
        else:
            macs += cost.macs
            other += cost.other_flops
            read += cost.bytes_read
            written += cost.bytes_written
    coverage = (working - sum(missing.values())) / working if working else 1.0
    return GraphCost(
        total=OpCost(macs, other, read, written, graph.params),
        per_op=per_op,
        coverage=coverage,
        unsupported=tuple(sorted(missing, key=lambda name: (-missing[name], name))),
    )
