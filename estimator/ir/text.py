"""A graph as text that a person reads, diffs and pastes into a bug report; and the way back.

::

    graph resnet50 from torch
    input x f32[1,3,224,224]
    parameter conv1.weight f32[64,3,7,7]
    conv2d f32[1,64,112,112] = conv(x, conv1.weight) kernel=[7,7] stride=[2,2] padding=[3,3] dilation=[1,1] @conv1 #aten.conv2d.default
    relu_ f32[1,64,112,112] = activation(conv2d) function=relu in_place @relu #aten.relu_.default
    output relu_
    module conv1 torch.nn.modules.conv.Conv2d parameters(conv1.weight)
    call conv1(x) -> (conv2d)

One line per thing. A tensor that is not row-major carries ``strides[…]``. An op's name is its first result's unless ``as NAME`` says otherwise; ``@`` is its module, ``#`` the
framework's own name; ``one_input_per_item`` ends the first line of a graph whose inputs are the items of its batch. Names with unusual characters are JSON strings.
"""  # noqa: E501  (a sample line is shown as it is printed)

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from estimator.dtypes import DType
from estimator.errors import GraphError
from estimator.ir.attributes import FieldValue, attrs_from_fields, attrs_to_fields
from estimator.ir.graph import Graph, ModuleCall, ModuleSpec
from estimator.ir.op import Op, OpKind
from estimator.ir.tensor import TensorRole, TensorSpec
from estimator.ir.validate import validate

V = TypeVar("V")

