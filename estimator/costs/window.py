"""Ops over spatial windows: pooling, resizing, sampling, im2col."""

from __future__ import annotations

import math

from estimator.costs.opcost import OpCost
from estimator.costs.registry import Tensors, cost_of
from estimator.costs.traffic import streaming_cost
from estimator.ir.op import AdaptivePoolAttrs, Op, OpKind, PoolAttrs, ResizeAttrs

_RESIZE_FLOPS = {"nearest": 0, "linear": 3, "bilinear": 7, "trilinear": 15, "bicubic": 31, "area": 1}
"""Per output: products and sums of 2, 4, 8 or 16 neighbours; interpolation weights are made once per row."""
_GRID_SAMPLE_FLOPS = 11
"""Bilinear 7, and 4 to bring the coordinates to pixels."""


@cost_of(OpKind.POOL)
def pool_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Window pooling, x[n, c, *s] -> [n, c, *o].

    other = numel(out) · (∏k − 1) max;  numel(out) · ∏k average (its division), 2 · ∏k for lp.
    Source: docs/model/counting.md, table 4.
    """
    assert isinstance(op.attrs, PoolAttrs)
    taps = math.prod(op.attrs.kernel)
    per_output = {"max": taps - 1, "avg": taps}.get(op.attrs.function, 2 * taps)
    return streaming_cost(op, inputs, outputs, other_flops=outputs[0].numel * per_output)


@cost_of(OpKind.ADAPTIVE_POOL)
def adaptive_pool_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Pooling to a fixed size, x[n, c, *s] -> [n, c, *o].

    other = numel(x) average;  numel(x) − numel(out) max. Overlap of uneven windows is not counted.
    Source: docs/model/counting.md, table 4.
    """
    average = not isinstance(op.attrs, AdaptivePoolAttrs) or op.attrs.function != "max"
    elements = inputs[0].numel
    other = elements if average else max(elements - outputs[0].numel, 0)
    return streaming_cost(op, inputs, outputs, other_flops=other)


@cost_of(OpKind.RESIZE)
def resize_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Interpolation, x[n, c, *s] -> [n, c, *o].

    other = numel(out) · (0 nearest, 3 linear, 7 bilinear, 15 trilinear, 31 bicubic); area: numel(x).
    Source: docs/model/counting.md, table 4.
    """
    assert isinstance(op.attrs, ResizeAttrs)
    mode = op.attrs.mode
    other = inputs[0].numel if mode == "area" else outputs[0].numel * _RESIZE_FLOPS.get(mode, 0)
    return streaming_cost(op, inputs[:1], outputs, other_flops=other)


@cost_of(OpKind.GRID_SAMPLE)
def grid_sample_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Bilinear sampling at given points, x[n, c, h, w], grid[n, i, j, 2] -> [n, c, i, j].

    other = 11 · numel(out).
    Source: docs/model/counting.md, table 4.
    """
    return streaming_cost(op, inputs, outputs, other_flops=outputs[0].numel * _GRID_SAMPLE_FLOPS)


@cost_of(OpKind.UNFOLD)
def unfold_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Sliding windows laid out as columns (im2col): traffic only.

    Source: docs/model/counting.md, table 4.
    """
    return streaming_cost(op, inputs, outputs)


@cost_of(OpKind.FOLD)
def fold_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Columns summed back into an image (col2im).

    other = numel(x).
    Source: docs/model/counting.md, table 4.
    """
    return streaming_cost(op, inputs, outputs, other_flops=inputs[0].numel)
