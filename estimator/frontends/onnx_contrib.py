"""Operators of the ``com.microsoft`` domain that graph optimisers and quantisers write into files."""

from __future__ import annotations

from estimator.dtypes import DType
from estimator.frontends.onnx_elementwise import _dequantise, _quantise
from estimator.frontends.onnx_importer import Node, rule
from estimator.frontends.onnx_product import gemm
from estimator.frontends.shape_arithmetic import axis_of, broadcast, conv_extent, matmul_shape
from estimator.ir.op import (
    AdaptivePoolAttrs,
    AttentionAttrs,
    AxisAttrs,
    FunctionAttrs,
    MatmulAttrs,
    NormAttrs,
    OpKind,
    PoolAttrs,
    SoftmaxAttrs,
)

DOMAIN = "com.microsoft"

rule("QuantizeLinear", domain=DOMAIN)(_quantise)
rule("DequantizeLinear", domain=DOMAIN)(_dequantise)


@rule("Gelu", "FastGelu", "QuickGelu", "BiasGelu", domain=DOMAIN)
def _gelu(node: Node) -> None:
    function = {"FastGelu": "gelu_tanh", "QuickGelu": "quick_gelu"}.get(node.op_type, "gelu")
    node.emit(OpKind.ACTIVATION, node.input(0).shape, FunctionAttrs(function))


@rule("FusedMatMul", domain=DOMAIN)
def _fused_matmul(node: Node) -> None:
    node.as_weight(1)
    node.transpose_input(0, bool(node.int_attr("transA", 0)))
    node.transpose_input(1, bool(node.int_attr("transB", 0)))
    node.emit(OpKind.MATMUL, matmul_shape(node.input(0).shape, node.input(1).shape), MatmulAttrs(), inputs=(0, 1))


@rule("MatMulNBits", domain=DOMAIN)
def _matmul_n_bits(node: Node) -> None:
    """x[..., k] times a weight packed to 4 (or 8) bits; seen as a fully connected layer w[n, k]."""
    x = node.input(0)
    n, k = node.int_attr("N", 1), node.int_attr("K", x.shape[-1])
    builder = node.importer.builder
    name = builder.unique_tensor(f"{node.name_of(1)}.unpacked")
    role = node.input(1).role
    node.as_weight(1)
    dtype = DType.I4 if node.int_attr("bits", 4) <= 4 else DType.I8
    builder.add_tensor(name, (n, k), dtype, builder.tensors[node.name_of(1)].role or role, quantised=True)
    builder.derived_from[name] = (node.name_of(1),)
    node.viewed[1] = name
    node.emit(OpKind.LINEAR, (*x.shape[:-1], n), inputs=(0, 1))


@rule("DynamicQuantizeMatMul", "MatMulIntegerToFloat", domain=DOMAIN)
def _dynamic_matmul(node: Node) -> None:
    node.as_weight(1)
    shape = matmul_shape(node.input(0).shape, node.input(1).shape)
    node.emit(OpKind.MATMUL, shape, MatmulAttrs(), dtype=DType.F32, inputs=(0, 1))


@rule("QGemm", domain=DOMAIN)
def _quantised_gemm(node: Node) -> None:
    """Read a, a_scale, a_zero, b, b_scale, b_zero, (c), (y_scale), (y_zero)."""
    gemm(node, 3, 6)


@rule("SimplifiedLayerNormalization", domain=DOMAIN)
@rule("SimplifiedLayerNormalization")
def _simplified_norm(node: Node) -> None:
    node.as_weight(1)
    node.emit(OpKind.NORM, node.input(0).shape, NormAttrs("rms"), inputs=(0, 1))


@rule("SkipLayerNormalization", "SkipSimplifiedLayerNormalization", domain=DOMAIN)
def _skip_norm(node: Node) -> None:
    """X + skip (+ bias), normalised; the addition is inside the op."""
    x = node.input(0)
    function = "rms" if "Simplified" in node.op_type else "layer"
    for index in (2, 3, 4):
        node.as_weight(index)
    order = (0, 2, 3, 1)
    outputs = [(x.shape, x.dtype), (x.shape[:-1], DType.F32), (x.shape[:-1], DType.F32), (x.shape, x.dtype)]
    node.emit_many(OpKind.NORM, outputs, NormAttrs(function), inputs=order)


