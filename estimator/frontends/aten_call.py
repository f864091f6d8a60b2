"""One executed aten operator, as the mapping rules see it.

Rules never meet real data: they read shapes, strides and plain Python arguments, so the same rule serves the
dispatch recorder (meta tensors) and exported programs (fake tensors).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol, TypeGuard

from estimator.ir.op import Attrs, NoAttrs, OpKind


class TensorLike(Protocol):
    """What a rule may ask of a tensor."""

    @property
    def shape(self) -> Sequence[int]:
        """Extents."""

    @property
    def dtype(self) -> Any:
        """Framework element type."""

    def stride(self) -> Sequence[int]:
        """Element strides, one per axis."""


class Call:
    """An operator with all its arguments.

    Attributes
    ----------
    name : str
        Operator name without namespace, overload and in-place underscore: ``add``, ``conv2d``.
    overload : str
        ``Tensor``, ``default``, …
    args : sequence
        Every argument in schema order, defaults filled in; tensors as `TensorLike`.
    tensors : sequence of TensorLike
        The tensors among `args`, lists flattened, absent optionals left out.
    outputs : sequence of TensorLike
    aliased : bool
        The first output shares storage with the first tensor; only meaningful for `MAYBE_VIEW` names.
    """

    __slots__ = ("aliased", "args", "name", "outputs", "overload", "tensors")

    def __init__(
        self, name: str, overload: str, args: Sequence[Any], tensors: Sequence[TensorLike],
        outputs: Sequence[TensorLike], aliased: bool,
    ) -> None:  # fmt: skip
        self.name = name
        self.overload = overload
        self.args = args
        self.tensors = tensors
        self.outputs = outputs
        self.aliased = aliased


class Mapped(NamedTuple):
    """The IR form of a call: its kind, the tensors read in the kind's order, typed attributes."""

    kind: OpKind
    tensors: Sequence[TensorLike]
    attrs: Attrs = NoAttrs()


Rule = Callable[[Call], Mapped]


def words(text: str) -> frozenset[str]:
    """Read a table of operator names that is written as running text."""
    return frozenset(text.split())


def is_tensor(value: object) -> TypeGuard[TensorLike]:
    """Whether an argument is a tensor (real, meta, fake, or a stand-in)."""
    return hasattr(value, "stride") and hasattr(value, "dtype")


def present(values: Iterable[Any]) -> tuple[TensorLike, ...]:
    """Drop absent optional tensors."""
    return tuple(v for v in values if v is not None)


def per_axis(value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    """Spread a scalar or one-element attribute over `rank` spatial axes."""
    if isinstance(value, int):
        return (value,) * rank
    values = tuple(int(v) for v in value)
    return values * rank if len(values) == 1 else values


def positive_axis(axis: int, rank: int) -> int:
    """Non-negative form of an axis."""
    return axis + rank if axis < 0 else axis


def positive_axes(axes: int | Sequence[int] | None, rank: int) -> tuple[int, ...]:
    """Sorted non-negative axes; all of them for ``None`` or an empty list."""
    if axes is None:
        return tuple(range(rank))
    if isinstance(axes, int):
        return (positive_axis(axes, rank),) if rank else ()
    return tuple(sorted(positive_axis(a, rank) for a in axes)) or tuple(range(rank))


def axis_order(tensor: TensorLike) -> tuple[int, ...]:
    """Axes from outermost to innermost in memory, without those of extent 1 or stride 0."""
    strides = tensor.stride()
    axes = [i for i, n in enumerate(tensor.shape) if n > 1 and strides[i] != 0]
    return tuple(sorted(axes, key=lambda i: -strides[i]))
