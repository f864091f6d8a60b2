"""Predicates that rule lists are written in."""

from __future__ import annotations

from estimator.costs.normalisation import has_stored_statistics
from estimator.ir.graph import SpecBook
from estimator.ir.op import ConvAttrs, CopyAttrs, FunctionAttrs, NormAttrs, Op, OpKind
from estimator.lowering.rule import OpContext, OpPredicate

PRODUCT_KINDS = frozenset(
    {OpKind.CONV, OpKind.DEFORM_CONV, OpKind.LINEAR, OpKind.MATMUL, OpKind.EINSUM, OpKind.ATTENTION, OpKind.RNN}
)
REDUCTION_KINDS = frozenset({OpKind.SOFTMAX, OpKind.REDUCE, OpKind.ADAPTIVE_POOL})
ELEMENTWISE_KINDS = frozenset({OpKind.ACTIVATION, OpKind.UNARY, OpKind.BINARY, OpKind.TERNARY, OpKind.CAST})


def any_of(*kinds: OpKind) -> OpPredicate:
    """Match ops of the given kinds."""
    wanted = frozenset(kinds)
    return lambda op, context: op.kind in wanted


def is_batch_norm(op: Op) -> bool:
    """Batch norm at inference: a per-channel scale and shift."""
    return isinstance(op.attrs, NormAttrs) and op.attrs.function == "batch"


def computes_statistics(op: Op, graph: SpecBook) -> bool:
    """Whether a batch norm reduces its input rather than applying stored statistics (weight standardisation)."""
    if not is_batch_norm(op):
        return False
    return not has_stored_statistics(op, tuple(graph.tensors[name] for name in op.inputs))


def is_norm_reduction(op: Op) -> bool:
    """Layer, group, instance or RMS norm."""
    return isinstance(op.attrs, NormAttrs) and op.attrs.function != "batch"


def is_elementwise(op: Op, context: OpContext) -> bool:
    """One output element per input element, no reordering."""
    return op.kind in ELEMENTWISE_KINDS or is_batch_norm(op)


def is_function(op: Op, *functions: str) -> bool:
    """Match by function name."""
    return isinstance(op.attrs, FunctionAttrs) and op.attrs.function in functions


def multiplies_by_one_number(op: Op, context: OpContext) -> bool:
    """Match x · c and x ÷ c; a number that the source gives as such is no input."""
    tensors = [n for n in op.inputs if not (context.is_constant(n) and context.graph.tensors[n].numel == 1)]
    return len(tensors) == 1 and (is_function(op, "mul") or (is_function(op, "div") and tensors[0] == op.inputs[0]))


def is_transposing_copy(op: Op) -> bool:
    """Whether a copy changes element order."""
    return op.kind is OpKind.COPY and isinstance(op.attrs, CopyAttrs) and op.attrs.transposing


def same_extent(op: Op, context: OpContext) -> bool:
    """Output as large as the largest input: no broadcast growth, no shrinking."""
    tensors = context.graph.tensors
    inputs = [tensors[n].numel for n in op.inputs if not tensors[n].is_weight]
    return bool(inputs) and max(inputs) == tensors[op.outputs[0]].numel


def is_depthwise(op: Op, context: OpContext) -> bool:
    """Whether a convolution has one input channel per group."""
    return (
        op.kind is OpKind.CONV
        and isinstance(op.attrs, ConvAttrs)
        and op.attrs.groups > 1
        and context.graph.tensors[op.inputs[1]].shape[1] == 1
    )
