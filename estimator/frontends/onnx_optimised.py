"""Operators that ONNX Runtime's optimiser writes when it saves an optimised model: fused and re-laid forms.

``com.microsoft`` fuses chains of operators; ``com.microsoft.nchwc`` keeps channels in blocks for vector units, padded
to whole blocks, which its weights are too: what is counted is what runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from estimator.dtypes import DType
from estimator.frontends.graph_builder import NO_ATTRS
from estimator.frontends.onnx_contrib import DOMAIN
from estimator.frontends.onnx_importer import Node, NodeProblem, rule
from estimator.frontends.onnx_product import _conv, gemm, window_padding
from estimator.frontends.onnx_reduction import _global_pool, _pool, _pool_extent
from estimator.ir.op import (
    AttentionAttrs,
    Attrs,
    AxisAttrs,
    ConvAttrs,
    CopyAttrs,
    FunctionAttrs,
    MatmulAttrs,
    NormAttrs,
    OpKind,
    PoolAttrs,
    ResizeAttrs,
    RnnAttrs,
)
from estimator.ir.tensor import Shape

BLOCKED = "com.microsoft.nchwc"
_ACTIVATIONS = {
    "Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "LeakyRelu": "leaky_relu", "HardSigmoid": "hardsigmoid",
    "HardSwish": "hardswish", "Clip": "hardtanh", "Elu": "elu", "Selu": "selu", "Gelu": "gelu",
}  # fmt: skip


# ---------------------------------------------------------------- one operator, several ops
def _add_step(
    node: Node, kind: OpKind, reads: Sequence[str], shape: Shape, dtype: DType, attrs: Attrs, label: str
) -> str:
    """Emit an op inside the node and return its result."""
    builder = node.importer.builder
    name = builder.unique_tensor(f"{node.name}.{label}")
    builder.add_tensor(name, shape, dtype)
    scope = node.scope()
    builder.emit(kind, reads, (name,), attrs, name=f"{node.name}.{label}", source=node.source, scope=scope)
    return name


def _follow(node: Node, kind: OpKind, function: str, *others: str) -> None:
    """Let an elementwise op follow what the node has emitted; it takes over the name of the node's output."""
    builder = node.importer.builder
    op, final = builder.ops[-1], node.resolve(node.wire.outputs[0])
    if op.outputs[:1] != (final,):
        return  # folded into a weight
    inner = builder.unique_tensor(f"{final}.before_{function}")
    builder.tensors[inner] = replace(builder.tensors[final], name=inner)
    builder.ops[-1] = replace(op, outputs=(inner, *op.outputs[1:]))
    builder.emit(
        kind, (inner, *others), (final,), FunctionAttrs(function), name=f"{node.name}.{function}", source=node.source,
        scope=node.scope(),
    )  # fmt: skip


def _activate(node: Node) -> None:
    """Apply the activation that an attribute names."""
    name = node.text_attr("activation", "")
    found = node.attribute("activation_params")
    if name == "Clip" and found is not None and found.numbers[:2] == (0.0, 6.0):
        _follow(node, OpKind.ACTIVATION, "relu6")
    elif name:
        _follow(node, OpKind.ACTIVATION, _ACTIVATIONS.get(name, name.lower()))


@rule("FusedConv", domain=DOMAIN)
@rule("Conv", domain=BLOCKED)
def _fused_conv(node: Node) -> None:
    """x, w, (b), (z): convolution, + z, activation."""
    if node.wire.domain == BLOCKED:
        _fill_last_block(node)
    _conv(node, 1, 2)
    if node.has(3):
        _follow(node, OpKind.BINARY, "add", node.name_of(3))
    _activate(node)


@rule("FusedGemm", domain=DOMAIN)
def _fused_gemm(node: Node) -> None:
    gemm(node, 1, 2)
    _activate(node)


# ---------------------------------------------------------------- blocked channels
rule("MaxPool", "AveragePool", domain=BLOCKED)(_pool)
rule("GlobalMaxPool", "GlobalAveragePool", domain=BLOCKED)(_global_pool)


def _fill_last_block(node: Node) -> None:
    """Let what a reordering makes have as many channels as its reader's weight: it fills the last block."""
    x, w = node.input(0), node.input(1)
    channels = w.shape[1] * node.int_attr("group", 1)
    if not x.is_weight and 1 < x.shape[1] < channels:
        node.importer.builder.tensors[x.name] = replace(x, shape=(x.shape[0], channels, *x.shape[2:]))


@rule("ReorderInput", domain=BLOCKED)
def _into_blocks(node: Node) -> None:
    """x[n, c, *s], or x[n, *s, c] if `channels_last`."""
    x = node.input(0)
    shape = (x.shape[0], x.shape[-1], *x.shape[1:-1]) if node.int_attr("channels_last", 0) else x.shape
    node.emit(OpKind.COPY, shape, CopyAttrs("reorder", transposing=True))