_BARE = re.compile(r"[A-Za-z_][\w./:\-]*")
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<arrow>->)|(?P<word>[A-Za-z_][\w./:\-]*)"""
    r"""|(?P<number>-?\d+)|(?P<mark>[\[\](),=@#]))"""
)
_WEIGHT_ROLES = {role.value: role for role in TensorRole if role is not TensorRole.ACTIVATION}
_KEYWORDS = frozenset(
    {
        "graph",
        "note",
        "output",
        "module",
        "call",
        "in_place",
        "as",
        "from",
        "quantised",
        "strides",
        "one_input_per_item",
        *_WEIGHT_ROLES,
    }
)


# ---------------------------------------------------------------- printing
def print_graph(graph: Graph) -> str:
    """Text form of a graph; `parse_graph` reads it back to an equal one."""
    lines = [f"graph {_name(graph.name)}" + (f" from {_name(graph.source_format)}" if graph.source_format else "")]
    lines[0] += " one_input_per_item" if graph.one_input_per_item else ""
    lines += [f"note {json.dumps(note, ensure_ascii=False)}" for note in graph.notes]
    given = dict.fromkeys(graph.inputs)
    lines += [_tensor_line(graph.tensors[name]) for name in given]
    lines += [
        _tensor_line(spec)
        for name, spec in graph.tensors.items()
        if spec.role is not TensorRole.ACTIVATION and name not in given
    ]
    lines += [_op_line(op, graph) for op in graph.ops]
    lines.append("output " + ", ".join(_name(name) for name in graph.outputs))
    lines += [_module_line(module) for module in graph.modules]
    lines += [f"call {_name(c.path)}{_group(c.inputs)} -> {_group(c.outputs)}" for c in graph.module_calls]
    return "\n".join(lines) + "\n"


def _name(text: str) -> str:
    return text if _BARE.fullmatch(text) and text not in _KEYWORDS else json.dumps(text, ensure_ascii=True)


def _group(names: Iterable[str]) -> str:
    return "(" + ", ".join(_name(n) for n in names) + ")"


def _spec(tensor: TensorSpec) -> str:
    extents = ",".join(str(extent) for extent in tensor.shape)
    text = f"{_name(tensor.name)} {tensor.dtype}[{extents}]"
    if tensor.strides is not None:
        text += " strides[" + ",".join(str(stride) for stride in tensor.strides) + "]"
    return text + (" quantised" if tensor.quantised else "")


def _tensor_line(tensor: TensorSpec) -> str:
    return f"{tensor.role} {_spec(tensor)}"


def _value(value: FieldValue) -> str:
    if isinstance(value, tuple):
        return "[" + ",".join(_value(v) for v in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return value if _BARE.fullmatch(value) and value not in ("true", "false") else json.dumps(value)


def _op_line(op: Op, graph: Graph) -> str:
    results = ", ".join(_spec(graph.tensors[name]) for name in op.outputs)
    line = f"{results} = {op.kind}{_group(op.inputs)}".lstrip()
    if not op.outputs or op.name != op.outputs[0]:
        line += f" as {_name(op.name)}"
    for key, value in attrs_to_fields(op.kind, op.attrs).items():
        line += f" {key}={_value(value)}"
    if op.in_place:
        line += " in_place"
    if op.scope:
        line += f" @{_name(op.scope)}"
    if op.source:
        line += f" #{_name(op.source)}"
    return line


def _module_line(module: ModuleSpec) -> str:
    line = f"module {_name(module.path)} {_name(module.type_name)}"
    if module.parameters:
        line += f" parameters{_group(module.parameters)}"
    if module.buffers:
        line += f" buffers{_group(module.buffers)}"
    return line


# ---------------------------------------------------------------- parsing
def parse_graph(text: str) -> Graph:
    """Read the text form.

    Raises
    ------
    GraphError
        A line cannot be read (`where` gives its number), or the graph breaks an invariant.
    """
    parts = _Parts()
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            _read_line(_Line(line, number), parts)
    if parts.name is None:
        raise GraphError("there is no graph line", expected="graph NAME as the first line")
    return validate(
        Graph(
            name=parts.name,
            tensors=parts.tensors,
            inputs=tuple(n for n, t in parts.tensors.items() if t.role is TensorRole.INPUT),
            outputs=tuple(parts.outputs),
            ops=tuple(parts.ops),
            modules=tuple(parts.modules),
            module_calls=tuple(parts.calls),
            notes=tuple(parts.notes),
            source_format=parts.source_format,
            one_input_per_item=parts.one_input_per_item,
        )
    )


class _Parts:
    """What the lines read so far add up to."""

    def __init__(self) -> None:
        self.name: str | None = None
        self.source_format = ""
        self.one_input_per_item = False
        self.tensors: dict[str, TensorSpec] = {}
        self.outputs: list[str] = []
        self.ops: list[Op] = []
        self.modules: list[ModuleSpec] = []
        self.calls: list[ModuleCall] = []
        self.notes: list[str] = []


class _Line:
    """Tokens of one line, taken from left to right."""

    def __init__(self, text: str, number: int) -> None:
        self._text = text
        self.number = number
        self._tokens: list[tuple[str, str]] = []
        self._at = 0
        position, end = 0, len(text.rstrip())
        while position < end:
            match = _TOKEN.match(text, position)
            if match is None:
                raise self.wrong(f"cannot read {text[position : position + 20]!r}")
            kind = str(match.lastgroup)
            self._tokens.append((kind, match[kind]))
            position = match.end()

    def wrong(self, what: str, expected: str = "") -> GraphError:
        return GraphError(what, where=f"line {self.number}: {self._text.strip():.100}", expected=expected)

    def peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def take(self, wanted: str | None = None) -> str:
        kind, text = self.peek()
        if kind == "end" or (wanted is not None and (text != wanted or kind == "string")):
            raise self.wrong(f"{text!r} at the wrong place" if text else "the line ends early", expected=wanted or "")
        self._at += 1
        return text

    def accept(self, wanted: str) -> bool:
        kind, text = self.peek()
        if text != wanted or kind == "string":
            return False
        self._at += 1
        return True

    def name(self) -> str:
        kind, text = self.peek()
        if kind not in ("string", "word"):
            raise self.wrong(f"{text!r} is no name", expected="a name")
        self._at += 1
        return self._unquoted(text) if kind == "string" else text

    def _unquoted(self, text: str) -> str:
        try:
            value = json.loads(text, strict=False)
        except ValueError as error:
            raise self.wrong(f"bad string: {error}") from None
        return str(value)

    def group(self) -> tuple[str, ...]:
        self.take("(")
        return self._until(")", self.name)

    def integers(self) -> tuple[int, ...]:
        self.take("[")
        return self._until("]", self._integer)

    def _integer(self) -> int:
        kind, text = self.peek()
        if kind != "number" or len(text) > 20:
            raise self.wrong(f"{text!r:.40} is no integer", expected="an integer")
        self._at += 1
        return int(text)

    def _until(self, closing: str, read: Callable[[], V]) -> tuple[V, ...]:
        found: list[V] = []
        while not self.accept(closing):
            if found:
                self.take(",")
            found.append(read())
        return tuple(found)

    def value(self) -> FieldValue:
        kind, text = self.peek()
        if text == "[" and kind == "mark":
            self._at += 1
            return self._until("]", self.value)  # type: ignore[return-value]
        if kind == "number":
            return self._integer()
        if kind == "word" and text in ("true", "false"):
            self._at += 1
            return text == "true"
        return self.name()

    def end(self) -> None:
        if self.peek()[0] != "end":
            raise self.wrong(f"{self.peek()[1]!r} is too much")


def _read_line(line: _Line, parts: _Parts) -> None:
    kind, first = line.peek()
    if kind == "word" and first in _KEYWORDS:
        line.take()
        if parts.name is None and first != "graph":
            raise line.wrong("there is no graph line above", expected="graph NAME")
        if first in _WEIGHT_ROLES:
            _add_tensor(line, parts, _WEIGHT_ROLES[first])
        else:
            _READERS.get(first, _read_misplaced)(line, parts)
    else:
        _read_op(line, parts)
    line.end()


def _read_misplaced(line: _Line, parts: _Parts) -> None:
    raise line.wrong("a word at the wrong place", expected="an op, or one of " + ", ".join(sorted(_READERS)))


def _read_graph(line: _Line, parts: _Parts) -> None:
    if parts.name is not None:
        raise line.wrong("a second graph line")
    parts.name = line.name()
    if line.accept("from"):
        parts.source_format = line.name()
    parts.one_input_per_item = line.accept("one_input_per_item")


def _read_note(line: _Line, parts: _Parts) -> None:
    parts.notes.append(line.name())


def _read_output(line: _Line, parts: _Parts) -> None:
    while line.peek()[0] != "end":
        parts.outputs.append(line.name())
        if not line.accept(","):
            break


def _add_tensor(line: _Line, parts: _Parts, role: TensorRole) -> str:
    name = line.name()
    dtype_text = line.take()
    try:
        dtype = DType(dtype_text)
    except ValueError:
        raise line.wrong(f"unknown element type {dtype_text!r}", expected=", ".join(DType)) from None
    shape = line.integers()
    if name in parts.tensors:
        raise line.wrong(f"the tensor {name!r} is there already")
    strides = line.integers() if line.accept("strides") else None
    parts.tensors[name] = TensorSpec(name, shape, dtype, role, line.accept("quantised"), strides)
    return name


def _read_op(line: _Line, parts: _Parts) -> None:
    outputs: list[str] = []
    while not line.accept("="):
        if outputs:
            line.take(",")
        outputs.append(_add_tensor(line, parts, TensorRole.ACTIVATION))
    kind_text = line.take()
    try:
        kind = OpKind(kind_text)
    except ValueError:
        raise line.wrong(f"unknown kind {kind_text!r}", expected=", ".join(OpKind)) from None
    inputs = line.group()
    name = line.name() if line.accept("as") else (outputs[0] if outputs else "")
    fields: dict[str, object] = {}
    while line.peek()[0] == "word" and line.peek()[1] != "in_place":
        key = line.name()
        line.take("=")
        if key in fields:
            raise line.wrong(f"the attribute {key!r} is there already")
        fields[key] = line.value()
    in_place = line.accept("in_place")
    scope = line.name() if line.accept("@") else ""
    source = line.name() if line.accept("#") else ""
    attrs = attrs_from_fields(kind, fields, f"line {line.number}")
    parts.ops.append(Op(name, kind, inputs, tuple(outputs), attrs, scope, source, in_place))


def _read_module(line: _Line, parts: _Parts) -> None:
    path, type_name = line.name(), line.name()
    parameters = line.group() if line.accept("parameters") else ()
    buffers = line.group() if line.accept("buffers") else ()
    parts.modules.append(ModuleSpec(path, type_name, parameters, buffers))


def _read_call(line: _Line, parts: _Parts) -> None:
    path, inputs = line.name(), line.group()
    line.take("->")
    parts.calls.append(ModuleCall(path, inputs, line.group()))


_READERS: dict[str, Callable[[_Line, _Parts], None]] = {
    "graph": _read_graph,
    "note": _read_note,
    "output": _read_output,
    "module": _read_module,
    "call": _read_call,
}
