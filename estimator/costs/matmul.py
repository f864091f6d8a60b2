"""Products of matrices: fully connected layers, matmul, einsum."""

from __future__ import annotations

import math
from dataclasses import dataclass

from estimator.costs.opcost import OpCost
from estimator.costs.registry import Tensors, cost_of
from estimator.costs.traffic import streaming_cost
from estimator.ir.op import EinsumAttrs, Op, OpKind
from estimator.ir.tensor import Shape


@cost_of(OpKind.LINEAR)
def linear_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Fully connected layer, x[..., k] · w[n, k]ᵀ (+ b[n]) -> [..., n].

    macs = numel(out) · k;  other = numel(out) with a bias.
    Source: docs/model/counting.md, eq. 1.
    """
    (out,) = outputs
    bias = out.numel if len(inputs) > 2 else 0
    return streaming_cost(op, inputs, outputs, macs=out.numel * inputs[1].shape[-1], other_flops=bias)


@cost_of(OpKind.MATMUL)
def matmul_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Batched matrix product, a[..., m, k] @ b[..., k, n] (+ addend) -> [..., m, n].

    macs = numel(out) · k;  other = numel(out) with an addend. 1-d operands are vectors, as in numpy.
    Source: docs/model/counting.md, eq. 1.
    """
    out = outputs[0]
    addend = out.numel if len(inputs) > 2 else 0
    return streaming_cost(op, inputs, outputs, macs=out.numel * contracted_extent(inputs, outputs), other_flops=addend)


def contracted_extent(inputs: Tensors, outputs: Tensors) -> int:
    """Find the k of a matmul, whichever way round the operands are stored.

    The last two axes of a hold m · k elements and those of the result m rows; vectors have k alone.
    """
    a, b = inputs[0].shape, inputs[1].shape
    if len(a) == 1:
        return a[0]
    if len(b) == 1:
        return b[0]
    rows = outputs[0].shape[-2]
    return a[-2] * a[-1] // rows if rows else 0


@cost_of(OpKind.EINSUM)
def einsum_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Einstein summation over any number of operands, contracted pairwise from the left.

    Per pair with a summed index: macs = ∏ extents of the pair's indices; without one: that many products.
    Source: docs/model/counting.md, eq. 2.
    """
    macs = other = 0
    for step in einsum_steps(op, [t.shape for t in inputs]):
        if step.summed:
            macs += step.extent
        else:
            other += step.extent
    return streaming_cost(op, inputs, outputs, macs=macs, other_flops=other)


@dataclass(frozen=True, slots=True)
class EinsumStep:
    """One pairwise contraction: product of the extents of all its indices, and whether any is summed."""

    extent: int
    summed: bool


def einsum_steps(op: Op, shapes: list[Shape]) -> list[EinsumStep]:
    """Split an einsum into pairwise contractions, left to right; a single operand is one step without a product."""
    assert isinstance(op.attrs, EinsumAttrs)
    left, _, result = op.attrs.equation.replace(" ", "").partition("->")
    labels = [_labels(term, len(shape)) for term, shape in zip(left.split(","), shapes, strict=True)]
    extent: dict[str, int] = {}
    for term, shape in zip(labels, shapes, strict=True):
        for label, size in zip(term, shape, strict=True):
            extent[label] = max(size, extent.get(label, 1))
    kept = {label for label in extent if label in result or (label.startswith(".") and "..." in result)}
    if len(labels) == 1:
        return [EinsumStep(math.prod(extent[i] for i in set(labels[0])), summed=False)]
    steps = []
    running = set(labels[0])
    for position in range(1, len(labels)):
        operand = set(labels[position])
        needed_later = kept.union(*labels[position + 1 :])
        summed = bool((running & operand) - needed_later)
        steps.append(EinsumStep(math.prod(extent[i] for i in running | operand), summed))
        running = (running | operand) & needed_later
    return steps


def _labels(term: str, rank: int) -> list[str]:
    """Index labels of one operand; an ellipsis becomes labels counted from its right end (``.1``, ``.0``)."""
    before, dots, after = term.partition("...")
    hidden = rank - len(before) - len(after) if dots else 0
    return [*before, *(f".{i}" for i in reversed(range(hidden))), *after]
