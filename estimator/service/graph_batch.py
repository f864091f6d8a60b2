"""Read a dictionary-encoded batch: its dictionary once, then one graph at a time.

`batch_arrays` has checked the index arrays before. The inverse is `client.batch_builder`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from estimator.errors import GraphError
from estimator.ir.graph import Graph, ModuleCall, ModuleSpec
from estimator.ir.op import NoAttrs, Op, OpKind
from estimator.ir.tensor import TensorRole, TensorSpec
from estimator.ir.validate import validate
from estimator.service.batch_arrays import DistinctOp, Index, check_arrays
from estimator.service.graph_message import ROLE_OF, attrs_from_message, kind_from_message, tensor_from_type
from estimator.service.limits import Limits
from estimator.v1 import graph_pb2 as pb

MOST_TENSORS: Final = 200_000
"""Tensors of nodes that are kept for other graphs of the batch, some 40 MB."""
_SOURCES: Final = (TensorRole.INPUT, TensorRole.PARAMETER, TensorRole.BUFFER, TensorRole.CONSTANT)


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
        self._arrays = check_arrays(message, self.ops, limits)
        self._sound: dict[int, bool] = {}  # of the entries that were used
        self._fed_count = [len(op.fed) for op in self.ops]
        self._nodes: dict[tuple[int, ...], _Node] = {}
        self._kept_tensors = 0

    def __len__(self) -> int:
        return len(self._arrays.graph_offsets) - 1

    def fingerprint(self, index: int) -> bytes:
        """Equal for two graphs of the batch exactly if they are the same network."""
        arrays = self._arrays
        begin, end = arrays.graph_offsets[index : index + 2]
        base = arrays.first_value[begin]
        reads = arrays.source_value[arrays.edge_offsets[begin] : arrays.edge_offsets[end]] - base
        parts = [arrays.op_index[begin:end], reads]
        if len(arrays.output_offsets):
            first, last = arrays.output_offsets[index : index + 2]
            parts.append(arrays.outputs[first:last] - base)
        if len(arrays.call_offsets):
            cuts = self._call_cuts(index)
            parts += [cuts - cuts[0], arrays.call_values[cuts[0] : cuts[-1]] - base]
        return b"".join(len(part).to_bytes(8) + part.tobytes() for part in parts)

    def _call_cuts(self, index: int) -> Index:
        """Return where inputs and outputs of a graph's calls begin and end in `call_values`, [2 · calls + 1]."""
        first, last = self._arrays.call_offsets[index : index + 2]
        return self._arrays.call_value_offsets[2 * first : 2 * last + 1]

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
        inputs: list[str] = []
        sound = True
        for number, (entry, value, edge) in enumerate(nodes):
            edge -= first_edge
            key = (number, entry, value, *reads[edge : edge + self._fed_count[entry]])
            node = self._nodes.get(key) or self._add_node(key)
            tensors.update(node.tensors)
            inputs += node.inputs
            ops += node.ops
            sound = sound and node.is_sound
        calls = self._calls(index, base)
        graph = Graph(
            name="network",
            tensors=tensors,
            inputs=tuple(inputs),
            outputs=self._outputs(index, base, ops),
            ops=tuple(ops),
            modules=tuple(ModuleSpec(call.path, "") for call in calls),
            module_calls=calls,
            source_format="batch",
        )
        return graph if sound else validate(graph)

    def _add_node(self, key: tuple[int, ...]) -> _Node:
        """Make a node from its number in the graph, its entry, its first value and the values that it reads."""
        number, entry, value, *reads = key
        if self._kept_tensors > MOST_TENSORS:
            self._nodes.clear()
            self._kept_tensors = 0
        if entry not in self._sound:
            self._sound[entry] = _is_sound(self.ops[entry])
        node = self._nodes[key] = _made(number, self.ops[entry], value, reads, is_sound=self._sound[entry])
        self._kept_tensors += len(node.tensors)
        return node

    def _calls(self, index: int, base: int) -> tuple[ModuleCall, ...]:
        """Make module calls, each of a module of its own: which module it was does not travel."""
        if not len(self._arrays.call_offsets):
            return ()
        cuts = self._call_cuts(index).tolist()
        values = (self._arrays.call_values[cuts[0] : cuts[-1]] - base).tolist()
        names = [tuple(f"v{v}" for v in values[a - cuts[0] : b - cuts[0]]) for a, b in pairwise(cuts)]
        return tuple(
            ModuleCall(f"m{k}", given, returned)
            for k, (given, returned) in enumerate(zip(names[::2], names[1::2], strict=True))
        )

    def _outputs(self, index: int, base: int, ops: Sequence[Op]) -> tuple[str, ...]:
        arrays = self._arrays
        if len(arrays.output_offsets):
            begin, end = arrays.output_offsets[index : index + 2].tolist()
            return tuple(f"v{value}" for value in (arrays.outputs[begin:end] - base).tolist())
        read = {name for op in ops for name in op.inputs}
        return tuple(name for op in ops for name in op.outputs if name not in read)


@dataclass(frozen=True, slots=True)
class _Node:
    """What one node adds to a graph: tensors by name, an input or none, an op or none; see `_is_sound`."""

    tensors: Mapping[str, TensorSpec]
    inputs: tuple[str, ...]
    ops: tuple[Op, ...]
    is_sound: bool


def _made(number: int, op: DistinctOp, value: int, reads: Sequence[int], *, is_sound: bool = False) -> _Node:
    outputs = tuple([f"v{value + offset}" for offset in range(len(op.results))])
    tensors = dict(zip(outputs, map(_named, op.results, outputs), strict=True))
    if op.source_role is not None:
        return _Node(tensors, outputs if op.source_role is TensorRole.INPUT else (), (), is_sound)
    inputs: list[str] = []
    edges = iter(reads)
    for position, spec in enumerate(op.operands):
        if spec.role is TensorRole.ACTIVATION:
            inputs.append(f"v{next(edges)}")
        else:
            name = f"w{number}.{position}"
            inputs.append(name)
            tensors[name] = _named(spec, name)
    made = Op(f"{op.kind}_{number}", op.kind, tuple(inputs), outputs, op.attrs, in_place=op.in_place)
    return _Node(tensors, (), (made,), is_sound)


def _is_sound(op: DistinctOp) -> bool:
    """Whether graphs may have this node: all that `validate` asks of a graph and `check_arrays` does not.

    A graph in which some node is not is validated whole, for the error to name it.
    """
    fed = [_named(spec, f"v{value}") for value, spec in enumerate(op.fed)]
    node = _made(0, op, len(fed), range(len(fed)))
    sources = {spec.name: replace(spec, role=TensorRole.INPUT) for spec in fed}
    try:
        validate(Graph("node", sources | dict(node.tensors), (*sources, *node.inputs), (), node.ops))
    except GraphError:
        return False
    return True


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
