"""The index arrays of a batch, checked all at once with array arithmetic.

Every rule of `GraphBatch` in graph.proto is checked here, over the whole batch, before a graph is built;
a broken array is the request's error, not an item's, and the message names array and position.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from estimator.errors import BadOptionError
from estimator.ir.op import Attrs, OpKind
from estimator.ir.tensor import TensorRole, TensorSpec
from estimator.service.limits import Limits
from estimator.v1 import graph_pb2 as pb

Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class DistinctOp:
    """One entry of the dictionary.

    Attributes
    ----------
    operands : tuple of TensorSpec
        Without names; a weight role means a weight of its own, ACTIVATION means fed by an edge.
    source_role : TensorRole or None
        Set for a graph input or shared weight, which is no operator.
    """

    kind: OpKind
    attrs: Attrs
    operands: tuple[TensorSpec, ...]
    results: tuple[TensorSpec, ...]
    in_place: bool
    source_role: TensorRole | None

    @property
    def fed(self) -> tuple[TensorSpec, ...]:
        """The operands that edges feed, in order."""
        return tuple(t for t in self.operands if t.role is TensorRole.ACTIVATION)


@dataclass(frozen=True, slots=True)
class BatchArrays:
    """The index arrays of a checked batch; values are numbered over the whole batch.

    Attributes
    ----------
    first_value : array, [nodes + 1]
        First value of each node, then the number of all values.
    source_value : array, [edges]
        Value read by each edge.
    outputs : array, [all outputs]
        Output values, cut by `output_offsets`, [graphs + 1].
    call_values : array, [all values of calls]
        Cut by `call_value_offsets`, [2 · calls + 1], into inputs and outputs of each call; calls are cut by
        `call_offsets`, [graphs + 1].
    """

    graph_offsets: Index
    op_index: Index
    edge_offsets: Index
    first_value: Index
    source_value: Index
    output_offsets: Index
    outputs: Index
    call_offsets: Index
    call_value_offsets: Index
    call_values: Index


def check_arrays(message: pb.GraphBatch, ops: Sequence[DistinctOp], limits: Limits) -> BatchArrays:
    """Check every rule of the index arrays, in order of dependence.

    Raises
    ------
    BadOptionError
        A rule is broken.
    RequestLimitError
        The batch would unfold to more than is accepted.
    """
    op_index = _index(message.op_index)
    node_count = len(op_index)
    _require("op_index", (op_index < 0) | (op_index >= len(ops)), op_index, f"an entry of ops, 0 … {len(ops) - 1}")
    graph_offsets = _offsets("graph_offsets", message.graph_offsets, node_count)
    _check_sizes(ops, op_index, graph_offsets, limits)
    edge_src = _index(message.edge_src)
    edge_offsets = _offsets("edge_offsets", message.edge_offsets, len(edge_src), node_count)

    fed_count = np.array([len(op.fed) for op in ops], dtype=np.int64)[op_index]
    edge_count = np.diff(edge_offsets)
    _require("edge_offsets", edge_count != fed_count, edge_offsets[:-1], "as many edges as the operator has operands")

    result_count = np.array([len(op.results) for op in ops], dtype=np.int64)[op_index]
    first_value = np.concatenate([np.zeros(1, np.int64), np.cumsum(result_count)])
    graph_base = np.repeat(first_value[graph_offsets[:-1]], np.diff(graph_offsets))  # of each node
    reader = np.repeat(np.arange(node_count), edge_count)
    source_value = edge_src + graph_base[reader]
    late = (edge_src < 0) | (source_value >= first_value[reader])
    _require("edge_src", late, edge_src, "a value of an earlier node of the same graph")
    _check_types(ops, op_index, source_value, edge_src)
    outputs = _check_outputs(message, graph_offsets, first_value)
    calls = _check_calls(message, graph_offsets, first_value)
    return BatchArrays(graph_offsets, op_index, edge_offsets, first_value, source_value, *outputs, *calls)


def _check_sizes(ops: Sequence[DistinctOp], op_index: Index, graph_offsets: Index, limits: Limits) -> None:
    """Refuse what would unfold: a small message can use a wide operator a million times."""
    limits.check("ops", int(np.diff(graph_offsets).max(initial=0)))
    tensor_count = np.array([len(op.operands) + len(op.results) for op in ops], dtype=np.int64)[op_index]
    up_to = np.concatenate([np.zeros(1, np.int64), np.cumsum(tensor_count)])
    limits.check("batch_tensors", int(up_to[-1]))
    limits.check("tensors", int(np.diff(up_to[graph_offsets]).max(initial=0)))


def _check_types(ops: Sequence[DistinctOp], op_index: Index, source_value: Index, edge_src: Index) -> None:
    """Check that each edge's value has the type that the operand declares."""
    type_ids: dict[tuple[object, ...], int] = {}

    def ids(specs: Iterable[TensorSpec]) -> list[int]:
        return [type_ids.setdefault((t.shape, t.dtype, t.quantised, t.strides), len(type_ids)) for t in specs]

    value_types = _gather([ids(op.results) for op in ops], op_index)
    wanted_types = _gather([ids(op.fed) for op in ops], op_index)
    _require("edge_src", value_types[source_value] != wanted_types, edge_src, "a value of the operand's type")


