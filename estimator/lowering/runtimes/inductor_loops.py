"""Which of the loops that inductor generates become one kernel, for a CPU (C++) and a GPU (Triton).

After `lowering.inductor_values` every op stands where it is computed. Two loops become one kernel if they run over the
same elements, or if one reduces the rows that the other runs over.

Sources are PyTorch 2.4 to 2.14: torch/_inductor/scheduler.py (can_fuse_vertical), torch/_inductor/codegen/simd.py
(SIMDScheduling.can_fuse), torch/_inductor/codegen/cpp.py (CppScheduling.can_fuse_vertical).
"""

from __future__ import annotations

import math
from typing import Final

from estimator.catalogue.device import UnitKind
from estimator.ir.op import NormAttrs, Op, OpKind, ReduceAttrs, SoftmaxAttrs
from estimator.lowering.classify import function_of
from estimator.lowering.group import channels_last
from estimator.lowering.inductor_values import HEAVY_FUNCTIONS, WINDOW_KINDS, is_expression, is_unrolled, wide_uses
from estimator.lowering.patterns import (
    REDUCTION_KINDS,
    computes_statistics,
    is_batch_norm,
    is_elementwise,
    is_norm_reduction,
    is_transposing_copy,
)
from estimator.lowering.rule import FusionRule, KernelContext, OpContext

_INDUCTOR = "torch/_inductor/scheduler.py (can_fuse_vertical), torch/_inductor/codegen/simd.py (can_fuse)"
_ROW_NORMS = frozenset({"layer", "rms", "l2"})
_TO_ONE_VALUE = frozenset({OpKind.REDUCE, OpKind.ADAPTIVE_POOL})


def on_cpu(context: OpContext) -> bool:
    """Whether inductor generates C++."""
    return context.target.unit_kind is UnitKind.CPU


def reduces(op: Op, context: OpContext) -> bool:
    """Whether an op is a reduction in a loop of its own."""
    if on_cpu(context) and computes_statistics(op, context.graph):
        return True
    return (op.kind in REDUCTION_KINDS or is_norm_reduction(op)) and not is_unrolled(op, context.graph)


def _reduces_in_other_order(op: Op, context: OpContext) -> bool:
    """Match means over the pixels of what a CPU stores channels-last: loops over its elements run in another order."""
    return on_cpu(context) and op.kind in _TO_ONE_VALUE


def _is_expression(op: Op, context: OpContext) -> bool:
    return is_expression(op, context.graph, context.target.unit_kind)


def _computes_inputs(op: Op, context: OpContext) -> bool:
    """Match loops that compute what they read where it is not stored."""
    return _is_expression(op, context) or op.kind is OpKind.CONCAT or reduces(op, context)


def _runs_in_order(op: Op, context: OpContext) -> bool:
    return is_elementwise(op, context) and not is_transposing_copy(op)


def _reads_in_order(op: Op, context: OpContext) -> bool:
    return _runs_in_order(op, context) or reduces(op, context)


def _reduces_rows(op: Op, context: OpContext) -> bool:
    return not _reduces_in_other_order(op, context) and _row_length(op, context) > 0


def _row_length(op: Op, context: OpContext) -> int:
    """Elements of the contiguous rows that an op reduces; 0 if it does not reduce such rows."""
    if not reduces(op, context):
        return 0
    x = context.graph.tensors[op.inputs[0]]
    if isinstance(op.attrs, ReduceAttrs):
        rank, innermost = len(x.shape), op.attrs.axes
        if channels_last(x.strides, x.shape):
            return x.shape[1] if innermost == (1,) else 0
        trailing = tuple(range(rank - len(innermost), rank))
        return math.prod([x.shape[axis] for axis in trailing]) if innermost == trailing else 0
    if channels_last(x.strides, x.shape):
        return 0
    if isinstance(op.attrs, SoftmaxAttrs):
        return x.shape[-1] if op.attrs.axis == len(x.shape) - 1 else 0
    if isinstance(op.attrs, NormAttrs) and op.attrs.function in _ROW_NORMS:
        return math.prod(x.shape[-op.attrs.normalized_rank :])
    return 0


def _elements(op: Op, context: OpContext) -> int:
    """Elements that the loop of an op runs over."""
    return context.graph.tensors[op.inputs[0] if reduces(op, context) else op.outputs[0]].numel


def _is_inlined(producer: Op, consumer: Op, last: Op, context: KernelContext) -> bool:
    """Hold for all but what is stored: what an activation reads twice, a window often, a CPU for many elements."""
    if is_batch_norm(producer) and wide_uses(consumer) > 1:
        return False
    if on_cpu(context) and function_of(producer) in HEAVY_FUNCTIONS and _broadcasts(producer, consumer, context):
        return False
    return consumer.kind not in WINDOW_KINDS or _loads_once(producer, context)


def _broadcasts(producer: Op, consumer: Op, context: OpContext) -> bool:
    tensors = context.graph.tensors
    larger = tensors[consumer.outputs[0]].numel > tensors[producer.outputs[0]].numel
    return larger and is_elementwise(consumer, context)


def _loads_once(op: Op, context: KernelContext) -> bool:
    """Whether an op reads one value, which is stored."""
    if len(op.inputs) > 1:
        return False
    source = context.kernel_op_behind(op.inputs[0]) if op.inputs else None
    return source is None or not _is_expression(source, context) or not _is_inlined(source, op, op, context)


def _same_elements(producer: Op, consumer: Op, last: Op, context: KernelContext) -> bool:
    if _reduces_in_other_order(last, context):
        return False
    return context.graph.tensors[producer.outputs[0]].numel == _elements(last, context)


def _same_results(producer: Op, consumer: Op, last: Op, context: KernelContext) -> bool:
    tensors = context.graph.tensors
    return tensors[producer.outputs[0]].numel == tensors[last.outputs[0]].numel


def _same_rows(producer: Op, consumer: Op, last: Op, context: KernelContext) -> bool:
    """Whether a kernel over all elements of the rows that `producer` reduces can keep them."""
    rows = (_row_length(producer, context),) if reduces(last, context) else (0,)
    return _elements(producer, context) == _elements(last, context) and _row_length(last, context) in rows


FUSION_RULES: Final = (
    FusionRule(
        "inlined expression",
        _is_expression,
        _computes_inputs,
        why="what is not stored is computed where it is read",
        source="torch/_inductor/ir.py: StorageBox, Pointwise.make_loader",
        single_use=True,
        between=_is_inlined,
    ),
    FusionRule(
        "same elements",
        _is_expression,
        _reads_in_order,
        why="loops over the same elements become one kernel",
        source=_INDUCTOR,
        between=_same_elements,
    ),
    FusionRule(
        "reduction epilogue",
        reduces,
        _runs_in_order,
        why="what follows a reduction runs on its results",
        source=_INDUCTOR,
        between=_same_results,
    ),
    FusionRule(
        "same rows",
        _reduces_rows,
        _reads_in_order,
        why="a kernel keeps the rows that it has reduced",
        source=_INDUCTOR,
        between=_same_rows,
        joins_anchors=True,
    ),
)