@rule("ReorderOutput", domain=BLOCKED)
def _out_of_blocks(node: Node) -> None:
    """Drop the channels that fill the last block."""
    x = node.input(0)
    channels = node.int_attr("channels", x.shape[1])
    last = bool(node.int_attr("channels_last", 0))
    shape = (x.shape[0], *x.shape[2:], channels) if last else (x.shape[0], channels, *x.shape[2:])
    node.emit(OpKind.COPY, shape, CopyAttrs("reorder", transposing=True))


@rule("Upsample", domain=BLOCKED)
def _upsample(node: Node) -> None:
    x = node.input(0)
    scales = node.ints_attr("scales", (1,) * len(x.shape))
    shape = tuple(extent * scale for extent, scale in zip(x.shape, scales, strict=True))
    mode = "bilinear" if node.text_attr("mode", "nearest") == "linear" else "nearest"
    node.emit(OpKind.RESIZE, shape, ResizeAttrs(mode))


# ---------------------------------------------------------------- channels last
def _window(node: Node, kernel: Sequence[int]) -> tuple[Shape, Shape, Shape, list[int]]:
    """Stride, padding before, dilation and extents of a window over x[n, *s, c]; only pools have a `ceil_mode`."""
    spatial, ones = node.input(0).shape[1:-1], (1,) * len(kernel)
    stride, dilation = node.ints_attr("strides", ones), node.ints_attr("dilations", ones)
    before, after = window_padding(node, spatial, kernel, stride, dilation)
    extents = [_pool_extent(node, *axis) for axis in zip(spatial, kernel, stride, before, after, dilation, strict=True)]
    return stride, before, dilation, extents


@rule("QLinearConv", "NhwcConv", "NhwcFusedConv", domain=DOMAIN)
def _channels_last_conv(node: Node) -> None:
    """x[n, *s, ci], w[co, ci/g, *k], (b), (z): as `_fused_conv`; the quantised form has scales between its operands."""
    quantised = node.op_type == "QLinearConv"
    weight, bias = (3, 8) if quantised else (1, 2)
    if quantised and not node.int_attr("channels_last", 0):
        _conv(node, weight, bias)
        return
    node.as_weight(weight)
    node.as_weight(bias)
    x, w = node.input(0), node.input(weight)
    stride, before, dilation, extents = _window(node, w.shape[2:])
    attrs = ConvAttrs(w.shape[2:], stride, before, dilation, node.int_attr("group", 1), channels_last=True)
    node.emit(OpKind.CONV, (x.shape[0], *extents, w.shape[0]), attrs, inputs=(0, weight, bias))
    if not quantised and node.has(3):
        _follow(node, OpKind.BINARY, "add", node.name_of(3))
    _activate(node)


@rule("NhwcMaxPool", domain=DOMAIN)
def _channels_last_pool(node: Node) -> None:
    x, kernel = node.input(0), node.ints_attr("kernel_shape")
    stride, before, _, extents = _window(node, kernel)
    attrs = PoolAttrs("max", kernel, stride, before, channels_last=True)
    node.emit(OpKind.POOL, (x.shape[0], *extents, x.shape[-1]), attrs, inputs=(0,))


