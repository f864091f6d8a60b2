"""Fourier transforms."""

from __future__ import annotations

from estimator.costs.opcost import OpCost
from estimator.costs.registry import Tensors, cost_of
from estimator.costs.traffic import streaming_cost
from estimator.ir.op import Op, OpKind

_FLOPS_PER_POINT_AND_STAGE = 5
"""Radix-2 Cooley–Tukey: 5 n log₂ n for a complex transform of length n (Van Loan 1992)."""


@cost_of(OpKind.FFT)
def fft_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Fast Fourier transform along the last axis of length n.

    other = 5 · points · ⌈log₂ n⌉, points = the larger of input and output. Further axes are not known here.
    Source: docs/model/counting.md, table 3.
    """
    widest = max((*inputs[:1], *outputs), key=lambda t: t.numel)
    length = widest.shape[-1] if widest.shape else 1
    stages = max(length - 1, 0).bit_length()
    return streaming_cost(op, inputs, outputs, other_flops=_FLOPS_PER_POINT_AND_STAGE * widest.numel * stages)
