"""What exp, erf, divisions and roots take of a vector unit in generated loops, beside the FLOP that each counts as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from estimator.ir.graph import SpecBook
from estimator.ir.op import NormAttrs, Op, OpKind
from estimator.lowering.classify import function_of
from estimator.lowering.patterns import computes_statistics


@dataclass(frozen=True, slots=True)
class SpecialCosts:
    """Slots of the vector units that one element takes, as FLOPs at the peak rate (two per slot).

    Attributes
    ----------
    functions : mapping of str to int
        By the function of an activation, unary or binary op; 0 for others.
    batch_norm, softmax : int
        1 ÷ sqrt(variance + ε), which is evaluated per element, inside the loop over pixels; exp and a division.
    """

    functions: Mapping[str, int]
    batch_norm: int
    softmax: int


CPU_COSTS: Final = SpecialCosts(
    functions={
        "exp": 40, "sigmoid": 80, "silu": 80, "swish": 80, "gelu": 100, "gelu_tanh": 100, "quick_gelu": 80, "tanh": 100,
        "erf": 100, "mish": 200, "softplus": 100, "elu": 40, "selu": 40, "celu": 40, "log": 40, "log_sigmoid": 100,
        "pow": 120, "div": 40, "sqrt": 60, "rsqrt": 100, "sin": 60, "cos": 60, "reciprocal": 40,
    },
    batch_norm=120,
    softmax=80,
)  # fmt: skip
"""exp by a polynomial is about 20 instructions, erf and tanh about 50; dividing 16 floats occupies the divider for 10
cycles (20 slots), a square root for 20 (Fog, instruction tables, Skylake-X)."""

GPU_COSTS: Final = SpecialCosts(
    functions={
        "exp": 20, "sigmoid": 48, "silu": 48, "swish": 48, "gelu": 64, "gelu_tanh": 64, "quick_gelu": 48, "tanh": 60,
        "erf": 60, "mish": 120, "softplus": 60, "elu": 20, "selu": 20, "celu": 20, "log": 40, "log_sigmoid": 60,
        "pow": 120, "div": 24, "sqrt": 32, "rsqrt": 16, "sin": 40, "cos": 40, "reciprocal": 24,
    },
    batch_norm=56,
    softmax=44,
)  # fmt: skip
"""An SM has 16 special-function lanes beside 128 of fp32 (CUDA C++ programming guide, throughput of native arithmetic
instructions: 8 slots, 16 FLOPs, each). exp is one of them and two multiplications, a division one and some corrections,
a rounded square root one and eight; erf and tanh are polynomials of about 30 instructions (counted, not measured)."""


def special_flops(op: Op, graph: SpecBook, costs: SpecialCosts) -> int:
    """Slots that an op takes in a generated loop, as FLOPs."""
    elements = graph.tensors[op.outputs[0]].numel if op.outputs else 0
    if isinstance(op.attrs, NormAttrs):
        normalises = op.attrs.function == "batch" and not computes_statistics(op, graph)
        return elements * costs.batch_norm * normalises
    if op.kind is OpKind.SOFTMAX:
        return elements * costs.softmax
    return elements * costs.functions.get(function_of(op), 0)
