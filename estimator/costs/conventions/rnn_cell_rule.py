"""The recurrent-cell arithmetic that ptflops and DeepSpeed share word for word, with 1 or 2 per MAC.

Source: ptflops 0.7.5 pytorch_ops.py and DeepSpeed 0.19 profiler.py, `rnn_flops`.
"""

from __future__ import annotations

from estimator.costs.recurrent import GATES
from estimator.ir.op import RnnAttrs

_HIDDEN_OPS = {"LSTM": 4 + 3 + 3, "GRU": 1 + 3 + 3, "RNN": 1}
"""Per hidden unit: gate additions, Hadamard products, as both tools have them."""


def rnn_layer_work(attrs: RnnAttrs, input_size: int) -> tuple[int, int, int]:
    """(products, other, bias) per time step and sample of all layers of *one* direction.

    Both tools read the forward direction's weights only and double the sum for a bidirectional layer.
    """
    gates, hidden = GATES[attrs.cell], attrs.hidden_size
    family = "RNN" if attrs.cell.startswith("rnn") else attrs.cell.upper()
    state = attrs.projection_size or hidden
    directions = 2 if attrs.bidirectional else 1
    products = other = bias = 0
    for layer in range(attrs.layers):
        width = input_size if layer == 0 else directions * state
        products += gates * hidden * (width + state)
        other += hidden * _HIDDEN_OPS[family]
        bias += 2 * gates * hidden if attrs.has_bias else 0
    return products, other, bias
