"""TFLite operators that calculate: convolutions, products, recurrent layers, pools, norms, elementwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from estimator.frontends.shape_arithmetic import (
    axes_of,
    broadcast,
    conv_extent,
    matmul_shape,
    reduced_shape,
    same_padding,
)
from estimator.frontends.tflite_importer import TfliteNode, TfliteProblem, custom_rule, rule
from estimator.ir.op import (
    ConvAttrs,
    EinsumAttrs,
    FunctionAttrs,
    MatmulAttrs,
    NormAttrs,
    OpKind,
    PoolAttrs,
    ReduceAttrs,
    ResizeAttrs,
    RnnAttrs,
    SoftmaxAttrs,
)
from estimator.ir.tensor import Shape

Array = NDArray[np.generic]

_ACTIVATIONS = {
    "RELU": "relu", "RELU6": "relu6", "RELU_N1_TO_1": "hardtanh", "RELU_0_TO_1": "hardtanh", "LOGISTIC": "sigmoid",
    "TANH": "tanh", "HARD_SWISH": "hardswish", "ELU": "elu", "LEAKY_RELU": "leaky_relu",
}  # fmt: skip
_UNARY = {
    "EXP": "exp", "LOG": "log", "SQRT": "sqrt", "RSQRT": "rsqrt", "SQUARE": "square", "NEG": "neg", "ABS": "abs",
    "SIN": "sin", "COS": "cos", "FLOOR": "floor", "CEIL": "ceil", "ROUND": "round", "SIGN": "sign",
    "LOGICAL_NOT": "logical_not", "IMAG": "imag", "REAL": "real", "COMPLEX_ABS": "abs", "BUCKETIZE": "bucketize",
    "FAKE_QUANT": "fake_quant",
}  # fmt: skip
_BINARY: dict[str, tuple[str, Callable[[Array, Array], Array] | None]] = {
    "ADD": ("add", np.add), "SUB": ("sub", np.subtract), "MUL": ("mul", np.multiply), "DIV": ("div", None),
    "FLOOR_DIV": ("floor_divide", np.floor_divide), "FLOOR_MOD": ("remainder", np.mod), "POW": ("pow", None),
    "MAXIMUM": ("maximum", np.maximum), "MINIMUM": ("minimum", np.minimum), "ATAN2": ("atan2", None),
    "SQUARED_DIFFERENCE": ("squared_difference", None), "LESS": ("lt", np.less),
    "LESS_EQUAL": ("le", np.less_equal), "GREATER": ("gt", np.greater), "GREATER_EQUAL": ("ge", np.greater_equal),
    "EQUAL": ("eq", np.equal), "NOT_EQUAL": ("ne", np.not_equal), "LOGICAL_AND": ("logical_and", np.logical_and),
    "LOGICAL_OR": ("logical_or", np.logical_or), "BITWISE_XOR": ("bitwise_xor", None),
    "RIGHT_SHIFT": ("bitwise_right_shift", None),
}  # fmt: skip
_WITH_FUSED_ACTIVATION = frozenset({"ADD", "SUB", "MUL", "DIV"})
_REDUCTIONS = {
    "MEAN": "mean", "SUM": "sum", "REDUCE_PROD": "prod", "REDUCE_MAX": "max", "REDUCE_MIN": "min",
    "REDUCE_ANY": "any", "REDUCE_ALL": "all",
}  # fmt: skip


def _window(
    spatial: Shape, kernel: Shape, stride: Shape, dilation: Shape, valid: bool
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Work out padding before, and output extent, of each spatial axis under the SAME or VALID rule."""
    axes = list(zip(spatial, kernel, stride, dilation, strict=True))
    totals = [0 if valid else same_padding(*axis) for axis in axes]
    extents = [
        conv_extent(n, k, s, total // 2, total - total // 2, d)
        for (n, k, s, d), total in zip(axes, totals, strict=True)
    ]
    return tuple(total // 2 for total in totals), tuple(extents)


def _transposed_window(
    spatial: Sequence[int], kernel: Sequence[int], stride: Shape, valid: bool
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Work out padding before, and output extent, of each spatial axis of a transposed convolution."""
    axes = list(zip(spatial, kernel, stride, strict=True))
    extents = tuple(e * s + max(k - s, 0) if valid else e * s for e, k, s in axes)
    return tuple(0 if valid else max(k - s, 0) // 2 for _, k, s in axes), extents


def _positive(*values: int) -> tuple[int, ...]:
    if any(v < 1 for v in values):
        raise TfliteProblem(f"strides, dilations and windows must be positive, not {list(values)}")
    return values


@rule("CONV_2D", "DEPTHWISE_CONV_2D")
def _conv(node: TfliteNode) -> None:
    """x[n, h, w, ci], w[co, kh, kw, ci/g] or depthwise w[1, kh, kw, co], (b)."""
    depthwise = node.op_type == "DEPTHWISE_CONV_2D"
    n, h, w, channels = node.input(0).shape
    name = node.conv_weight(1, (3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
    co, per_group, kh, kw = node.importer.builder.shape_of(name)
    groups = channels // max(per_group, 1)
    node.as_weight(2)
    first_dilation = 5 if depthwise else 4
    stride = _positive(node.option(2, "i"), node.option(1, "i"))
    dilation = _positive(node.option(first_dilation + 1, "i", 1), node.option(first_dilation, "i", 1))
    padding, extents = _window((h, w), (kh, kw), stride, dilation, node.option(0) == 1)
    attrs = ConvAttrs((kh, kw), stride, padding, dilation, groups, channels_last=True)
    fused = node.option(4 if depthwise else 3)
    node.emit(OpKind.CONV, (n, *extents, co), attrs, inputs=(0, name, 2), fused=fused)


@rule("CONV_3D")
def _conv_3d(node: TfliteNode) -> None:
    """x[n, d, h, w, ci], w[kd, kh, kw, ci, co], (b)."""
    n, *spatial, channels = node.input(0).shape
    name = node.conv_weight(1, (4, 3, 0, 1, 2))
    co, per_group, *kernel = node.importer.builder.shape_of(name)
    node.as_weight(2)
    stride = _positive(node.option(1, "i"), node.option(3, "i"), node.option(2, "i"))
    dilation = _positive(node.option(5, "i", 1), node.option(7, "i", 1), node.option(6, "i", 1))
    padding, extents = _window(tuple(spatial), tuple(kernel), stride, dilation, node.option(0) == 1)
    attrs = ConvAttrs(tuple(kernel), stride, padding, dilation, channels // max(per_group, 1), channels_last=True)
    node.emit(OpKind.CONV, (n, *extents, co), attrs, inputs=(0, name, 2), fused=node.option(4))


@rule("TRANSPOSE_CONV")
def _transposed_conv(node: TfliteNode) -> None:
    """Output shape, w[co, kh, kw, ci], x[n, h, w, ci], (b)."""
    n, h, w, _ = node.input(2).shape
    name = node.conv_weight(1, (3, 0, 1, 2))
    _, co, kh, kw = node.importer.builder.shape_of(name)
    node.as_weight(3)
    stride = _positive(node.option(2, "i"), node.option(1, "i"))
    padding, extents = _transposed_window((h, w), (kh, kw), stride, node.option(0) == 1)
    attrs = ConvAttrs((kh, kw), stride, padding, (1, 1), 1, transposed=True, channels_last=True)
    node.emit(OpKind.CONV, (n, *extents, co), attrs, inputs=(2, name, 3), fused=node.option(3))


@rule("CONV_3D_TRANSPOSE")
def _transposed_conv_3d(node: TfliteNode) -> None:
    """Output shape, w[kd, kh, kw, co, ci], x[n, d, h, w, ci], (b)."""
    n, *spatial, _ = node.input(2).shape
    name = node.conv_weight(1, (4, 3, 0, 1, 2))
    _, co, *kernel = node.importer.builder.shape_of(name)
    node.as_weight(3)
    stride = _positive(node.option(1, "i"), node.option(3, "i"), node.option(2, "i"))
    dilation = _positive(node.option(5, "i", 1), node.option(7, "i", 1), node.option(6, "i", 1))
    padding, extents = _transposed_window(spatial, kernel, stride, node.option(0) == 1)
    attrs = ConvAttrs(tuple(kernel), stride, padding, dilation, 1, transposed=True, channels_last=True)
    node.emit(OpKind.CONV, (n, *extents, co), attrs, inputs=(2, name, 3), fused=node.option(4))


@rule("FULLY_CONNECTED")
def _fully_connected(node: TfliteNode) -> None:
    """x[..., k], w[n, k], (b); x is flattened to [-1, k] unless its axes are kept."""
    x, w = node.input(0), node.input(1)
    n, k = w.shape
    node.as_weight(1)
    node.as_weight(2)
    name = x.name
    if not x.shape or x.shape[-1] != k:
        name = node.importer.builder.unique_tensor(f"{x.name}.rows")
        node.view(x, name, (x.numel // k, k))
    shape = (*x.shape[:-1], n) if node.option(2) and name == x.name else (x.numel // k, n)
    node.emit(OpKind.LINEAR, shape, inputs=(name, 1, 2), fused=node.option(0))


@rule("BATCH_MATMUL")
def _batch_matmul(node: TfliteNode) -> None:
    """Multiply a, b with adj_x, adj_y: a stored-swapped operand is viewed in its logical shape."""
    names = [node.swapped(i) if node.option(i) else node.name_of(i) for i in (0, 1)]
    a, b = (node.importer.builder.shape_of(name) for name in names)
    node.as_weight(1)
    node.emit(OpKind.MATMUL, matmul_shape(a, b), MatmulAttrs(), inputs=names)


@rule("SVDF")
def _svdf(node: TfliteNode) -> None:
    """Factored convolution over time: x[b, i] · feature[f, i]ᵀ, then memory[b, f, m] with time[f, m]."""
    x, feature, time = node.input(0), node.input(1), node.input(2)
    for position in (1, 2, 3):
        node.as_weight(position)
    builder = node.importer.builder
    batch, filters, memory = x.shape[0], feature.shape[0], time.shape[1]
    projected = builder.unique_tensor(f"{node.name}.features")
    builder.add_tensor(projected, (batch, filters), x.dtype, quantised=x.quantised)
    builder.emit(OpKind.LINEAR, (x.name, feature.name), (projected,), name=f"{node.name}.features", source=node.source)
    state = builder.unique_tensor(f"{node.name}.memory")
    node.view(node.input(4), state, (batch, filters, memory))
    rank = max(node.option(0, "i"), 1)
    node.emit(OpKind.EINSUM, (batch, filters // rank), EinsumAttrs("abc,bc->ab"), inputs=(state, 2))


@rule("UNIDIRECTIONAL_SEQUENCE_LSTM", "LSTM")
def _lstm(node: TfliteNode) -> None:
    """X and up to 23 weights, biases and states, in the order of the TFLite kernel."""
    for position in range(1, 18):
        node.as_weight(position)
    x, hidden = node.input(0), node.input(2).shape[0]
    projection = node.input(16).shape[0] if node.has(16) else 0
    attrs = RnnAttrs("lstm", hidden, batch_first=node.option(3) == 0, has_bias=node.has(13), projection_size=projection)
    if node.op_type == "LSTM" and len(node.operator.outputs) != 1:
        node.emit_unknown("the single-step LSTM with scratch outputs has no rule")
        return
    node.emit(OpKind.RNN, (*x.shape[:-1], projection or hidden), attrs)


@rule("BIDIRECTIONAL_SEQUENCE_LSTM")
def _bidirectional_lstm(node: TfliteNode) -> None:
    """x, forward weights 1–17, backward weights 18–34, states 35–38, auxiliary input and weights 39–47."""
    for position in range(1, 35):
        node.as_weight(position)
    x, hidden = node.input(0), node.input(2).shape[0]
    projection = node.input(16).shape[0] if node.has(16) else 0
    attrs = RnnAttrs("lstm", hidden, 1, True, node.option(4) == 0, node.has(13), projection)
    width = projection or hidden
    merged = bool(node.option(3))
    shapes = [(*x.shape[:-1], 2 * width)] if merged else [(*x.shape[:-1], width)] * 2
    node.emit_many(OpKind.RNN, shapes, attrs)


@rule("UNIDIRECTIONAL_SEQUENCE_RNN", "RNN")
def _rnn(node: TfliteNode) -> None:
    """x, w[h, i], r[h, h], b[h], state."""
    for position in (1, 2, 3):
        node.as_weight(position)
    x, hidden = node.input(0), node.input(1).shape[0]
    sequence = node.op_type != "RNN"
    function = node.option(1 if sequence else 0)
    attrs = RnnAttrs("rnn_relu" if function in (1, 3) else "rnn_tanh", hidden, batch_first=not node.option(0))
    node.emit(OpKind.RNN, (*x.shape[:-1], hidden), attrs)


@rule("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D")
def _pool(node: TfliteNode) -> None:
    n, h, w, c = node.input(0).shape
    kernel = _positive(node.option(4, "i"), node.option(3, "i"))
    stride = _positive(node.option(2, "i"), node.option(1, "i"))
    padding, extents = _window((h, w), kernel, stride, (1, 1), node.option(0) == 1)
    function = {"AVERAGE_POOL_2D": "avg", "MAX_POOL_2D": "max"}.get(node.op_type, "lp")
    attrs = PoolAttrs(function, kernel, stride, padding, channels_last=True)
    node.emit(OpKind.POOL, (n, *extents, c), attrs, fused=node.option(5))


@rule("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
def _resize(node: TfliteNode) -> None:
    n, _, _, c = node.input(0).shape
    size = node.int_values(1)
    bilinear = node.op_type == "RESIZE_BILINEAR"
    attrs = ResizeAttrs("bilinear" if bilinear else "nearest", bool(node.option(2 if bilinear else 0)), True)
    node.emit(OpKind.RESIZE, None if size is None else (n, *size, c), attrs, inputs=(0,))


@rule("SOFTMAX", "LOG_SOFTMAX")
def _softmax(node: TfliteNode) -> None:
    shape = node.input(0).shape
    node.emit(OpKind.SOFTMAX, shape, SoftmaxAttrs(max(len(shape) - 1, 0), node.op_type == "LOG_SOFTMAX"))


@rule("L2_NORMALIZATION", "LOCAL_RESPONSE_NORMALIZATION")
def _norm(node: TfliteNode) -> None:
    function = "l2" if node.op_type == "L2_NORMALIZATION" else "lrn"
    node.emit(OpKind.NORM, node.input(0).shape, NormAttrs(function, affine=False, channels_last=True))


@rule(*_REDUCTIONS)
def _reduce(node: TfliteNode) -> None:
    x = node.input(0)
    given = node.int_values(1)
    rank = len(x.shape)
    axes = tuple(range(rank)) if given is None else axes_of(given, rank)
    keepdim = bool(node.option(0))
    attrs = ReduceAttrs(_REDUCTIONS[node.op_type], axes, keepdim)
    shape = None if given is None else reduced_shape(x.shape, axes, keepdim)
    value = (
        node.compute(lambda a: np.prod(a, axis=axes, keepdims=keepdim), 0) if node.op_type == "REDUCE_PROD" else None
    )
    node.emit(OpKind.REDUCE, shape, attrs, inputs=(0,), value=value)


@rule("ARG_MAX", "ARG_MIN")
def _arg_reduce(node: TfliteNode) -> None:
    x = node.input(0)
    given = node.int_values(1) or (-1,)
    axes = axes_of(given, len(x.shape))
    attrs = ReduceAttrs("argmax" if node.op_type == "ARG_MAX" else "argmin", axes)
    node.emit(OpKind.REDUCE, reduced_shape(x.shape, axes, False), attrs, inputs=(0,))


@rule("CUMSUM")
def _cumsum(node: TfliteNode) -> None:
    node.emit(OpKind.CUMULATIVE, node.input(0).shape, FunctionAttrs("cumsum"), inputs=(0,))


@rule("TOPK_V2")
def _top_k(node: TfliteNode) -> None:
    shape, k = node.input(0).shape, node.int_values(1)
    result = None if k is None else (*shape[:-1], k[0])
    node.emit_many(OpKind.SORT, [result, result], FunctionAttrs("topk"), inputs=(0,))


@rule("NON_MAX_SUPPRESSION_V4", "NON_MAX_SUPPRESSION_V5")
def _nms(node: TfliteNode) -> None:
    node.emit_many(OpKind.NMS, [None] * len(node.operator.outputs), inputs=(0, 1))


@custom_rule("TFLite_Detection_PostProcess")
def _detection(node: TfliteNode) -> None:
    """Box encodings[1, n, 4], scores[1, n, classes], anchors[n, 4]: decoded, then pairs of boxes are compared."""
    node.emit_many(OpKind.NMS, [None] * len(node.operator.outputs), inputs=(0, 1, 2))


@rule("RFFT2D")
def _rfft(node: TfliteNode) -> None:
    node.emit(OpKind.FFT, None, FunctionAttrs("rfft"), inputs=(0,))


@rule(*_ACTIVATIONS)
def _activation(node: TfliteNode) -> None:
    node.emit(OpKind.ACTIVATION, node.input(0).shape, FunctionAttrs(_ACTIVATIONS[node.op_type]))


@rule("GELU")
def _gelu(node: TfliteNode) -> None:
    node.emit(OpKind.ACTIVATION, node.input(0).shape, FunctionAttrs("gelu_tanh" if node.option(0) else "gelu"))


@rule("PRELU")
def _prelu(node: TfliteNode) -> None:
    node.as_weight(1)
    node.emit(OpKind.ACTIVATION, node.input(0).shape, FunctionAttrs("prelu"))


@rule(*_UNARY)
def _unary(node: TfliteNode) -> None:
    node.emit(OpKind.UNARY, node.input(0).shape, FunctionAttrs(_UNARY[node.op_type]), inputs=(0,))


@rule(*_BINARY)
def _binary(node: TfliteNode) -> None:
    function, compute = _BINARY[node.op_type]
    shape = broadcast(node.input(0).shape, node.input(1).shape)
    value = node.compute(compute, 0, 1) if compute else None
    fused = node.option(0) if node.op_type in _WITH_FUSED_ACTIVATION else 0
    node.emit(OpKind.BINARY, shape, FunctionAttrs(function), fused=fused, value=value)


@rule("ADD_N")
def _add_n(node: TfliteNode) -> None:
    node.emit(OpKind.BINARY, node.input(0).shape, FunctionAttrs("add"))


@rule("SELECT", "SELECT_V2")
def _select(node: TfliteNode) -> None:
    shapes = [node.input(i).shape for i in (1, 2)]
    if node.op_type == "SELECT_V2":
        shapes.append(node.input(0).shape)
    node.emit(OpKind.TERNARY, broadcast(*shapes), FunctionAttrs("where"))


@rule("CAST", "BITCAST")
def _cast(node: TfliteNode) -> None:
    x = node.input(0)
    numpy_name = node.out_tensor().numpy_name
    value = node.compute(lambda a: a.astype(numpy_name), 0) if numpy_name and node.op_type == "CAST" else None
    node.emit(OpKind.CAST, x.shape if node.op_type == "CAST" else None, value=value)


@rule("QUANTIZE")
def _quantise(node: TfliteNode) -> None:
    node.emit(OpKind.QUANTIZE, node.input(0).shape)


@rule("DEQUANTIZE", "DENSIFY")
def _dequantise(node: TfliteNode) -> None:
    """On a constant it leaves no op: the weight is read as it is stored (see `emit_many`)."""
    node.emit(OpKind.DEQUANTIZE, node.input(0).shape)
