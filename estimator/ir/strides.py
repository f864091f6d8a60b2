"""How a tensor lies in memory, by its strides: what can be seen as one axis, and what must be copied for that."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from estimator.ir.tensor import Shape, TensorSpec


def row_major(shape: Shape) -> Shape:
    """Return the strides of a tensor without gaps whose last axis is innermost."""
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * max(1, shape[axis + 1])
    return tuple(strides)


def strides_of(tensor: TensorSpec) -> Shape:
    """Return element strides, row-major ones where none are given."""
    return tensor.strides if tensor.strides is not None else row_major(tensor.shape)


def is_contiguous(tensor: TensorSpec) -> bool:
    """Whether elements lie in row-major order without gaps; strides of axes of one element say nothing."""
    if tensor.strides is None:
        return True
    expected = row_major(tensor.shape)
    return all(n == 1 or s == e for n, s, e in zip(tensor.shape, tensor.strides, expected, strict=True))


def has_gaps(tensor: TensorSpec) -> bool:
    """Whether a view skips or repeats elements of its storage, in whatever order of axes."""
    if tensor.strides is None:
        return False
    inner_first = sorted((s, n) for n, s in zip(tensor.shape, tensor.strides, strict=True) if n > 1)
    step = 1
    for stride, extent in inner_first:
        if stride != step:
            return True
        step *= extent
    return False


def spacing(tensor: TensorSpec) -> int:
    """Return the least distance between elements of a view, in elements: 2 where it takes every other one of a row."""
    if tensor.strides is None:
        return 1
    return min((s for n, s in zip(tensor.shape, tensor.strides, strict=True) if n > 1 and s > 0), default=1)


def merge(extents: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether axes can be seen as one axis of a strided view."""
    axes = [(n, s) for n, s in zip(extents, strides, strict=True) if n != 1]
    return all(outer == n * inner for (_, outer), (n, inner) in pairwise(axes))


def dense_strides(tensor: TensorSpec) -> Shape | None:
    """Return the strides of a pointwise kernel's result: the operand's order of axes without its gaps; None: row-major.

    Source: c10/core and ATen/ExpandUtils.cpp, infer_dense_strides.
    """
    if tensor.strides is None:
        return None
    shape, given = tensor.shape, tensor.strides
    inner_first = sorted(range(len(shape)), key=lambda axis: (given[axis], -axis))
    strides, step = [0] * len(shape), 1
    for axis in inner_first:
        strides[axis] = step
        step *= max(1, shape[axis])
    dense = tuple(strides)
    return None if dense == row_major(shape) else dense


def reorders(tensor: TensorSpec) -> bool:
    """Whether strides reorder the axes, rather than only skip or broadcast."""
    ordered = [s for n, s in zip(tensor.shape, strides_of(tensor), strict=True) if n > 1 and s > 0]
    return any(outer < inner for outer, inner in pairwise(ordered))
