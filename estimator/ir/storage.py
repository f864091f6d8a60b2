"""Which tensors share memory: views, identities and in-place results live in the storage of their op's input 0."""

from __future__ import annotations

from typing import Final

from estimator.ir.graph import Graph
from estimator.ir.op import Op, OpKind

ALIASING: Final = frozenset({OpKind.VIEW, OpKind.IDENTITY})
"""Kinds that move nothing unless they write in place."""


def is_alias(op: Op) -> bool:
    """Whether the op's outputs live in the storage of its input 0."""
    return bool(op.inputs) and (op.in_place or op.kind in ALIASING)


def storage_of(graph: Graph) -> dict[str, str]:
    """Map every tensor that lives in another one's storage to the tensor that the storage was made for."""
    owner: dict[str, str] = {}
    for op in graph.ops:
        if is_alias(op):
            base = owner.get(op.inputs[0], op.inputs[0])
            for name in op.outputs:
                owner[name] = base
    return owner
