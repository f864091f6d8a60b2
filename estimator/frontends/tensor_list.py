"""TensorFlow's lists of tensors: a list is declared as the dense tensor of its elements, which is what moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from estimator.dtypes import DType
from estimator.ir.op import Attrs, CopyAttrs, FunctionAttrs, OpKind
from estimator.ir.tensor import Shape, TensorSpec

MAX_UNROLLED_TRIPS: Final = 256
MAX_UNROLLED_OPS: Final = 20_000
"""Loops over lists that run longer, or import more operators, are listed instead."""


@dataclass(frozen=True, slots=True)
class ListOp:
    """An op whose one result stands for a list, or comes out of one."""

    kind: OpKind
    attrs: Attrs
    reads: tuple[str, ...]
    shape: Shape
    dtype: DType
    in_place: bool = False


def reserve(count: Shape, element: Shape, dtype: DType) -> ListOp:
    """Make room for elements; open extents are filled in by what is put in."""
    shape = (*count, *(max(extent, 1) for extent in element))
    return ListOp(OpKind.FILL, FunctionAttrs("empty"), (), shape, dtype)


def from_tensor(x: TensorSpec) -> ListOp:
    """See x[n, …] as a list of n."""
    return ListOp(OpKind.VIEW, FunctionAttrs("unbind"), (x.name,), x.shape, x.dtype)


def set_item(stored: TensorSpec, index: str, item: TensorSpec) -> ListOp:
    """Put one element in, where there is room for it."""
    shape = (*stored.shape[:1], *item.shape)
    in_place = stored.shape == shape and stored.dtype is item.dtype
    reads = (stored.name, index, item.name)
    return ListOp(OpKind.SCATTER, FunctionAttrs("index_copy"), reads, shape, item.dtype, in_place)


def get_item(stored: TensorSpec) -> ListOp:
    """Look at one element."""
    return ListOp(OpKind.VIEW, FunctionAttrs("select"), (stored.name,), stored.shape[1:], stored.dtype)


def stack(stored: TensorSpec) -> ListOp:
    """Copy the elements into one tensor."""
    return ListOp(OpKind.COPY, CopyAttrs("stack"), (stored.name,), stored.shape, stored.dtype)