# ---------------------------------------------------------------- transformers
def _heads(node: Node, spec_name: str, heads: int, label: str) -> str:
    """View [b, s, heads · d] as [b, heads, s, d]."""
    spec = node.importer.builder.tensors[spec_name]
    b, s, width = spec.shape
    shape = (b, heads, s, width // heads)
    return _add_step(node, OpKind.VIEW, (spec_name,), shape, spec.dtype, FunctionAttrs("heads"), label)


@rule("Attention", "QAttention", domain=DOMAIN)
def _packed_attention(node: Node) -> None:
    """x[b, s, i], w[i, q + k + v], bias, …, past[2, b, h, t, d]: one product, then attention -> [b, s, v], present."""
    x, w = node.input(0), node.input(1)
    heads = node.int_attr("num_heads", 1)
    widths = node.ints_attr("qkv_hidden_sizes") or (w.shape[-1] // 3,) * 3
    if len(x.shape) != 3 or sum(widths) != w.shape[-1]:
        raise NodeProblem(f"a weight of shape {list(w.shape)} does not hold {list(widths)}")
    node.as_weight(1)
    node.as_weight(2)
    reads = [x.name, w.name, *([node.name_of(2)] if node.has(2) else [])]
    b, s, _ = x.shape
    packed = _add_step(node, OpKind.MATMUL, reads, (b, s, sum(widths)), DType.F32, MatmulAttrs(), "packed")
    parts = []
    for label, width in zip("qkv", widths, strict=True):
        part = _add_step(node, OpKind.VIEW, (packed,), (b, s, width), DType.F32, FunctionAttrs("slice"), label)
        parts.append(_heads(node, part, heads, f"{label}_heads"))
    cached = 8 if node.op_type == "QAttention" else 4
    past, d = node.optional(cached), widths[1] // heads
    length = s + (past.shape[3] if past else 0)
    if past and past.shape[3]:
        shape = (b, heads, length, d)
        stored = (b, heads, past.shape[3], d)
        for i, label in ((1, "k"), (2, "v")):
            attrs = FunctionAttrs("select")
            half = _add_step(node, OpKind.VIEW, (past.name,), stored, past.dtype, attrs, f"{label}_past")
            parts[i] = _add_step(node, OpKind.CONCAT, (half, parts[i]), shape, DType.F32, AxisAttrs(2), f"{label}_all")
    node.viewed.update(enumerate(parts))
    outputs = [((b, s, widths[2]), DType.F32), ((2, b, heads, length, d), DType.F32)]
    causal = bool(node.int_attr("unidirectional", 0))
    node.emit_many(OpKind.ATTENTION, outputs, AttentionAttrs(causal), inputs=(0, 1, 2))


@rule("GroupQueryAttention", domain=DOMAIN)
def _grouped_attention(node: Node) -> None:
    """q[b, m, h·d], k, v[b, n, g·d], past k, v[b, g, t, d], …: each of g key heads serves h ÷ g query heads."""
    heads, groups = node.int_attr("num_heads", 1), node.int_attr("kv_num_heads", 1)
    q = node.input(0)
    b, m, width = q.shape
    names = [q.name, *(node.name_of(i) for i in (1, 2) if node.has(i))]
    if len(names) < 3:  # packed: [b, m, (h + 2 g)·d]
        d = width // (heads + 2 * groups)
        names = [
            _add_step(node, OpKind.VIEW, (q.name,), (b, m, count * d), q.dtype, FunctionAttrs("slice"), label)
            for label, count in (("q", heads), ("k", groups), ("v", groups))
        ]
    d = node.importer.builder.shape_of(names[0])[2] // heads
    views = [
        _heads(node, n, h, f"{label}_heads") for n, h, label in zip(names, (heads, groups, groups), "qkv", strict=True)
    ]
    past = node.optional(3)
    length = m + (past.shape[2] if past else 0)
    if past and past.shape[2]:
        shape = (b, groups, length, d)
        for i, cached in ((1, node.name_of(3)), (2, node.name_of(4))):
            views[i] = _add_step(
                node, OpKind.CONCAT, (cached, views[i]), shape, q.dtype, AxisAttrs(2), f"{'qkv'[i]}_all"
            )
    node.viewed.update(enumerate(views))
    present = ((b, groups, length, d), q.dtype)
    outputs = [((b, m, heads * d), q.dtype), present, present]
    node.emit_many(OpKind.ATTENTION, outputs, AttentionAttrs(True, heads != groups), inputs=(0, 1, 2))


@rule("EmbedLayerNormalization", domain=DOMAIN)
def _embed(node: Node) -> None:
    """Ids, segments, word, position and segment tables, gamma, beta: looked up, added and normalised."""
    ids, table = node.input(0), node.input(2)
    shape, dtype = (*ids.shape, table.shape[-1]), table.dtype
    total = ""
    for index, label in ((2, "word"), (3, "position"), (4, "segment")):
        if node.has(index):
            node.as_weight(index)
            reads = (node.name_of(index), node.name_of(1) if index == 4 and node.has(1) else ids.name)
            found = _add_step(node, OpKind.EMBEDDING, reads, shape, dtype, NO_ATTRS, label)
            attrs = FunctionAttrs("add")
            total = (
                _add_step(node, OpKind.BINARY, (total, found), shape, dtype, attrs, f"{label}_add") if total else found
            )
    for index in (5, 6):
        node.as_weight(index)
    node.viewed[0] = total
    outputs = [(shape, dtype), (ids.shape[:1], DType.I32), (shape, dtype)]
    node.emit_many(OpKind.NORM, outputs, NormAttrs("layer"), inputs=(0, 5, 6))


@rule("DynamicQuantizeLSTM", domain=DOMAIN)
def _quantised_lstm(node: Node) -> None:
    """x[t, n, i], W[d, i, 4 h], R[d, h, 4 h] as integers, (B), (lengths), (initial states), scales and zeros."""
    x, w, r = node.input(0), node.input(1), node.input(2)
    directions, hidden = w.shape[0], node.int_attr("hidden_size", r.shape[1])
    for index in (1, 2):
        spec = node.input(index)
        node.as_weight(index)
        node.view_input(index, (spec.shape[0] * spec.shape[2], spec.shape[1]), "gates")
    node.as_weight(3)
    steps, batch = x.shape[:2]
    state = ((directions, batch, hidden), x.dtype)
    outputs = [((steps, directions, batch, hidden), x.dtype), state, state]
    attrs = RnnAttrs("lstm", hidden, 1, directions == 2, False, node.has(3))
    node.emit_many(OpKind.RNN, outputs, attrs, inputs=(0, 1, 2, 3, 5, 6), quantised=False)