@rule("MultiHeadAttention", domain=DOMAIN)
def _multi_head_attention(node: Node) -> None:
    """q[b, m, h·d], k[b, n, h·d], v[b, n, h·dv] -> [b, m, h·dv]; packed forms have no rule."""
    q = node.input(0)
    k, v = node.optional(1), node.optional(2)
    heads = node.int_attr("num_heads", 1)
    if k is None or v is None or len(q.shape) != 3 or len(k.shape) != 3 or len(v.shape) != 3:
        node.emit_unknown("packed multi-head attention has no rule")
        return
    for index, spec in enumerate((q, k, v)):
        b, s, width = spec.shape
        node.view_input(index, (b, heads, s, width // heads), "heads")
    shape = (q.shape[0], q.shape[1], v.shape[2])
    node.emit(OpKind.ATTENTION, shape, AttentionAttrs(bool(node.int_attr("unidirectional", 0))), inputs=(0, 1, 2))


@rule("QLinearAdd", "QLinearMul", domain=DOMAIN)
def _quantised_binary(node: Node) -> None:
    """Read a, a_scale, a_zero, b, b_scale, b_zero, c_scale, c_zero."""
    shape = broadcast(node.input(0).shape, node.input(3).shape)
    node.emit(OpKind.BINARY, shape, FunctionAttrs(node.op_type[7:].lower()), inputs=(0, 3), quantised=True)


@rule("QLinearSigmoid", "QLinearLeakyRelu", domain=DOMAIN)
def _quantised_activation(node: Node) -> None:
    function = "sigmoid" if node.op_type == "QLinearSigmoid" else "leaky_relu"
    node.emit(OpKind.ACTIVATION, node.input(0).shape, FunctionAttrs(function), inputs=(0,), quantised=True)


@rule("QLinearSoftmax", domain=DOMAIN)
def _quantised_softmax(node: Node) -> None:
    shape = node.input(0).shape
    axis = axis_of(node.int_attr("axis", -1), len(shape))
    node.emit(OpKind.SOFTMAX, shape, SoftmaxAttrs(axis), inputs=(0,), quantised=True)


@rule("QLinearGlobalAveragePool", domain=DOMAIN)
def _quantised_global_pool(node: Node) -> None:
    shape = node.input(0).shape
    last = bool(node.int_attr("channels_last", 0))
    ones = (1,) * (len(shape) - 2)
    result = (shape[0], *ones, shape[-1]) if last else (*shape[:2], *ones)
    node.emit(OpKind.ADAPTIVE_POOL, result, AdaptivePoolAttrs("avg", ones, last), inputs=(0,), quantised=True)


@rule("QLinearAveragePool", domain=DOMAIN)
def _quantised_pool(node: Node) -> None:
    shape = node.input(0).shape
    rank = len(shape) - 2
    kernel, stride = node.ints_attr("kernel_shape"), node.ints_attr("strides", (1,) * rank)
    pads = node.ints_attr("pads", (0,) * 2 * rank)
    axes = zip(shape[2:], kernel, stride, pads[:rank], pads[rank:], strict=True)
    spatial = [conv_extent(n, k, s, b, a, 1) for n, k, s, b, a in axes]
    attrs = PoolAttrs("avg", kernel, stride, pads[:rank])
    node.emit(OpKind.POOL, (*shape[:2], *spatial), attrs, inputs=(0,), quantised=True)


@rule("QLinearConcat", domain=DOMAIN)
def _quantised_concat(node: Node) -> None:
    """Read y_scale, y_zero, then (x, scale, zero) per part."""
    parts = range(2, len(node.wire.inputs), 3)
    specs = [node.input(i) for i in parts]
    axis = axis_of(node.int_attr("axis", 1), len(specs[0].shape))
    first = specs[0].shape
    shape = (*first[:axis], sum(s.shape[axis] for s in specs), *first[axis + 1 :])
    node.emit(OpKind.CONCAT, shape, AxisAttrs(axis), dtype=specs[0].dtype, inputs=tuple(parts), quantised=True)
