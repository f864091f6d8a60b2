"""ONNX operators that reduce, normalise, pool, resize, scan or sort."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from estimator.dtypes import DType
from estimator.frontends.onnx_importer import DataDependentShape, Node, NodeProblem, rule
from estimator.frontends.onnx_product import window_padding
from estimator.frontends.shape_arithmetic import axes_of, axis_of, reduced_shape
from estimator.ir.op import (
    AdaptivePoolAttrs,
    FunctionAttrs,
    NormAttrs,
    OpKind,
    PoolAttrs,
    ReduceAttrs,
    ResizeAttrs,
    SoftmaxAttrs,
)
from estimator.ir.tensor import Shape, TensorRole

Array = NDArray[np.generic]

_REDUCTIONS: dict[str, tuple[str, Callable[..., Array] | None]] = {
    "ReduceSum": ("sum", np.sum), "ReduceMean": ("mean", np.mean), "ReduceMax": ("max", np.max),
    "ReduceMin": ("min", np.min), "ReduceProd": ("prod", np.prod), "ReduceL1": ("norm", None),
    "ReduceL2": ("norm", None), "ReduceLogSum": ("logsumexp", None), "ReduceLogSumExp": ("logsumexp", None),
    "ReduceSumSquare": ("norm", None),
}  # fmt: skip


@rule(*_REDUCTIONS)
def _reduce(node: Node) -> None:
    """Axes moved from an attribute to an input in opset 13 (sum) and 18 (the others)."""
    function, compute = _REDUCTIONS[node.op_type]
    x = node.input(0)
    given = node.integers(1, "axes", "axes")
    if not given and node.int_attr("noop_with_empty_axes", 0):
        node.emit(OpKind.IDENTITY, x.shape, FunctionAttrs("identity"), inputs=(0,))
        return
    axes = axes_of(given, len(x.shape)) if given else tuple(range(len(x.shape)))
    keepdim = bool(node.int_attr("keepdims", 1))
    value = None
    if compute is not None and node.value(0) is not None:
        call = compute
        value = node.compute(lambda a: np.asarray(call(a, axis=axes, keepdims=keepdim), dtype=a.dtype), 0)
    attrs = ReduceAttrs(function, axes, keepdim)
    node.emit(OpKind.REDUCE, reduced_shape(x.shape, axes, keepdim), attrs, inputs=(0,), value=value)


@rule("ArgMax", "ArgMin")
def _arg_reduce(node: Node) -> None:
    x = node.input(0)
    axes = (axis_of(node.int_attr("axis", 0), len(x.shape)),)
    keepdim = bool(node.int_attr("keepdims", 1))
    attrs = ReduceAttrs(node.op_type.lower(), axes, keepdim)
    node.emit(OpKind.REDUCE, reduced_shape(x.shape, axes, keepdim), attrs, dtype=DType.I64, quantised=False)


@rule("BatchNormalization")
def _batch_norm(node: Node) -> None:
    """x, scale, shift, mean, variance."""
    node.as_weight(1)
    node.as_weight(2)
    node.as_weight(3, TensorRole.BUFFER)
    node.as_weight(4, TensorRole.BUFFER)
    x = node.input(0)
    outputs = [(x.shape, x.dtype)] + [((x.shape[1],), x.dtype)] * (len(node.wire.outputs) - 1)
    node.emit_many(OpKind.NORM, outputs, NormAttrs("batch"))


@rule("LayerNormalization")
def _layer_norm(node: Node) -> None:
    _trailing_norm(node, "layer")


@rule("RMSNormalization")
def _rms_norm(node: Node) -> None:
    _trailing_norm(node, "rms")


def _trailing_norm(node: Node, function: str) -> None:
    x = node.input(0)
    node.as_weight(1)
    node.as_weight(2)
    axis = axis_of(node.int_attr("axis", -1), len(x.shape))
    statistics = (*x.shape[:axis], *(1,) * (len(x.shape) - axis))
    attrs = NormAttrs(function, node.has(1), normalized_rank=len(x.shape) - axis)
    node.emit_many(OpKind.NORM, [(x.shape, x.dtype), (statistics, DType.F32), (statistics, DType.F32)], attrs)


@rule("InstanceNormalization", "GroupNormalization")
def _group_norm(node: Node) -> None:
    node.as_weight(1)
    node.as_weight(2)
    function = "instance" if node.op_type.startswith("Instance") else "group"
    attrs = NormAttrs(function, groups=node.int_attr("num_groups", 1))
    node.emit(OpKind.NORM, node.input(0).shape, attrs)


@rule("LRN", "LpNormalization", "MeanVarianceNormalization")
def _plain_norm(node: Node) -> None:
    function = {"LRN": "lrn", "LpNormalization": "l2"}.get(node.op_type, "instance")
    node.emit(OpKind.NORM, node.input(0).shape, NormAttrs(function, affine=False))


@rule("Softmax", "LogSoftmax", "Hardmax")
def _softmax(node: Node) -> None:
    """Before opset 13 the default axis was 1 (everything behind it as one), since then the last."""
    x = node.input(0)
    axis = axis_of(node.int_attr("axis", -1 if node.opset >= 13 else min(1, len(x.shape) - 1)), len(x.shape))
    if node.op_type == "Hardmax":
        node.emit(OpKind.REDUCE, x.shape, ReduceAttrs("argmax", (axis,), True))
    else:
        node.emit(OpKind.SOFTMAX, x.shape, SoftmaxAttrs(axis, node.op_type == "LogSoftmax"))


@rule("MaxPool", "AveragePool", "LpPool")
def _pool(node: Node) -> None:
    x = node.input(0)
    rank = len(x.shape) - 2
    kernel = node.ints_attr("kernel_shape")
    if rank < 1 or len(kernel) != rank:
        raise NodeProblem(f"a window of {len(kernel)} axes over an input of shape {list(x.shape)}")
    stride, dilation = node.ints_attr("strides", (1,) * rank), node.ints_attr("dilations", (1,) * rank)
    before, after = window_padding(node, x.shape[2:], kernel, stride, dilation)
    spatial = [
        _pool_extent(node, *axis) for axis in zip(x.shape[2:], kernel, stride, before, after, dilation, strict=True)
    ]
    function = {"MaxPool": "max", "AveragePool": "avg", "LpPool": "lp"}[node.op_type]
    shape = (*x.shape[:2], *spatial)
    attrs = PoolAttrs(function, tuple(kernel), tuple(stride), before)
    node.emit_many(OpKind.POOL, [(shape, x.dtype), (shape, DType.I64)], attrs)


def _pool_extent(node: Node, size: int, kernel: int, stride: int, before: int, after: int, dilation: int) -> int:
    span = size + before + after - dilation * (kernel - 1) - 1
    if not node.int_attr("ceil_mode", 0):
        return span // stride + 1
    extent = -(-span // stride) + 1
    return extent - 1 if (extent - 1) * stride >= size + before else extent  # no window starts in the padding


@rule("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def _global_pool(node: Node) -> None:
    x = node.input(0)
    ones = (1,) * (len(x.shape) - 2)
    function = "max" if "Max" in node.op_type else "avg"
    node.emit(OpKind.ADAPTIVE_POOL, (*x.shape[:2], *ones), AdaptivePoolAttrs(function, ones))


@rule("MaxUnpool")
def _unpool(node: Node) -> None:
    x = node.input(0)
    rank = len(x.shape) - 2
    if node.has(2):
        shape = node.int_values(2, "output shape")
    else:
        kernel, stride = node.ints_attr("kernel_shape"), node.ints_attr("strides", (1,) * rank)
        pads = node.ints_attr("pads", (0,) * 2 * rank)
        spatial = [
            (n - 1) * s - b - a + k
            for n, s, k, b, a in zip(x.shape[2:], stride, kernel, pads[:rank], pads[rank:], strict=True)
        ]
        shape = (*x.shape[:2], *spatial)
    node.emit(OpKind.SCATTER, shape, FunctionAttrs("max_unpool"), inputs=(0, 1))


@rule("MaxRoiPool", "RoiAlign")
def _roi(node: Node) -> None:
    x, boxes = node.input(0), node.input(1)
    if node.op_type == "MaxRoiPool":
        size = node.ints_attr("pooled_shape")
    else:
        size = (node.int_attr("output_height", 1), node.int_attr("output_width", 1))
    node.emit(OpKind.ROI_ALIGN, (boxes.shape[0], x.shape[1], *size))


@rule("Resize", "Upsample")
def _resize(node: Node) -> None:
    """Read, in opset 10, x, scales; since 11 x, roi, scales, sizes. Upsample 7 keeps scales in an attribute."""
    x = node.input(0)
    shape = _resized_shape(node, x.shape)
    mode = node.text_attr("mode", "nearest")
    if mode in ("linear", "cubic"):
        moving = sum(a != b for a, b in zip(x.shape, shape, strict=True))
        mode = "bicubic" if mode == "cubic" else {1: "linear", 3: "trilinear"}.get(moving, "bilinear")
    align = node.text_attr("coordinate_transformation_mode", "half_pixel") == "align_corners"
    node.emit(OpKind.RESIZE, shape, ResizeAttrs(mode, align), inputs=(0,))


def _resized_shape(node: Node, shape: Shape) -> Shape:
    axes = node.ints_attr("axes", tuple(range(len(shape))))
    axes = tuple(axis_of(a, len(shape)) for a in axes)
    if node.has(3):
        wanted = dict(zip(axes, node.int_values(3, "sizes"), strict=True))
        policy = node.text_attr("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            ratios = [wanted[a] / shape[a] for a in axes]
            ratio = min(ratios) if policy == "not_larger" else max(ratios)
            wanted = {a: round(ratio * shape[a]) for a in axes}
        return tuple(wanted.get(i, n) for i, n in enumerate(shape))
    attribute = node.attribute("scales")
    position = 2 if node.op_type == "Resize" and node.opset >= 11 else 1
    scales = list(attribute.numbers) if attribute and attribute.numbers else _floats(node, position)
    by_axis = dict(zip(axes, scales, strict=True))
    return tuple(math.floor(n * by_axis.get(i, 1.0) + 1e-6) for i, n in enumerate(shape))


def _floats(node: Node, index: int) -> list[float]:
    values = node.value(index)
    if values is None:
        raise DataDependentShape("its scales depend on input data")
    return [float(v) for v in values.astype(np.float64).reshape(-1)]


@rule("GridSample")
def _grid_sample(node: Node) -> None:
    x, grid = node.input(0), node.input(1)
    node.emit(OpKind.GRID_SAMPLE, (*x.shape[:2], *grid.shape[1:-1]))


@rule("CumSum", "CumProd")
def _cumulative(node: Node) -> None:
    found = node.value(1)
    value = None
    plain = not node.int_attr("exclusive", 0) and not node.int_attr("reverse", 0)
    if found is not None and node.op_type == "CumSum" and plain:
        axis = int(found.reshape(-1)[0])
        value = node.compute(lambda a: np.cumsum(a, axis=axis, dtype=a.dtype), 0)
    attrs = FunctionAttrs(node.op_type.lower())
    node.emit(OpKind.CUMULATIVE, node.input(0).shape, attrs, inputs=(0,), value=value)


@rule("TopK")
def _top_k(node: Node) -> None:
    x = node.input(0)
    axis = axis_of(node.int_attr("axis", -1), len(x.shape))
    found = node.integers(1, "k", "k")
    k = found[0] if found else node.int_attr("k", 1)
    shape = tuple(min(k, n) if i == axis else n for i, n in enumerate(x.shape))
    node.emit_many(OpKind.SORT, [(shape, x.dtype), (shape, DType.I64)], FunctionAttrs("topk"), inputs=(0,))


@rule("Unique")
def _unique(node: Node) -> None:
    """How many values differ is data; all of them is the largest possible answer."""
    x = node.input(0)
    axis = node.attribute("axis")
    shape = x.shape if axis else (x.numel,)
    count = (x.shape[axis_of(node.int_attr("axis", 0), len(x.shape))] if axis else x.numel,)
    node.importer.builder.note("Unique: the number of distinct values is data; all are taken to differ")
    outputs = [(shape, x.dtype), (count, DType.I64), (count, DType.I64), (count, DType.I64)]
    node.emit_many(OpKind.SORT, outputs, FunctionAttrs("unique"))


@rule("NonMaxSuppression")
def _nms(node: Node) -> None:
    """boxes[n, b, 4], scores[n, c, b], (max per class); the result is as long as it can be."""
    boxes, scores = node.input(0), node.input(1)
    limit = node.value(2)
    per_class = boxes.shape[1] if limit is None else min(int(limit.reshape(-1)[0]), boxes.shape[1])
    node.importer.builder.note("NonMaxSuppression: the number of kept boxes is data; the largest possible is taken")
    count = boxes.shape[0] * scores.shape[1] * max(per_class, 0)
    node.emit(OpKind.NMS, (count, 3), dtype=DType.I64, inputs=(0, 1))


@rule("DFT")
def _dft(node: Node) -> None:
    x = node.input(0)
    axis_values = node.value(2) if node.opset >= 20 else None
    default = node.int_attr("axis", 1 if node.opset < 20 else -2)
    axis = axis_of(default if axis_values is None else int(axis_values.reshape(-1)[0]), len(x.shape))
    length = node.value(1)
    size = x.shape[axis] if length is None else int(length.reshape(-1)[0])
    onesided, inverse = bool(node.int_attr("onesided", 0)), bool(node.int_attr("inverse", 0))
    if onesided and inverse and length is None:
        size = 2 * (size - 1)
    kept = size // 2 + 1 if onesided and not inverse else size
    shape = (*(kept if i == axis else n for i, n in enumerate(x.shape[:-1])), 1 if onesided and inverse else 2)
    node.emit(OpKind.FFT, shape, FunctionAttrs("fft"), inputs=(0,))


@rule("STFT")
def _stft(node: Node) -> None:
    """signal[n, t, 1|2], step, (window), (length) -> [n, frames, bins, 2]."""
    x = node.input(0)
    step = node.int_values(1, "frame step")[0]
    window = node.optional(2)
    given = node.value(3)
    length = int(given.reshape(-1)[0]) if given is not None else (window.shape[0] if window else x.shape[1])
    bins = length // 2 + 1 if node.int_attr("onesided", 1) else length
    frames = (x.shape[1] - length) // max(step, 1) + 1
    node.emit(OpKind.FFT, (x.shape[0], frames, bins, 2), FunctionAttrs("stft"), inputs=(0, 2))


@rule("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss")
def _loss(node: Node) -> None:
    x, labels = node.input(0), node.input(1)
    shape: Shape = labels.shape if node.text_attr("reduction", "mean") == "none" else ()
    attrs = ReduceAttrs("logsumexp", (1,), False)
    node.emit_many(OpKind.REDUCE, [(shape, x.dtype), (x.shape, x.dtype)], attrs, inputs=(0, 1))


@rule("HannWindow", "HammingWindow", "BlackmanWindow")
def _window(node: Node) -> None:
    size = node.int_values(0, "window length")[0]
    node.emit(OpKind.FILL, (size,), FunctionAttrs("window"), dtype=DType.F32, inputs=())


@rule("Multinomial")
def _multinomial(node: Node) -> None:
    shape = (node.input(0).shape[0], node.int_attr("sample_size", 1))
    node.emit(OpKind.GATHER, shape, FunctionAttrs("multinomial"), dtype=DType.I32)


@rule("TfIdfVectorizer", "MelWeightMatrix", "StringNormalizer", "RegexFullMatch", "StringConcat", "StringSplit",
      "ImageDecoder")  # fmt: skip
def _no_rule(node: Node) -> None:
    node.emit_unknown(f"{node.op_type} has no rule")
