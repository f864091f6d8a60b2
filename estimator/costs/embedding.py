"""Indexed reads and writes: only the rows touched are traffic, not the table."""

from __future__ import annotations

from estimator.costs.opcost import OpCost
from estimator.costs.registry import Tensors, cost_of
from estimator.costs.traffic import params_read
from estimator.ir.op import FunctionAttrs, Op, OpKind


def _size_bytes(tensors: Tensors) -> int:
    return sum([t.size_bytes for t in tensors])


@cost_of(OpKind.EMBEDDING)
def embedding_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Table look-up, w[v, d], ids[...] -> [..., d].

    Reads the ids and as much of the table as the result holds; writes the result. No arithmetic.
    Source: docs/model/counting.md, table 6.
    """
    written = _size_bytes(outputs)
    rows = min(written, inputs[0].size_bytes)
    return OpCost(bytes_read=rows + _size_bytes(inputs[1:]), bytes_written=written, params=params_read(inputs))


@cost_of(OpKind.GATHER)
def gather_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Read elements at indices, x[...], indices -> result.

    Reads the indices and as many elements as the result holds.
    Source: docs/model/counting.md, table 6.
    """
    written = _size_bytes(outputs)
    return OpCost(bytes_read=written + _size_bytes(inputs[1:]), bytes_written=written, params=params_read(inputs))


@cost_of(OpKind.SCATTER)
def scatter_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Write updates at indices, x[...], indices, updates -> x's shape.

    In place: reads indices and updates, writes the updates. Otherwise x is copied first.
    other = numel(updates) if they are accumulated.
    Source: docs/model/counting.md, table 6.
    """
    updates = inputs[-1]
    function = op.attrs.function if isinstance(op.attrs, FunctionAttrs) else ""
    accumulates = any(word in function for word in ("add", "reduce", "mul"))
    read, written = _size_bytes(inputs[1:]), updates.size_bytes
    if not op.in_place:
        read += inputs[0].size_bytes
        written = _size_bytes(outputs)
    return OpCost(other_flops=updates.numel if accumulates else 0, bytes_read=read, bytes_written=written)
