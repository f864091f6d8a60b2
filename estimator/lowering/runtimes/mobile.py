"""Rules that mobile graph compilers share: QNN, TFLite with its delegates, ONNX Runtime.

They fold constants, fold batch norm into the convolution before it, clamp in the product's epilogue, and
treat reshapes as metadata. Their tensors have no strides: a permutation or a slice that eager PyTorch gets for
nothing is a kernel here, unless the channels-last layout of convolutions makes it an identity.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from estimator.catalogue.device import UnitKind
from estimator.dtypes import Precision
from estimator.ir.op import ConvAttrs, Op, OpKind
from estimator.ir.strides import strides_of
from estimator.ir.tensor import TensorSpec
from estimator.lowering.classify import REORDERING_VIEWS, function_of, gemm_of
from estimator.lowering.kernel import Gemm, Kernel, KernelClass
from estimator.lowering.patterns import (
    PRODUCT_KINDS,
    is_batch_norm,
    is_elementwise,
    is_function,
    multiplies_by_one_number,
)
from estimator.lowering.rule import Expansion, FusionRule, GraphContext, KernelContext, OpContext

FOLDABLE_PRODUCTS = frozenset({OpKind.CONV, OpKind.LINEAR, OpKind.MATMUL})
CLAMPS = ("relu", "relu6", "relu_n1_to_1", "hardtanh", "clip", "clamp")


def is_product(op: Op, context: OpContext) -> bool:
    """Convolution or matrix product."""
    return op.kind in PRODUCT_KINDS


def is_matrix_product(op: Op, context: OpContext) -> bool:
    """Product of two activations, or with a weight."""
    return op.kind in (OpKind.MATMUL, OpKind.EINSUM)


def is_scale_of_file(op: Op, context: OpContext) -> bool:
    """Match x · c where c is a tensor, as files write the scale of an attention.

    The same in PyTorch's own code, where c is a Python number, stays a kernel: so it was when the records were fitted.
    """
    return len(op.inputs) == 2 and multiplies_by_one_number(op, context)


def is_foldable_product(op: Op, context: OpContext) -> bool:
    """Match a product whose output scale can be folded into its weights."""
    return op.kind in FOLDABLE_PRODUCTS


def is_folded_norm(op: Op, context: OpContext) -> bool:
    """Batch norm right behind a product."""
    return is_batch_norm(op)


def is_factor(op: Op, context: OpContext) -> bool:
    """Match x · scale."""
    return _constant_extent(op, "mul", context) is not None


def precedes_shift(op: Op, context: GraphContext) -> bool:
    """Match x · scale where nothing but + shift reads it: batch norm as Keras 3 writes it."""
    readers = context.readers_in_graph(op.outputs[0])
    return len(readers) == 1 and _constant_extent(readers[0], "add", context) == _constant_extent(op, "mul", context)


def _constant_extent(op: Op, function: str, context: OpContext) -> int | None:
    """Return the extent of the one operand that is a literal, of several elements; None where there is no such."""
    if not is_function(op, function):
        return None
    sizes = [context.graph.tensors[name].numel for name in op.inputs if context.is_constant(name)]
    return sizes[0] if len(sizes) == 1 and sizes[0] > 1 else None


def is_product_or_pointwise(op: Op, context: OpContext) -> bool:
    """Match what an epilogue can follow."""
    return is_product(op, context) or is_small_pointwise(op, context)


def is_function_of_one(op: Op, context: OpContext) -> bool:
    """Match f(x), element by element."""
    return len(op.inputs) == 1 and is_small_pointwise(op, context)


def gates_its_operand(op: Op, context: KernelContext) -> bool:
    """Match f(x) where f(x) · x is all that is made of x: SiLU, hard swish or Mish, spelled out."""
    readers = context.kernel_readers(op.inputs[0])
    if len(readers) != 2:
        return False
    gated = context.kernel_readers(op.outputs[0])
    return len(gated) == 1 and gated[0] in readers and is_function(gated[0], "mul")


def is_clamp(op: Op, context: OpContext) -> bool:
    """Match an activation that a requantising store clamps for free."""
    return op.kind is OpKind.ACTIVATION and is_function(op, *CLAMPS)


def is_activation(op: Op, context: OpContext) -> bool:
    """Any pointwise activation function."""
    return op.kind is OpKind.ACTIVATION


def is_residual_add(op: Op, context: OpContext) -> bool:
    """Elementwise add of two activations of the same extent."""
    return op.kind is OpKind.BINARY and is_function(op, "add") and len(op.inputs) == 2 and uniform_extent(op, context)


def uniform_extent(op: Op, context: OpContext) -> bool:
    """Every operand that is not a literal is as large as the result: nothing is broadcast."""
    tensors = context.graph.tensors
    size = tensors[op.outputs[0]].numel
    return all(tensors[n].numel == size for n in op.inputs if not context.is_constant(n))


def is_small_pointwise(op: Op, context: OpContext) -> bool:
    """Elementwise without growth."""
    return is_elementwise(op, context) and uniform_extent(op, context)


def is_quantisation(op: Op, context: OpContext) -> bool:
    """Quantise/dequantise pairs of a QDQ graph, which an integer runtime absorbs into its kernels."""
    tensors = context.graph.tensors
    integer = all(not tensors[n].dtype.is_float for n in (*op.inputs[:1], *op.outputs))
    return op.kind in (OpKind.QUANTIZE, OpKind.DEQUANTIZE, OpKind.CAST) and integer


_RELAYOUTS = frozenset({"reshape", "contiguous", "clone", "flatten", "ravel", "rearrange", "copy"})
_SLICES = frozenset(
    {"slice", "select", "split", "chunk", "unbind", "narrow", "split_with_sizes", "tensor_split",
     "unsafe_split", "unsafe_chunk", "unsafe_split_with_sizes", "hsplit", "vsplit", "dsplit"}
)  # fmt: skip


def is_relayout(op: Op, context: OpContext) -> bool:
    """Match a copy that only makes a permuted view contiguous: here the permutation itself did that."""
    return op.kind is OpKind.COPY and function_of_copy(op) in _RELAYOUTS


def function_of_copy(op: Op) -> str:
    """Name of a copy's function."""
    return str(getattr(op.attrs, "function", ""))


