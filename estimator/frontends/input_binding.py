"""Give every extent of a model file's inputs a number, or say which one is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from estimator.errors import BadOptionError, MissingShapeError
from estimator.ir.tensor import Shape

Extent = int | str | None
"""A number, a symbol that the file names, or None for an unknown without a name."""
MAX_BATCH = 1 << 31


@dataclass(frozen=True, slots=True)
class DeclaredInput:
    """An input as the file states it; shape None is unknown rank."""

    name: str
    shape: tuple[Extent, ...] | None


@dataclass(frozen=True, slots=True)
class BoundInputs:
    """Static shape of each input, the symbols' values, what was assumed, and whether `batch` is already in."""

    shapes: dict[str, Shape]
    symbols: dict[str, int]
    notes: tuple[str, ...]
    batch_applied: bool


def bind_inputs(
    declared: Sequence[DeclaredInput], given: Mapping[str, Shape], batch: int | None, *, path: str
) -> BoundInputs:
    """Combine declared shapes, ``--input-shape`` and ``--batch``.

    A symbolic leading extent is the batch: `batch`, or 1 with a note. A symbol has one value in all inputs.
    The key "" of `given` means the first input.

    Raises
    ------
    BadOptionError
        A given shape names no input, or contradicts the rank.
    MissingShapeError
        An extent other than the leading one is unknown and was not given.
    """
    check_batch(batch)
    given = _named(declared, given)
    symbols: dict[str, int] = {}
    for tensor in declared:
        if tensor.name in given:
            _learn(tensor, given[tensor.name], symbols)
    notes: list[str] = []
    applied = False
    for tensor in declared:
        lead = tensor.shape[0] if tensor.shape and tensor.name not in given else 0
        if isinstance(lead, str) and lead not in symbols:
            symbols[lead] = batch or 1
            applied = True
            if batch is None:
                notes.append(f"input {tensor.name!r}: its leading extent {lead!r} is taken as batch 1; see --batch")
        elif lead is None:
            applied = True
            if batch is None:
                notes.append(f"input {tensor.name!r}: its unnamed leading extent is taken as batch 1; see --batch")
    shapes = {t.name: given[t.name] if t.name in given else _resolve(t, symbols, batch or 1, path) for t in declared}
    return BoundInputs(shapes, symbols, tuple(dict.fromkeys(notes)), applied and batch is not None)


def check_batch(batch: int | None) -> None:
    """Reject a batch that is not a positive number of sane size."""
    if batch is not None and not 1 <= batch <= MAX_BATCH:
        raise BadOptionError(f"batch {batch} is out of range", expected=f"a whole number from 1 to {MAX_BATCH}")


def _named(declared: Sequence[DeclaredInput], given: Mapping[str, Shape]) -> dict[str, Shape]:
    names = [tensor.name for tensor in declared]
    result: dict[str, Shape] = {}
    for key, shape in given.items():
        name = key or (names[0] if names else "")
        if name not in names:
            raise BadOptionError(
                f"the model has no input {name!r} (--input-shape)", expected=f"one of {', '.join(map(repr, names))}"
            )
        result[name] = tuple(shape)
    return result


def _learn(tensor: DeclaredInput, shape: Shape, symbols: dict[str, int]) -> None:
    if tensor.shape is None:
        return
    if len(shape) != len(tensor.shape):
        raise BadOptionError(
            f"input {tensor.name!r} has {len(tensor.shape)} axes, the given shape {'x'.join(map(str, shape))} has "
            f"{len(shape)} (--input-shape)",
            expected=describe(tensor.shape),
        )
    for extent, value in zip(tensor.shape, shape, strict=True):
        if isinstance(extent, str) and symbols.setdefault(extent, value) != value:
            raise BadOptionError(
                f"extent {extent!r} is given as both {symbols[extent]} and {value} (--input-shape)",
                where=f"input {tensor.name!r}",
            )


def _resolve(tensor: DeclaredInput, symbols: Mapping[str, int], batch: int, path: str) -> Shape:
    example = f"--input-shape {tensor.name}="
    if tensor.shape is None:
        raise MissingShapeError(
            f"input {tensor.name!r} has no declared shape", where=path, hint=f"give it, e.g. {example}1x3x224x224"
        )
    result = []
    for axis, extent in enumerate(tensor.shape):
        value = symbols.get(extent) if isinstance(extent, str) else extent
        if value is None and axis == 0:
            value = batch
        if value is None:
            name = f"{extent!r} (axis {axis})" if extent else f"axis {axis}"
            raise MissingShapeError(
                f"input {tensor.name!r}: extent {name} is unknown",
                where=f"{path}, declared {describe(tensor.shape)}",
                hint=f"give it, e.g. {example}{_example(tensor.shape, symbols, batch)}",
            )
        result.append(value)
    return tuple(result)


def describe(shape: Sequence[Extent]) -> str:
    """Print a declared shape as ``batchx3x?x?``."""
    return "x".join("?" if extent is None else str(extent) for extent in shape) or "a scalar"


def _example(shape: Sequence[Extent], symbols: Mapping[str, int], batch: int) -> str:
    values = [symbols.get(e, None) if isinstance(e, str) else e for e in shape]
    return "x".join(str(v if v is not None else batch if i == 0 else 224) for i, v in enumerate(values))
