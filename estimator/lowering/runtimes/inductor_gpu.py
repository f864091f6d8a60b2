"""What inductor's Triton backend adds: functions in generated loops, and how convolutions are laid out.

Sources are PyTorch 2.4 to 2.14: torch/_inductor/graph.py (decide_layout_opt), torch/_inductor/ir.py (ConcatKernel).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from estimator.ir.op import ConvAttrs, Op, OpKind
from estimator.ir.tensor import Shape
from estimator.lowering.classify import gemm_of
from estimator.lowering.cudnn_layouts import both_ways, is_nhwc, runs_on_tensor_cores
from estimator.lowering.inductor_values import POINTWISE_CONCAT_MAX
from estimator.lowering.kernel import Kernel, KernelClass
from estimator.lowering.patterns import PRODUCT_KINDS
from estimator.lowering.rule import Expansion, KernelContext, OpContext
from estimator.lowering.runtimes.inductor_loops import reduces
from estimator.lowering.runtimes.special_functions import GPU_COSTS, special_flops

_SMALL_CHANNELS: Final = 64
_CHANNELS_LAST_COSTS: Final = {"grouped": 1.358, "small": 0.783, "narrowing": 0.725, "other": 0.823}
"""Time of kinds of convolutions in channels-last, of that in nchw, as inductor has it."""
COPIES_OF_PARTS: Final = 8
"""Kernels of a concatenation whose parts are copied one by one: copies of one part into several share a kernel.
DenseNets, with 15 to 20 parts, have 8 to 11 in inductor's schedules (benchmarks/kernels)."""
PLAIN_LAYOUT: Final = "plain layout"
"""Role of convolutions in graphs that inductor leaves in nchw."""


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
