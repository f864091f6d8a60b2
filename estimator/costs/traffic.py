"""Compulsory traffic: each distinct operand read once, each result written once."""

from __future__ import annotations

from estimator.costs.opcost import OpCost
from estimator.costs.registry import Tensors
from estimator.ir.op import Op
from estimator.ir.tensor import TensorRole


def streaming_cost(op: Op, inputs: Tensors, outputs: Tensors, *, macs: int = 0, other_flops: int = 0) -> OpCost:
    """Cost of an op that reads all of every operand once and writes all of every result once.

    An operand named twice (``x * x``) is read once.
    """
    distinct = inputs if len(set(op.inputs)) == len(op.inputs) else tuple({t.name: t for t in inputs}.values())
    return OpCost(
        macs=macs,
        other_flops=other_flops,
        bytes_read=sum([t.size_bytes for t in distinct]),
        bytes_written=sum([t.size_bytes for t in outputs]),
        params=params_read(distinct),
    )


def params_read(inputs: Tensors) -> int:
    """Learned parameters among the operands."""
    return sum([t.numel for t in inputs if t.role is TensorRole.PARAMETER])
