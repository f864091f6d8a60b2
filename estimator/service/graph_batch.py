"""Read a dictionary-encoded batch: check all index arrays at once, then build one graph at a time.

Every rule of `GraphBatch` in graph.proto is checked here with array arithmetic, over the whole batch,
before a graph is built; a broken array is the request's error, not an item's. The inverse is
`client.batch_builder`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from estimator.errors import BadOptionError, GraphError
from estimator.ir.graph import Graph
from estimator.ir.op import Attrs, NoAttrs, Op, OpKind
from estimator.ir.tensor import TensorRole, TensorSpec
from estimator.ir.validate import validate
from estimator.service.graph_message import ROLE_OF, attrs_from_message, kind_from_message, tensor_from_type
from estimator.service.limits import Limits
from estimator.v1 import graph_pb2 as pb

Index = NDArray[np.int64]

_SOURCES: Final = (TensorRole.INPUT, TensorRole.PARAMETER, TensorRole.BUFFER, TensorRole.CONSTANT)


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
    """

    graph_offsets: Index
    op_index: Index
    edge_offsets: Index
    first_value: Index
    source_value: Index
    output_offsets: Index
    outputs: Index


class GraphBatch:
    """The graphs of one batch message.

    Parameters
    ----------
    message : estimator.v1.GraphBatch
        As received.
    limits : Limits
        Sizes that are accepted.

    Raises
    ------
    RequestLimitError
        Too many graphs, nodes or distinct operators.
    BadOptionError
        An index array breaks a rule; the message names array and position.
    GraphError
        An entry of the dictionary is wrong.
    """

    def __init__(self, message: pb.GraphBatch, limits: Limits) -> None:
        limits.check("distinct_ops", len(message.ops))
        limits.check("graphs", len(message.graph_offsets) - 1)
        limits.check("nodes", len(message.op_index))
        self.ops = tuple(_distinct_op(op, f"ops[{i}]") for i, op in enumerate(message.ops))
        self._arrays = _check(message, self.ops, limits)

    def __len__(self) -> int:
        return len(self._arrays.graph_offsets) - 1

    def fingerprint(self, index: int) -> bytes:
        """Equal for two graphs of the batch exactly if they are the same network."""
        arrays = self._arrays
        begin, end = arrays.graph_offsets[index : index + 2]
        base = arrays.first_value[begin]
        reads = arrays.source_value[arrays.edge_offsets[begin] : arrays.edge_offsets[end]] - base
        parts = [arrays.op_index[begin:end], reads]  # how many reads there are, the operators say
        if len(arrays.output_offsets):
            first, last = arrays.output_offsets[index : index + 2]
            parts.append(arrays.outputs[first:last] - base)
        return b"".join([int(end - begin).to_bytes(8), *(part.tobytes() for part in parts)])

    def graph(self, index: int) -> Graph:
        """Build and validate graph number `index`; its values are named ``v0``, ``v1`` and so on.

        Raises
        ------
        GraphError
            The graph is empty or breaks an invariant.
        """
        arrays = self._arrays
        begin, end = arrays.graph_offsets[index : index + 2].tolist()
        if begin == end:
            raise GraphError("the graph has no operators", where="graph_offsets", expected="one or more nodes")
        base = int(arrays.first_value[begin])
        nodes = zip(
            arrays.op_index[begin:end].tolist(),
            (arrays.first_value[begin:end] - base).tolist(),
            arrays.edge_offsets[begin:end].tolist(),
            strict=True,
        )
        first_edge = int(arrays.edge_offsets[begin])
        reads = (arrays.source_value[first_edge : int(arrays.edge_offsets[end])] - base).tolist()
        tensors: dict[str, TensorSpec] = {}
        ops: list[Op] = []
        for number, (entry, value, edge) in enumerate(nodes):
            op = self.ops[entry]
            outputs = _declare(tensors, op, value)
            if op.source_role is None:
                inputs = _operands(tensors, op, number, reads[edge - first_edge :])
                ops.append(Op(f"{op.kind}_{number}", op.kind, inputs, outputs, op.attrs, in_place=op.in_place))
        return validate(
            Graph(
                name="network",
                tensors=tensors,
                inputs=tuple(name for name, t in tensors.items() if t.role is TensorRole.INPUT),
                outputs=self._outputs(index, base, ops),
                ops=tuple(ops),
                source_format="batch",
            )
        )

    def _outputs(self, index: int, base: int, ops: Sequence[Op]) -> tuple[str, ...]:
        arrays = self._arrays
        if len(arrays.output_offsets):
            begin, end = arrays.output_offsets[index : index + 2].tolist()
            return tuple(f"v{value}" for value in (arrays.outputs[begin:end] - base).tolist())
        read = {name for op in ops for name in op.inputs}
        return tuple(name for op in ops for name in op.outputs if name not in read)


