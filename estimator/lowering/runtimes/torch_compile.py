"""torch.compile with inductor: products stay library calls, everything around them fuses into loops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from estimator.ir.op import Op, OpKind
from estimator.lowering.aten_products import as_aten_multiplies
from estimator.lowering.kernel import Kernel
from estimator.lowering.patterns import (
    PRODUCT_KINDS,
    REDUCTION_KINDS,
    computes_statistics,
    is_elementwise,
    is_norm_reduction,
    is_transposing_copy,
)
from estimator.lowering.rule import FusionRule, OpContext, RuntimeRules
from estimator.lowering.runtimes import inductor_cpu
from estimator.lowering.runtimes.inductor_cpu import COLUMNS, PLAIN_CONVOLUTION, on_cpu
from estimator.lowering.runtimes.special_functions import GPU_COSTS, special_flops

_LOOP_KINDS = frozenset(
    {OpKind.CONCAT, OpKind.PAD, OpKind.COPY, OpKind.POOL, OpKind.RESIZE, OpKind.GATHER, OpKind.EMBEDDING, OpKind.FILL}
)
_INDUCTOR = "torch/_inductor/scheduler.py (can_fuse_vertical), torch/_inductor/lowering.py"


def _loop(op: Op, context: OpContext) -> bool:
    """Lowered to an inductor Pointwise node."""
    if op.kind is OpKind.CAST and context.graph.tensors[op.inputs[0]].is_weight:
        return False
    return (is_elementwise(op, context) and not _standardises(op, context)) or op.kind in _LOOP_KINDS


def _standardises(op: Op, context: OpContext) -> bool:
    """Match batch norms that reduce."""
    return on_cpu(context) and computes_statistics(op, context.graph)


def _in_order_loop(op: Op, context: OpContext) -> bool:
    """Match loops in the producer's element order, so that a reduction can keep its row in registers."""
    return is_elementwise(op, context) and not is_transposing_copy(op) and not _standardises(op, context)


def _reduction(op: Op, context: OpContext) -> bool:
    return op.kind in REDUCTION_KINDS or is_norm_reduction(op) or _standardises(op, context)


def _row_reduction(op: Op, context: OpContext) -> bool:
    """Match reductions that keep their input's extent (norm, softmax), so a consumer can run in the same loop."""
    return op.kind is OpKind.SOFTMAX or is_norm_reduction(op) or _standardises(op, context)


def refine(kernel: Kernel, ops: Sequence[Op], context: OpContext) -> Kernel:
    """Count what functions take of the vector units in generated loops, and more on a CPU."""
    if on_cpu(context):
        return inductor_cpu.refine(kernel, ops, context)
    if any(op.kind in PRODUCT_KINDS for op in ops):
        return kernel
    return replace(kernel, special_flops=sum(special_flops(op, context.graph, GPU_COSTS) for op in ops))


RULES = RuntimeRules(
    name="torch-compile",
    rules=(
        FusionRule("pointwise chain", _loop, _loop, "loops over the same elements become one kernel", _INDUCTOR),
        FusionRule(
            "reduction prologue", _in_order_loop, _reduction, "a reduction computes its input on the fly", _INDUCTOR
        ),
        FusionRule(
            "reduction epilogue", _row_reduction, _in_order_loop, "a norm's consumers run on its rows", _INDUCTOR
        ),
    ),
    anchor=_reduction,
    expansions=(PLAIN_CONVOLUTION, COLUMNS),
    rewrite=as_aten_multiplies,
    refine=refine,
)
