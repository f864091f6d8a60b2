"""NAS-Bench-201 networks as graphs, straight from their strings.

A cell has four nodes and six edges; ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`` names the op of each edge and
the node it comes from. The CIFAR network is a stem, three stages of five equal cells at 16, 32 and 64
channels with a residual reduction block between them, and a classifier. Every fragment of a network depends on
its place and its op alone, so a graph is put together from prepared fragments.

Source: Dong and Yang (2020), "NAS-Bench-201", arXiv:2001.00326, figure 1; the op definitions follow the authors'
code: a ``none`` edge multiplies by zero, and a node adds up its edges starting from the number 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Final

from estimator.dtypes import DType
from estimator.errors import BadOptionError, ModelFileError
from estimator.ir.graph import Graph
from estimator.ir.op import (
    AdaptivePoolAttrs,
    Attrs,
    ConvAttrs,
    FunctionAttrs,
    NoAttrs,
    NormAttrs,
    Op,
    OpKind,
    PoolAttrs,
)
from estimator.ir.tensor import Shape, TensorRole, TensorSpec

STEM_CHANNELS: Final = 16
STAGES: Final = 3
CELLS_PER_STAGE: Final = 5
IMAGE_EXTENT: Final = 32
CLASSES: Final = 10
EDGES: Final = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""(from node, to node) in the order of the string; node 0 is the cell's input, node 3 its output."""

_EDGE = re.compile(r"([a-z0-9_]+)~(\d)")


class EdgeOp(StrEnum):
    """What one edge does."""

    NONE = "none"
    SKIP = "skip_connect"
    CONV_1X1 = "nor_conv_1x1"
    CONV_3X3 = "nor_conv_3x3"
    AVG_POOL = "avg_pool_3x3"


@dataclass(frozen=True, slots=True)
class Cell:
    """One architecture: an op per edge, in the order of `EDGES`."""

    ops: tuple[EdgeOp, ...]

    @classmethod
    def parse(cls, text: str) -> Cell:
        """Read an architecture string.

        Raises
        ------
        ModelFileError
            Not six known ops on the six edges.
        """
        found = _EDGE.findall(text)
        cell = cls(tuple(EdgeOp(op) for op, _ in found if op in _KNOWN))
        if len(cell.ops) != len(EDGES) or str(cell) != text.strip():
            raise ModelFileError(
                f"not a NAS-Bench-201 cell: {text[:120]!r}",
                expected="|op~0|+|op~0|op~1|+|op~0|op~1|op~2| with op one of " + ", ".join(_KNOWN),
            )
        return cell

    def __str__(self) -> str:
        named = [f"{op.value}~{source}" for op, (source, _) in zip(self.ops, EDGES, strict=True)]
        return f"|{named[0]}|+|{'|'.join(named[1:3])}|+|{'|'.join(named[3:])}|"


_KNOWN = tuple(op.value for op in EdgeOp)


def network(cell: Cell | str, *, batch: int = 1) -> Graph:
    """Build the CIFAR network of a cell.

    Parameters
    ----------
    cell : Cell or str
        Architecture, or its string.
    batch : int
        Leading extent of the input [batch, 3, 32, 32].

    Returns
    -------
    Graph
        Fp32, logits [batch, 10]; named by the cell's string. Module tree and calls are left out.

    Raises
    ------
    ModelFileError
        The string is not a cell.
    BadOptionError
        `batch` is below 1.
    """
    if batch < 1:
        raise BadOptionError(f"batch {batch} is below 1", where="NAS-Bench-201 network", expected="an integer ≥ 1")
    cell = Cell.parse(cell) if isinstance(cell, str) else cell
    parts = _parts(batch)
    ops: list[Op] = list(parts.stem.ops)
    tensors: dict[str, TensorSpec] = dict(parts.stem.tensors)
    for module in parts.modules:
        if isinstance(module, _Fragment):
            ops += module.ops
            tensors |= module.tensors
            continue
        for edge, op in enumerate(cell.ops):
            fragment = module[edge][op]
            ops += fragment.ops
            tensors |= fragment.tensors
    ops += parts.head.ops
    tensors |= parts.head.tensors
    return Graph(str(cell), tensors, ("image",), ("classifier",), tuple(ops), source_format="nasbench201")


