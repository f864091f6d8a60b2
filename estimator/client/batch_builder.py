"""Put many graphs into one dictionary-encoded batch: distinct operators once, the rest as integers.

Nobody writes indices by hand: `add` interns operators by what they are (kind, attributes, types),
not by their names. The inverse is `service.graph_batch`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from typing import Final

from estimator.client.graph_message import attrs_to_message, kind_to_message, type_to_message
from estimator.errors import GraphError
from estimator.ir.graph import Graph
from estimator.ir.op import Op
from estimator.ir.tensor import TensorSpec
from estimator.v1 import graph_pb2 as pb

MAX_NODES: Final = 1_000_000
"""Nodes of one batch; half of what the service accepts by default."""


class BatchBuilder:
    """Builds batches that share one growing dictionary, as `StreamEstimate` wants them.

    `take` returns what was added since the last call; with `fresh`, the dictionary starts anew, as
    `BatchEstimate` wants it.
    """

    def __init__(self) -> None:
        self._entries: dict[Hashable, int] = {}
        self._batch = _empty()
        self.graph_count = 0

    @property
    def node_count(self) -> int:
        """Nodes added since the last `take`."""
        return len(self._batch.op_index)

    def add(self, graph: Graph) -> None:
        """Add one graph; names of operators, tensors and modules, and notes do not travel.

        Raises
        ------
        GraphError
            A number needs more than 64 bits.
        """
        values: dict[str, int] = {}
        op_index: list[int] = []
        edge_ends: list[int] = []
        edges: list[int] = []
        edge_base = len(self._batch.edge_src)
        for name in self._sources(graph):
            values[name] = len(values)
            op_index.append(self._intern_source(graph.tensors[name]))
            edge_ends.append(edge_base)
        for op in graph.ops:
            op_index.append(self._intern_op(graph, op, values))
            edges.extend(values[name] for name in op.inputs if name in values)
            edge_ends.append(edge_base + len(edges))
            for name in op.outputs:
                values[name] = len(values)
        batch = self._batch
        batch.op_index.extend(op_index)
        batch.edge_offsets.extend(edge_ends)
        batch.edge_src.extend(edges)
        batch.output_src.extend(values[name] for name in graph.outputs)
        batch.output_offsets.append(len(batch.output_src))
        self._add_calls(graph, values)
        batch.graph_offsets.append(len(batch.op_index))
        self.graph_count += 1

    def _add_calls(self, graph: Graph, values: dict[str, int]) -> None:
        """Add what each module call was given and returned; weights are held in any case."""
        batch = self._batch
        for call in graph.module_calls:
            given, returned = (
                [values[n] for n in names if n in values and not graph.tensors[n].is_weight]
                for names in (call.inputs, call.outputs)
            )
            if given and returned:
                for part in (given, returned):
                    batch.call_values.extend(part)
                    batch.call_value_offsets.append(len(batch.call_values))
        batch.call_offsets.append(len(batch.call_value_offsets) // 2)

    def take(self, *, fresh: bool = True) -> pb.GraphBatch:
        """Return the batch built so far and start the next one."""
        batch, self._batch = self._batch, _empty()
        if len(batch.call_value_offsets) == 1:  # no graph has modules, as in most searches
            batch.ClearField("call_offsets")
            batch.ClearField("call_value_offsets")
        self.graph_count = 0
        if fresh:
            self._entries.clear()
        return batch

    @staticmethod
    def _sources(graph: Graph) -> Iterator[str]:
        """Tensors that become nodes: the inputs in call order, then weights not read exactly once."""
        yield from graph.inputs
        reads = Counter(name for op in graph.ops for name in op.inputs)
        kept = {*graph.outputs, *(name for name, count in reads.items() if count > 1)}
        for name, tensor in graph.tensors.items():
            if tensor.is_weight and (name in kept or name not in reads) and name not in graph.producer_of:
                yield name

    def _intern_source(self, tensor: TensorSpec) -> int:
        key = (tensor.role, _type_key(tensor))
        entry = self._entries.get(key)
        return entry if entry is not None else self._append(key, self._source_message(tensor))

    def _intern_op(self, graph: Graph, op: Op, values: dict[str, int]) -> int:
        operands = tuple(self._operand_key(graph.tensors[name], name in values) for name in op.inputs)
        results = tuple(_type_key(tensor) for tensor in graph.outputs_of(op))
        key = (op.kind, op.attrs, op.in_place, operands, results)
        entry = self._entries.get(key)
        return entry if entry is not None else self._append(key, self._op_message(graph, op, values))

    @staticmethod
    def _operand_key(tensor: TensorSpec, fed: bool) -> Hashable:
        return (_type_key(tensor), None if fed else tensor.role)

    def _append(self, key: Hashable, message: pb.BatchOp) -> int:
        entry = self._entries[key] = len(self._entries)
        self._batch.ops.append(message)
        return entry

    @staticmethod
    def _source_message(tensor: TensorSpec) -> pb.BatchOp:
        role = f"TENSOR_ROLE_{tensor.role.name}"
        return pb.BatchOp(results=[_type(tensor)], source_role=role)

    @staticmethod
    def _op_message(graph: Graph, op: Op, values: dict[str, int]) -> pb.BatchOp:
        operands = []
        for name in op.inputs:
            tensor = graph.tensors[name]
            role = None if name in values else f"TENSOR_ROLE_{tensor.role.name}"
            operands.append(pb.BatchOperand(type=_type(tensor), role=role))
        return pb.BatchOp(
            kind=kind_to_message(op.kind),
            attrs=attrs_to_message(op.attrs),
            operands=operands,
            results=[_type(tensor) for tensor in graph.outputs_of(op)],
            in_place=op.in_place,
        )


def _empty() -> pb.GraphBatch:
    return pb.GraphBatch(
        graph_offsets=[0], edge_offsets=[0], output_offsets=[0], call_offsets=[0], call_value_offsets=[0]
    )


def _type_key(tensor: TensorSpec) -> Hashable:
    return (tensor.shape, tensor.dtype, tensor.quantised, tensor.strides)


def _type(tensor: TensorSpec) -> pb.TensorType:
    try:
        return type_to_message(tensor)
    except ValueError as error:
        raise GraphError(
            f"tensor {tensor.name!r} cannot be sent", where=str(error), expected="64-bit extents"
        ) from error
