"""What is kept of an ONNX file: nodes, attributes, shapes, and where weight data lie. No protobuf objects.

Source: onnx.proto, onnx 1.23 (Apache-2.0).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from estimator.dtypes import DType

MAX_NESTING = 24
"""Subgraphs inside subgraphs; no real exporter goes beyond three."""
MAX_NODES = 500_000
MAX_DIM = 1 << 40
"""No real extent is larger; a flipped bit makes one."""
MAX_VALUE_COUNT = 4096
"""Tensors up to this size are decoded when shape arithmetic asks for their values."""


@dataclass(frozen=True, slots=True)
class ElementType:
    """One value of ``TensorProto.DataType``: our type, its numpy counterpart and its width in bits."""

    dtype: DType
    numpy_name: str | None
    bits: int


ELEMENT_TYPES: dict[int, ElementType] = {
    1: ElementType(DType.F32, "<f4", 32), 2: ElementType(DType.U8, "u1", 8), 3: ElementType(DType.I8, "i1", 8),
    4: ElementType(DType.U16, "<u2", 16), 5: ElementType(DType.I16, "<i2", 16), 6: ElementType(DType.I32, "<i4", 32),
    7: ElementType(DType.I64, "<i8", 64), 8: ElementType(DType.STRING, None, 0), 9: ElementType(DType.BOOL, "?", 8),
    10: ElementType(DType.F16, "<f2", 16), 11: ElementType(DType.F64, "<f8", 64), 12: ElementType(DType.U32, "<u4", 32),
    13: ElementType(DType.U64, "<u8", 64), 14: ElementType(DType.C64, "<c8", 64),
    15: ElementType(DType.C128, "<c16", 128), 16: ElementType(DType.BF16, None, 16), 17: ElementType(DType.F8, None, 8),
    18: ElementType(DType.F8, None, 8),
    19: ElementType(DType.F8, None, 8), 20: ElementType(DType.F8, None, 8), 21: ElementType(DType.I4, None, 4),
    22: ElementType(DType.I4, None, 4), 23: ElementType(DType.I4, None, 4), 24: ElementType(DType.F8, None, 8),
    25: ElementType(DType.I4, None, 2), 26: ElementType(DType.I4, None, 2),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class WireTensor:
    """An initialiser or a tensor attribute; its data stay in the file until `values` is called."""

    name: str
    dims: tuple[int, ...]
    element_type: int
    external: bool
    raw: memoryview | None
    typed: NDArray[np.generic] | None

    @property
    def numel(self) -> int:
        """Number of elements that `dims` claims."""
        count = 1
        for dim in self.dims:
            count *= dim
        return count

    @property
    def dtype(self) -> DType:
        """Element type."""
        return ELEMENT_TYPES[self.element_type].dtype

    def values(self) -> NDArray[np.generic] | None:
        """Decode a small tensor; None if it is large, external or of a type that numpy has not."""
        numpy_name = ELEMENT_TYPES[self.element_type].numpy_name
        if numpy_name is None or self.external or self.numel > MAX_VALUE_COUNT:
            return None
        if self.raw is not None:
            return np.frombuffer(self.raw, dtype=numpy_name).reshape(self.dims)
        if self.typed is not None and self.typed.size == self.numel:
            if numpy_name == "<f2":  # halves are stored as their bit pattern
                return self.typed.astype("<u2").view("<f2").reshape(self.dims)
            with np.errstate(all="ignore"):
                return self.typed.astype(numpy_name).reshape(self.dims)
        return np.zeros(self.dims, numpy_name) if self.numel == 0 else None


@dataclass(frozen=True, slots=True)
class WireAttribute:
    """A node attribute; only the field that its type names is filled."""

    name: str
    number: float | None = None
    integer: int | None = None
    text: str | None = None
    tensor: WireTensor | None = None
    graph: WireGraph | None = None
    numbers: tuple[float, ...] = ()
    integers: tuple[int, ...] = ()
    texts: tuple[str, ...] = ()
    reference: str = ""
    """Inside a function: the attribute of the calling node that this one takes its value from."""


@dataclass(frozen=True, slots=True)
class WireNode:
    """One operator of the file."""

    name: str
    op_type: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, WireAttribute]

    def reads(self) -> list[str]:
        """Names of its inputs ("" where one is left out) and of what its subgraphs read from around it."""
        return [*self.inputs, *(n for a in self.attributes.values() if a.graph for n in a.graph.free_names())]


@dataclass(frozen=True, slots=True)
class WireValue:
    """A graph input or output. A dimension is its extent, its symbol, or None; shape None means unknown rank."""

    name: str
    element_type: int
    shape: tuple[int | str | None, ...] | None


@dataclass(frozen=True, slots=True)
class WireGraph:
    """A graph or a subgraph."""

    name: str
    nodes: tuple[WireNode, ...]
    initialisers: tuple[WireTensor, ...]
    inputs: tuple[WireValue, ...]
    outputs: tuple[WireValue, ...]
    value_infos: tuple[WireValue, ...]
    """Shapes that the exporter stated for inner tensors; consulted only after operators without a rule."""

    def free_names(self) -> list[str]:
        """Names that a subgraph (and those inside it) reads from around it, in whatever order its nodes stand."""
        made = {t.name for t in self.initialisers} | {v.name for v in self.inputs}
        made.update(name for node in self.nodes for name in node.outputs)
        read = [name for node in self.nodes for name in node.reads()] + [value.name for value in self.outputs]
        return [name for name in dict.fromkeys(read) if name and name not in made]


@dataclass(frozen=True, slots=True)
class WireFunction:
    """A model-local function."""

    domain: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[WireNode, ...]
    defaults: dict[str, WireAttribute]


@dataclass(frozen=True, slots=True)
class WireModel:
    """The whole file."""

    ir_version: int
    producer: str
    opsets: dict[str, int]
    graph: WireGraph
    functions: dict[tuple[str, str], WireFunction]
