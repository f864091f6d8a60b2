"""The key/value cache of a decoder: what attention must keep from one token to the next."""

from __future__ import annotations

from dataclasses import dataclass

from estimator.ir.graph import Graph
from estimator.ir.op import AttentionAttrs, OpKind

_UNCHANGED = frozenset({OpKind.VIEW, OpKind.IDENTITY, OpKind.COPY})


@dataclass(frozen=True, slots=True)
class KvCache:
    """Shape of a cache.

    Attributes
    ----------
    values_per_token : int
        Elements kept per position and sequence: over all layers, key plus value heads × head extent.
    element_bits : int
        Storage bits of one element.
    """

    values_per_token: int
    element_bits: int

    def size_bytes(self, positions: int, sequences: int = 1) -> int:
        """Bytes for `sequences` sequences of `positions` tokens each."""
        return (self.values_per_token * positions * sequences * self.element_bits + 7) // 8

    @classmethod
    def of_layers(cls, layers: int, kv_heads: int, head_extent: int, element_bits: int = 16) -> KvCache:
        """Cache of a plain decoder: 2 · layers · kv_heads · head_extent values per token."""
        return cls(2 * layers * kv_heads * head_extent, element_bits)

    @classmethod
    def of_graph(cls, graph: Graph, element_bits: int | None = None) -> KvCache | None:
        """Cache that a decoder's prefill graph fills; None if it has no causal attention.

        Keys and values that were repeated for grouped-query attention are counted once: the smallest tensor on the way
        back through views and copies is the one that is kept.
        """
        values, bits = 0, 0
        for op in graph.ops:
            if op.kind is not OpKind.ATTENTION or not isinstance(op.attrs, AttentionAttrs) or not op.attrs.causal:
                continue
            key = graph.tensors[op.inputs[1]]
            positions = key.shape[0] * key.shape[-2]
            values += sum(_kept_numel(graph, name) for name in op.inputs[1:3]) // max(1, positions)
            bits = key.dtype.bits
        return cls(values, element_bits or bits) if values else None


def _kept_numel(graph: Graph, name: str) -> int:
    smallest = graph.tensors[name].numel
    producer = graph.producer_of.get(name)
    while producer is not None and producer.kind in _UNCHANGED:
        name = producer.inputs[0]
        smallest = min(smallest, graph.tensors[name].numel)
        producer = graph.producer_of.get(name)
    return smallest
