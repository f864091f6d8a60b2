"""Attention that a file spells out: a product, its softmax, and the product that weighs values by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from estimator.ir.op import Op, OpKind
from estimator.lowering.fuse import Lowering
from estimator.lowering.patterns import is_elementwise, multiplies_by_one_number

_PRODUCTS: Final = frozenset({OpKind.MATMUL, OpKind.EINSUM})
_ROWWISE: Final = frozenset({OpKind.SOFTMAX, OpKind.REDUCE})


@dataclass(frozen=True, slots=True)
class SpelledAttention:
    """Which ops of a graph make up softmax(query · keyᵀ) · value, by name.

    Attributes
    ----------
    scores, weighted_sums : frozenset of str
        The two products of each attention.
    between : frozenset of str
        Scale, mask, softmax, and what guards rows that are masked whole.
    scales : frozenset of str
        Multiplications of query or key by one number, before the scores.
    """

    scores: frozenset[str]
    between: frozenset[str]
    weighted_sums: frozenset[str]
    scales: frozenset[str]


NO_ATTENTION: Final = SpelledAttention(frozenset(), frozenset(), frozenset(), frozenset())


def spelled_attention(lowering: Lowering) -> SpelledAttention:
    """Find every attention whose scores nothing else reads."""
    scores: set[str] = set()
    between: set[str] = set()
    sums: set[str] = set()
    scales: set[str] = set()
    for op in lowering.kernel_ops:
        found = _rest_of_attention(op, lowering) if _multiplies_activations(op, lowering) else None
        if found is not None:
            scores.add(op.name)
            between |= found[0]
            sums.add(found[1])
            factors = (lowering.producer(name) for name in op.inputs[:2])
            scales.update(one.name for one in factors if one is not None and _is_scale(one, lowering))
    return SpelledAttention(frozenset(scores), frozenset(between), frozenset(sums), frozenset(scales))


def _rest_of_attention(scores: Op, lowering: Lowering) -> tuple[set[str], str] | None:
    """Return (what lies between, weighted sum) of the attention that begins here; None where none does."""
    between: dict[str, Op] = {}
    ends: set[str] = set()
    unread = [scores]
    while unread:
        op = unread.pop()
        readers = [lowering.kernel_ops[i] for i in lowering.reader_indices.get(lowering.root(op.outputs[0]), ())]
        if len(readers) < lowering.use_count(op):
            return None  # a result of the network
        for reader in readers:
            if _multiplies_activations(reader, lowering):
                ends.add(reader.name)
            elif reader.kind not in _ROWWISE and not is_elementwise(reader, lowering):
                return None
            elif reader.name not in between:
                between[reader.name] = reader
                unread.append(reader)
    softened = any(op.kind is OpKind.SOFTMAX for op in between.values())
    return (set(between), ends.pop()) if softened and len(ends) == 1 else None


def _multiplies_activations(op: Op, lowering: Lowering) -> bool:
    return op.kind in _PRODUCTS and not any(lowering.is_constant(name) for name in op.inputs[:2])


def _is_scale(op: Op, lowering: Lowering) -> bool:
    return multiplies_by_one_number(op, lowering) and lowering.use_count(op) == 1