@dataclass(frozen=True, slots=True)
class _Fragment:
    """Ops of one place in the network and the tensors that they add; `output` is the last one."""

    ops: tuple[Op, ...]
    tensors: Mapping[str, TensorSpec]
    output: str


_Edges = tuple[Mapping[EdgeOp, _Fragment], ...]


@dataclass(frozen=True, slots=True)
class _Parts:
    """All fragments of the networks of one batch size; a module is a reduction block or a cell's edges."""

    stem: _Fragment
    modules: tuple[_Fragment | _Edges, ...]
    head: _Fragment


@dataclass(slots=True)
class _Sketch:
    """A fragment being drawn."""

    batch: int
    ops: list[Op] = field(default_factory=list)
    tensors: dict[str, TensorSpec] = field(default_factory=dict)

    def weight(self, name: str, shape: Shape, role: TensorRole = TensorRole.PARAMETER) -> str:
        dtype = DType.I64 if name.endswith("num_batches_tracked") else DType.F32
        self.tensors[name] = TensorSpec(name, shape, dtype, role)
        return name

    def emit(
        self,
        kind: OpKind,
        inputs: Iterable[str],
        output: str,
        shape: Shape,
        attrs: Attrs,
        source: str,
        *,
        scope: str | None = None,
        in_place: bool = False,
    ) -> str:
        self.tensors[output] = TensorSpec(output, (self.batch, *shape), DType.F32)
        where = output if scope is None else scope
        self.ops.append(Op(output, kind, tuple(inputs), (output,), attrs, where, source, in_place))
        return output

    def conv(self, path: str, x: str, channels: tuple[int, int], extent: int, kernel: int, stride: int = 1) -> str:
        weight = self.weight(f"{path}.weight", (channels[1], channels[0], kernel, kernel))
        pad = (kernel - 1) // 2
        attrs = ConvAttrs((kernel, kernel), (stride, stride), (pad, pad), (1, 1))
        shape = (channels[1], extent, extent)
        return self.emit(OpKind.CONV, (x, weight), path, shape, attrs, "aten.conv2d.default")

    def batch_norm(self, path: str, x: str, channels: int, extent: int) -> str:
        learned = [self.weight(f"{path}.{name}", (channels,)) for name in ("weight", "bias")]
        running = [self.weight(f"{path}.running_{n}", (channels,), TensorRole.BUFFER) for n in ("mean", "var")]
        self.weight(f"{path}.num_batches_tracked", (), TensorRole.BUFFER)
        shape, attrs = (channels, extent, extent), NormAttrs("batch")
        return self.emit(OpKind.NORM, (x, *learned, *running), path, shape, attrs, "aten.batch_norm.default")

    def relu(self, path: str, x: str, shape: Shape, *, in_place: bool = False) -> str:
        source = "aten.relu_.default" if in_place else "aten.relu.default"
        return self.emit(OpKind.ACTIVATION, (x,), path, shape, FunctionAttrs("relu"), source, in_place=in_place)

    def pool(self, path: str, x: str, channels: int, extent: int, kernel: int, stride: int) -> str:
        pad = (kernel - stride + 1) // 2
        attrs = PoolAttrs("avg", (kernel, kernel), (stride, stride), (pad, pad))
        return self.emit(OpKind.POOL, (x,), path, (channels, extent, extent), attrs, "aten.avg_pool2d.default")

    def binary(self, function: str, inputs: Iterable[str], output: str, shape: Shape, scope: str) -> str:
        source = f"aten.{function}.Tensor"
        return self.emit(OpKind.BINARY, inputs, output, shape, FunctionAttrs(function), source, scope=scope)

    def relu_conv_bn(self, path: str, x: str, channels: tuple[int, int], extent: int, kernel: int, stride: int) -> str:
        """``Sequential(ReLU, Conv2d, BatchNorm2d)`` from an input of `extent` × `stride` pixels."""
        x = self.relu(f"{path}.op.0", x, (channels[0], extent * stride, extent * stride))
        x = self.conv(f"{path}.op.1", x, channels, extent, kernel, stride)
        return self.batch_norm(f"{path}.op.2", x, channels[1], extent)

    def done(self, output: str) -> _Fragment:
        return _Fragment(tuple(self.ops), self.tensors, output)


