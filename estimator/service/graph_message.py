"""Read a natural graph from its message. The inverse is `client.graph_message`; a property test joins them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

from estimator.dtypes import DType
from estimator.errors import GraphError
from estimator.ir import op as ir
from estimator.ir.graph import Graph, ModuleCall, ModuleSpec
from estimator.ir.tensor import TensorRole, TensorSpec
from estimator.ir.validate import validate
from estimator.service.limits import MAX_RANK, MAX_TENSOR_BYTES, Limits
from estimator.v1 import graph_pb2 as pb

DTYPE_OF: Final[Mapping[int, DType]] = {pb.ElementType.Value(f"ELEMENT_TYPE_{d.name}"): d for d in DType}
ROLE_OF: Final[Mapping[int, TensorRole]] = {pb.TensorRole.Value(f"TENSOR_ROLE_{r.name}"): r for r in TensorRole}
KIND_OF: Final[Mapping[int, ir.OpKind]] = {pb.OpKind.Value(f"OP_KIND_{k.name}"): k for k in ir.OpKind}


def graph_from_message(message: pb.Graph, limits: Limits) -> Graph:
    """Build and validate the graph of a message.

    Raises
    ------
    RequestLimitError
        More operators or tensors than the service accepts.
    GraphError
        An enum value is unknown, a name is missing or doubled, or the graph breaks an invariant.
    """
    limits.check("ops", len(message.ops))
    limits.check("tensors", len(message.tensors))
    tensors: dict[str, TensorSpec] = {}
    for tensor in message.tensors:
        if tensor.name in tensors:
            raise GraphError(f"two tensors are named {tensor.name!r}", expected="unique names")
        tensors[tensor.name] = _tensor(tensor)
    graph = Graph(
        name=message.name,
        tensors=tensors,
        inputs=tuple(message.inputs),
        outputs=tuple(message.outputs),
        ops=tuple(_op(op) for op in message.ops),
        modules=tuple(ModuleSpec(m.path, m.type_name, tuple(m.parameters), tuple(m.buffers)) for m in message.modules),
        module_calls=tuple(ModuleCall(c.path, tuple(c.inputs), tuple(c.outputs)) for c in message.module_calls),
        notes=tuple(message.notes),
        source_format=message.source_format,
        one_input_per_item=message.one_input_per_item,
    )
    return validate(graph)


def tensor_from_type(message: pb.TensorType, name: str, role: TensorRole, where: str) -> TensorSpec:
    """Make a tensor of a type.

    Raises
    ------
    GraphError
        Unknown type, negative extent, more than `MAX_RANK` dimensions or `MAX_TENSOR_BYTES` bytes.
    """
    dtype = DTYPE_OF.get(message.element_type)
    if dtype is None:
        raise GraphError(f"unknown element_type {message.element_type}", where=where, expected="an ElementType")
    shape = tuple(message.shape)
    if len(shape) > MAX_RANK:
        raise GraphError(f"{len(shape)} dimensions", where=where, expected=f"at most {MAX_RANK}")
    if any(extent < 0 for extent in shape):
        raise GraphError(f"negative extent in shape {list(shape)}", where=where, expected="extents ≥ 0")
    if math.prod(max(extent, 1) for extent in shape) * dtype.bits > 8 * MAX_TENSOR_BYTES:
        raise GraphError(f"shape {list(shape)} is larger than 1 PiB", where=where, expected="a real tensor")
    if len(message.strides) not in (0, len(shape)):
        raise GraphError(
            f"{len(message.strides)} strides for {len(shape)} dimensions", where=where, expected="as many, or none"
        )
    return TensorSpec(name, shape, dtype, role, message.quantised, tuple(message.strides) or None)


def _tensor(message: pb.Tensor) -> TensorSpec:
    where = f"tensor {message.name!r}"
    role = ROLE_OF.get(message.role)
    if role is None:
        raise GraphError(f"unknown role {message.role}", where=where, expected="a TensorRole")
    return tensor_from_type(message.type, message.name, role, where)


def _op(message: pb.Op) -> ir.Op:
    where = f"op {message.name!r}"
    return ir.Op(
        name=message.name,
        kind=kind_from_message(message.kind, where),
        inputs=tuple(message.inputs),
        outputs=tuple(message.outputs),
        attrs=attrs_from_message(message.attrs),
        scope=message.scope,
        source=message.source,
        in_place=message.in_place,
    )


def kind_from_message(kind: int, where: str) -> ir.OpKind:
    """Read a kind; one that this version does not know is an error, never a guess."""
    known = KIND_OF.get(kind)
    if known is None:
        raise GraphError(f"unknown kind {kind}", where=where, expected="an OpKind")
    return known


def attrs_from_message(message: pb.OpAttrs) -> ir.Attrs:
    """Read attributes; whether they are the kind's own is for validation to say."""
    family = message.WhichOneof("family")
    return ir.NoAttrs() if family is None else READER_OF[family](message)


READER_OF: Final[Mapping[str, Callable[[pb.OpAttrs], ir.Attrs]]] = {
    "conv": lambda m: ir.ConvAttrs(
        tuple(m.conv.kernel),
        tuple(m.conv.stride),
        tuple(m.conv.padding),
        tuple(m.conv.dilation),
        m.conv.groups,
        m.conv.transposed,
        m.conv.channels_last,
    ),
    "matmul": lambda m: ir.MatmulAttrs(m.matmul.transpose_a, m.matmul.transpose_b, m.matmul.outside_autocast),
    "einsum": lambda m: ir.EinsumAttrs(m.einsum.equation),
    "attention": lambda m: ir.AttentionAttrs(m.attention.causal, m.attention.grouped_query),
    "rnn": lambda m: ir.RnnAttrs(
        m.rnn.cell,
        m.rnn.hidden_size,
        m.rnn.layers,
        m.rnn.bidirectional,
        m.rnn.batch_first,
        m.rnn.has_bias,
        m.rnn.projection_size,
    ),
    "norm": lambda m: ir.NormAttrs(
        m.norm.function,
        m.norm.affine,
        m.norm.groups,
        m.norm.normalized_rank,
        m.norm.channels_last,
        m.norm.keeps_low_precision,
    ),
    "function": lambda m: ir.FunctionAttrs(m.function.function),
    "softmax": lambda m: ir.SoftmaxAttrs(m.softmax.axis, m.softmax.log),
    "reduce": lambda m: ir.ReduceAttrs(m.reduce.function, tuple(m.reduce.axes), m.reduce.keepdim),
    "pool": lambda m: ir.PoolAttrs(
        m.pool.function,
        tuple(m.pool.kernel),
        tuple(m.pool.stride),
        tuple(m.pool.padding),
        m.pool.channels_last,
    ),
    "adaptive_pool": lambda m: ir.AdaptivePoolAttrs(
        m.adaptive_pool.function, tuple(m.adaptive_pool.output_size), m.adaptive_pool.channels_last
    ),
    "resize": lambda m: ir.ResizeAttrs(
        m.resize.mode, m.resize.align_corners, m.resize.channels_last, m.resize.by_scale
    ),
    "axis": lambda m: ir.AxisAttrs(m.axis.axis),
    "copy": lambda m: ir.CopyAttrs(m.copy.function, m.copy.transposing),
    "control": lambda m: ir.ControlAttrs(m.control.function, tuple(m.control.branches)),
    "unknown": lambda m: ir.UnknownAttrs(m.unknown.reason),
}
"""One reader for each member of the message's oneof; a contract test walks both."""
