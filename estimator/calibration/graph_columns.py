"""A graph as compact columns of numbers over tables of distinct values, for the cache on disk.

``graph.json`` is made to be read by people and to be trusted by nobody; reading one takes 20 to 100 ms. This form
holds each distinct name, shape and attribute set once, is checked as a whole (a digest) instead of field by field,
and reads ten times faster. The module tree is left out: estimates do not look at it.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import Any, Final, Generic, TypeVar

from estimator.dtypes import DType
from estimator.ir.attributes import attrs_from_fields, attrs_to_fields
from estimator.ir.graph import Graph
from estimator.ir.op import Op, OpKind
from estimator.ir.tensor import TensorRole, TensorSpec

FORMAT_VERSION: Final = 1
_DTYPES: Final = tuple(DType)
_ROLES: Final = tuple(TensorRole)
_KINDS: Final = tuple(OpKind)
_DTYPE_CODE: Final = {dtype: code for code, dtype in enumerate(_DTYPES)}
_ROLE_CODE: Final = {role: code for code, role in enumerate(_ROLES)}
_KIND_CODE: Final = {kind: code for code, kind in enumerate(_KINDS)}

T = TypeVar("T", bound=Hashable)


class _Distinct(Generic[T]):
    """Values in order of first appearance, by index."""

    def __init__(self) -> None:
        self._index: dict[T, int] = {}

    def code(self, value: T) -> int:
        return self._index.setdefault(value, len(self._index))

    def values(self) -> list[T]:
        return list(self._index)


def graph_to_columns(graph: Graph) -> bytes:
    """Encode a graph, its module tree left out."""
    texts, shapes, attributes = _Distinct[str](), _Distinct[tuple[int, ...]](), _Distinct[tuple[int, str]]()
    position = {name: index for index, name in enumerate(graph.tensors)}
    tensors = graph.tensors.values()
    document = {
        "version": FORMAT_VERSION,
        "name": graph.name,
        "source_format": graph.source_format,
        "notes": list(graph.notes),
        "inputs": [position[name] for name in graph.inputs],
        "outputs": [position[name] for name in graph.outputs],
        "tensor": list(graph.tensors),
        "shape": [shapes.code(t.shape) for t in tensors],
        "dtype": [_DTYPE_CODE[t.dtype] for t in tensors],
        "role": [_ROLE_CODE[t.role] for t in tensors],
        "quantised": [index for index, t in enumerate(tensors) if t.quantised],
        "strides": {index: shapes.code(t.strides) for index, t in enumerate(tensors) if t.strides is not None},
        "op": [op.name for op in graph.ops],
        "attrs": [attributes.code((_KIND_CODE[op.kind], _attrs_text(op))) for op in graph.ops],
        "scope": [texts.code(op.scope) for op in graph.ops],
        "source": [texts.code(op.source) for op in graph.ops],
        "in_place": [index for index, op in enumerate(graph.ops) if op.in_place],
        **_ragged("op_inputs", [[position[name] for name in op.inputs] for op in graph.ops]),
        **_ragged("op_outputs", [[position[name] for name in op.outputs] for op in graph.ops]),
        "texts": texts.values(),
        "shapes": shapes.values(),
        "attributes": attributes.values(),
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _attrs_text(op: Op) -> str:
    return json.dumps(attrs_to_fields(op.kind, op.attrs), separators=(",", ":"))


def _ragged(name: str, rows: Sequence[Sequence[int]]) -> dict[str, list[int]]:
    offsets = [0]
    for row in rows:
        offsets.append(offsets[-1] + len(row))
    return {name: [value for row in rows for value in row], f"{name}_offsets": offsets}


def graph_from_columns(data: bytes) -> Graph:
    """Decode what `graph_to_columns` wrote; the caller vouches for the bytes.

    Raises
    ------
    ValueError, KeyError, IndexError, TypeError, GraphError
        Written by another version, or damaged in a way that the digest did not show.
    """
    document: dict[str, Any] = json.loads(data)
    if document["version"] != FORMAT_VERSION:
        raise ValueError(f"version {document['version']} of the columns")
    names: list[str] = document["tensor"]
    return Graph(
        name=document["name"],
        tensors=_tensors(document),
        inputs=tuple(names[i] for i in document["inputs"]),
        outputs=tuple(names[i] for i in document["outputs"]),
        ops=_ops(document, names),
        notes=tuple(document["notes"]),
        source_format=document["source_format"],
    )


def _tensors(document: dict[str, Any]) -> dict[str, TensorSpec]:
    shapes = [tuple(shape) for shape in document["shapes"]]
    strides = {int(index): shapes[code] for index, code in document["strides"].items()}
    quantised = set(document["quantised"])
    return {
        name: TensorSpec(name, shapes[shape], _DTYPES[dtype], _ROLES[role], index in quantised, strides.get(index))
        for index, (name, shape, dtype, role) in enumerate(
            zip(document["tensor"], document["shape"], document["dtype"], document["role"], strict=True)
        )
    }


def _ops(document: dict[str, Any], names: list[str]) -> tuple[Op, ...]:
    texts: list[str] = document["texts"]
    in_place = set(document["in_place"])
    kinds = [_KINDS[code] for code, _ in document["attributes"]]
    attributes = [
        attrs_from_fields(kind, json.loads(text), "cache")
        for kind, (_, text) in zip(kinds, document["attributes"], strict=True)
    ]
    inputs, outputs = _rows(document, "op_inputs", names), _rows(document, "op_outputs", names)
    columns = zip(
        document["op"], document["attrs"], inputs, outputs, document["scope"], document["source"], strict=True
    )
    return tuple(
        Op(name, kinds[code], read, written, attributes[code], texts[scope], texts[source], index in in_place)
        for index, (name, code, read, written, scope, source) in enumerate(columns)
    )


def _rows(document: dict[str, Any], name: str, names: list[str]) -> list[tuple[str, ...]]:
    flat = [names[i] for i in document[name]]
    return [tuple(flat[start:end]) for start, end in pairwise(document[f"{name}_offsets"])]
