"""Attention that a file spells out: a product, its softmax, and the product that weighs values by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Flag, auto
from typing import Final

from estimator.ir.op import Op, OpKind
from estimator.lowering.patterns import is_elementwise, multiplies_by_one_number
from estimator.lowering.rule import KernelContext, OpContext

_PRODUCTS: Final = frozenset({OpKind.MATMUL, OpKind.EINSUM})
_ROWWISE: Final = frozenset({OpKind.SOFTMAX, OpKind.REDUCE})


class Part(Flag):
    """What an op does in softmax(query · keyᵀ) · value; the values of one attention may be the queries of the next."""

    SCALE = auto()
    """Multiplies query or key by one number."""
    SCORES = auto()
    BETWEEN = auto()
    """Scale, mask, softmax, and what guards rows that are masked whole."""
    WEIGHTED_SUM = auto()


@dataclass(frozen=True, slots=True)
class AttentionRole:
    """An op's part in an attention.

    Attributes
    ----------
    filled : tuple of int
        Positions of operands that hold one number throughout, which a kernel makes rather than reads.
    """

    parts: Part
    filled: tuple[int, ...]


_NONE: Final = AttentionRole(Part(0), ())


def attention_role(op: Op, context: OpContext) -> AttentionRole:
    """Return the role that `attention_roles` found."""
    role = context.role(op)
    return role if isinstance(role, AttentionRole) else _NONE


def attention_roles(context: KernelContext) -> Mapping[str, AttentionRole]:
    """Find the ops of every attention whose scores nothing else reads, by name."""
    parts: dict[str, Part] = {}
    ops: dict[str, Op] = {}

    def add(op: Op, part: Part) -> None:
        ops[op.name] = op
        parts[op.name] = parts.get(op.name, Part(0)) | part

    for op in context.kernel_ops:
        found = _rest_of_attention(op, context) if _multiplies_activations(op, context) else None
        if found is None:
            continue
        between, weighted_sum = found
        add(op, Part.SCORES)
        add(weighted_sum, Part.WEIGHTED_SUM)
        for one in between:
            add(one, Part.BETWEEN)
        for factor in map(context.kernel_op_behind, op.inputs[:2]):
            if factor is not None and multiplies_by_one_number(factor, context) and context.use_count(factor) == 1:
                add(factor, Part.SCALE)
    return {name: AttentionRole(part, _filled(ops[name], context)) for name, part in parts.items()}


def _rest_of_attention(scores: Op, context: KernelContext) -> tuple[list[Op], Op] | None:
    """Return (what lies between, weighted sum) of the attention that begins here; None where none does."""
    between: dict[str, Op] = {}
    ends: dict[str, Op] = {}
    unread = [scores]
    while unread:
        op = unread.pop()
        readers = context.kernel_readers(op.outputs[0])
        if len(readers) < context.use_count(op):
            return None  # a result of the network
        for reader in readers:
            if _multiplies_activations(reader, context):
                ends[reader.name] = reader
            elif reader.kind not in _ROWWISE and not is_elementwise(reader, context):
                return None
            elif reader.name not in between:
                between[reader.name] = reader
                unread.append(reader)
    softened = any(op.kind is OpKind.SOFTMAX for op in between.values())
    return (list(between.values()), ends.popitem()[1]) if softened and len(ends) == 1 else None


def _multiplies_activations(op: Op, context: OpContext) -> bool:
    return op.kind in _PRODUCTS and not any(context.is_constant(name) for name in op.inputs[:2])


def _filled(op: Op, context: KernelContext) -> tuple[int, ...]:
    makers = [context.producer_in_graph(name) if context.is_constant(name) else None for name in op.inputs]
    return tuple(index for index, maker in enumerate(makers) if maker is not None and maker.kind is OpKind.FILL)
