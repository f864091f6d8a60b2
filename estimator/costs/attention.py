"""Scaled dot-product attention as one op."""

from __future__ import annotations

from estimator.costs.normalisation import SOFTMAX_FLOPS
from estimator.costs.opcost import OpCost
from estimator.costs.registry import Tensors, cost_of
from estimator.costs.traffic import streaming_cost
from estimator.ir.op import Op, OpKind


@cost_of(OpKind.ATTENTION)
def attention_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Attention, q[b, h, m, d], k[b, hk, n, d], v[b, hk, n, dv] -> [b, h, m, dv].

    macs = b·h·m·n·(d + dv);  other = b·h·m·n·(1 scale + 5 softmax, + 1 with a mask).
    Dense: blocks that a causal mask would let a kernel skip are counted. The score matrix is not traffic.
    Source: docs/model/counting.md, eq. 4.
    """
    scores = score_count(inputs)
    d, dv = inputs[0].shape[-1], inputs[2].shape[-1]
    per_score = 1 + SOFTMAX_FLOPS + (len(inputs) > 3)
    return streaming_cost(op, inputs, outputs, macs=scores * (d + dv), other_flops=scores * per_score)


def score_count(inputs: Tensors) -> int:
    """b·h·m·n: queries times keys, over batch and query heads."""
    q, k = inputs[0], inputs[1]
    return q.numel // q.shape[-1] * k.shape[-2] if q.shape[-1] else 0
