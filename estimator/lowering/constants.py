"""What a graph compiler evaluates once, before any inference."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from estimator.ir.graph import Graph
from estimator.ir.op import OpKind
from estimator.ir.storage import storage_of


def constant_results(graph: Graph) -> frozenset[str]:
    """Tensors computed from weights and literals alone.

    A buffer that some op fills in place with what depends on the input (``batch[0].copy_(image)``) is none, whatever
    it was made from.
    """
    results = _results(graph, frozenset())
    owner = storage_of(graph) if results else {}
    written: set[str] = set()
    while results:
        unknown = (op.inputs[0] for op in graph.ops if op.in_place and not results.issuperset(op.outputs))
        changed = {owner.get(name, name) for name in unknown}
        if changed <= written:
            break
        written |= changed
        results = _results(graph, {name for name in graph.tensors if owner.get(name, name) in written})
    return results


def _results(graph: Graph, open_to_change: AbstractSet[str]) -> frozenset[str]:
    """Propagate what is known through ops whose results no op overwrites with something unknown."""
    weights = {name for name, tensor in graph.tensors.items() if tensor.is_weight}
    known = weights - set(graph.inputs) - open_to_change
    results: set[str] = set()
    for op in graph.ops:
        if not known.issuperset(op.inputs) or op.kind is OpKind.CONTROL:
            continue
        if op.outputs and open_to_change.isdisjoint(op.outputs):
            known.update(op.outputs)
            results.update(op.outputs)
    return frozenset(results)
