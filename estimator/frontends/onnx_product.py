"""ONNX operators that multiply: convolutions, matrix products, attention, recurrent layers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from estimator.dtypes import DType
from estimator.frontends.onnx_importer import Node, NodeProblem, rule
from estimator.frontends.shape_arithmetic import (
    broadcast,
    canonical_equation,
    conv_extent,
    einsum_shape,
    matmul_shape,
    same_padding,
)
from estimator.ir.op import (
    AttentionAttrs,
    ConvAttrs,
    EinsumAttrs,
    FunctionAttrs,
    MatmulAttrs,
    OpKind,
    RnnAttrs,
)
from estimator.ir.tensor import Shape, TensorRole


def window_padding(
    node: Node, spatial: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Work out padding before and after each spatial axis, from `pads` or `auto_pad`."""
    rank = len(kernel)
    mode = node.text_attr("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        totals = [same_padding(*axis) for axis in zip(spatial, kernel, stride, dilation, strict=True)]
        small, large = tuple(t // 2 for t in totals), tuple(t - t // 2 for t in totals)
        return (small, large) if mode == "SAME_UPPER" else (large, small)
    pads = node.ints_attr("pads", (0,) * (2 * rank)) if mode != "VALID" else (0,) * (2 * rank)
    if len(pads) != 2 * rank:
        raise NodeProblem(f"{len(pads)} pads for {rank} spatial axes")
    return tuple(pads[:rank]), tuple(pads[rank:])


def _conv(node: Node, weight: int, bias: int, dtype: DType | None = None) -> None:
    x, w = node.input(0), node.input(weight)
    rank = len(x.shape) - 2
    if rank < 1 or len(w.shape) != rank + 2:
        raise NodeProblem(f"input of shape {list(x.shape)} and weight of shape {list(w.shape)} do not fit")
    node.as_weight(weight)
    node.as_weight(bias)
    kernel = node.ints_attr("kernel_shape", w.shape[2:])
    stride, dilation = node.ints_attr("strides", (1,) * rank), node.ints_attr("dilations", (1,) * rank)
    before, after = window_padding(node, x.shape[2:], kernel, stride, dilation)
    groups = node.int_attr("group", 1)
    if x.shape[1] != w.shape[1] * groups:
        raise NodeProblem(f"{x.shape[1]} channels in, but the weight takes {w.shape[1]} × {groups} groups")
    axes = zip(x.shape[2:], kernel, stride, before, after, dilation, strict=True)
    spatial = [conv_extent(*axis) for axis in axes]
    attrs = ConvAttrs(tuple(kernel), tuple(stride), before, tuple(dilation), groups)
    node.emit(OpKind.CONV, (x.shape[0], w.shape[0], *spatial), attrs, dtype=dtype, inputs=(0, weight, bias))


@rule("Conv")
def _plain_conv(node: Node) -> None:
    _conv(node, 1, 2)


@rule("ConvInteger")
def _integer_conv(node: Node) -> None:
    _conv(node, 1, 99, DType.I32)


@rule("QLinearConv")
def _quantised_conv(node: Node) -> None:
    """Read x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, (b)."""
    _conv(node, 3, 8)


@rule("ConvTranspose")
def _transposed_conv(node: Node) -> None:
    x, w = node.input(0), node.input(1)
    rank = len(x.shape) - 2
    if rank < 1 or len(w.shape) != rank + 2 or w.shape[0] != x.shape[1]:
        raise NodeProblem(f"input of shape {list(x.shape)} and weight of shape {list(w.shape)} do not fit")
    node.as_weight(1)
    node.as_weight(2)
    kernel = node.ints_attr("kernel_shape", w.shape[2:])
    stride, dilation = node.ints_attr("strides", (1,) * rank), node.ints_attr("dilations", (1,) * rank)
    extra = node.ints_attr("output_padding", (0,) * rank)
    given = node.ints_attr("output_shape")
    if given:
        spatial, before = list(given[-rank:]), (0,) * rank
    elif node.text_attr("auto_pad", "NOTSET").startswith("SAME"):
        spatial, before = [n * s for n, s in zip(x.shape[2:], stride, strict=True)], (0,) * rank
    else:
        before, after = window_padding(node, x.shape[2:], kernel, stride, dilation)
        spatial = [
            s * (n - 1) + e + (k - 1) * d + 1 - b - a
            for n, k, s, d, e, b, a in zip(x.shape[2:], kernel, stride, dilation, extra, before, after, strict=True)
        ]
    groups = node.int_attr("group", 1)
    attrs = ConvAttrs(tuple(kernel), tuple(stride), before, tuple(dilation), groups, transposed=True)
    node.emit(OpKind.CONV, (x.shape[0], w.shape[1] * groups, *spatial), attrs)


@rule("DeformConv")
def _deformable_conv(node: Node) -> None:
    """ONNX order: x, w, offset, (b), (mask); ours: x, w, offset, (mask), (b)."""
    x, w = node.input(0), node.input(1)
    rank = len(x.shape) - 2
    node.as_weight(1)
    node.as_weight(3)
    kernel = node.ints_attr("kernel_shape", w.shape[2:])
    stride, dilation = node.ints_attr("strides", (1,) * rank), node.ints_attr("dilations", (1,) * rank)
    before, after = window_padding(node, x.shape[2:], kernel, stride, dilation)
    axes = zip(x.shape[2:], kernel, stride, before, after, dilation, strict=True)
    spatial = [conv_extent(*axis) for axis in axes]
    attrs = ConvAttrs(tuple(kernel), tuple(stride), before, tuple(dilation), node.int_attr("group", 1))
    node.emit(OpKind.DEFORM_CONV, (x.shape[0], w.shape[0], *spatial), attrs, inputs=(0, 1, 2, 4, 3))


@rule("CausalConvWithState")
def _causal_conv(node: Node) -> None:
    """x[n, c, *s], w[c, 1, *k] depthwise, (b), (past state) -> same shape as x, present state."""
    x, w = node.input(0), node.input(1)
    node.as_weight(1)
    kernel = w.shape[2:]
    ones = (1,) * len(kernel)
    attrs = ConvAttrs(kernel, ones, tuple(k - 1 for k in kernel), ones, x.shape[1])
    state = (*x.shape[:-1], max(kernel[-1] - 1, 0))
    node.emit_many(OpKind.CONV, [(x.shape, x.dtype), (state, x.dtype)], attrs, inputs=(0, 1, 2))


def _matmul(node: Node, a_index: int, b_index: int, dtype: DType | None = None) -> None:
    a, b = node.input(a_index), node.input(b_index)
    node.as_weight(b_index)
    node.as_weight(a_index)
    node.emit(OpKind.MATMUL, matmul_shape(a.shape, b.shape), MatmulAttrs(), dtype=dtype, inputs=(a_index, b_index))


@rule("MatMul")
def _plain_matmul(node: Node) -> None:
    _matmul(node, 0, 1)


@rule("MatMulInteger")
def _integer_matmul(node: Node) -> None:
    _matmul(node, 0, 1, DType.I32)


@rule("QLinearMatMul")
def _quantised_matmul(node: Node) -> None:
    """Read a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero."""
    _matmul(node, 0, 3)


@rule("Gemm")
def _gemm(node: Node) -> None:
    """alpha·A·B + beta·C with optional transposes; B[n, k] as a weight is a fully connected layer."""
    gemm(node, 1, 2)


def gemm(node: Node, b_index: int, c_index: int) -> None:
    """Emit a Gemm whose operands stand at the given inputs (the quantised form has scales between them)."""
    a, b = node.input(0), node.input(b_index)
    swap_a, swap_b = bool(node.int_attr("transA", 0)), bool(node.int_attr("transB", 0))
    (m, k), (k2, n) = a.shape[:: -1 if swap_a else 1], b.shape[:: -1 if swap_b else 1]
    if k != k2:
        raise NodeProblem(f"inner extents {k} and {k2} differ")
    node.as_weight(b_index)
    node.as_weight(c_index)
    bias = node.optional(c_index)
    plain_bias = bias is None or bias.shape in ((n,), (1, n))
    if b.is_weight and swap_b and not swap_a and plain_bias:
        node.emit(OpKind.LINEAR, (m, n), inputs=(0, b_index, c_index))
    else:
        node.transpose_input(0, swap_a)
        node.transpose_input(b_index, swap_b)
        node.emit(OpKind.MATMUL, (m, n), MatmulAttrs(), inputs=(0, b_index, c_index))


@rule("Einsum")
def _einsum(node: Node) -> None:
    shapes = [spec.shape for spec in node.inputs()]
    equation = canonical_equation(node.text_attr("equation", ""), [len(s) for s in shapes])
    node.emit(OpKind.EINSUM, einsum_shape(equation, shapes), EinsumAttrs(equation))


@rule("Attention")
def _attention(node: Node) -> None:
    """Opset 23: q, k, v, (mask), (past_key), (past_value); 4-D, or 3-D with head counts in attributes."""
    whole = len(node.input(0).shape) == 4
    q, k, v = (_as_heads(node, i, h) for i, h in enumerate(("q_num_heads", "kv_num_heads", "kv_num_heads")))
    past = node.optional(4)
    n = k[2] + (past.shape[2] if past else 0)
    shape: Shape = (*q[:3], v[3]) if whole else (q[0], q[2], q[1] * v[3])
    attrs = AttentionAttrs(bool(node.int_attr("is_causal", 0)), q[1] != k[1])
    dtype = node.input(0).dtype
    present_k, present_v = (k[0], k[1], n, k[3]), (v[0], v[1], n, v[3])
    outputs = [(shape, dtype), (present_k, dtype), (present_v, dtype), ((*q[:2], q[2], n), dtype)]
    node.emit_many(OpKind.ATTENTION, outputs, attrs, inputs=(0, 1, 2, 3))


def _as_heads(node: Node, index: int, heads_attribute: str) -> tuple[int, int, int, int]:
    """[b, heads, length, width] of an attention operand; a 3-D one is viewed so first."""
    spec = node.input(index)
    if len(spec.shape) == 4:
        b, h, s, d = spec.shape
        return b, h, s, d
    b, s, width = spec.shape
    heads = node.int_attr(heads_attribute, 1)
    shape = (b, heads, s, width // heads)
    node.view_input(index, shape, "heads")
    return shape


@rule("RotaryEmbedding")
def _rotary(node: Node) -> None:
    node.emit(OpKind.TERNARY, node.input(0).shape, FunctionAttrs("rotary"), inputs=(0, 1, 2))


@rule("LinearAttention")
def _linear_attention(node: Node) -> None:
    node.emit_unknown("recurrent linear attention has no rule")


@rule("FlexAttention", domain="ai.onnx.preview")
def _flex_attention(node: Node) -> None:
    q, k, v = node.input(0).shape, node.input(1).shape, node.input(2).shape
    node.emit(OpKind.ATTENTION, (*q[:3], v[3]), AttentionAttrs(False, q[1] != k[1]), inputs=(0, 1, 2))


@rule("LSTM", "GRU", "RNN")
def _recurrent(node: Node) -> None:
    """x[t, n, i], W[d, g·h, i], R[d, g·h, h], (B), (lengths), (initial states), (peepholes)."""
    x, w, r = node.input(0), node.input(1), node.input(2)
    for index in (1, 2, 3, 7):
        node.as_weight(index)
    for index, weight in ((1, w), (2, r)):  # as one product of all gates and directions
        node.view_input(index, (math.prod(weight.shape[:-1]), weight.shape[-1]), "gates")
    for index in (5, 6):  # what a sequence starts from is state, stored or not
        node.as_weight(index, TensorRole.BUFFER)
    directions, hidden = w.shape[0], node.int_attr("hidden_size", r.shape[-1])
    batch_first = node.int_attr("layout", 0) == 1
    steps, batch = (x.shape[1], x.shape[0]) if batch_first else (x.shape[0], x.shape[1])
    cell = node.op_type.lower()
    if cell == "rnn":
        found = node.attribute("activations")
        first = (found.texts[0] if found and found.texts else "Tanh").lower()
        cell = "rnn_relu" if first == "relu" else "rnn_tanh"
    attrs = RnnAttrs(cell, hidden, 1, directions == 2, batch_first, node.has(3))
    state: Shape = (batch, directions, hidden) if batch_first else (directions, batch, hidden)
    sequence: Shape = (batch, steps, directions, hidden) if batch_first else (steps, directions, batch, hidden)
    outputs = [(sequence, x.dtype), (state, x.dtype), (state, x.dtype)]
    node.emit_many(OpKind.RNN, outputs[: 3 if cell == "lstm" else 2], attrs, inputs=(0, 1, 2, 3, 7, 5, 6))


@rule("Det")
def _determinant(node: Node) -> None:
    node.emit_unknown("determinant has no rule")


@rule("Col2Im")
def _col2im(node: Node) -> None:
    x = node.input(0)
    image, block = node.int_values(1, "image shape"), node.int_values(2, "block shape")
    node.emit(OpKind.FOLD, (x.shape[0], x.shape[1] // math.prod(block), *image), inputs=(0,))


@rule("AffineGrid")
def _affine_grid(node: Node) -> None:
    """theta[n, d, d+1], size -> grid[n, *s, d]: base grid times theta."""
    size = node.int_values(1, "grid size")
    rank = len(size) - 2
    node.emit(OpKind.FILL, (size[0], *size[2:], rank), FunctionAttrs("affine_grid"), inputs=())


@rule("SwiGLU")
def _swiglu(node: Node) -> None:
    x = node.input(0)
    shape = broadcast(x.shape, node.input(1).shape) if node.has(1) else (*x.shape[:-1], x.shape[-1] // 2)
    node.emit(OpKind.ACTIVATION, shape, FunctionAttrs("glu"))