def _declare(tensors: dict[str, TensorSpec], op: DistinctOp, value: int) -> tuple[str, ...]:
    names = []
    for offset, spec in enumerate(op.results):
        name = f"v{value + offset}"
        tensors[name] = _named(spec, name)
        names.append(name)
    return tuple(names)


def _operands(tensors: dict[str, TensorSpec], op: DistinctOp, number: int, reads: Sequence[int]) -> tuple[str, ...]:
    names = []
    edges = iter(reads)
    for position, spec in enumerate(op.operands):
        if spec.role is TensorRole.ACTIVATION:
            names.append(f"v{next(edges)}")
            continue
        name = f"w{number}.{position}"
        tensors[name] = _named(spec, name)
        names.append(name)
    return tuple(names)


def _named(spec: TensorSpec, name: str) -> TensorSpec:
    return TensorSpec(name, spec.shape, spec.dtype, spec.role, spec.quantised, spec.strides)


def _distinct_op(message: pb.BatchOp, where: str) -> DistinctOp:
    operands = []
    for position, operand in enumerate(message.operands):
        place = f"{where}.operands[{position}]"
        role = ROLE_OF.get(operand.role) if operand.role else TensorRole.ACTIVATION
        if role is None or role is TensorRole.INPUT:
            raise GraphError(f"role {operand.role} of an operand", where=place, expected="a weight role, or none")
        operands.append(tensor_from_type(operand.type, "", role, place))
    if not message.source_role:
        kind = kind_from_message(message.kind, where)
        results = tuple(
            tensor_from_type(result, "", TensorRole.ACTIVATION, f"{where}.results[{i}]")
            for i, result in enumerate(message.results)
        )
        return DistinctOp(kind, attrs_from_message(message.attrs), tuple(operands), results, message.in_place, None)
    source = ROLE_OF.get(message.source_role)
    if source not in _SOURCES or operands or len(message.results) != 1:
        raise GraphError(
            f"source_role {message.source_role} with {len(operands)} operands, {len(message.results)} results",
            where=where,
            expected="INPUT, PARAMETER, BUFFER or CONSTANT, no operands and one result",
        )
    result = tensor_from_type(message.results[0], "", source, f"{where}.results[0]")
    return DistinctOp(OpKind.IDENTITY, NoAttrs(), (), (result,), False, source)


def _check(message: pb.GraphBatch, ops: Sequence[DistinctOp], limits: Limits) -> BatchArrays:
    """Check every rule of the index arrays, in order of dependence."""
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
    output_offsets, outputs = _check_outputs(message, graph_offsets, first_value)
    return BatchArrays(graph_offsets, op_index, edge_offsets, first_value, source_value, output_offsets, outputs)


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
    base, end = first_value[graph_offsets[:-1]][graph], first_value[graph_offsets[1:]][graph]
    values = outputs + base
    _require("output_src", (outputs < 0) | (values >= end), outputs, "a value of the same graph")
    return offsets, values


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