def _check_outputs(message: pb.GraphBatch, graph_offsets: Index, first_value: Index) -> tuple[Index, Index]:
    outputs = _index(message.output_src)
    if not message.output_offsets:
        _require("output_src", np.ones(len(outputs), bool), outputs, "nothing where output_offsets is empty")
        return outputs, outputs
    offsets = _offsets("output_offsets", message.output_offsets, len(outputs), len(graph_offsets) - 1)
    graph = np.repeat(np.arange(len(graph_offsets) - 1), np.diff(offsets))
    return offsets, _in_graph("output_src", outputs, graph, graph_offsets, first_value)


def _check_calls(message: pb.GraphBatch, graph_offsets: Index, first_value: Index) -> tuple[Index, Index, Index]:
    cuts, values = _index(message.call_value_offsets), _index(message.call_values)
    if not message.call_offsets:
        _require("call_value_offsets", np.ones(len(cuts), bool), cuts, "nothing where call_offsets is empty")
        _require("call_values", np.ones(len(values), bool), values, "nothing where call_offsets is empty")
        return _index(()), cuts, values
    call_count = max(len(cuts) - 1, 0) // 2
    offsets = _offsets("call_offsets", message.call_offsets, call_count, len(graph_offsets) - 1)
    _offsets("call_value_offsets", message.call_value_offsets, len(values), 2 * call_count)
    graph_of_call = np.repeat(np.arange(len(graph_offsets) - 1), np.diff(offsets))
    graph = np.repeat(np.repeat(graph_of_call, 2), np.diff(cuts))
    return offsets, cuts, _in_graph("call_values", values, graph, graph_offsets, first_value)


def _in_graph(name: str, values: Index, graph: Index, graph_offsets: Index, first_value: Index) -> Index:
    """Check that values are of their graphs, and number them over the whole batch."""
    base, end = first_value[graph_offsets[:-1]][graph], first_value[graph_offsets[1:]][graph]
    numbered = values + base
    _require(name, (values < 0) | (numbered >= end), values, "a value of the same graph")
    return numbered


def _gather(rows: Sequence[Sequence[int]], index: Index) -> Index:
    """Concatenate ``rows[i] for i in index`` without a loop over the index."""
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    flat = np.array([item for row in rows for item in row], dtype=np.int64)
    starts = np.cumsum(lengths) - lengths
    taken = lengths[index]
    within = np.arange(taken.sum()) - np.repeat(np.cumsum(taken) - taken, taken)
    gathered: Index = flat[np.repeat(starts[index], taken) + within]
    return gathered


def _index(values: Iterable[int]) -> Index:
    array: Index = np.asarray(values).astype(np.int64)  # protobuf hands its buffer over: no Python loop
    return array


def _offsets(name: str, values: Sequence[int], total: int, count: int | None = None) -> Index:
    """Check an offsets array: `count` + 1 entries, ascending from 0 to `total`."""
    offsets = _index(values)
    if len(offsets) != (count + 1 if count is not None else max(len(offsets), 1)):
        wanted = "one entry or more" if count is None else f"{count + 1} entries"
        raise BadOptionError(f"{name} has {len(offsets)} entries", where=f"batch.{name}", expected=wanted)
    _require(name, np.diff(offsets, prepend=0) < 0, offsets, "ascending from 0")
    if offsets[0] != 0 or offsets[-1] != total:
        raise BadOptionError(
            f"{name} runs from {offsets[0]} to {offsets[-1]}", where=f"batch.{name}", expected=f"from 0 to {total}"
        )
    return offsets


def _require(name: str, wrong: NDArray[np.bool_], values: Index, expected: str) -> None:
    if wrong.any():
        at = int(wrong.argmax())
        raise BadOptionError(f"{name}[{at}] is {values[at]}", where=f"batch.{name}[{at}]", expected=expected)
