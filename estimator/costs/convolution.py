"""Convolutions: 1-d to 3-d, grouped, depthwise, transposed, deformable."""

from __future__ import annotations

import math

from estimator.costs.opcost import OpCost
from estimator.costs.registry import Tensors, cost_of
from estimator.costs.traffic import streaming_cost
from estimator.ir.op import ConvAttrs, Op, OpKind

_BILINEAR_FLOPS = 7
"""4 products and 3 sums per sampled value."""


@cost_of(OpKind.CONV)
def conv_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Convolution, x[n, ci, *s] * w[co, ci/g, *k] (+ b[co]) -> [n, co, *o].

    macs = numel(out) · ci/g · ∏k;  transposed (w[ci, co/g, *k]): numel(x) · co/g · ∏k.
    other = numel(out) with a bias. Taps on the padding are counted: dense, as frameworks define it.
    Source: docs/model/counting.md, eq. 3.
    """
    bias = outputs[0].numel if len(inputs) > 2 else 0
    return streaming_cost(op, inputs, outputs, macs=conv_macs(op, inputs, outputs), other_flops=bias)


def conv_macs(op: Op, inputs: Tensors, outputs: Tensors) -> int:
    """Positions · taps: every output element (input element, if transposed) meets ∏ w.shape[1:] weights."""
    transposed = isinstance(op.attrs, ConvAttrs) and op.attrs.transposed
    positions = inputs[0].numel if transposed else outputs[0].numel
    return positions * math.prod(inputs[1].shape[1:])


@cost_of(OpKind.DEFORM_CONV)
def deform_conv_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Deformable convolution: a convolution over bilinearly sampled taps, x, w, offset, (mask), (b).

    macs as conv;  other = sampled values · (7, + 1 with a mask) + numel(out) with a bias,
    sampled values = n · ∏o · ci · ∏k.
    Source: docs/model/counting.md, eq. 3.
    """
    x, w, offset = inputs[:3]
    (out,) = outputs
    sampled = out.numel // out.shape[1] * x.shape[1] * math.prod(w.shape[2:])
    extras = inputs[3:]
    masked = any(len(t.shape) == len(offset.shape) for t in extras)
    biased = any(len(t.shape) == 1 for t in extras)
    other = sampled * (_BILINEAR_FLOPS + masked) + (out.numel if biased else 0)
    return streaming_cost(op, inputs, outputs, macs=conv_macs(op, inputs, outputs), other_flops=other)
