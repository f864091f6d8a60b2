"""Peak live bytes of many graphs at once: liveness as arithmetic on flat arrays.

The same rules as `memory.liveness` under the graph executor (freed after the last reader; inputs and outputs are held
to the end), for architecture search, where thousands of candidates share few distinct operators.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from estimator.ir.graph import Graph
from estimator.ir.storage import is_alias
from estimator.memory.executor import executor_model

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FlatGraphs:
    """Graphs as arrays; nodes and values are numbered across the whole batch, graph after graph.

    Attributes
    ----------
    node_offsets : array [graph + 1]
        First node of each graph, then the number of all nodes; every graph has a node.
    value_node : array [value]
        The node that writes each value.
    value_bytes : array [value]
        Rounded up to the allocator's alignment.
    value_base : array [value]
        The value in whose storage it lives: an earlier one for views and in-place results, itself otherwise.
    edge_node, edge_value : array [edge]
        Which node reads which value; reads of weights and graph inputs are left out.
    output_value : array [output]
        Values that the caller keeps.
    held_bytes : array [graph]
        Graph inputs.
    """

    node_offsets: IntArray
    value_node: IntArray
    value_bytes: IntArray
    value_base: IntArray
    edge_node: IntArray
    edge_value: IntArray
    output_value: IntArray
    held_bytes: IntArray


def peak_live_bytes(batch: FlatGraphs) -> IntArray:
    """Largest Σ of live activations of each graph, inputs included.

    Returns
    -------
    array [graph]
        Bytes; weights, workspace and KV cache excluded.
    """
    node_count = int(batch.node_offsets[-1])
    storage = _storages(batch.value_base)
    last = np.zeros(len(storage), dtype=np.int64)
    np.maximum.at(last, storage, batch.value_node)
    np.maximum.at(last, storage[batch.edge_value], batch.edge_node)
    final_node = np.repeat(batch.node_offsets[1:] - 1, np.diff(batch.node_offsets))
    kept = storage[batch.output_value]
    last[kept] = final_node[batch.value_node[kept]]
    own = storage == np.arange(len(storage))
    first, end, size = batch.value_node[own], last[own] + 1, batch.value_bytes[own].astype(np.float64)
    change = np.bincount(first, size, node_count + 1) - np.bincount(end, size, node_count + 1)
    live = np.cumsum(change)[:node_count]
    peak = np.maximum.reduceat(live, batch.node_offsets[:-1])
    return np.asarray(np.rint(peak), dtype=np.int64) + batch.held_bytes


def _storages(base: IntArray) -> IntArray:
    """Follow chains of aliases to the value that owns the storage, doubling the stride each time."""
    storage = base
    while True:
        further = storage[storage]
        if np.array_equal(further, storage):
            return storage
        storage = further


def flatten(graphs: Sequence[Graph], runtime: str = "torch-export") -> FlatGraphs:
    """Lay graphs out as arrays; each op that launches something is a node.

    A view is a value of its base's node; it reads nothing. What lives in the storage of a graph input or a weight is no
    value.
    """
    alignment = executor_model(runtime).alignment_bytes
    offsets, held = [0], []
    nodes: list[int] = []
    sizes: list[int] = []
    bases: list[int] = []
    edges: list[tuple[int, int]] = []
    outputs: list[int] = []
    for graph in graphs:
        number: dict[str, int] = {}
        held.append(sum(_rounded(graph.tensors[name].size_bytes, alignment) for name in graph.inputs))
        node = offsets[-1]
        for op in graph.ops:
            alias = is_alias(op)
            base = number.get(op.inputs[0]) if alias else None
            launches = op.in_place or not alias
            if launches:
                edges += [(node, number[name]) for name in op.inputs if name in number]
            for name in op.outputs if base is not None or not alias else ():
                number[name] = len(nodes)
                bases.append(number[name] if base is None else base)
                nodes.append(node if launches or base is None else nodes[base])
                sizes.append(_rounded(graph.tensors[name].size_bytes, alignment))
            node += launches
        outputs += [number[name] for name in graph.outputs if name in number]
        offsets.append(max(node, offsets[-1] + 1))
    pairs = np.array(edges, dtype=np.int64).reshape(-1, 2)
    node_offsets, held_bytes = np.array(offsets, dtype=np.int64), np.array(held, dtype=np.int64)
    value_node, value_bytes, value_base = (np.array(x, dtype=np.int64) for x in (nodes, sizes, bases))
    output_value = np.array(outputs, dtype=np.int64)
    return FlatGraphs(
        node_offsets, value_node, value_bytes, value_base, pairs[:, 0], pairs[:, 1], output_value, held_bytes
    )


def _rounded(size_bytes: int, alignment_bytes: int) -> int:
    return -(-size_bytes // alignment_bytes) * alignment_bytes
