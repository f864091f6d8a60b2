"""TensorRT: batch norm folded, pointwise epilogues and residual adds fused, attention one kernel however it is spelled.

On a GPU Myelin compiles what lies around products: attention becomes one kernel, and transposes and slices become the
strides by which a kernel reads. PyTorch's graphs hold both that way already; the rules bring files to the same kernels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from estimator.catalogue.device import UnitKind
from estimator.ir.op import Op, OpKind
from estimator.lowering.attention import AttentionRole, Part, attention_role, attention_roles
from estimator.lowering.classify import gemm_of
from estimator.lowering.group import FEW_ROWS
from estimator.lowering.kernel import Kernel, KernelClass
from estimator.lowering.rule import FusionRule, KernelContext, OpContext, RuntimeRules
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


def _on_gpu(context: OpContext) -> bool:
    return context.target.unit_kind is UnitKind.GPU


def roles(context: KernelContext) -> Mapping[str, AttentionRole]:
    """Find what a GPU runs as one kernel for each attention."""
    return attention_roles(context) if _on_gpu(context) else {}


def _is_part(op: Op, context: OpContext, parts: Part) -> bool:
    return bool(attention_role(op, context).parts & parts)


def is_before_weighted_sum(op: Op, context: OpContext) -> bool:
    """Scores, or what lies between them and the weighted sum."""
    return _is_part(op, context, Part.SCORES | Part.BETWEEN)


def is_behind_scores(op: Op, context: OpContext) -> bool:
    """Weighted sum, or what lies between the scores and it."""
    return _is_part(op, context, Part.WEIGHTED_SUM | Part.BETWEEN)


def is_scale(op: Op, context: OpContext) -> bool:
    """Multiplication of a query or key by one number."""
    return _is_part(op, context, Part.SCALE)


def is_scores(op: Op, context: OpContext) -> bool:
    """Product of queries and keys."""
    return _is_part(op, context, Part.SCORES)


def is_anchor(op: Op, context: OpContext) -> bool:
    """One product per kernel; an attention's two are one."""
    return mobile.is_anchor(op, context) and not _is_part(op, context, Part.WEIGHTED_SUM)


def is_free(op: Op, context: OpContext) -> bool:
    """Match what launches nothing."""
    strided = op.kind is OpKind.COPY and function_of_copy(op) in STRIDED_COPIES
    return mobile.is_free(op, context) or (strided and _on_gpu(context))


def is_pointwise_outside(op: Op, context: OpContext) -> bool:
    """Match what an attention's kernel does not do; an op in front of one stays outside."""
    return is_small_pointwise(op, context) and not is_scale(op, context) and not is_behind_scores(op, context)


def is_rearrangement(op: Op, context: OpContext) -> bool:
    """Match what moves the elements of one tensor: a roll is one copy, two concatenations of slices, or two gathers."""
    sources = {context.root(name) for name in op.inputs if not context.is_constant(name)}
    return op.kind in _REARRANGEMENTS and len(sources) == 1


def refine(kernel: Kernel, ops: Sequence[Op], context: OpContext) -> Kernel:
    """Give attention its class, and a product with a folded weight its own."""
    if kernel.kernel_class is not KernelClass.BATCHED_MATMUL or not _on_gpu(context):
        return kernel
    product, *weighted_sums = (op for op in ops if mobile.is_product(op, context))
    if weighted_sums:  # one product per kernel, but for these two
        filled = min(_filled_bytes(ops, context), kernel.weight_bytes)  # a kernel may need a part of one
        return replace(
            kernel,
            kernel_class=KernelClass.ATTENTION,
            gemm=gemm_of(product, context.graph),
            bytes_read=kernel.bytes_read - filled,
            weight_bytes=kernel.weight_bytes - filled,
        )
    if any(context.is_constant(name) for name in product.inputs[:2]):
        gemm = gemm_of(product, context.graph)
        return replace(kernel, kernel_class=KernelClass.MATVEC if gemm.m < FEW_ROWS else KernelClass.MATMUL, gemm=gemm)
    return kernel


def _filled_bytes(ops: Sequence[Op], context: OpContext) -> int:
    """Size of the operands that a kernel makes rather than reads."""
    names = {op.inputs[position] for op in ops for position in attention_role(op, context).filled}
    return sum(context.graph.tensors[name].size_bytes for name in names)


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
    elides=mobile.is_unmoved_copy,
    roles=roles,
    folds_constants=True,
    refine=refine,
)
