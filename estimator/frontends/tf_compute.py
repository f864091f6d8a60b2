"""TensorFlow operations that calculate."""

from __future__ import annotations

from estimator.frontends.shape_arithmetic import axes_of, canonical_equation, same_padding
from estimator.frontends.tf_importer import TfNode, rule
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
    SoftmaxAttrs,
)
from estimator.ir.tensor import Shape, TensorRole

_ACTIVATIONS = {
    "Relu": "relu", "Relu6": "relu6", "Sigmoid": "sigmoid", "Tanh": "tanh", "Elu": "elu", "Selu": "selu",
    "LeakyRelu": "leaky_relu", "Softplus": "softplus", "Softsign": "softsign",
}  # fmt: skip
_UNARY = {
    "Exp": "exp", "Expm1": "expm1", "Log": "log", "Log1p": "log1p", "Sqrt": "sqrt", "Rsqrt": "rsqrt",
    "Square": "square", "Neg": "neg", "Abs": "abs", "Sign": "sign", "Sin": "sin", "Cos": "cos", "Tan": "tan",
    "Atan": "atan", "Asin": "asin", "Acos": "acos", "Sinh": "sinh", "Cosh": "cosh", "Erf": "erf", "Erfc": "erfc",
    "Floor": "floor", "Ceil": "ceil", "Round": "round", "Rint": "round", "Reciprocal": "reciprocal",
    "Inv": "reciprocal",
    "LogicalNot": "logical_not", "IsNan": "isnan", "IsInf": "isinf", "IsFinite": "isfinite", "ComplexAbs": "abs",
    "Real": "real", "Imag": "imag", "ClipByValue": "clamp", "Invert": "bitwise_not", "Bucketize": "bucketize",
    "CheckNumerics": "isfinite",
}  # fmt: skip
_BINARY = {
    "Add": "add", "AddV2": "add", "Sub": "sub", "Mul": "mul", "RealDiv": "div", "Div": "div", "DivNoNan": "div",
    "FloorDiv": "floor_divide", "TruncateDiv": "div", "FloorMod": "remainder", "Mod": "remainder", "Pow": "pow",
    "Maximum": "maximum", "Minimum": "minimum", "SquaredDifference": "squared_difference", "Atan2": "atan2",
    "Xdivy": "xlogy", "Xlogy": "xlogy", "Greater": "gt", "GreaterEqual": "ge", "Less": "lt", "LessEqual": "le",
    "Equal": "eq", "NotEqual": "ne", "LogicalAnd": "logical_and", "LogicalOr": "logical_or",
    "BitwiseAnd": "bitwise_and", "BitwiseOr": "bitwise_or", "BitwiseXor": "bitwise_xor",
    "LeftShift": "bitwise_left_shift", "RightShift": "bitwise_right_shift", "MulNoNan": "mul",
    # gradients of elementwise functions: one pass over two operands
    "ReluGrad": "relu_grad", "Relu6Grad": "relu6_grad", "SigmoidGrad": "sigmoid_grad", "TanhGrad": "tanh_grad",
    "SqrtGrad": "sqrt_grad", "RsqrtGrad": "rsqrt_grad", "EluGrad": "elu_grad", "LeakyReluGrad": "leaky_relu_grad",
    "SoftplusGrad": "softplus_grad", "ReciprocalGrad": "reciprocal_grad",
}  # fmt: skip
_REDUCTIONS = {"Mean": "mean", "Sum": "sum", "Max": "max", "Min": "min", "Prod": "prod", "All": "all", "Any": "any"}


def _spatial(node: TfNode, values: tuple[int, ...], rank: int) -> tuple[int, ...]:
    """Pick the spatial entries of a list with one entry per axis (or all the same if it is empty)."""
    if not values:
        return (1,) * rank
    return tuple(values[1 : 1 + rank]) if node.channels_last else tuple(values[2 : 2 + rank])