def is_empty_pad(op: Op, context: OpContext) -> bool:
    """Match a pad by nothing."""
    tensors = context.graph.tensors
    return op.kind is OpKind.PAD and tensors[op.inputs[0]].shape == tensors[op.outputs[0]].shape


def is_free(op: Op, context: OpContext) -> bool:
    """Match what launches nothing in a compiled mobile graph."""
    return is_relayout(op, context) or is_quantisation(op, context) or is_empty_pad(op, context)


def is_unmoved_copy(op: Op, context: GraphContext) -> bool:
    """Match the copy that a file without strides writes for a permutation or slice that moves nothing here.

    In a file that stores channels last itself, a permutation to or from that order does move them.
    """
    function = function_of_copy(op)
    if function == "transpose":
        return not context.stores_channels_last and not _reorders(op, context)
    return function in _SLICES and not _cuts_inside(op, context)


def is_materialised_view(op: Op, context: GraphContext) -> bool:
    """Match a permutation or slice that moves data, because these runtimes' tensors have no strides."""
    function = function_of(op)
    if op.kind is not OpKind.VIEW or not op.outputs:
        return False
    if function in REORDERING_VIEWS:
        return _reorders(op, context)
    return function in _SLICES and _cuts_inside(op, context)


def _reorders(op: Op, context: GraphContext) -> bool:
    tensors = context.graph.tensors
    before, after = _long_axes(tensors[op.inputs[0]]), _long_axes(tensors[op.outputs[0]])
    extents = [extent for extent, _ in before]
    told_apart = len(set(extents)) == len(extents)
    if extents == [extent for extent, _ in after] and (told_apart or (context.knows_strides and before == after)):
        return False
    source, result = tensors[op.inputs[0]].shape, tensors[op.outputs[0]].shape
    if len(source) == 4 and result in ((source[0], *source[2:], source[1]), (source[0], source[3], *source[1:3])):
        return False
    if result == (*source[:-2], source[-1], source[-2]):
        return not (_feeds_only_products(op, context) or _comes_from_convolution(op, context))
    return True


def _long_axes(tensor: TensorSpec) -> list[tuple[int, int]]:
    """(extent, stride) of every axis of more than one element: a view that only moves axes of one keeps them."""
    return [(extent, stride) for extent, stride in zip(tensor.shape, strides_of(tensor), strict=True) if extent > 1]


