"""Rules that mobile graph compilers share: QNN, TFLite with its delegates, ONNX Runtime.

They fold batch norm into the convolution before it, run activations in the product's epilogue, and
treat reshapes as metadata. They differ in what else the epilogue takes and in their fixed costs.
"""

from __future__ import annotations

from estimator.ir.op import ConvAttrs, Op, OpKind
from estimator.lowering.fuse import FusionRule, Lowering
from estimator.lowering.patterns import PRODUCT_KINDS, is_batch_norm, is_elementwise, is_function, same_extent

FOLDABLE_PRODUCTS = frozenset({OpKind.CONV, OpKind.LINEAR, OpKind.MATMUL})
CLAMPS = ("relu", "relu6", "relu_n1_to_1", "hardtanh", "clip", "clamp")


def is_product(op: Op, lowering: Lowering) -> bool:
    """Convolution or matrix product."""
    return op.kind in PRODUCT_KINDS


def is_foldable_product(op: Op, lowering: Lowering) -> bool:
    """A product whose output scale can be folded into its weights."""
    return op.kind in FOLDABLE_PRODUCTS


def is_folded_norm(op: Op, lowering: Lowering) -> bool:
    """Batch norm right behind a product."""
    return is_batch_norm(op)


def is_clamp(op: Op, lowering: Lowering) -> bool:
    """An activation that a requantising store clamps for free."""
    return op.kind is OpKind.ACTIVATION and is_function(op, *CLAMPS)


def is_activation(op: Op, lowering: Lowering) -> bool:
    """Any pointwise activation function."""
    return op.kind is OpKind.ACTIVATION


def is_residual_add(op: Op, lowering: Lowering) -> bool:
    """Elementwise add of two activations of the same extent."""
    return op.kind is OpKind.BINARY and is_function(op, "add") and len(op.inputs) == 2 and same_extent(op, lowering)


def is_small_pointwise(op: Op, lowering: Lowering) -> bool:
    """Elementwise without growth."""
    return is_elementwise(op, lowering) and same_extent(op, lowering)


def is_quantisation(op: Op, lowering: Lowering) -> bool:
    """Quantise/dequantise pairs of a QDQ graph, which an integer runtime absorbs into its kernels."""
    tensors = lowering.graph.tensors
    integer = all(not tensors[n].dtype.is_float for n in (*op.inputs[:1], *op.outputs))
    return op.kind in (OpKind.QUANTIZE, OpKind.DEQUANTIZE, OpKind.CAST) and integer


def is_plain_copy(op: Op, lowering: Lowering) -> bool:
    """A copy that keeps element order: a graph compiler turns it into metadata."""
    return op.kind is OpKind.COPY and not getattr(op.attrs, "transposing", False)


def is_free(op: Op, lowering: Lowering) -> bool:
    """Launches nothing in a compiled mobile graph."""
    return is_plain_copy(op, lowering) or is_quantisation(op, lowering)


FOLD_BATCH_NORM = FusionRule(
    "fold batch norm",
    is_foldable_product,
    is_folded_norm,
    "at inference batch norm is a scale and shift that goes into weights and bias",
    "ONNX Runtime graph optimisations, 'Conv BatchNorm fusion'; TFLite converter; QNN converter",
    single_use=True,
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


def is_anchor(op: Op, lowering: Lowering) -> bool:
    """One product per kernel."""
    return op.kind in PRODUCT_KINDS


def is_pointwise_conv(op: Op) -> bool:
    """A 1×1 convolution."""
    return isinstance(op.attrs, ConvAttrs) and all(k == 1 for k in op.attrs.kernel)
