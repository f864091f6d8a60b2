"""Which kernel class an op runs as, and its geometry."""

from __future__ import annotations

import math

from estimator.ir.graph import SpecBook
from estimator.ir.op import (
    ConvAttrs,
    EinsumAttrs,
    FunctionAttrs,
    NormAttrs,
    Op,
    OpKind,
    PoolAttrs,
    RnnAttrs,
)
from estimator.lowering.kernel import Gemm, KernelClass

FREE_KINDS = frozenset({OpKind.VIEW, OpKind.IDENTITY, OpKind.SHAPE})
"""Metadata only: no runtime launches anything for them."""

REORDERING_VIEWS = frozenset({"permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "t", "mT"})
"""Views that change the order of elements, which a runtime without strides must carry out."""

STEM_CHANNELS_MAX = 4
"""Input channels at or below which a dense convolution is a stem (RGB, RGBA, grey)."""

_CLASS_OF_KIND = {
    OpKind.LINEAR: KernelClass.MATMUL,
    OpKind.ATTENTION: KernelClass.ATTENTION,
    OpKind.RNN: KernelClass.RECURRENT,
    OpKind.SOFTMAX: KernelClass.SOFTMAX,
    OpKind.ACTIVATION: KernelClass.POINTWISE,
    OpKind.UNARY: KernelClass.POINTWISE,
    OpKind.BINARY: KernelClass.POINTWISE,
    OpKind.TERNARY: KernelClass.POINTWISE,
    OpKind.QUANTIZE: KernelClass.CAST,
    OpKind.DEQUANTIZE: KernelClass.CAST,
    OpKind.REDUCE: KernelClass.REDUCE,
    OpKind.CUMULATIVE: KernelClass.REDUCE,
    OpKind.SORT: KernelClass.OTHER,
    OpKind.POOL: KernelClass.POOL,
    OpKind.ADAPTIVE_POOL: KernelClass.REDUCE,
    OpKind.RESIZE: KernelClass.RESIZE,
    OpKind.GRID_SAMPLE: KernelClass.RESIZE,
    OpKind.FFT: KernelClass.OTHER,
    OpKind.EMBEDDING: KernelClass.GATHER,
    OpKind.GATHER: KernelClass.GATHER,
    OpKind.SCATTER: KernelClass.GATHER,
    OpKind.CONCAT: KernelClass.CONCAT,
    OpKind.PAD: KernelClass.COPY,
    OpKind.UNFOLD: KernelClass.TRANSPOSE,
    OpKind.FOLD: KernelClass.TRANSPOSE,
    OpKind.ROI_ALIGN: KernelClass.RESIZE,
    OpKind.FILL: KernelClass.COPY,
    OpKind.DEFORM_CONV: KernelClass.CONV_GROUPED,
}


def kernel_class(op: Op, graph: SpecBook) -> KernelClass:
    """Class of the kernel whose main op is `op`."""
    attrs = op.attrs
    if isinstance(attrs, ConvAttrs) and op.kind is OpKind.CONV:
        return _conv_class(attrs, graph.tensors[op.inputs[1]].shape)
    if op.kind in (OpKind.MATMUL, OpKind.EINSUM):
        weights = any(graph.tensors[n].is_weight for n in op.inputs[:2])
        return KernelClass.MATMUL if weights else KernelClass.BATCHED_MATMUL
    if isinstance(attrs, NormAttrs):
        return KernelClass.NORM if attrs.function == "batch" else KernelClass.NORM_REDUCE
    if op.kind is OpKind.CAST:
        return KernelClass.CAST_WEIGHT if graph.tensors[op.inputs[0]].is_weight else KernelClass.CAST
    if op.kind is OpKind.VIEW:
        reorders = function_of(op) in REORDERING_VIEWS and not _is_channel_shuffle(op, graph)
        return KernelClass.TRANSPOSE if reorders else KernelClass.COPY
    if op.kind is OpKind.COPY:
        reorders = getattr(attrs, "transposing", False) and not _is_channel_shuffle(op, graph)
        return KernelClass.TRANSPOSE if reorders else KernelClass.COPY
    return _CLASS_OF_KIND.get(op.kind, KernelClass.OTHER)


def _is_channel_shuffle(op: Op, graph: SpecBook) -> bool:
    """[n, g, c, h, w] → [n, c, g, h, w]: pixels stay where they are."""
    source, result = graph.tensors[op.inputs[0]].shape, graph.tensors[op.outputs[0]].shape
    return len(source) == 5 and result == (source[0], source[2], source[1], *source[3:]) and source[1] != source[2]


def _conv_class(attrs: ConvAttrs, weight_shape: tuple[int, ...]) -> KernelClass:
    if attrs.transposed:
        return KernelClass.CONV_TRANSPOSED
    if len(attrs.kernel) == 3:
        return KernelClass.CONV_3D
    if attrs.groups > 1:
        return KernelClass.CONV_DEPTHWISE if weight_shape[1] == 1 else KernelClass.CONV_GROUPED
    if weight_shape[1] <= STEM_CHANNELS_MAX:
        return KernelClass.CONV_STEM
    return KernelClass.CONV_POINTWISE if math.prod(attrs.kernel) == 1 else KernelClass.CONV_DENSE


def gemm_of(op: Op, graph: SpecBook) -> Gemm:
    """Return the product's matrix geometry; all zero for ops without MACs."""
    if isinstance(op.attrs, ConvAttrs):
        return _conv_gemm(op, op.attrs, graph)
    if op.kind is OpKind.LINEAR:
        x, weight = graph.tensors[op.inputs[0]], graph.tensors[op.inputs[1]]
        n, k = weight.shape[0], weight.shape[-1]
        return Gemm(1, x.numel // max(1, k), n, k)
    if op.kind is OpKind.MATMUL:
        left, right = graph.tensors[op.inputs[0]].shape, graph.tensors[op.inputs[1]].shape
        return _matmul_gemm(left, right, graph.tensors[op.outputs[0]].numel)
    if op.kind is OpKind.ATTENTION:
        query, key = graph.tensors[op.inputs[0]].shape, graph.tensors[op.inputs[1]].shape
        return Gemm(math.prod(query[:-2]), query[-2], key[-2], query[-1])
    if isinstance(op.attrs, EinsumAttrs):
        return _einsum_gemm(op.attrs.equation, [graph.tensors[n].shape for n in op.inputs])
    if op.kind is OpKind.RNN:
        x, w = graph.tensors[op.inputs[0]], graph.tensors[op.inputs[1]] if len(op.inputs) > 1 else None
        if w is not None and w.shape:
            return Gemm(1, x.numel // max(1, x.shape[-1]), w.shape[0], x.shape[-1])
    return Gemm()


def launches_of(op: Op, graph: SpecBook) -> int:
    """Count the launches of one op: a recurrent layer launches anew for every time step, layer and direction."""
    if not isinstance(op.attrs, RnnAttrs):
        return 1
    shape = graph.tensors[op.inputs[0]].shape
    steps = shape[1] if op.attrs.batch_first and len(shape) == 3 else shape[0]
    return max(1, steps) * op.attrs.layers * (2 if op.attrs.bidirectional else 1)


def _conv_gemm(op: Op, attrs: ConvAttrs, graph: SpecBook) -> Gemm:
    weight = graph.tensors[op.inputs[1]].shape
    out = graph.tensors[op.outputs[0]]
    taps = math.prod(attrs.kernel)
    if attrs.transposed:
        x = graph.tensors[op.inputs[0]]
        pixels = x.numel // max(1, x.shape[1]) if len(x.shape) > 2 else 1
        return Gemm(attrs.groups, pixels, weight[1] * taps, weight[0] // attrs.groups)
    channels_out = weight[0]
    return Gemm(attrs.groups, out.numel // max(1, channels_out), channels_out // attrs.groups, weight[1] * taps)


def _matmul_gemm(a: tuple[int, ...], b: tuple[int, ...], out_numel: int) -> Gemm:
    """Geometry by the operands' axes, whichever way they are stored: [.., m, k] × [.., k, n]."""
    k = a[-1] if a else 1
    n = 1 if len(b) < 2 else b[-1]
    if len(b) <= 2:
        return Gemm(1, out_numel // max(1, n), n, k)
    m = 1 if len(a) < 2 else a[-2]
    return Gemm(max(1, out_numel // max(1, m * n)), m, n, k)


def _einsum_gemm(equation: str, shapes: list[tuple[int, ...]]) -> Gemm:
    """Two-operand einsum as a batched product: shared-and-kept, left-only, right-only, contracted."""
    if len(shapes) != 2 or "->" not in equation or "." in equation:
        return Gemm()
    operands, out = equation.split("->")
    left, right = operands.split(",")
    if len(left) != len(shapes[0]) or len(right) != len(shapes[1]):
        return Gemm()
    extent = dict(zip(left, shapes[0], strict=True)) | dict(zip(right, shapes[1], strict=True))

    def product(letters: set[str]) -> int:
        return math.prod(extent[c] for c in letters)

    shared = set(left) & set(right)
    return Gemm(
        product(shared & set(out)),
        product(set(left) - shared),
        product(set(right) - shared),
        product(shared - set(out)),
    )


def window_of(op: Op) -> tuple[int, int]:
    """(taps, stride) of a convolution or pooling; (1, 1) otherwise."""
    if isinstance(op.attrs, ConvAttrs | PoolAttrs):
        return math.prod(op.attrs.kernel), max(op.attrs.stride, default=1)
    return 1, 1


def function_of(op: Op) -> str:
    """Return the op's function name, "" where the kind says it all."""
    return op.attrs.function if isinstance(op.attrs, FunctionAttrs) else ""
