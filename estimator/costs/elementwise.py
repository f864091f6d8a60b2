"""Elementwise ops: activations, unary, binary, ternary arithmetic, casts and quantisation."""

from __future__ import annotations

from estimator.costs.opcost import OpCost
from estimator.costs.registry import Tensors, cost_of
from estimator.costs.traffic import streaming_cost
from estimator.ir.op import FunctionAttrs, Op, OpKind

ACTIVATION_FLOPS = {
    "relu": 1,           # max
    "relu6": 2,          # max, min
    "hardtanh": 2,
    "leaky_relu": 2,     # compare, multiply
    "prelu": 2,
    "threshold": 1,
    "elu": 4,            # compare, exp, subtract, multiply
    "celu": 5,
    "selu": 5,
    "sigmoid": 4,        # negate, exp, add, divide
    "log_sigmoid": 4,
    "tanh": 1,           # one transcendental
    "softplus": 3,       # exp, add, log
    "softsign": 3,
    "mish": 5,           # softplus, tanh, multiply
    "silu": 5,           # sigmoid, multiply
    "swish": 5,
    "gelu": 5,           # scale, erf, add, times x, times ½
    "gelu_tanh": 9,      # x³ 2, times, add, times, tanh, add, times x, times ½
    "quick_gelu": 6,
    "hardsigmoid": 4,    # add, max, min, times
    "hardswish": 5,
    "glu": 5,
}  # fmt: skip
"""Per element; a transcendental is one. Others not listed: 1."""
_TERNARY_FLOPS = {"addcmul": 3, "addcdiv": 3, "lerp": 3, "clamp_tensor": 2, "where": 1}
_UNARY_FLOPS = {"clamp": 2, "square": 1, "sigmoid": 4}
_QUANTISE_FLOPS = 3
"""Scale, add the zero point, round."""
_DEQUANTISE_FLOPS = 2
"""Subtract the zero point, scale."""


def _function(op: Op) -> str:
    return op.attrs.function if isinstance(op.attrs, FunctionAttrs) else ""


@cost_of(OpKind.ACTIVATION)
def activation_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Activation, x[...] -> same shape.

    other = numel(out) · per element; relu is 1, not free.
    Source: docs/model/counting.md, table 2.
    """
    return streaming_cost(op, inputs, outputs, other_flops=outputs[0].numel * ACTIVATION_FLOPS.get(_function(op), 1))


@cost_of(OpKind.UNARY)
def unary_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Unary arithmetic, x[...] -> same shape.

    other = numel(out); clamp 2.
    Source: docs/model/counting.md, table 2.
    """
    return streaming_cost(op, inputs, outputs, other_flops=outputs[0].numel * _UNARY_FLOPS.get(_function(op), 1))


@cost_of(OpKind.BINARY)
def binary_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Binary arithmetic or comparison with broadcasting, a, b -> broadcast shape.

    other = numel(out).
    Source: docs/model/counting.md, table 2.
    """
    return streaming_cost(op, inputs, outputs, other_flops=outputs[0].numel)


@cost_of(OpKind.TERNARY)
def ternary_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Three-operand arithmetic with broadcasting.

    other = numel(out) · (1 where, 2 clamp, 3 addcmul, addcdiv, lerp).
    Source: docs/model/counting.md, table 2.
    """
    return streaming_cost(op, inputs, outputs, other_flops=outputs[0].numel * _TERNARY_FLOPS.get(_function(op), 1))


@cost_of(OpKind.CAST)
def cast_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Change of element type: traffic, no arithmetic.

    Source: docs/model/counting.md, table 2.
    """
    return streaming_cost(op, inputs, outputs)


@cost_of(OpKind.QUANTIZE)
def quantize_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Float to integer, x[...] -> same shape.

    other = 3 · numel(out).
    Source: docs/model/counting.md, table 2.
    """
    return streaming_cost(op, inputs, outputs, other_flops=outputs[0].numel * _QUANTISE_FLOPS)


@cost_of(OpKind.DEQUANTIZE)
def dequantize_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Integer to float, x[...] -> same shape.

    other = 2 · numel(out).
    Source: docs/model/counting.md, table 2.
    """
    return streaming_cost(op, inputs, outputs, other_flops=outputs[0].numel * _DEQUANTISE_FLOPS)
