"""A graph as a JSON document: the ``graph.json`` that ``export-graph`` writes and every command reads.

::

    {"format": "estimator-graph", "version": 1, "name": "resnet50", "source_format": "torch",
     "inputs": ["x"], "outputs": ["linear"],
     "tensors": [{"name": "x", "shape": [1, 3, 224, 224], "dtype": "f32", "role": "input"}, …],
     "ops": [{"name": "conv2d", "kind": "conv", "inputs": ["x", "conv1.weight"], "outputs": ["conv2d"],
              "attrs": {"kernel": [7, 7], …}, "scope": "conv1", "source": "aten.conv2d.default"}, …],
     "modules": […], "module_calls": […], "notes": […]}

Reading trusts nothing: every field is checked for presence, type and size before it is used, unknown fields are
refused (a newer writer raises ``version``), and the result passes `ir.validate`. Fields at their default may be
left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeVar

from estimator.dtypes import DType
from estimator.errors import GraphError
from estimator.ir.attributes import MAX_INT, attrs_from_fields, attrs_to_fields
from estimator.ir.graph import Graph, ModuleCall, ModuleSpec
from estimator.ir.op import Op, OpKind
from estimator.ir.tensor import TensorRole, TensorSpec
from estimator.ir.validate import validate

FORMAT = "estimator-graph"
VERSION = 1
MAX_ENTRIES = 4_000_000
MAX_TEXT = 65_536

Json = dict[str, object]
T = TypeVar("T")


# ---------------------------------------------------------------- writing
def graph_to_json(graph: Graph) -> Json:
    """Plain dict, list, str, int and bool form of a graph, ready for `json.dumps`."""
    document: Json = {
        "format": FORMAT,
        "version": VERSION,
        "name": graph.name,
        "source_format": graph.source_format,
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        "notes": list(graph.notes),
        "tensors": [_tensor_to_json(t) for t in graph.tensors.values()],
        "ops": [_op_to_json(op) for op in graph.ops],
        "modules": [_module_to_json(m) for m in graph.modules],
        "module_calls": [
            {"path": c.path, "inputs": list(c.inputs), "outputs": list(c.outputs)} for c in graph.module_calls
        ],
    }
    if graph.one_input_per_item:
        document["one_input_per_item"] = True
    return document


def _tensor_to_json(tensor: TensorSpec) -> Json:
    document: Json = {"name": tensor.name, "shape": list(tensor.shape), "dtype": tensor.dtype.value}
    if tensor.role is not TensorRole.ACTIVATION:
        document["role"] = tensor.role.value
    if tensor.quantised:
        document["quantised"] = True
    if tensor.strides is not None:
        document["strides"] = list(tensor.strides)
    return document


def _op_to_json(op: Op) -> Json:
    document: Json = {
        "name": op.name,
        "kind": op.kind.value,
        "inputs": list(op.inputs),
        "outputs": list(op.outputs),
    }
    attrs = {k: list(v) if isinstance(v, tuple) else v for k, v in attrs_to_fields(op.kind, op.attrs).items()}
    optional: Json = {"attrs": attrs, "scope": op.scope, "source": op.source, "in_place": op.in_place}
    document.update({key: value for key, value in optional.items() if value})
    return document


def _module_to_json(module: ModuleSpec) -> Json:
    document: Json = {"path": module.path, "type": module.type_name}
    if module.parameters:
        document["parameters"] = list(module.parameters)
    if module.buffers:
        document["buffers"] = list(module.buffers)
    return document


# ---------------------------------------------------------------- reading
def graph_from_text(text: str) -> Graph:
    """Parse and check a JSON text.

    Raises
    ------
    GraphError
        The text is no JSON, nests absurdly, repeats a key, or is no graph.
    """
    try:
        document = json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except RecursionError:
        raise GraphError("the document nests too deeply", expected=f"an {FORMAT} document") from None
    except ValueError as error:
        raise GraphError(f"the document is not JSON: {error}", expected=f"an {FORMAT} document") from None
    return graph_from_json(document)


def _without_duplicates(pairs: list[tuple[str, object]]) -> Json:
    document = dict(pairs)
    if len(document) != len(pairs):
        names = [key for key, _ in pairs]
        repeated = next(key for key in names if names.count(key) > 1)
        raise ValueError(f"the key {repeated!r:.80} appears twice in one object")
    return document


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def graph_from_json(document: object) -> Graph:
    """Rebuild a graph from what `graph_to_json` made, or from anything that claims to be it.

    Raises
    ------
    GraphError
        Something is missing, mistyped, oversized or inconsistent; `where` names the entry.
    """
    top = _Fields(document, "document")
    if top.text("format") != FORMAT:
        raise GraphError("this JSON is no graph", where="field 'format'", expected=repr(FORMAT))
    version = top.integer("version")
    if version != VERSION:
        raise GraphError(
            f"version {version} of the format", expected=f"version {VERSION}", hint="use the release that wrote it"
        )
    tensors = top.entries("tensors", _tensor_from_json)
    graph = Graph(
        name=top.text("name"),
        tensors={t.name: t for t in tensors},
        inputs=top.texts("inputs"),
        outputs=top.texts("outputs"),
        ops=top.entries("ops", _op_from_json),
        modules=top.entries("modules", _module_from_json, required=False),
        module_calls=top.entries("module_calls", _call_from_json, required=False),
        notes=top.texts("notes", required=False),
        source_format=top.text("source_format", default=""),
        one_input_per_item=top.flag("one_input_per_item"),
    )
    top.refuse_the_rest()
    if len(graph.tensors) != len(tensors):
        names = [t.name for t in tensors]
        repeated = next(name for name in names if names.count(name) > 1)
        raise GraphError(f"two tensors are called {repeated!r:.80}", where="field 'tensors'")
    return validate(graph)


def _tensor_from_json(fields: _Fields) -> TensorSpec:
    return TensorSpec(
        name=fields.text("name"),
        shape=fields.integers("shape"),
        dtype=fields.member("dtype", DType),
        role=fields.member("role", TensorRole, default=TensorRole.ACTIVATION),
        quantised=fields.flag("quantised"),
        strides=fields.integers("strides") if fields.has("strides") else None,
    )


def _op_from_json(fields: _Fields) -> Op:
    kind = fields.member("kind", OpKind)
    return Op(
        name=fields.text("name"),
        kind=kind,
        inputs=fields.texts("inputs"),
        outputs=fields.texts("outputs"),
        attrs=attrs_from_fields(kind, fields.mapping("attrs"), fields.where),
        scope=fields.text("scope", default=""),
        source=fields.text("source", default=""),
        in_place=fields.flag("in_place"),
    )


def _module_from_json(fields: _Fields) -> ModuleSpec:
    return ModuleSpec(
        path=fields.text("path"),
        type_name=fields.text("type"),
        parameters=fields.texts("parameters", required=False),
        buffers=fields.texts("buffers", required=False),
    )


def _call_from_json(fields: _Fields) -> ModuleCall:
    return ModuleCall(fields.text("path"), fields.texts("inputs"), fields.texts("outputs"))


class _Fields:
    """One JSON object, read field by field; whatever was not asked for is refused at the end."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise GraphError(f"{type(value).__name__} instead of an object", where=where, expected="a JSON object")
        self._fields: Json = value
        self._asked: set[str] = set()
        self.where = where

    def _wrong(self, name: str, expected: str) -> GraphError:
        if name not in self._fields:
            return GraphError(f"the field {name!r} is missing", where=self.where, expected=expected)
        return GraphError(
            f"{self._fields[name]!r:.80} does not fit", where=f"{self.where}, field {name!r}", expected=expected
        )

    def _get(self, name: str) -> object:
        self._asked.add(name)
        return self._fields.get(name)

    def has(self, name: str) -> bool:
        return name in self._fields

    def text(self, name: str, default: str | None = None) -> str:
        value = self._get(name)
        if value is None and default is not None and name not in self._fields:
            return default
        if not isinstance(value, str) or len(value) > MAX_TEXT:
            raise self._wrong(name, f"a string of up to {MAX_TEXT} characters")
        return value

    def integer(self, name: str) -> int:
        value = self._get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong(name, "an integer")
        return value

    def flag(self, name: str) -> bool:
        value = self._get(name)
        if name not in self._fields:
            return False
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def member(self, name: str, enum: type[T], default: T | None = None) -> T:
        value = self._get(name)
        if default is not None and name not in self._fields:
            return default
        try:
            return enum(value)  # type: ignore[call-arg]
        except ValueError:
            raise self._wrong(name, ", ".join(str(m) for m in enum)) from None  # type: ignore[attr-defined]

    def _list(self, name: str, required: bool) -> list[object]:
        value = self._get(name)
        if name not in self._fields and not required:
            return []
        if not isinstance(value, list) or len(value) > MAX_ENTRIES:
            raise self._wrong(name, f"a list of up to {MAX_ENTRIES} entries")
        return value

    def integers(self, name: str) -> tuple[int, ...]:
        values = self._list(name, required=True)
        numbers = tuple(v for v in values if isinstance(v, int) and not isinstance(v, bool) and abs(v) <= MAX_INT)
        if len(numbers) != len(values):
            raise self._wrong(name, "a list of integers")
        return numbers

    def texts(self, name: str, required: bool = True) -> tuple[str, ...]:
        values = self._list(name, required)
        found = tuple(v for v in values if isinstance(v, str) and len(v) <= MAX_TEXT)
        if len(found) != len(values):
            raise self._wrong(name, "a list of strings")
        return found

    def mapping(self, name: str) -> Json:
        value = self._get(name)
        if name not in self._fields:
            return {}
        if not isinstance(value, dict):
            raise self._wrong(name, "an object")
        return value

    def entries(self, name: str, read: Callable[[_Fields], T], required: bool = True) -> tuple[T, ...]:
        found = []
        for index, value in enumerate(self._list(name, required)):
            fields = _Fields(value, f"{name}[{index}]")
            found.append(read(fields))
            fields.refuse_the_rest()
        return tuple(found)

    def refuse_the_rest(self) -> None:
        unknown = sorted(set(self._fields) - self._asked)
        if unknown:
            raise GraphError(
                f"unknown field {unknown[0]!r:.80}", where=self.where, expected=", ".join(sorted(self._asked))
            )
