"""Recurrent layers as one op: stacked, bidirectional LSTM, GRU and plain RNN."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from estimator.costs.opcost import OpCost
from estimator.costs.registry import Tensors, cost_of
from estimator.costs.traffic import streaming_cost
from estimator.ir.op import Op, OpKind, RnnAttrs
from estimator.ir.tensor import TensorRole

GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
_CELL_FLOPS = {"lstm": 4 + 4 + 1, "gru": 3 + 5, "rnn_tanh": 1, "rnn_relu": 1}
"""Per hidden unit, besides products, sums of the two products and biases.

LSTM: 4 gate functions; f·c, i·g, their sum, o·tanh; tanh. GRU: 3 gate functions; r·h, 1 − z, ·n, z·h, their sum.
"""


@cost_of(OpKind.RNN)
def rnn_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Recurrent layer, x[t, n, i] (or [n, t, i]) and its weights -> [t, n, dirs · h].

    macs = t·n · Σ over layers and directions of gates·h·(in + h), + h·projection if projected.
    other = t·n · Σ of gates·h (joining the two products) + 2·gates·h with biases + cell functions.
    Each weight is read once (kept on chip over time steps).
    Source: docs/model/counting.md, eq. 5.
    """
    assert isinstance(op.attrs, RnnAttrs)
    attrs = op.attrs
    steps = sequence_steps(attrs, inputs)
    other = sum(
        cell.gates * attrs.hidden_size * (3 if attrs.has_bias else 1) + attrs.hidden_size * _CELL_FLOPS[attrs.cell]
        for cell in rnn_cells(attrs, inputs[0].shape[-1])
    )
    return streaming_cost(op, inputs, outputs, macs=rnn_product_macs(attrs, inputs), other_flops=steps * other)


@dataclass(frozen=True, slots=True)
class RnnCell:
    """One direction of one layer."""

    layer: int
    gates: int
    input_size: int
    state_size: int


def rnn_cells(attrs: RnnAttrs, input_size: int) -> list[RnnCell]:
    """Unroll a recurrent layer over its layers and directions (not over time)."""
    directions = 2 if attrs.bidirectional else 1
    state = attrs.projection_size or attrs.hidden_size
    return [
        RnnCell(layer, GATES[attrs.cell], input_size if layer == 0 else directions * state, state)
        for layer in range(attrs.layers)
        for _ in range(directions)
    ]


def sequence_steps(_attrs: RnnAttrs, inputs: Tensors) -> int:
    """Time steps · batch: all of x but its feature axis."""
    x = inputs[0]
    return x.numel // x.shape[-1] if x.shape[-1] else 0


def rnn_product_macs(attrs: RnnAttrs, inputs: Tensors) -> int:
    """MACs of a recurrent layer's matrix products over all steps, layers and directions."""
    hidden = attrs.hidden_size
    per_step = sum(
        cell.gates * hidden * (cell.input_size + cell.state_size) + hidden * attrs.projection_size
        for cell in rnn_cells(attrs, inputs[0].shape[-1])
    )
    return sequence_steps(attrs, inputs) * per_step


def rnn_backward_macs(attrs: RnnAttrs, inputs: Tensors, gradients: Container[str]) -> int:
    """MACs of the backward pass: weight gradients, and gradients of inputs and states that need one.

    Weights: as the forward pass. Inputs: of every layer but the first, and of the first if x needs it. States: of every
    step but the first, whose state is given (and of that too if it is learned).
    """
    x = inputs[0]
    states = [t for t in inputs[1:] if t.role is not TensorRole.PARAMETER]
    steps = sequence_steps(attrs, inputs)
    length = x.shape[1 if attrs.batch_first else 0] if len(x.shape) == 3 else 1
    later_steps = steps if any(t.name in gradients for t in states) else steps - steps // max(length, 1)
    macs = rnn_product_macs(attrs, inputs) if any(t.name in gradients for t in inputs[1:]) else 0
    for cell in rnn_cells(attrs, x.shape[-1]):
        gate_rows = cell.gates * attrs.hidden_size
        macs += later_steps * gate_rows * cell.state_size + steps * attrs.hidden_size * attrs.projection_size
        if cell.layer > 0 or x.name in gradients:
            macs += steps * gate_rows * cell.input_size
    return macs
