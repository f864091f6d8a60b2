"""torch.compile with inductor: products stay library calls, everything around them fuses into loops."""

from __future__ import annotations

from estimator.ir.op import Op, OpKind
from estimator.lowering.fuse import FusionRule, Lowering, RuntimeRules
from estimator.lowering.patterns import (
    REDUCTION_KINDS,
    is_elementwise,
    is_norm_reduction,
    is_transposing_copy,
)
from estimator.lowering.runtimes.inductor_cpu import (
    COLUMNS,
    OPERAND_COPIES,
    PLAIN_CONVOLUTION,
    computes_statistics,
    on_cpu,
    refine,
)

_LOOP_KINDS = frozenset(
    {OpKind.CONCAT, OpKind.PAD, OpKind.COPY, OpKind.POOL, OpKind.RESIZE, OpKind.GATHER, OpKind.EMBEDDING, OpKind.FILL}
)
_INDUCTOR = "torch/_inductor/scheduler.py (can_fuse_vertical), torch/_inductor/lowering.py"


def _loop(op: Op, lowering: Lowering) -> bool:
    """Lowered to an inductor Pointwise node."""
    if op.kind is OpKind.CAST and lowering.graph.tensors[op.inputs[0]].is_weight:
        return False
    return (is_elementwise(op, lowering) and not _standardises(op, lowering)) or op.kind in _LOOP_KINDS


def _standardises(op: Op, lowering: Lowering) -> bool:
    """Match batch norms that reduce."""
    return on_cpu(lowering) and computes_statistics(op, lowering.graph)


def _in_order_loop(op: Op, lowering: Lowering) -> bool:
    """Match loops in the producer's element order, so that a reduction can keep its row in registers."""
    return is_elementwise(op, lowering) and not is_transposing_copy(op) and not _standardises(op, lowering)


def _reduction(op: Op, lowering: Lowering) -> bool:
    return op.kind in REDUCTION_KINDS or is_norm_reduction(op) or _standardises(op, lowering)


def _row_reduction(op: Op, lowering: Lowering) -> bool:
    """Match reductions that keep their input's extent (norm, softmax), so a consumer can run in the same loop."""
    return op.kind is OpKind.SOFTMAX or is_norm_reduction(op) or _standardises(op, lowering)


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
    expansions=(PLAIN_CONVOLUTION, OPERAND_COPIES, COLUMNS),
    refine=refine,
)
