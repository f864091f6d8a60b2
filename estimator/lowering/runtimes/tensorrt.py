"""TensorRT: batch norm folded, pointwise epilogues and residual adds fused, attention one kernel however it is spelled.

On a GPU Myelin compiles what lies around products: attention becomes one kernel, and transposes and slices become the
strides by which a kernel reads. PyTorch's graphs hold both that way already; the rules bring files to the same kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from weakref import WeakKeyDictionary

from estimator.catalogue.device import UnitKind
from estimator.ir.op import MatmulAttrs, Op, OpKind
from estimator.lowering.attention import NO_ATTENTION, SpelledAttention, spelled_attention
from estimator.lowering.classify import gemm_of
from estimator.lowering.fuse import FEW_ROWS, FusionRule, Lowering, RuntimeRules
from estimator.lowering.kernel import Gemm, Kernel, KernelClass
from estimator.lowering.runtimes import mobile
from estimator.lowering.runtimes.mobile import (
    ACTIVATION_EPILOGUE,
    FOLD_BATCH_NORM,
    FOLD_SPELLED_NORM,
    PAD_INTO_WINDOW,
    POINTWISE_CHAIN,
    RESIDUAL_EPILOGUE,
    SELF_GATE_EPILOGUE,
    function_of_copy,
    is_small_pointwise,
)

STRIDED_COPIES: Final = frozenset({"transpose", "slice", "split", "unbind", "expand"})
"""What formats without strides copy and PyTorch views."""

_MULTI_HEAD_ATTENTION: Final = "TensorRT developer guide, 'Multi-head attention fusion'"
_REARRANGEMENTS: Final = frozenset({OpKind.COPY, OpKind.CONCAT, OpKind.GATHER})
_attention: WeakKeyDictionary[Lowering, SpelledAttention] = WeakKeyDictionary()


def _on_gpu(lowering: Lowering) -> bool:
    return lowering.target.unit_kind is UnitKind.GPU


def attention_in(lowering: Lowering) -> SpelledAttention:
    """Find what a GPU runs as one kernel for each attention; looked for once for each graph."""
    if lowering not in _attention:
        _attention[lowering] = spelled_attention(lowering) if _on_gpu(lowering) else NO_ATTENTION
    return _attention[lowering]


def is_before_weighted_sum(op: Op, lowering: Lowering) -> bool:
    """Scores, or what lies between them and the weighted sum."""
    found = attention_in(lowering)
    return op.name in found.scores or op.name in found.between


def is_behind_scores(op: Op, lowering: Lowering) -> bool:
    """Weighted sum, or what lies between the scores and it."""
    found = attention_in(lowering)
    return op.name in found.weighted_sums or op.name in found.between


def is_scale(op: Op, lowering: Lowering) -> bool:
    """Multiplication of a query or key by one number."""
    return op.name in attention_in(lowering).scales


def is_scores(op: Op, lowering: Lowering) -> bool:
    """Product of queries and keys."""
    return op.name in attention_in(lowering).scores


def is_anchor(op: Op, lowering: Lowering) -> bool:
    """One product per kernel; an attention's two are one."""
    return mobile.is_anchor(op, lowering) and op.name not in attention_in(lowering).weighted_sums


def is_free(op: Op, lowering: Lowering) -> bool:
    """Match what launches nothing."""
    strided = op.kind is OpKind.COPY and function_of_copy(op) in STRIDED_COPIES
    return mobile.is_free(op, lowering) or (strided and _on_gpu(lowering))


def is_pointwise_outside(op: Op, lowering: Lowering) -> bool:
    """Match what an attention's kernel does not do; an op in front of one stays outside."""
    return is_small_pointwise(op, lowering) and not is_scale(op, lowering) and not is_behind_scores(op, lowering)


def is_rearrangement(op: Op, lowering: Lowering) -> bool:
    """Match what moves the elements of one tensor: a roll is one copy, two concatenations of slices, or two gathers."""
    sources = {lowering.root(name) for name in op.inputs if not lowering.is_constant(name)}
    return op.kind in _REARRANGEMENTS and len(sources) == 1


def refine(kernel: Kernel, ops: Sequence[Op], lowering: Lowering) -> Kernel:
    """Give attention its class, and a product with a folded weight its own, by the axes that the ops name."""
    if kernel.kernel_class is not KernelClass.BATCHED_MATMUL or not _on_gpu(lowering):
        return kernel
    product, *weighted_sums = (op for op in ops if mobile.is_product(op, lowering))
    if weighted_sums:  # one product per kernel, but for these two
        generated = sum(_generated_bytes(op, lowering) for op in ops)
        return replace(
            kernel,
            kernel_class=KernelClass.ATTENTION,
            gemm=_geometry(product, lowering),
            bytes_read=kernel.bytes_read - generated,
            weight_bytes=kernel.weight_bytes - generated,
        )
    if any(lowering.is_constant(name) for name in product.inputs[:2]):
        gemm = _geometry(product, lowering)
        return replace(kernel, kernel_class=KernelClass.MATVEC if gemm.m < FEW_ROWS else KernelClass.MATMUL, gemm=gemm)
    return kernel


def _geometry(product: Op, lowering: Lowering) -> Gemm:
    """Geometry by the operands' shapes, which name their axes in order however they are stored."""
    in_order = replace(product, attrs=MatmulAttrs()) if product.kind is OpKind.MATMUL else product
    return gemm_of(in_order, lowering.graph)


def _generated_bytes(op: Op, lowering: Lowering) -> int:
    """Size of operands that hold one number throughout, which a kernel makes rather than reads."""
    makers = {name: lowering.producer_in_graph(name) for name in op.inputs}
    return sum(
        lowering.graph.tensors[name].size_bytes
        for name, maker in makers.items()
        if maker is not None and maker.kind is OpKind.FILL
    )


ATTENTION = FusionRule(
    "attention",
    is_before_weighted_sum,
    is_behind_scores,
    "scores, mask, softmax and weighted sum are one kernel; the scores never leave the chip",
    _MULTI_HEAD_ATTENTION,
)
ATTENTION_SCALE = FusionRule(
    "attention scale",
    is_scale,
    is_scores,
    "the factor is the fused kernel's own",
    _MULTI_HEAD_ATTENTION,
    single_use=True,
)

REARRANGEMENT = FusionRule(
    "rearrangement",
    is_rearrangement,
    is_rearrangement,
    "where an element goes in the end is known when the graph is compiled",
    "TensorRT developer guide, 'Shuffle and shuffle fusion'; assumed of what Myelin compiles",
    single_use=True,
)

RULES = RuntimeRules(
    name="tensorrt",
    rules=(
        ATTENTION,
        ATTENTION_SCALE,
        REARRANGEMENT,
        PAD_INTO_WINDOW,
        FOLD_BATCH_NORM,
        FOLD_SPELLED_NORM,
        SELF_GATE_EPILOGUE,
        ACTIVATION_EPILOGUE,
        RESIDUAL_EPILOGUE,
        ACTIVATION_EPILOGUE,
        replace(POINTWISE_CHAIN, consumer=is_pointwise_outside),
    ),
    anchor=is_anchor,
    free=is_free,
    folds_constants=True,
    refine=refine,
)
