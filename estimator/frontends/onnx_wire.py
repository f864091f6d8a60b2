"""Read the parts of an ONNX file that a shape and cost model needs, straight from its bytes.

An ONNX file is one protobuf message, and most of it is weights. Parsing it with the `onnx` package
costs a quarter of a second of imports and copies every weight; this reader walks the wire format of
the memory-mapped file, steps over weight data without touching it and checks every length against
the bytes that are really there, so a false claim of four gigabytes is an error, not an allocation.

Source: protobuf wire format (protobuf.dev/programming-guides/encoding); field numbers from
onnx.proto, onnx 1.23 (Apache-2.0).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from estimator.frontends.onnx_schema import (
    ELEMENT_TYPES,
    MAX_DIM,
    MAX_NESTING,
    MAX_NODES,
    MAX_VALUE_COUNT,
    WireAttribute,
    WireFunction,
    WireGraph,
    WireModel,
    WireNode,
    WireTensor,
    WireValue,
)

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class WireError(ValueError):
    """The bytes are not the message that they should be; the text says where."""


Field = tuple[int, int, int, int]
"""Field number, wire type, and either (value, unused) or (start, end) of the payload."""


def read_model(data: memoryview) -> WireModel:
    """Read an ONNX model from its bytes.

    Raises
    ------
    WireError
        A length points past the end, a field has the wrong type, or there is no graph.
    """
    return _Reader(data).model()


@dataclass(slots=True)
class _Reader:
    """Recursive descent over the messages; all positions are absolute in `data`."""

    data: memoryview
    node_count: int = field(default=0)

    # ---- wire format

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        data, value, shift = self.data, 0, 0
        while at < end:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, at
            shift += 7
            if shift > 63:
                raise WireError(f"a number longer than ten bytes at byte {at}")
        raise WireError(f"the file ends inside a number at byte {at}")

    def _fields(self, start: int, end: int) -> Iterator[Field]:
        at = start
        while at < end:
            key, at = self._varint(at, end)
            number, kind = key >> 3, key & 7
            if kind == _BYTES:
                size, at = self._varint(at, end)
                if size > end - at:
                    raise WireError(f"field {number} at byte {at} claims {size} bytes, {end - at} are left")
                yield number, kind, at, at + size
                at += size
            elif kind == _VARINT:
                value, at = self._varint(at, end)
                yield number, kind, value, 0
            elif kind in (_FIXED32, _FIXED64):
                width = 4 if kind == _FIXED32 else 8
                if width > end - at:
                    raise WireError(f"field {number} at byte {at} is cut off")
                yield number, kind, at, at + width
                at += width
            else:
                raise WireError(f"byte {at} holds wire type {kind}, which protobuf does not use here")
            if number == 0:
                raise WireError(f"field number 0 at byte {at}")

    def _text(self, kind: int, start: int, end: int) -> str:
        self._expect(kind, _BYTES, start)
        try:
            return str(self.data[start:end], "utf-8")
        except UnicodeDecodeError:
            raise WireError(f"a name at byte {start} is not UTF-8") from None

    def _bytes_text(self, kind: int, start: int, end: int) -> str:
        self._expect(kind, _BYTES, start)
        return str(self.data[start : min(end, start + MAX_VALUE_COUNT)], "utf-8", "replace")

    @staticmethod
    def _expect(kind: int, wanted: int, at: int) -> None:
        if kind != wanted:
            raise WireError(f"a field near byte {at} has wire type {kind}, expected {wanted}")

    def _integers(self, kind: int, start: int, end: int) -> list[int]:
        """One entry of a repeated int field, or a packed run of them."""
        if kind == _VARINT:
            return [_signed(start)]
        self._expect(kind, _BYTES, start)
        values = []
        at = start
        while at < end:
            value, at = self._varint(at, end)
            values.append(_signed(value))
        return values

    def _floats(self, kind: int, start: int, end: int, code: str = "f") -> list[float]:
        if kind not in (_BYTES, _FIXED32 if code == "f" else _FIXED64):
            raise WireError(f"a number near byte {start} has wire type {kind}")
        width = 4 if code == "f" else 8
        if (end - start) % width:
            raise WireError(f"a packed list at byte {start} is not a whole number of elements")
        return list(struct.unpack(f"<{(end - start) // width}{code}", self.data[start:end]))

    # ---- messages

    def model(self) -> WireModel:
        ir_version, producer, graph = 0, "", None
        opsets: dict[str, int] = {}
        functions: dict[tuple[str, str], WireFunction] = {}
        for number, kind, start, end in self._fields(0, len(self.data)):
            if number == 1:
                self._expect(kind, _VARINT, start)
                ir_version = start
            elif number == 2:
                producer = self._text(kind, start, end)
            elif number == 7:
                self._expect(kind, _BYTES, start)
                graph = self._graph(start, end, 0)
            elif number == 8:
                self._expect(kind, _BYTES, start)
                domain, version = self._opset(start, end)
                opsets[domain] = version
            elif number == 25:
                self._expect(kind, _BYTES, start)
                function = self._function(start, end)
                functions[function.domain, function.name] = function
        if graph is None:
            raise WireError("the file holds no graph")
        return WireModel(ir_version, producer, opsets, graph, functions)

    def _opset(self, start: int, end: int) -> tuple[str, int]:
        domain, version = "", 0
        for number, kind, a, b in self._fields(start, end):
            if number == 1:
                domain = self._text(kind, a, b)
            elif number == 2:
                self._expect(kind, _VARINT, a)
                version = a
        return domain, version

    def _graph(self, start: int, end: int, depth: int) -> WireGraph:
        if depth > MAX_NESTING:
            raise WireError(f"subgraphs are nested more than {MAX_NESTING} deep")
        name = ""
        nodes: list[WireNode] = []
        initialisers: list[WireTensor] = []
        values: dict[int, list[WireValue]] = {11: [], 12: [], 13: []}
        for number, kind, a, b in self._fields(start, end):
            if number == 2:
                name = self._text(kind, a, b)
                continue
            if number not in (1, 5, 11, 12, 13, 15):
                continue
            self._expect(kind, _BYTES, a)
            if number == 1:
                nodes.append(self._node(a, b, depth))
            elif number == 5:
                initialisers.append(self._tensor(a, b))
            elif number == 15:
                initialisers.append(self._sparse_tensor(a, b))
            else:
                values[number].append(self._value(a, b))
        return WireGraph(
            name, tuple(nodes), tuple(initialisers), tuple(values[11]), tuple(values[12]), tuple(values[13])
        )

    def _node(self, start: int, end: int, depth: int) -> WireNode:
        self.node_count += 1
        if self.node_count > MAX_NODES:
            raise WireError(f"more than {MAX_NODES} operators")
        texts = {3: "", 4: "", 7: ""}
        inputs: list[str] = []
        outputs: list[str] = []
        attributes: dict[str, WireAttribute] = {}
        for number, kind, a, b in self._fields(start, end):
            if number == 1:
                inputs.append(self._text(kind, a, b))
            elif number == 2:
                outputs.append(self._text(kind, a, b))
            elif number in texts:
                texts[number] = self._text(kind, a, b)
            elif number == 5:
                self._expect(kind, _BYTES, a)
                attribute = self._attribute(a, b, depth)
                attributes[attribute.name] = attribute
        domain = "" if texts[7] == "ai.onnx" else texts[7]
        return WireNode(texts[3], texts[4], domain, tuple(inputs), tuple(outputs), attributes)

    def _attribute(self, start: int, end: int, depth: int) -> WireAttribute:
        name, text, reference = "", None, ""
        number_value: float | None = None
        integer: int | None = None
        tensor: WireTensor | None = None
        graph: WireGraph | None = None
        numbers: list[float] = []
        integers: list[int] = []
        texts: list[str] = []
        for number, kind, a, b in self._fields(start, end):
            if number == 1:
                name = self._text(kind, a, b)
            elif number == 2:
                self._expect(kind, _FIXED32, a)
                number_value = self._floats(kind, a, b)[0]
            elif number == 3:
                self._expect(kind, _VARINT, a)
                integer = _signed(a)
            elif number == 4:
                text = self._bytes_text(kind, a, b)
            elif number == 5:
                self._expect(kind, _BYTES, a)
                tensor = self._tensor(a, b)
            elif number == 6:
                self._expect(kind, _BYTES, a)
                graph = self._graph(a, b, depth + 1)
            elif number == 7:
                numbers += self._floats(kind, a, b)
            elif number == 8:
                integers += self._integers(kind, a, b)
            elif number == 9:
                texts.append(self._bytes_text(kind, a, b))
            elif number == 21:
                reference = self._text(kind, a, b)
        return WireAttribute(
            name, number_value, integer, text, tensor, graph, tuple(numbers), tuple(integers), tuple(texts), reference
        )

    def _tensor(self, start: int, end: int) -> WireTensor:
        name, element_type, external = "", 0, False
        dims: list[int] = []
        raw: memoryview | None = None
        typed: list[tuple[int, Field]] = []
        for number, kind, a, b in self._fields(start, end):
            if number == 1:
                dims += self._integers(kind, a, b)
            elif number == 2:
                self._expect(kind, _VARINT, a)
                element_type = a
            elif number == 8:
                name = self._text(kind, a, b)
            elif number == 9:
                self._expect(kind, _BYTES, a)
                raw = self.data[a:b]
            elif number in (4, 5, 7, 10, 11):
                typed.append((number, (number, kind, a, b)))
            elif number == 13:
                external = True
            elif number == 14:
                external = external or (kind == _VARINT and a == 1)
        self._check_tensor(name, dims, element_type, None if external else raw)
        values = None if external or not typed else self._typed_values(dims, typed)
        return WireTensor(name, tuple(dims), element_type, external, None if external else raw, values)

    @staticmethod
    def _check_tensor(name: str, dims: list[int], element_type: int, raw: memoryview | None) -> None:
        if element_type not in ELEMENT_TYPES:
            raise WireError(f"tensor {name!r} has the unknown element type {element_type}")
        if len(dims) > 64 or any(not 0 <= dim <= MAX_DIM for dim in dims):
            raise WireError(f"tensor {name!r} has the impossible shape {dims[:8]}")
        if raw is not None and ELEMENT_TYPES[element_type].bits:
            count = 1
            for dim in dims:
                count *= dim
            expected = (count * ELEMENT_TYPES[element_type].bits + 7) // 8
            if len(raw) != expected:
                raise WireError(f"tensor {name!r} of shape {dims} needs {expected} bytes, the file holds {len(raw)}")

    def _typed_values(self, dims: list[int], typed: list[tuple[int, Field]]) -> NDArray[np.generic] | None:
        """Values stored in float_data, int32_data, int64_data, double_data or uint64_data; None if many."""
        count = 1
        for dim in dims:
            count *= dim
        if count > MAX_VALUE_COUNT:
            return None
        values: list[float] = []
        for number, (_, kind, a, b) in typed:
            if number in (4, 10):
                values += self._floats(kind, a, b, "f" if number == 4 else "d")
            else:
                values += self._integers(kind, a, b)
        return np.array(values, dtype=np.float64 if typed[0][0] in (4, 10) else np.int64)

    def _sparse_tensor(self, start: int, end: int) -> WireTensor:
        name, element_type = "", 1
        dims: list[int] = []
        for number, kind, a, b in self._fields(start, end):
            if number == 1:
                self._expect(kind, _BYTES, a)
                values = self._tensor(a, b)
                name, element_type = values.name, values.element_type
            elif number == 3:
                dims += self._integers(kind, a, b)
        self._check_tensor(name, dims, element_type, None)
        return WireTensor(name, tuple(dims), element_type, True, None, None)

    def _value(self, start: int, end: int) -> WireValue:
        name, element_type = "", 0
        shape: tuple[int | str | None, ...] | None = None
        for number, kind, a, b in self._fields(start, end):
            if number == 1:
                name = self._text(kind, a, b)
            elif number == 2:
                self._expect(kind, _BYTES, a)
                element_type, shape = self._type(a, b)
        return WireValue(name, element_type, shape)

    def _type(self, start: int, end: int) -> tuple[int, tuple[int | str | None, ...] | None]:
        element_type = 0
        shape: tuple[int | str | None, ...] | None = None
        for number, kind, a, b in self._fields(start, end):
            if number not in (1, 8):  # tensor_type, sparse_tensor_type
                continue
            self._expect(kind, _BYTES, a)
            for inner, inner_kind, c, d in self._fields(a, b):
                if inner == 1:
                    self._expect(inner_kind, _VARINT, c)
                    element_type = c
                elif inner == 2:
                    self._expect(inner_kind, _BYTES, c)
                    shape = tuple(self._dimension(e, f) for n, k, e, f in self._fields(c, d) if n == 1 and k == _BYTES)
        return element_type, shape

    def _dimension(self, start: int, end: int) -> int | str | None:
        for number, kind, a, b in self._fields(start, end):
            if number == 1:
                self._expect(kind, _VARINT, a)
                extent = _signed(a)
                return extent if 0 < extent <= MAX_DIM else None
            if number == 2:
                symbol = self._text(kind, a, b)
                return symbol if symbol.strip("? ") else None
        return None

    def _function(self, start: int, end: int) -> WireFunction:
        name, domain = "", ""
        inputs: list[str] = []
        outputs: list[str] = []
        nodes: list[WireNode] = []
        defaults: dict[str, WireAttribute] = {}
        for number, kind, a, b in self._fields(start, end):
            if number == 1:
                name = self._text(kind, a, b)
            elif number == 10:
                domain = self._text(kind, a, b)
            elif number in (4, 5):
                (inputs if number == 4 else outputs).append(self._text(kind, a, b))
            elif number in (7, 11):
                self._expect(kind, _BYTES, a)
                if number == 7:
                    nodes.append(self._node(a, b, 1))
                else:
                    attribute = self._attribute(a, b, 1)
                    defaults[attribute.name] = attribute
        return WireFunction(domain, name, tuple(inputs), tuple(outputs), tuple(nodes), defaults)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
