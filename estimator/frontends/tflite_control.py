"""TFLite control flow and tensor lists: loops of known length are unrolled, other bodies are listed as CONTROL.

A recurrent Keras layer is a WHILE over a list of tensors, whose operators are TensorFlow's (``Flex…``). A list is
declared as the dense tensor of its elements, which is what moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from estimator.dtypes import DType
from estimator.frontends.tflite_importer import TfliteImporter, TfliteNode, TfliteProblem, custom_rule, rule
from estimator.frontends.tflite_schema import TfliteSubgraph
from estimator.ir.op import Attrs, ControlAttrs, CopyAttrs, FunctionAttrs, OpKind
from estimator.ir.tensor import Shape

MAX_UNROLLED_TRIPS = 256
MAX_UNROLLED_OPS = 20_000
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
def _emit_list(
    node: TfliteNode, kind: OpKind, attrs: Attrs, reads: Sequence[str], shape: Shape, dtype: DType,
    in_place: bool = False,
) -> None:  # fmt: skip
    """Emit an op whose result stands for a list, or comes out of one."""
    importer, builder = node.importer, node.importer.builder
    index = node.operator.outputs[0]
    name = importer.unique_name(index)
    builder.add_tensor(name, shape, dtype)
    importer.names[index] = name
    op = builder.emit(kind, reads, (name,), attrs, name=node.name, source=node.source)
    if in_place:
        builder.ops[-1] = replace(op, in_place=True)


@custom_rule("FlexTensorListReserve")
def _reserve(node: TfliteNode) -> None:
    """Shape of an element, number of elements; open extents are filled in by what is put in."""
    element, count = node.int_values(0), node.int_values(1)
    if element is None or count is None:
        raise TfliteProblem("the size of the list is not known")
    shape = (count[0], *(max(extent, 1) for extent in element))
    _emit_list(node, OpKind.FILL, FunctionAttrs("empty"), (), shape, DType.F32)


@custom_rule("FlexTensorListFromTensor")
def _list_from_tensor(node: TfliteNode) -> None:
    """x[n, ...], shape of an element."""
    x = node.input(0)
    _emit_list(node, OpKind.VIEW, FunctionAttrs("unbind"), (x.name,), x.shape, x.dtype)


@custom_rule("FlexTensorListSetItem")
def _set_item(node: TfliteNode) -> None:
    """List, index, item."""
    stored, item = node.input(0), node.input(2)
    shape = (stored.shape[0], *item.shape)
    reads = (stored.name, node.name_of(1), item.name)
    in_place = stored.shape == shape and stored.dtype is item.dtype
    _emit_list(node, OpKind.SCATTER, FunctionAttrs("index_copy"), reads, shape, item.dtype, in_place)


@custom_rule("FlexTensorListGetItem")
def _get_item(node: TfliteNode) -> None:
    """List, index, shape of an element."""
    stored = node.input(0)
    _emit_list(node, OpKind.VIEW, FunctionAttrs("select"), (stored.name,), stored.shape[1:], stored.dtype)


@custom_rule("FlexTensorListStack")
def _stack(node: TfliteNode) -> None:
    """List, shape of an element."""
    stored = node.input(0)
    _emit_list(node, OpKind.COPY, CopyAttrs("stack"), (stored.name,), stored.shape, stored.dtype)