def _feeds_only_products(op: Op, context: GraphContext) -> bool:
    """Matrix products take a transpose flag, and a factor."""
    readers: list[Op] = []
    for reader in context.readers_in_graph(op.outputs[0]):
        scales = is_scale_of_file(reader, context)
        readers += context.readers_in_graph(reader.outputs[0]) if scales else [reader]
    return bool(readers) and all(reader.kind in (OpKind.MATMUL, OpKind.EINSUM) for reader in readers)


def _comes_from_convolution(op: Op, context: GraphContext) -> bool:
    """[n, c, pixels] of a convolution that stores channels last is [n, pixels, c] already."""
    producer = context.producer_in_graph(op.inputs[0])
    return producer is not None and producer.kind is OpKind.CONV


def _cuts_inside(op: Op, context: OpContext) -> bool:
    """Whether a slice is anything but a contiguous piece of its source."""
    tensors = context.graph.tensors
    source, result = tensors[op.inputs[0]].shape, tensors[op.outputs[0]].shape
    if tensors[op.inputs[0]].numel == tensors[op.outputs[0]].numel:
        return False
    axis = next((i for i, (a, b) in enumerate(zip(source, result, strict=False)) if a != b), len(source) - 1)
    return math.prod(source[:axis]) > 1


FOLD_BATCH_NORM = FusionRule(
    "fold batch norm",
    is_foldable_product,
    is_folded_norm,
    "at inference batch norm is a scale and shift that goes into weights and bias",
    "ONNX Runtime graph optimisations, 'Conv BatchNorm fusion'; TFLite converter; QNN converter",
    single_use=True,
)
SCALE_INTO_PRODUCT = FusionRule(
    "scale into product",
    is_scale_of_file,
    is_matrix_product,
    "a factor of an operand is a factor of the result: of the requantisation, or of the product's alpha",
    "ONNX Runtime graph optimisations, 'MatMul scale fusion'; assumed of TFLite's and QNN's converters",
    single_use=True,
)
SELF_GATE_EPILOGUE = FusionRule(
    "self-gate epilogue",
    is_product_or_pointwise,
    is_function_of_one,
    "x · sigmoid(x) is one activation whether a file says so or spells it out",
    "ONNX has no SiLU before opset 24; ONNX Runtime 'QuickGelu fusion'; TFLite converter writes LOGISTIC, MUL",
    among=gates_its_operand,
)
FOLD_SPELLED_NORM = FusionRule(
    "fold spelled-out batch norm",
    is_foldable_product,
    is_factor,
    "the factor goes into weights and bias whichever way it is written; what is added behind it follows as a bias",
    "TFLite converter, 'fuse mul into conv'; ONNX Runtime graph optimisations, 'Conv Mul fusion'",
    single_use=True,
    among=precedes_shift,
)
CLAMP_EPILOGUE = FusionRule(
    "clamp epilogue",
    is_product,
    is_clamp,
    "fused_activation_function: the store clamps",
    "TFLite schema, ActivationFunctionType; ONNX Runtime 'Conv activation fusion'",
    single_use=True,
)
ACTIVATION_EPILOGUE = FusionRule(
    "activation epilogue",
    is_product,
    is_activation,
    "a table look-up or polynomial on the tile that is still in local memory",
    "QNN HTP op fusion (conv + activation); nn-Meter kernel rules",
    single_use=True,
)
POINTWISE_CHAIN = FusionRule(
    "pointwise chain",
    is_small_pointwise,
    is_small_pointwise,
    "an activation of an addition runs on the tile that the addition made",
    "nn-Meter kernel rules: add + relu",
    single_use=True,
)
RESIDUAL_EPILOGUE = FusionRule(
    "residual add epilogue",
    is_product,
    is_residual_add,
    "the addition reads the product's tile from local memory",
    "QNN HTP graph compiler tiles producer and consumer together",
    single_use=True,
)


def is_pad(op: Op, context: OpContext) -> bool:
    """Constant padding."""
    return op.kind is OpKind.PAD


def is_window(op: Op, context: OpContext) -> bool:
    """Convolution or pooling, which pads by itself."""
    return op.kind in (OpKind.CONV, OpKind.POOL)


PAD_INTO_WINDOW = FusionRule(
    "pad into window",
    is_pad,
    is_window,
    "zero padding becomes the convolution's or pooling's own",
    "ONNX Runtime graph optimisations, 'Pad fusion'; assumed of TFLite's and QNN's converters",
    single_use=True,
)


def is_attention(op: Op, context: OpContext) -> bool:
    """Scaled dot-product attention as one op."""
    return op.kind is OpKind.ATTENTION


