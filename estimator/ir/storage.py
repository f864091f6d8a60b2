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


def activation_storages(graph: Graph) -> dict[str, str]:
    """Map every graph input and result to the tensor that its storage was made for, but what lives in a weight."""
    storage = {name: name for name in graph.inputs} | {name: name for op in graph.ops for name in op.outputs}
    for op in graph.ops:
        if (op.in_place or op.kind in ALIASING) and is_alias(op):
            base = storage.get(op.inputs[0])
            for name in op.outputs:
                if base is None:
                    del storage[name]
                else:
                    storage[name] = base
    return storage
