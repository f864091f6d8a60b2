"""Ops that move data or only rename it, and the two kinds that cannot be costed."""

from __future__ import annotations

from estimator.costs.opcost import OpCost
from estimator.costs.registry import Tensors, cost_of, no_rule, zero_cost
from estimator.costs.traffic import streaming_cost
from estimator.ir.op import Op, OpKind


@cost_of(OpKind.CONCAT)
def concat_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Join along one axis: reads every part, writes the whole.

    Source: docs/model/counting.md, table 6.
    """
    return streaming_cost(op, inputs, outputs)


@cost_of(OpKind.PAD)
def pad_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Surround with a constant or with reflections: reads the input, writes the larger output.

    Source: docs/model/counting.md, table 6.
    """
    return streaming_cost(op, inputs[:1], outputs)


@cost_of(OpKind.COPY)
def copy_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Materialise a layout change or a plain copy: reads what it writes.

    A repeat reads its input once; a split or slice reads no more than it writes.
    Source: docs/model/counting.md, table 6.
    """
    written = sum([t.size_bytes for t in outputs])
    return OpCost(bytes_read=min(sum([t.size_bytes for t in inputs]), written), bytes_written=written)


@cost_of(OpKind.FILL)
def fill_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Make a tensor from nothing (zeros, arange, random): writes only.

    Source: docs/model/counting.md, table 6.
    """
    return OpCost(bytes_written=sum([t.size_bytes for t in outputs]))


zero_cost(OpKind.VIEW, because="metadata only: the output aliases its input")
zero_cost(OpKind.SHAPE, because="shape arithmetic on the host, a few integers")
zero_cost(OpKind.IDENTITY, because="dropout in inference, detach: the output is the input")
no_rule(OpKind.CONTROL, because="which body runs, and how often, is not known")
no_rule(OpKind.UNKNOWN, because="the front-end does not know this operator")
