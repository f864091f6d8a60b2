"""What a graph compiler evaluates once, before any inference."""

from __future__ import annotations

from estimator.ir.graph import Graph
from estimator.ir.op import OpKind
from estimator.ir.storage import storage_of


def constant_results(graph: Graph) -> frozenset[str]:
    """Tensors computed from weights and literals alone.

    A buffer that some op fills in place with what depends on the input (``batch[0].copy_(image)``) is none, whatever
    it was made from.
    """
    owner = storage_of(graph)
    weights = {name for name, tensor in graph.tensors.items() if tensor.is_weight} - set(graph.inputs)
    written: set[str] = set()
    while True:
        results = _results(graph, {name for name in weights if owner.get(name, name) not in written}, owner, written)
        changed = {
            owner.get(op.inputs[0], op.inputs[0])
            for op in graph.ops
            if op.in_place and not results.issuperset(op.outputs)
        }
        if changed <= written:
            return results
        written |= changed


def _results(graph: Graph, known: set[str], owner: dict[str, str], written: set[str]) -> frozenset[str]:
    """Propagate what is known through ops whose results no later op overwrites with something unknown."""
    results: set[str] = set()
    for op in graph.ops:
        kept = all(owner.get(name, name) not in written for name in op.outputs)
        if op.outputs and kept and known.issuperset(op.inputs) and op.kind is not OpKind.CONTROL:
            known.update(op.outputs)
            results.update(op.outputs)
    return frozenset(results)
