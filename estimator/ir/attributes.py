"""Typed attributes to and from plain fields: the part that the JSON and text forms share.

A field is an int, a bool, a string, or a list of ints or of strings; `ATTRS_OF` is the schema. Fields at their default
are left out when written and may be left out when read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache
from typing import get_type_hints

from estimator.errors import GraphError
from estimator.ir.op import ATTRS_OF, Attrs, OpKind

FieldValue = int | bool | str | tuple[int, ...] | tuple[str, ...]

MAX_INT = 2**62
MAX_LIST = 4096
_KNOWN_TYPES: dict[object, str] = {
    int: "an integer",
    bool: "true or false",
    str: "a string",
    tuple[int, ...]: "a list of integers",
    tuple[str, ...]: "a list of strings",
}


@cache
def _schema(kind: OpKind) -> dict[str, tuple[object, object]]:
    """Map field name to (type, default or MISSING)."""
    cls = ATTRS_OF[kind]
    hints = get_type_hints(cls)
    return {f.name: (hints[f.name], f.default) for f in fields(cls)}


def attrs_to_fields(kind: OpKind, attrs: Attrs) -> dict[str, FieldValue]:
    """Fields that differ from their default, in declaration order."""
    return {
        name: getattr(attrs, name)
        for name, (_, default) in _schema(kind).items()
        if default is MISSING or getattr(attrs, name) != default
    }


def attrs_from_fields(kind: OpKind, given: Mapping[str, object], where: str) -> Attrs:
    """Rebuild typed attributes.

    Raises
    ------
    GraphError
        A field is missing, unknown, of the wrong type or absurdly large.
    """
    schema = _schema(kind)
    for name in given:
        if name not in schema:
            expected = ", ".join(schema) or "no attributes"
            raise GraphError(f"unknown attribute {name!r:.80}", where=where, expected=expected)
    values: dict[str, FieldValue] = {}
    for name, (declared, default) in schema.items():
        if name in given:
            values[name] = _checked(given[name], declared, f"{where}, attribute {name!r}")
        elif default is MISSING:
            raise GraphError(f"the attribute {name!r} is missing", where=where, expected=_KNOWN_TYPES[declared])
    make: type[Attrs] = ATTRS_OF[kind]
    return make(**values)  # type: ignore[arg-type]


def _checked(value: object, declared: object, where: str) -> FieldValue:
    if declared is bool and isinstance(value, bool):
        return value
    if declared is int and _is_int(value):
        return value  # type: ignore[return-value]
    if declared is str and isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)) and len(value) <= MAX_LIST:
        if declared == tuple[int, ...] and all(_is_int(v) for v in value):
            return tuple(value)
        if declared == tuple[str, ...] and all(isinstance(v, str) for v in value):
            return tuple(value)
    raise GraphError(f"{value!r:.80} does not fit", where=where, expected=_KNOWN_TYPES[declared])


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -MAX_INT <= value <= MAX_INT
