"""TFLite control flow and tensor lists: loops of known length are unrolled, other bodies are listed as CONTROL.

A recurrent Keras layer is a WHILE over a list of tensors (`tensor_list`), whose operators are TensorFlow's (``Flex…``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from estimator.dtypes import DType
from estimator.frontends import tensor_list
from estimator.frontends.tensor_list import MAX_UNROLLED_OPS, MAX_UNROLLED_TRIPS, ListOp
from estimator.frontends.tflite_importer import TfliteImporter, TfliteNode, TfliteProblem, custom_rule, rule
from estimator.frontends.tflite_schema import TfliteSubgraph
from estimator.ir.op import ControlAttrs, OpKind

MAX_DEPTH = 4


class _Undecided(Exception):
    """Which body runs, or how often, depends on data."""


@rule("IF", "WHILE")
def _control(node: TfliteNode) -> None:
    """Bodies are other subgraphs."""
    subgraphs = node.importer.model.subgraphs
    chosen = [node.option(i, "i") for i in (0, 1)]
    bodies = [subgraphs[i] for i in chosen if 0 < i < len(subgraphs)]
    if len(bodies) == 2 and node.importer.depth < MAX_DEPTH:
        try:
            _inline(node, bodies)
            return
        except _Undecided:
            pass
    count = sum(len(body.operators) for body in bodies)
    node.importer.builder.note(f"{node.op_type} {node.name!r} depends on data: {count} operators not counted")
    attrs = ControlAttrs(node.op_type.lower(), tuple(b.name or f"subgraph {i}" for i, b in enumerate(bodies)))
    node.emit_unknown("control flow", OpKind.CONTROL, attrs)


def _inline(node: TfliteNode, bodies: Sequence[TfliteSubgraph]) -> None:
    """Import what runs; the importer and its graph are as before if that is undecided."""
    outer = node.importer
    state = [node.name_of(i) for i in range(node.input_count)]
    inner = replace(
        outer, known=dict(outer.known), resized=set(outer.resized), relaid=dict(outer.relaid), depth=outer.depth + 1
    )
    with outer.builder.undone_on(_Undecided):
        if node.op_type == "IF":
            taken = _truth(inner, state[0])
            results = _Body(inner, bodies[0] if taken else bodies[1]).run(state[1:])
        else:
            results = _unroll(inner, _Body(inner, bodies[0]), _Body(inner, bodies[1]), state)
    outer.known, outer.resized, outer.relaid = inner.known, inner.resized, inner.relaid
    outer.inlined.update(body.name for body in bodies)
    outer.names.update(zip(node.operator.outputs, results, strict=True))


def _unroll(importer: TfliteImporter, condition: _Body, body: _Body, state: list[str]) -> list[str]:
    start = len(importer.builder.ops)
    for _ in range(MAX_UNROLLED_TRIPS + 1):
        (going,) = condition.run(state)
        if not _truth(importer, going):
            return state
        state = body.run(state)
        if len(importer.builder.ops) - start > MAX_UNROLLED_OPS:
            break
    raise _Undecided


def _truth(importer: TfliteImporter, name: str) -> bool:
    value = importer.known.get(name)
    if value is None or value.size != 1:
        raise _Undecided
    return bool(value.reshape(-1)[0])


class _Body:
    """A subgraph that may run many times over the same weights."""

    def __init__(self, importer: TfliteImporter, subgraph: TfliteSubgraph) -> None:
        self._importer = importer
        self._subgraph = subgraph
        self._constants: dict[int, str] = {}

    def run(self, arguments: Sequence[str]) -> list[str]:
        """Import the operators once more and return the names of the results."""
        subgraph = self._subgraph
        names = self._constants | dict(zip(subgraph.inputs, arguments, strict=True))
        importer = replace(self._importer, subgraph=subgraph, names=names)
        importer.run()
        results = [importer.tensor_name(index) for index in subgraph.outputs]
        self._constants = {i: name for i, name in importer.names.items() if subgraph.tensors[i].constant}
        return results


# ---------------------------------------------------------------- tensor lists
def _emit(node: TfliteNode, op: ListOp) -> None:
    importer, builder = node.importer, node.importer.builder
    index = node.operator.outputs[0]
    name = importer.unique_name(index)
    builder.add_tensor(name, op.shape, op.dtype)
    importer.names[index] = name
    builder.emit(op.kind, op.reads, (name,), op.attrs, name=node.name, source=node.source, in_place=op.in_place)


@custom_rule("FlexTensorListReserve")
def _reserve(node: TfliteNode) -> None:
    """Shape of an element, number of elements."""
    element, count = node.int_values(0), node.int_values(1)
    if element is None or count is None:
        raise TfliteProblem("the size of the list is not known")
    _emit(node, tensor_list.reserve((count[0],), element, DType.F32))


@custom_rule("FlexTensorListFromTensor")
def _list_from_tensor(node: TfliteNode) -> None:
    """x[n, ...], shape of an element."""
    _emit(node, tensor_list.from_tensor(node.input(0)))


@custom_rule("FlexTensorListSetItem")
def _set_item(node: TfliteNode) -> None:
    """List, index, item."""
    _emit(node, tensor_list.set_item(node.input(0), node.name_of(1), node.input(2)))


@custom_rule("FlexTensorListGetItem")
def _get_item(node: TfliteNode) -> None:
    """List, index, shape of an element."""
    _emit(node, tensor_list.get_item(node.input(0)))


@custom_rule("FlexTensorListStack")
def _stack(node: TfliteNode) -> None:
    """List, shape of an element."""
    _emit(node, tensor_list.stack(node.input(0)))
