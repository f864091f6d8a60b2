"""Input shapes as a user writes them: ``1x3x224x224``, ``ids=1x128``, ``ids=1x128:i64``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from estimator.dtypes import DType
from estimator.errors import BadOptionError
from estimator.ir.tensor import Shape

_FORM = re.compile(r"(?:(?P<name>[^=]+)=)?(?P<dims>\d+(?:[x,]\d+)*)(?::(?P<dtype>\w+))?")
MAX_ELEMENTS = 2**40
_LONG_TYPE = re.compile(r"(?P<kind>bfloat|float|uint|int|complex|bf|fp)(?P<bits>\d+)")
_SHORT_KIND = {"bfloat": "bf", "float": "f", "fp": "f", "uint": "u", "int": "i", "complex": "c"}


@dataclass(frozen=True, slots=True)
class InputShape:
    """One requested input; `name` and `dtype` are ``None`` where the user left them open."""

    shape: Shape
    name: str | None = None
    dtype: DType | None = None

    def with_batch(self, batch: int | None) -> InputShape:
        """Replace the leading extent."""
        if batch is None or not self.shape:
            return self
        return replace(self, shape=(batch, *self.shape[1:]))


def parse_input_shape(text: str) -> InputShape:
    """Parse one ``--input-shape``.

    Raises
    ------
    BadOptionError
        The text is malformed, has a zero or absurd extent, or an unknown element type.
    """
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise BadOptionError(
            f"cannot read the input shape {text!r}",
            where="--input-shape",
            expected="positive extents such as 1x3x224x224, or NAME=1x128, or NAME=1x128:i64",
        )
    shape = tuple(int(d) for d in re.split("[x,]", match["dims"]))
    elements = 1
    for extent in shape:
        elements *= extent
    if not 0 < elements <= MAX_ELEMENTS:
        raise BadOptionError(
            f"the input shape {text!r} has {elements} elements",
            where="--input-shape",
            expected=f"between 1 and {MAX_ELEMENTS}",
        )
    try:
        dtype = _element_type(match["dtype"]) if match["dtype"] else None
    except ValueError:
        raise BadOptionError(
            f"unknown element type {match['dtype']!r}",
            where=f"--input-shape {text}",
            expected=", ".join(DType),
        ) from None
    return InputShape(shape, match["name"], dtype)


def _element_type(name: str) -> DType:
    """Element type by our short name or a framework's long one: ``i64``, ``int64``."""
    long = _LONG_TYPE.fullmatch(name)
    return DType(f"{_SHORT_KIND.get(long['kind'], long['kind'])}{long['bits']}" if long else name)


def parse_input_shapes(texts: Sequence[str]) -> tuple[InputShape, ...]:
    """Parse all ``--input-shape`` options; a name may be given once."""
    shapes = tuple(parse_input_shape(text) for text in texts)
    names = [s.name for s in shapes if s.name is not None]
    for name in names:
        if names.count(name) > 1:
            raise BadOptionError(f"the input {name!r} was given twice", where="--input-shape")
    return shapes


def shapes_by_name(shapes: Sequence[InputShape]) -> dict[str, Shape]:
    """Key shapes by name, as file formats need them; the key "" stands for a single unnamed shape.

    Raises
    ------
    BadOptionError
        Several shapes, and one of them has no name.
    """
    if len(shapes) > 1 and any(s.name is None for s in shapes):
        raise BadOptionError(
            "several input shapes need names",
            where="--input-shape",
            expected="NAME=1x3x224x224 for each",
        )
    return {s.name or "": s.shape for s in shapes}
