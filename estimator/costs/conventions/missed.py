"""The line that says which multiply-accumulates a tool does not see."""

from __future__ import annotations

from estimator.costs.conventions.count import Count, with_notes
from estimator.costs.conventions.op_class import class_of_op
from estimator.costs.registry import cost_of_op
from estimator.ir.graph import Graph


def note_missed_macs(count: Count, graph: Graph) -> Count:
    """Append what share of the graph's MACs lies in ops that no counted layer stands for, by class and owner."""
    seen = {name for layer in count.layers if layer.macs for name in layer.ops}
    type_of = {module.path: module.type_name.rpartition(".")[2] for module in graph.modules}
    total = missed = 0
    owners: dict[str, int] = {}
    for op in graph.ops:
        cost = cost_of_op(op, graph)
        if cost is None or not cost.macs:
            continue
        total += cost.macs
        if op.name not in seen:
            missed += cost.macs
            owner = f"{class_of_op(op)} in {type_of[op.scope]}" if op.scope in type_of else class_of_op(op)
            owners[owner] = owners.get(owner, 0) + 1
    if not missed:
        return count
    listed = ", ".join(f"{owner} ×{times}" for owner, times in sorted(owners.items(), key=lambda kv: -kv[1])[:4])
    more = ", …" if len(owners) > 4 else ""
    return with_notes(count, [f"{missed / total:.1%} of the multiply-accumulates are not seen: {listed}{more}"])