def _padding(node: TfNode, spatial: Shape, kernel: Shape, stride: Shape, dilation: Shape) -> tuple[int, ...]:
    """Work out padding before each spatial axis; a stride of an unknown extent still has a rule."""
    mode = node.text("padding", "VALID")
    if mode == "EXPLICIT":
        pads = node.ints("explicit_paddings")
        first = 2 if node.channels_last else 4
        return tuple(pads[first : first + 2 * len(kernel) : 2])
    if mode != "SAME":
        return (0,) * len(kernel)
    return tuple(same_padding(*axis) // 2 for axis in zip(spatial, kernel, stride, dilation, strict=True))


def _spatial_shape(node: TfNode, shape: Shape) -> Shape:
    return shape[1:-1] if node.channels_last else shape[2:]


def _channels(node: TfNode, shape: Shape) -> int:
    return shape[-1] if node.channels_last else shape[1]


@rule("Conv2D", "Conv3D")
def _conv(node: TfNode) -> None:
    """x, w[*k, ci/g, co]."""
    x = node.input(0)
    rank = len(x.shape) - 2
    node.as_weight(1)
    name = node.relaid(1, (rank + 1, rank, *range(rank)))
    _, per_group, *kernel = node.importer.builder.shape_of(name)
    stride = _spatial(node, node.ints("strides"), rank)
    dilation = _spatial(node, node.ints("dilations"), rank)
    padding = _padding(node, _spatial_shape(node, x.shape), tuple(kernel), stride, dilation)
    groups = max(_channels(node, x.shape) // max(per_group, 1), 1)
    attrs = ConvAttrs(tuple(kernel), stride, padding, dilation, groups, channels_last=node.channels_last)
    node.emit(OpKind.CONV, attrs, inputs=(0, name))


@rule("DepthwiseConv2dNative")
def _depthwise(node: TfNode) -> None:
    """x, w[kh, kw, c, multiplier] -> [n, h, w, c·multiplier]."""
    x = node.input(0)
    node.as_weight(1)
    channels = _channels(node, x.shape)
    original = node.input(1).shape
    kh, kw = (original[0], original[1]) if node.name_of(1) not in node.importer.relaid else original[2:4]
    count = node.input(1).numel // max(kh * kw, 1)
    name = node.relaid(1, (2, 3, 0, 1), (count, 1, kh, kw))
    stride, dilation = _spatial(node, node.ints("strides"), 2), _spatial(node, node.ints("dilations"), 2)
    padding = _padding(node, _spatial_shape(node, x.shape), (kh, kw), stride, dilation)
    attrs = ConvAttrs((kh, kw), stride, padding, dilation, channels, channels_last=node.channels_last)
    node.emit(OpKind.CONV, attrs, inputs=(0, name))


@rule("Conv2DBackpropInput", "Conv3DBackpropInputV2")
def _transposed_conv(node: TfNode) -> None:
    """Output shape, w[*k, co, ci], x: a transposed convolution."""
    x = node.input(2)
    rank = len(x.shape) - 2
    node.as_weight(1)
    name = node.relaid(1, (rank + 1, rank, *range(rank)))
    kernel = node.importer.builder.shape_of(name)[2:]
    stride, dilation = _spatial(node, node.ints("strides"), rank), _spatial(node, node.ints("dilations"), rank)
    padding = _padding(node, _spatial_shape(node, node.out_shape()), kernel, stride, dilation)
    attrs = ConvAttrs(kernel, stride, padding, dilation, 1, transposed=True, channels_last=node.channels_last)
    node.emit(OpKind.CONV, attrs, inputs=(2, name))


@rule("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3")
def _matmul(node: TfNode) -> None:
    """Multiply a, b with transposes; b[n, k] stored that way as a weight is a fully connected layer."""
    plain = node.op_type == "MatMul"
    swap_a, swap_b = (node.flag(n) for n in (("transpose_a", "transpose_b") if plain else ("adj_x", "adj_y")))
    node.as_weight(1)
    if plain and swap_b and not swap_a and node.input(1).is_weight:
        node.emit(OpKind.LINEAR)
        return
    names = [node.swapped(i) if swap else node.name_of(i) for i, swap in enumerate((swap_a, swap_b))]
    node.emit(OpKind.MATMUL, MatmulAttrs(), inputs=names)


@rule("Einsum")
def _einsum(node: TfNode) -> None:
    ranks = [len(node.input(i).shape) for i in range(node.input_count)]
    node.emit(OpKind.EINSUM, EinsumAttrs(canonical_equation(node.text("equation"), ranks)))


@rule("BiasAdd", "BiasAddV1")
def _bias_add(node: TfNode) -> None:
    node.as_weight(1)
    node.emit(OpKind.BINARY, FunctionAttrs("add"))


@rule("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
def _batch_norm(node: TfNode) -> None:
    """x, scale, shift, mean, variance; in training the statistics inputs are empty."""
    for position, role in ((1, TensorRole.PARAMETER), (2, TensorRole.PARAMETER)):
        node.as_weight(position, role)
    stored = node.input(3).numel > 0
    if stored:
        node.as_weight(3, TensorRole.BUFFER)
        node.as_weight(4, TensorRole.BUFFER)
    attrs = NormAttrs("batch", channels_last=node.channels_last)
    outputs = 3 if node.op_type == "FusedBatchNorm" or node.importer.complete else 1
    outputs = max(outputs, *(i + 1 for i in range(min(5, len(node.op.outputs))) if node.op.outputs[i].consumers()), 1)
    node.emit(OpKind.NORM, attrs, inputs=(0, 1, 2, 3, 4) if stored else (0, 1, 2), outputs=outputs)


@rule("LRN")
def _lrn(node: TfNode) -> None:
    node.emit(OpKind.NORM, NormAttrs("lrn", affine=False, channels_last=True))


@rule("L2Loss")
def _l2_loss(node: TfNode) -> None:
    node.emit(OpKind.REDUCE, ReduceAttrs("norm", tuple(range(len(node.input(0).shape)))))


@rule("Softmax", "LogSoftmax")
def _softmax(node: TfNode) -> None:
    axis = max(len(node.input(0).shape) - 1, 0)
    node.emit(OpKind.SOFTMAX, SoftmaxAttrs(axis, node.op_type == "LogSoftmax"))


@rule("SoftmaxCrossEntropyWithLogits", "SparseSoftmaxCrossEntropyWithLogits")
def _cross_entropy(node: TfNode) -> None:
    axis = len(node.input(0).shape) - 1
    node.emit(OpKind.REDUCE, ReduceAttrs("logsumexp", (axis,)), outputs=2)


@rule("MaxPool", "AvgPool", "MaxPool3D", "AvgPool3D")
def _pool(node: TfNode) -> None:
    x = node.input(0)
    rank = len(x.shape) - 2
    kernel, stride = (_spatial(node, node.ints(n), rank) for n in ("ksize", "strides"))
    padding = _padding(node, _spatial_shape(node, x.shape), kernel, stride, (1,) * rank)
    function = "max" if node.op_type.startswith("Max") else "avg"
    node.emit(OpKind.POOL, PoolAttrs(function, kernel, stride, padding, node.channels_last))


@rule("ResizeBilinear", "ResizeNearestNeighbor", "ResizeBicubic", "ResizeArea")
def _resize(node: TfNode) -> None:
    mode = {"ResizeBilinear": "bilinear", "ResizeBicubic": "bicubic", "ResizeArea": "area"}.get(node.op_type, "nearest")
    node.emit(OpKind.RESIZE, ResizeAttrs(mode, node.flag("align_corners"), channels_last=True), inputs=(0,))


@rule(*_REDUCTIONS)
def _reduce(node: TfNode) -> None:
    rank = len(node.input(0).shape)
    axes = node.value(1)
    chosen = tuple(range(rank)) if axes is None else axes_of(axes, rank)
    node.emit(OpKind.REDUCE, ReduceAttrs(_REDUCTIONS[node.op_type], chosen, node.flag("keep_dims")), inputs=(0,))


@rule("ArgMax", "ArgMin")
def _arg_reduce(node: TfNode) -> None:
    axes = node.value(1) or (0,)
    attrs = ReduceAttrs(node.op_type.lower(), axes_of(axes, len(node.input(0).shape)))
    node.emit(OpKind.REDUCE, attrs, inputs=(0,))


@rule("Cumsum", "Cumprod")
def _cumulative(node: TfNode) -> None:
    node.emit(OpKind.CUMULATIVE, FunctionAttrs(node.op_type.lower()), inputs=(0,))


@rule("TopKV2", "TopK")
def _top_k(node: TfNode) -> None:
    node.emit(OpKind.SORT, FunctionAttrs("topk"), inputs=(0,), outputs=2)


@rule("NonMaxSuppressionV3", "NonMaxSuppressionV4", "NonMaxSuppressionV5")
def _nms(node: TfNode) -> None:
    node.emit(OpKind.NMS, inputs=(0, 1), outputs=len(node.op.outputs))


@rule("CropAndResize")
def _crop_and_resize(node: TfNode) -> None:
    node.emit(OpKind.ROI_ALIGN, inputs=(0, 1, 2))


@rule("FFT", "FFT2D", "IFFT", "IFFT2D", "RFFT", "RFFT2D", "IRFFT", "IRFFT2D")
def _fft(node: TfNode) -> None:
    node.emit(OpKind.FFT, FunctionAttrs(node.op_type.lower()), inputs=(0,))


@rule(*_ACTIVATIONS)
def _activation(node: TfNode) -> None:
    node.emit(OpKind.ACTIVATION, FunctionAttrs(_ACTIVATIONS[node.op_type]))


@rule(*_UNARY)
def _unary(node: TfNode) -> None:
    node.emit(OpKind.UNARY, FunctionAttrs(_UNARY[node.op_type]), inputs=(0,))


@rule(*_BINARY)
def _binary(node: TfNode) -> None:
    node.emit(OpKind.BINARY, FunctionAttrs(_BINARY[node.op_type]))


@rule("AddN", "AccumulateNV2")
def _add_n(node: TfNode) -> None:
    node.emit(OpKind.BINARY, FunctionAttrs("add"))


@rule("Select", "SelectV2")
def _select(node: TfNode) -> None:
    node.emit(OpKind.TERNARY, FunctionAttrs("where"))


@rule("Cast")
def _cast(node: TfNode) -> None:
    node.emit(OpKind.CAST, stored_dtype=True)


@rule("FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxArgs", "FakeQuantWithMinMaxVarsPerChannel")
def _fake_quant(node: TfNode) -> None:
    node.emit(OpKind.UNARY, FunctionAttrs("fake_quant"), inputs=(0,))


@rule("QuantizeV2", "QuantizeAndDequantizeV2", "QuantizeAndDequantizeV3", "QuantizeAndDequantizeV4")
def _quantise(node: TfNode) -> None:
    node.emit(OpKind.QUANTIZE, inputs=(0,), outputs=len(node.op.outputs))


@rule("Dequantize")
def _dequantise(node: TfNode) -> None:
    node.emit(OpKind.DEQUANTIZE, inputs=(0,), stored_dtype=True)
