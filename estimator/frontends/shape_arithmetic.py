"""Output extents of the usual operators, shared by the file front-ends. Integers in, integers out."""

from __future__ import annotations

import math
import string
from collections.abc import Iterable, Sequence

from estimator.ir.tensor import Shape


def broadcast(*shapes: Shape) -> Shape:
    """Numpy broadcasting of several shapes.

    Raises
    ------
    ValueError
        Two extents differ and neither is 1.
    """
    rank = max((len(s) for s in shapes), default=0)
    result = []
    for axis in range(-rank, 0):
        extents = {s[axis] for s in shapes if len(s) >= -axis}
        wide = extents - {1}
        if len(wide) > 1:
            raise ValueError(f"shapes {' and '.join(str(list(s)) for s in shapes)} do not broadcast")
        result.append(wide.pop() if wide else 1)
    return tuple(result)


def axis_of(axis: int, rank: int) -> int:
    """Non-negative form of an axis; ValueError if it is out of range."""
    if not -rank <= axis < max(rank, 1):
        raise ValueError(f"axis {axis} is outside a tensor of rank {rank}")
    return axis + rank if axis < 0 else axis


def axes_of(axes: Iterable[int], rank: int) -> tuple[int, ...]:
    """Non-negative, sorted, distinct axes."""
    return tuple(sorted({axis_of(a, rank) for a in axes}))


def conv_extent(size: int, kernel: int, stride: int, before: int, after: int, dilation: int) -> int:
    """Output extent of a window along one axis, rounded down."""
    return (size + before + after - dilation * (kernel - 1) - 1) // stride + 1


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> int:
    """Total padding that makes the output ⌈size / stride⌉ (the SAME rule)."""
    return max(0, (-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size)


def matmul_shape(a: Shape, b: Shape) -> Shape:
    """Shape of numpy's matmul; ValueError if the inner extents differ."""
    if not a or not b:
        raise ValueError("a matrix product of a scalar")
    inner_a, inner_b = a[-1], b[-2] if len(b) > 1 else b[0]
    if inner_a != inner_b:
        raise ValueError(f"inner extents of {list(a)} and {list(b)} differ")
    batch = broadcast(a[:-2], b[:-2])
    return (*batch, *(a[-2:-1] if len(a) > 1 else ()), *(b[-1:] if len(b) > 1 else ()))


def reduced_shape(shape: Shape, axes: Sequence[int], keepdim: bool) -> Shape:
    """Shape after reducing `axes` (non-negative)."""
    return tuple(1 if i in axes else n for i, n in enumerate(shape) if keepdim or i not in axes)


def reshaped(shape: Shape, target: Sequence[int], *, zero_copies: bool) -> Shape:
    """Resolve a reshape target with one −1, and with 0 as "as in the input" where the format means that.

    Raises
    ------
    ValueError
        The element counts cannot agree.
    """
    if sum(t == -1 for t in target) > 1 or any(t < -1 for t in target):
        raise ValueError(f"reshape to {list(target)}")
    result = [shape[i] if t == 0 and zero_copies else t for i, t in enumerate(target)]
    if -1 in result:
        known = math.prod(t for t in result if t != -1)
        rest = math.prod(shape) // known if known else 0
        result[result.index(-1)] = rest
    if math.prod(result) != math.prod(shape):
        raise ValueError(f"{list(shape)} cannot be reshaped to {list(target)}")
    return tuple(result)


def slice_extent(size: int, start: int, stop: int, step: int) -> int:
    """Count the elements that a Python-style slice keeps."""
    return len(range(*slice(start, stop, step).indices(size)))


def canonical_equation(equation: str, ranks: Sequence[int]) -> str:
    """Rewrite an einsum equation with an explicit output and no ellipsis, letters in order of appearance."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise ValueError(f"equation {equation!r} for {len(ranks)} operands")
    spare = [c for c in string.ascii_letters if c not in equation]
    widths = [r - len(t.replace("...", "")) if "..." in t else 0 for t, r in zip(terms, ranks, strict=True)]
    hidden = "".join(spare[: max(widths)])
    terms = [t.replace("...", hidden[len(hidden) - w :] if w else "") for t, w in zip(terms, widths, strict=True)]
    if arrow:
        right = right.replace("...", hidden)
    else:
        joined = "".join(terms)
        right = hidden + "".join(sorted(c for c in set(joined) - set(hidden) if joined.count(c) == 1))
    names: dict[str, str | int | None] = {}
    for letter in "".join(terms) + right:
        names.setdefault(letter, string.ascii_letters[len(names)])
    return f"{','.join(terms)}->{right}".translate(str.maketrans(names))


def einsum_shape(equation: str, shapes: Sequence[Shape]) -> Shape:
    """Output shape of a canonical einsum equation."""
    left, _, right = equation.partition("->")
    extent: dict[str, int] = {}
    for term, shape in zip(left.split(","), shapes, strict=True):
        for letter, size in zip(term, shape, strict=True):
            extent[letter] = max(size, extent.get(letter, 1))
    return tuple(extent[letter] for letter in right)


def swap_last(shape: Shape) -> Shape:
    """Shape with its last two axes swapped."""
    return (*shape[:-2], shape[-1], shape[-2])


def is_metadata_permutation(shape: Shape, order: Sequence[int]) -> bool:
    """Whether a permutation leaves the element order alone: only axes of extent 1 move."""
    wide = [axis for axis in order if shape[axis] != 1]
    return wide == sorted(wide)
