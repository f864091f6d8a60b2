"""The kernels of one group of ops: what crosses its boundary, what its main op is, and what a runtime adds.

A function of the ops' kinds, attributes and tensors alone, so that equal groups are worked out once (`lowering.known`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from estimator.catalogue.device import UnitKind
from estimator.costs.opcost import OpCost
from estimator.dtypes import DType
from estimator.ir.op import Op, OpKind
from estimator.ir.strides import reorders, spacing
from estimator.ir.tensor import TensorSpec
from estimator.lowering.classify import gemm_of, kernel_class, launches_of, window_of
from estimator.lowering.kernel import Gemm, Kernel, KernelClass
from estimator.lowering.rule import OpContext, RuntimeRules


@dataclass(frozen=True, slots=True)
class GroupKernels:
    """What a group launches, without the names of its ops.

    Attributes
    ----------
    main : int
        Position of the main op among the group's.
    kernels : tuple of Kernel
        In order; their names are what follows the main op's name, their ops and scope are left out.
    """

    main: int
    kernels: tuple[Kernel, ...]

    def named(self, ops: Sequence[Op]) -> list[Kernel]:
        """Return the kernels of a group of these ops."""
        main, names = ops[self.main], tuple([op.name for op in ops])
        return [replace(kernel, name=main.name + kernel.name, ops=names, scope=main.scope) for kernel in self.kernels]


def group_kernels(
    ops: Sequence[Op],
    costs: Sequence[OpCost],
    leaving: Collection[str],
    context: OpContext,
    rules: RuntimeRules,
    barred: Collection[tuple[int, int]] = (),
) -> GroupKernels:
    """Work out what a group of ops launches.

    Parameters
    ----------
    leaving : collection of str
        Results that ops outside the group read, or that the caller gets.
    barred : collection of (int, int)
        Positions of an op and of an expansion that does not apply to it, because of the ops around.
    """
    position, kernel = _group_kernel(ops, costs, leaving, context)
    main = ops[position]
    kernel = rules.refine(kernel, ops, context)
    kernels = [kernel]
    for index, expansion in enumerate(rules.expansions):
        if (position, index) not in barred and expansion.applies(main, context):
            if expansion.replaces:
                kernels.pop()
            kernels.extend(expansion.kernels(main, context, kernel))
    return GroupKernels(position, tuple(kernels))


def _group_kernel(
    ops: Sequence[Op], costs: Sequence[OpCost], leaving: Collection[str], context: OpContext
) -> tuple[int, Kernel]:
    graph = context.graph
    total = sum(costs, start=OpCost())
    position = max(range(len(ops)), key=lambda i: (_priority(ops[i].kind), costs[i].flops, -i))
    main = ops[position]
    read, weights, strided = _bytes_read(ops, leaving, context)
    written = sum(graph.tensors[name].size_bytes for op in ops for name in op.outputs if name in leaving)
    taps, stride = window_of(main)
    main_class = kernel_class(main, graph)
    if len(ops) > 1 and main_class in _POINTWISE_LIKE:
        main_class = _merged_class({kernel_class(op, graph) for op in ops})
    gemm = gemm_of(main, graph) if total.macs else Gemm()
    if main_class is KernelClass.MATMUL and context.target.unit_kind is UnitKind.GPU and gemm.m < FEW_ROWS:
        main_class = KernelClass.MATVEC
    return position, Kernel(
        name="",
        kernel_class=main_class,
        ops=(),
        dtype=_compute_dtype(main, context),
        macs=total.macs,
        other_flops=total.other_flops,
        bytes_read=read,
        bytes_written=written,
        weight_bytes=weights,
        gemm=gemm,
        taps=taps,
        stride=stride,
        channels=_channels(main, context),
        launches=launches_of(main, graph),
        strided=strided,
        fused_ops=len(ops) - 1,
    )


def _compute_dtype(op: Op, context: OpContext) -> DType:
    for name in (*op.inputs, *op.outputs):
        dtype = context.graph.tensors[name].dtype
        if dtype.is_float or dtype in (DType.I8, DType.U8, DType.I16, DType.I4):
            return dtype
    return DType.F32


def _channels(op: Op, context: OpContext) -> int:
    if op.kind is OpKind.CONV:
        return context.graph.tensors[op.inputs[1]].shape[1]
    names = op.inputs or op.outputs
    shape = context.graph.tensors[names[0]].shape if names else ()
    return shape[-1] if shape else 1


def _bytes_read(ops: Sequence[Op], leaving: Collection[str], context: OpContext) -> tuple[int, int, bool]:
    """(bytes read from outside, of which weights, whether any of it is permuted).

    Views of one storage (the q, k and v of one projection) are read one by one, but no byte of it twice.
    """
    tensors = context.graph.tensors
    inside = {name for op in ops for name in op.outputs}
    computed = _computed_shares(ops, leaving, context) if len(ops) > 1 else (1.0,)
    parts: dict[str, dict[str, float]] = {}  # of each storage that is read, the views and how much of each
    strided = False
    for op, share in zip(ops, computed, strict=True):
        for position, name in enumerate(op.inputs):
            root = context.root(name)
            if root in inside:
                continue
            size = tensors[name].size_bytes
            if op.kind in _READ_IN_PART and position == 0:
                size = min(size, sum(tensors[o].size_bytes for o in op.outputs))
            views = parts.setdefault(root, {})
            size *= _sector_share(tensors[name])
            views[name] = max(size * share, views.get(name, 0.0))
            strided = strided or _is_permuted(tensors[name])
    sizes = {root: min(round(sum(views.values())), tensors[root].size_bytes) for root, views in parts.items()}
    return sum(sizes.values()), sum(size for root, size in sizes.items() if context.is_constant(root)), strided


SECTOR_BYTES: Final = 32
"""What memory delivers at least (CUDA C++ programming guide, "device memory accesses"; CPUs' lines are twice that)."""


def _sector_share(tensor: TensorSpec) -> int:
    """Bytes moved ÷ bytes read of a view: memory moves sectors, of which one that skips elements uses a part."""
    return min(spacing(tensor), max(1, SECTOR_BYTES * 8 // tensor.dtype.bits))


def _computed_shares(ops: Sequence[Op], leaving: Collection[str], context: OpContext) -> list[float]:
    """How much of each op's results the rest of the group needs: all of what leaves it, and what its views select.

    A result that nobody needs is computed all the same.
    """
    tensors = context.graph.tensors
    needed = {name: float(name in leaving) for op in ops for name in op.outputs}
    shares: list[float] = []
    for op in reversed(ops):
        share = max((needed[name] for name in op.outputs), default=1.0) or 1.0
        shares.append(share)
        for name in dict.fromkeys(op.inputs):
            root = context.root(name)
            if root in needed:
                part = tensors[name].numel / max(1, tensors[root].numel)
                needed[root] = min(1.0, needed[root] + share * part)
    return shares[::-1]


FEW_ROWS: Final = 64
"""Rows of half a tile: with fewer, a product on any GPU takes as long as its weight takes to read. No network on record
has a batch as small."""
_READ_IN_PART = frozenset({OpKind.EMBEDDING, OpKind.GATHER, OpKind.VIEW, OpKind.COPY})
"""Ops that read no more of their first operand than they write."""
_PRIORITY = {
    OpKind.CONV: 5, OpKind.DEFORM_CONV: 5, OpKind.LINEAR: 5, OpKind.MATMUL: 5, OpKind.EINSUM: 5,
    OpKind.ATTENTION: 6, OpKind.RNN: 6, OpKind.SOFTMAX: 4, OpKind.REDUCE: 3, OpKind.ADAPTIVE_POOL: 3,
    OpKind.POOL: 2, OpKind.RESIZE: 2, OpKind.CONCAT: 1, OpKind.COPY: 1, OpKind.GATHER: 1,
}  # fmt: skip
_POINTWISE_LIKE = frozenset(
    {KernelClass.POINTWISE, KernelClass.NORM, KernelClass.CAST, KernelClass.COPY, KernelClass.TRANSPOSE,
     KernelClass.CONCAT, KernelClass.CAST_WEIGHT, KernelClass.GATHER}
)  # fmt: skip


def _priority(kind: OpKind) -> int:
    return _PRIORITY.get(kind, 0)


def _merged_class(classes: set[KernelClass]) -> KernelClass:
    """Class of a fused chain without a product or reduction: its least regular access decides."""
    for candidate in (KernelClass.GATHER, KernelClass.TRANSPOSE, KernelClass.CONCAT):
        if candidate in classes:
            return candidate
    return KernelClass.POINTWISE


def _is_permuted(tensor: TensorSpec) -> bool:
    """Whether strides reorder the axes; channels-last is an order of its own."""
    return tensor.strides is not None and not channels_last(tensor.strides, tensor.shape) and reorders(tensor)


def channels_last(strides: tuple[int, ...] | None, shape: tuple[int, ...]) -> bool:
    """Whether a [n, c, *spatial] tensor is stored with channels innermost."""
    return strides is not None and len(shape) >= 4 and strides[1] == 1 and math.prod(shape[2:]) > 1