def attention_kernels(op: Op, context: OpContext, kernel: Kernel) -> Iterable[Kernel]:
    """Scores, softmax, weighted sum: the score matrix [heads, m, n] goes through memory between them."""
    tensors = context.graph.tensors
    q, k, v = (tensors[name] for name in op.inputs[:3])
    out = tensors[op.outputs[0]]
    gemm = gemm_of(op, context.graph)
    scores = gemm.batch * gemm.m * gemm.n
    score_bytes = scores * out.dtype.bits // 8
    mask_bytes = sum(tensors[name].size_bytes for name in op.inputs[3:])
    depth = v.shape[-1]

    def part(name: str, kernel_class: KernelClass, *, bytes_read: int, bytes_written: int) -> Kernel:
        return replace(
            kernel, name=f"{kernel.name}.{name}", kernel_class=kernel_class, other_flops=0, macs=0,
            gemm=Gemm(), weight_bytes=0, fused_ops=0, bytes_read=bytes_read, bytes_written=bytes_written,
        )  # fmt: skip

    yield replace(
        part("scores", KernelClass.BATCHED_MATMUL, bytes_read=q.size_bytes + k.size_bytes + mask_bytes,
             bytes_written=score_bytes),
        macs=scores * gemm.k, gemm=gemm, channels=gemm.k, other_flops=scores,
    )  # fmt: skip
    yield replace(
        part("softmax", KernelClass.SOFTMAX, bytes_read=score_bytes, bytes_written=score_bytes),
        other_flops=5 * scores, channels=gemm.n,
    )  # fmt: skip
    yield replace(
        part("sum", KernelClass.BATCHED_MATMUL, bytes_read=score_bytes + v.size_bytes, bytes_written=out.size_bytes),
        macs=scores * depth, gemm=Gemm(gemm.batch, gemm.m, depth, gemm.n), channels=gemm.n,
    )  # fmt: skip


CHANNEL_BLOCK = 32
"""Channels per block of an HTP tensor, taken to be a table of pointers to blocks of 8 × 8 pixels × 32 channels
(recalled, not checked against a source)."""


_QUANTISED = frozenset({Precision.INT8, Precision.W8A16})


def is_block_concat(op: Op, context: OpContext) -> bool:
    """Match a concatenation of whole channel blocks of image-shaped tensors on an NPU."""
    if op.kind is not OpKind.CONCAT or context.target.unit_kind is not UnitKind.NPU:
        return False
    tensors = context.graph.tensors
    shapes = [tensors[name].shape for name in op.inputs]
    result = tensors[op.outputs[0]].shape
    in_blocks = all(len(shape) == 4 and shape[1] % CHANNEL_BLOCK == 0 for shape in shapes)
    return in_blocks and result[1] == sum(shape[1] for shape in shapes)


def encodes_parts_alike(op: Op, context: GraphContext) -> bool:
    """Match a concatenation whose parts can have the encoding of the result.

    Quantised parts too, where nothing else reads them: their producers store them in it. A part that others read as
    well (a dense block) keeps an encoding of its own and is requantised.
    """
    shared = (len(context.readers_in_graph(name)) > 1 for name in op.inputs)
    return context.target.precision not in _QUANTISED or not any(shared)


def no_kernels(op: Op, context: OpContext, kernel: Kernel) -> Iterable[Kernel]:
    """Launch nothing."""
    return ()


CONCATENATED_BLOCKS = Expansion(
    "concatenated blocks",
    is_block_concat,
    no_kernels,
    "the result's block table points at the parts' blocks",
    "assumed from the block layout; kept for its held-out error (docs/adr/0008-npu-time-model.md)",
    replaces=True,
    among=encodes_parts_alike,
)


DECOMPOSED_ATTENTION = Expansion(
    "decomposed attention",
    is_attention,
    attention_kernels,
    "there is no fused attention kernel: the converters write MatMul, Softmax, MatMul",
    "TFLite schema has no attention operator; assumed of QNN's converters",
    replaces=True,
)


def is_anchor(op: Op, context: OpContext) -> bool:
    """One product per kernel."""
    return op.kind in PRODUCT_KINDS


def is_pointwise_conv(op: Op) -> bool:
    """Match a 1×1 convolution."""
    return isinstance(op.attrs, ConvAttrs) and all(k == 1 for k in op.attrs.kernel)