def _edge(
    batch: int, path: str, edge: int, op: EdgeOp, nodes: tuple[str, ...], channels: int, extent: int
) -> _Fragment:
    """One edge and the addition of its result to its node's running sum."""
    source, target = EDGES[edge]
    sketch, x, shape = _Sketch(batch), nodes[source], (channels, extent, extent)
    layer = f"{path}.layers.{edge}"
    if op is EdgeOp.NONE:
        x = sketch.binary("mul", (x,), layer, shape, layer)
    elif op is EdgeOp.AVG_POOL:
        x = sketch.pool(f"{layer}.op", x, channels, extent, 3, 1)
    elif op in (EdgeOp.CONV_1X1, EdgeOp.CONV_3X3):
        kernel = 1 if op is EdgeOp.CONV_1X1 else 3
        x = sketch.relu_conv_bn(layer, x, (channels, channels), extent, kernel, 1)
    partial = [f"{path}.node{target}.sum{i}" for i in range(target - 1)] + [nodes[target]]
    terms = (x,) if source == 0 else (partial[source - 1], x)
    return sketch.done(sketch.binary("add", terms, partial[source], shape, path))


def _cell(batch: int, path: str, x: str, channels: int, extent: int) -> _Edges:
    nodes = (x, *(f"{path}.node{i}" for i in (1, 2, 3)))
    return tuple(
        {op: _edge(batch, path, edge, op, nodes, channels, extent) for op in EdgeOp} for edge in range(len(EDGES))
    )


def _reduction(batch: int, path: str, x: str, channels: tuple[int, int], extent: int) -> _Fragment:
    """Residual block that doubles the channels and halves the extent to `extent`."""
    sketch = _Sketch(batch)
    main = sketch.relu_conv_bn(f"{path}.conv_a", x, channels, extent, 3, 2)
    main = sketch.relu_conv_bn(f"{path}.conv_b", main, (channels[1], channels[1]), extent, 3, 1)
    side = sketch.pool(f"{path}.downsample.0", x, channels[0], extent, 2, 2)
    side = sketch.conv(f"{path}.downsample.1", side, channels, extent, 1)
    return sketch.done(sketch.binary("add", (side, main), f"{path}.sum", (channels[1], extent, extent), path))


def _stem(batch: int) -> _Fragment:
    sketch = _Sketch(batch)
    image = TensorSpec("image", (batch, 3, IMAGE_EXTENT, IMAGE_EXTENT), DType.F32, TensorRole.INPUT)
    sketch.tensors["image"] = image
    x = sketch.conv("stem.0", "image", (3, STEM_CHANNELS), IMAGE_EXTENT, 3)
    return sketch.done(sketch.batch_norm("stem.1", x, STEM_CHANNELS, IMAGE_EXTENT))


def _head(batch: int, x: str, channels: int, extent: int) -> _Fragment:
    sketch = _Sketch(batch)
    x = sketch.batch_norm("lastact.0", x, channels, extent)
    x = sketch.relu("lastact.1", x, (channels, extent, extent), in_place=True)
    pool = AdaptivePoolAttrs("avg", (1, 1))
    kind, source = OpKind.ADAPTIVE_POOL, "aten.adaptive_avg_pool2d.default"
    x = sketch.emit(kind, (x,), "global_pooling", (channels, 1, 1), pool, source)
    x = sketch.emit(OpKind.VIEW, (x,), "features", (channels,), FunctionAttrs("view"), "aten.view.default", scope="")
    weights = sketch.weight("classifier.weight", (CLASSES, channels)), sketch.weight("classifier.bias", (CLASSES,))
    x = sketch.emit(OpKind.LINEAR, (x, *weights), "classifier", (CLASSES,), NoAttrs(), "aten.linear.default")
    return sketch.done(x)


@lru_cache(maxsize=16)
def _parts(batch: int) -> _Parts:
    """Every fragment that a network of this batch size can have."""
    stem = _stem(batch)
    x, channels, extent = stem.output, STEM_CHANNELS, IMAGE_EXTENT
    modules: list[_Fragment | _Edges] = []
    for stage in range(STAGES):
        if stage:
            path = f"cells.{len(modules)}"
            block = _reduction(batch, path, x, (channels, 2 * channels), extent // 2)
            modules.append(block)
            x, channels, extent = block.output, 2 * channels, extent // 2
        for _ in range(CELLS_PER_STAGE):
            path = f"cells.{len(modules)}"
            modules.append(_cell(batch, path, x, channels, extent))
            x = f"{path}.node3"
    return _Parts(stem, tuple(modules), _head(batch, x, channels, extent))
