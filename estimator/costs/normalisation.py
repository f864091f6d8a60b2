"""Normalisation layers and softmax."""

from __future__ import annotations

from estimator.costs.opcost import OpCost
from estimator.costs.registry import Tensors, cost_of
from estimator.costs.traffic import streaming_cost
from estimator.ir.op import NormAttrs, Op, OpKind

SOFTMAX_FLOPS = 5
"""Per element: compare for the maximum, subtract, exponential, add to the sum, divide."""

_PLAIN_FLOPS = {"batch": 2, "layer": 5, "group": 5, "instance": 5, "rms": 3, "lrn": 5, "l2": 3}
"""Per element without scale and shift.

batch (inference): subtract the stored mean, times the stored 1/σ. layer, group, instance: add to the mean,
subtract, square, add to the variance, times 1/σ. rms, l2: square, add, times. lrn: square, window sum,
scale, power, divide.
"""
_AFFINE_FLOPS = {"batch": 0, "layer": 2, "group": 2, "instance": 2, "rms": 1, "lrn": 0, "l2": 0}
"""Scale and shift; batch norm folds them into its two operations."""


@cost_of(OpKind.NORM)
def norm_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Normalisation of x[n, c, ...] with optional scale, shift, stored mean and variance.

    other = numel(x) · per element (2 batch; 5 + 2 affine layer, group, instance; 3 + 1 rms). A batch norm without
    stored statistics computes them, as an instance norm does.
    Source: docs/model/counting.md, table 1.
    """
    assert isinstance(op.attrs, NormAttrs)
    function = op.attrs.function
    if function == "batch" and not has_stored_statistics(op, inputs):
        function = "instance"  # the same arithmetic, over another set of elements
    per_element = _PLAIN_FLOPS.get(function, 5) + (_AFFINE_FLOPS.get(function, 2) if op.attrs.affine else 0)
    return streaming_cost(op, inputs, outputs, other_flops=inputs[0].numel * per_element)


def has_stored_statistics(op: Op, inputs: Tensors) -> bool:
    """Whether a norm is given mean and variance rather than computing them.

    Inputs are x, (scale), (shift), (mean), (var): with scale and perhaps shift there are four or five of them.
    """
    affine = isinstance(op.attrs, NormAttrs) and op.attrs.affine
    return len(inputs) >= (4 if affine else 3)


@cost_of(OpKind.SOFTMAX)
def softmax_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Softmax or log-softmax over one axis, x[...] -> same shape.

    other = 5 · numel(x).
    Source: docs/model/counting.md, table 1.
    """
    return streaming_cost(op, inputs, outputs, other_flops=inputs[0].numel * SOFTMAX_FLOPS)
