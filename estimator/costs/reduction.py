"""Reductions, scans and sorts."""

from __future__ import annotations

from estimator.costs.opcost import OpCost
from estimator.costs.registry import Tensors, cost_of
from estimator.costs.traffic import streaming_cost
from estimator.ir.op import Op, OpKind, ReduceAttrs

_PER_INPUT_FLOPS = {"var": 4, "std": 4, "norm": 2, "logsumexp": 4}
"""var, std: add to the mean, subtract, square, add. norm: square, add. logsumexp: compare, subtract, exp, add."""


@cost_of(OpKind.REDUCE)
def reduce_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Reduction over axes, x[...] -> kept axes.

    other = numel(x) − numel(out) (sum, max, …);  numel(x) for a mean (its division);  4 · numel(x) var.
    Source: docs/model/counting.md, table 3.
    """
    function = op.attrs.function if isinstance(op.attrs, ReduceAttrs) else "sum"
    elements, results = inputs[0].numel, outputs[0].numel
    if function in _PER_INPUT_FLOPS:
        other = elements * _PER_INPUT_FLOPS[function]
    else:
        other = elements if function == "mean" else max(elements - results, 0)
    return streaming_cost(op, inputs, outputs, other_flops=other)


@cost_of(OpKind.CUMULATIVE)
def cumulative_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Scan along one axis, x[...] -> same shape.

    other = numel(x).
    Source: docs/model/counting.md, table 3.
    """
    return streaming_cost(op, inputs, outputs, other_flops=inputs[0].numel)


@cost_of(OpKind.SORT)
def sort_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Sort or top-k along the last axis of length n, x[..., n] -> values, indices.

    other = numel(x) · ⌈log₂ n⌉ comparisons.
    Source: docs/model/counting.md, table 3.
    """
    x = inputs[0]
    length = x.shape[-1] if x.shape else 1
    return streaming_cost(op, inputs, outputs, other_flops=x.numel * max(length - 1, 0).bit_length())
