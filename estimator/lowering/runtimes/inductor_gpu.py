"""What inductor's Triton backend makes of a graph: which loops become one kernel, and how convolutions are laid out.

After `lowering.inductor_values` every op stands where it is computed. Two loops become one kernel if they run over the
same elements, or if one reduces the rows that the other runs over.

Sources are PyTorch 2.4 to 2.14: torch/_inductor/scheduler.py (can_fuse_vertical), torch/_inductor/codegen/simd.py
(SIMDScheduling.can_fuse), torch/_inductor/graph.py (decide_layout_opt).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from estimator.catalogue.device import UnitKind
from estimator.ir.op import ConvAttrs, NormAttrs, Op, OpKind, ReduceAttrs, SoftmaxAttrs
from estimator.ir.tensor import Shape
from estimator.lowering.classify import gemm_of
from estimator.lowering.cudnn_layouts import both_ways, is_nhwc, runs_on_tensor_cores
from estimator.lowering.group import channels_last
from estimator.lowering.inductor_values import (
    POINTWISE_CONCAT_MAX,
    WINDOW_KINDS,
    is_expression,
    is_unrolled,
    wide_uses,
)
from estimator.lowering.kernel import Kernel, KernelClass
from estimator.lowering.patterns import (
    PRODUCT_KINDS,
    REDUCTION_KINDS,
    is_batch_norm,
    is_elementwise,
    is_norm_reduction,
    is_transposing_copy,
)
from estimator.lowering.rule import Expansion, FusionRule, KernelContext, OpContext
from estimator.lowering.runtimes.special_functions import GPU_COSTS, special_flops

_INDUCTOR = "torch/_inductor/scheduler.py (can_fuse_vertical), torch/_inductor/codegen/simd.py (can_fuse)"
_ROW_NORMS = frozenset({"layer", "rms", "l2"})
_SMALL_CHANNELS: Final = 64
_CHANNELS_LAST_COSTS: Final = {"grouped": 1.358, "small": 0.783, "narrowing": 0.725, "other": 0.823}
"""Time of kinds of convolutions in channels-last, of that in nchw, as inductor has it."""
COPIES_OF_PARTS: Final = 8
"""Kernels of a concatenation whose parts are copied one by one: copies of one part into several share a kernel.
DenseNets, with 15 to 20 parts, have 8 to 11 in inductor's schedules (benchmarks/kernels)."""
PLAIN_LAYOUT: Final = "plain layout"
"""Role of convolutions in graphs that inductor leaves in nchw."""


def on_gpu(context: OpContext) -> bool:
    """Whether inductor generates Triton."""
    return context.target.unit_kind is UnitKind.GPU


# -- fusion --------------------------------------------------------------------------------------


def reduces(op: Op, context: OpContext) -> bool:
    """Whether an op is a reduction in a loop of its own."""
    return (op.kind in REDUCTION_KINDS or is_norm_reduction(op)) and not is_unrolled(op, context.graph)


def _is_expression(op: Op, context: OpContext) -> bool:
    return on_gpu(context) and is_expression(op, context.graph)


def _computes_inputs(op: Op, context: OpContext) -> bool:
    """Match loops that compute what they read where it is not stored."""
    return is_expression(op, context.graph) or op.kind is OpKind.CONCAT or reduces(op, context)


def _runs_in_order(op: Op, context: OpContext) -> bool:
    return is_elementwise(op, context) and not is_transposing_copy(op)


def _reads_in_order(op: Op, context: OpContext) -> bool:
    return _runs_in_order(op, context) or reduces(op, context)


def _reduces_on_gpu(op: Op, context: OpContext) -> bool:
    return on_gpu(context) and reduces(op, context)


def _reduces_rows(op: Op, context: OpContext) -> bool:
    return on_gpu(context) and _row_length(op, context) > 0


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
    """Hold for all but what is stored: a batch norm that an activation reads twice, what a window would load often."""
    if is_batch_norm(producer) and wide_uses(consumer) > 1:
        return False
    return consumer.kind not in WINDOW_KINDS or _loads_once(producer, context)


def _loads_once(op: Op, context: KernelContext) -> bool:
    """Whether an op reads one value, which is stored."""
    if len(op.inputs) > 1:
        return False
    source = context.kernel_op_behind(op.inputs[0]) if op.inputs else None
    return source is None or not is_expression(source, context.graph) or not _is_inlined(source, op, op, context)


def _same_elements(producer: Op, consumer: Op, last: Op, context: KernelContext) -> bool:
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
        _reduces_on_gpu,
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


def refine(kernel: Kernel, ops: Sequence[Op], context: OpContext) -> Kernel:
    """Count what functions take of the vector units in generated loops, and name these by what they do."""
    if any(op.kind in PRODUCT_KINDS for op in ops):
        return kernel
    kernel = replace(kernel, special_flops=sum(special_flops(op, context.graph, GPU_COSTS) for op in ops))
    if kernel.kernel_class is KernelClass.REDUCE and not any(reduces(op, context) for op in ops):
        return replace(kernel, kernel_class=KernelClass.POINTWISE)
    if ops[-1].kind is OpKind.CONCAT and len(ops[-1].inputs) > POINTWISE_CONCAT_MAX:
        return replace(kernel, launches=COPIES_OF_PARTS)
    return kernel


# -- layout --------------------------------------------------------------------------------------


def layout_roles(context: KernelContext) -> Mapping[str, str]:
    """Say of convolutions that they run in nchw, where inductor does not make a graph channels-last."""
    if not on_gpu(context):
        return {}
    convolutions = [op for op in context.kernel_ops if op.kind is OpKind.CONV]
    macs: Counter[str] = Counter()
    for op in convolutions:
        gemm = gemm_of(op, context.graph)
        macs[_kind(op, context.graph.tensors[op.inputs[1]].shape)] += gemm.batch * gemm.m * gemm.n * gemm.k
    if sum(count * _CHANNELS_LAST_COSTS[kind] for kind, count in macs.items()) <= sum(macs.values()):
        return {}
    return dict.fromkeys([op.name for op in convolutions], PLAIN_LAYOUT)


def _kind(op: Op, weight: Shape) -> str:
    if isinstance(op.attrs, ConvAttrs) and op.attrs.groups > 1 and weight[1] > 1:
        return "grouped"
    if weight[0] <= _SMALL_CHANNELS and weight[1] <= _SMALL_CHANNELS:
        return "small"
    return "narrowing" if 2 * weight[0] <= weight[1] and weight[2] > 1 else "other"


def _converts(op: Op, context: OpContext) -> bool:
    return context.role(op) == PLAIN_LAYOUT and runs_on_tensor_cores(op, context) and not is_nhwc(op, context)


CONVERSIONS: Final = Expansion(
    "convolution in nchw",
    _converts,
    both_ways,
    why="grouped convolutions keep a graph from being made channels-last, and cuDNN converts around each convolution",
    source="torch/_inductor/graph.py: GraphLowering.decide_layout_opt",
)
