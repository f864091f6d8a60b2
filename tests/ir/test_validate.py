from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from estimator.errors import GraphError
from estimator.ir.graph import Graph, ModuleCall, ModuleSpec
from estimator.ir.op import (
    ATTRS_OF,
    Attrs,
    AxisAttrs,
    ConvAttrs,
    EinsumAttrs,
    FunctionAttrs,
    NormAttrs,
    Op,
    OpKind,
    PoolAttrs,
    ReduceAttrs,
    RnnAttrs,
    SoftmaxAttrs,
)
from estimator.ir.tensor import TensorRole
from estimator.ir.validate import validate
from tests.ir.graphs import graphs, small_graph, spec


def test_a_valid_graph_comes_back_as_it_is():
    graph = small_graph()
    assert validate(graph) is graph


@given(graphs())
def test_drawn_graphs_are_valid(graph: Graph):
    assert validate(graph) is graph


def test_every_kind_has_an_attribute_class():
    assert set(ATTRS_OF) == set(OpKind)


def with_ops(*ops: Op) -> Graph:
    return small_graph(ops=ops)


def with_tensor(name: str, *shape: int, role: TensorRole = TensorRole.ACTIVATION) -> Graph:
    graph = small_graph()
    return replace(graph, tensors={**graph.tensors, name: spec(name, *shape, role=role)})


CONV, RELU = small_graph().ops


@pytest.mark.parametrize(
    ("graph", "what", "where"),
    [
        (with_ops(RELU, CONV), "input 'y' is produced later", "op 'z'"),
        (with_ops(replace(CONV, inputs=("x", "nowhere")), RELU), "input 'nowhere' does not exist", "op 'y'"),
        (with_ops(replace(CONV, outputs=("nowhere",)), RELU), "output 'nowhere' does not exist", "op 'y'"),
        (with_ops(CONV, replace(RELU, name="y")), "two ops are called 'y'", "op 'y'"),
        (with_ops(CONV, replace(RELU, outputs=("y",))), "output 'y' was already there", "op 'z'"),
        (with_ops(CONV, replace(RELU, outputs=("w",))), "output 'w' was already there", "op 'z'"),
        (with_ops(CONV), "no op writes it", "tensor 'z'"),
        (with_ops(CONV, replace(RELU, attrs=SoftmaxAttrs(1))), "attributes are SoftmaxAttrs", "op 'z'"),
        (with_ops(CONV, replace(RELU, inputs=())), "0 inputs", "op 'z'"),
        (with_ops(replace(CONV, inputs=("x",)), RELU), "1 inputs", "op 'y'"),
        (with_ops(CONV, replace(RELU, outputs=())), "no output", "op 'z'"),
        (small_graph(inputs=("nowhere",)), "'nowhere' is no tensor", "graph 'small'"),
        (small_graph(outputs=("nowhere",)), "'nowhere' is no tensor", "graph 'small'"),
        (small_graph(inputs=("x", "x")), "listed twice", "graph 'small'"),
        (small_graph(inputs=("w",)), "role is parameter", "input 'w'"),
        (with_tensor("t", 1, -1), "is not static", "tensor 't'"),
        (with_tensor("t", 2**31, 2**31, 2), "elements", "tensor 't'"),
        (with_tensor("t", 1), "no op writes it", "tensor 't'"),
        (small_graph(modules=(ModuleSpec("", "A"), ModuleSpec("", "B")), module_calls=()), "two modules", "module ''"),
        (small_graph(modules=(ModuleSpec("", "A", ("y",)),), module_calls=()), "'y' is no weight", "module ''"),
        (small_graph(module_calls=(ModuleCall("none", (), ()),)), "not listed", "module 'none'"),
        (small_graph(module_calls=(ModuleCall("act", ("gone",), ()),)), "'gone' is no tensor", "module 'act'"),
    ],
)
def test_a_broken_invariant_names_op_and_tensor(graph: Graph, what: str, where: str):
    with pytest.raises(GraphError) as caught:
        validate(graph)
    assert what in caught.value.what
    assert where in caught.value.where


def one_op(kind: OpKind, attrs: Attrs, *shapes: tuple[int, ...]) -> Graph:
    """One op over inputs of the given shapes, with a result of the first one's shape."""
    inputs = [spec(f"i{n}", *shape, role=TensorRole.INPUT) for n, shape in enumerate(shapes)]
    tensors = [*inputs, spec("o", *shapes[0])]
    given = tuple(t.name for t in inputs)
    op = Op("op", kind, given, ("o",), attrs)
    return Graph("one", {t.name: t for t in tensors}, given, ("o",), (op,))


IMAGE = (1, 4, 8, 8)


@pytest.mark.parametrize(
    ("graph", "what"),
    [
        (one_op(OpKind.CONV, ConvAttrs((3,), (1, 1), (1, 1), (1, 1)), IMAGE, (8, 4, 3, 3)), "different ranks"),
        (one_op(OpKind.CONV, ConvAttrs((3, 3), (0, 1), (1, 1), (1, 1)), IMAGE, (8, 4, 3, 3)), "at least 1"),
        (one_op(OpKind.CONV, ConvAttrs((3, 3), (1, 1), (1, 1), (1, 1), 0), IMAGE, (8, 4, 3, 3)), "at least 1"),
        (one_op(OpKind.CONV, ConvAttrs((3, 3), (1, 1), (1, 1), (1, 1)), IMAGE, (8, 4, 3)), "rank 4"),
        (one_op(OpKind.CONV, ConvAttrs((5, 5), (1, 1), (1, 1), (1, 1)), IMAGE, (8, 4, 3, 3)), "(5, 5)"),
        (one_op(OpKind.CONV, ConvAttrs((3, 3), (1, 1), (1, 1), (1, 1)), IMAGE, (8, 3, 3, 3)), "4 input channels"),
        (one_op(OpKind.LINEAR, ATTRS_OF[OpKind.LINEAR](), (2, 7), (5, 6)), "7 features"),
        (one_op(OpKind.MATMUL, ATTRS_OF[OpKind.MATMUL](), (2, 7), (6, 7)), "7 and 6"),
        (one_op(OpKind.MATMUL, ATTRS_OF[OpKind.MATMUL](), (), (6, 7)), "at least one axis"),
        (one_op(OpKind.EINSUM, EinsumAttrs("ab,bc->ac"), (2, 3)), "does not fit the operands"),
        (one_op(OpKind.EINSUM, EinsumAttrs("ab->abz"), (2, 3)), "does not fit the result"),
        (one_op(OpKind.EINSUM, EinsumAttrs("ab"), (2, 3)), "does not fit the operands"),
        (one_op(OpKind.ATTENTION, ATTRS_OF[OpKind.ATTENTION](), (2, 3), (5, 4), (5, 3)), "attention takes"),
        (one_op(OpKind.RNN, RnnAttrs("lstm", 0), (2, 3), (4, 3), (4, 1)), "at least 1"),
        (one_op(OpKind.NORM, NormAttrs("group", groups=0), IMAGE), "groups 0"),
        (one_op(OpKind.NORM, NormAttrs("layer", normalized_rank=5), IMAGE), "rank 5"),
        (one_op(OpKind.SOFTMAX, SoftmaxAttrs(4), IMAGE), "axis 4 of rank 4"),
        (one_op(OpKind.CONCAT, AxisAttrs(-1), IMAGE), "axis -1 of rank 4"),
        (one_op(OpKind.REDUCE, ReduceAttrs("sum", (1, 9)), IMAGE), "axes (1, 9) of rank 4"),
        (one_op(OpKind.POOL, PoolAttrs("max", (2, 2), (0, 2), (0, 0)), IMAGE), "do not go together"),
        (one_op(OpKind.POOL, PoolAttrs("max", (2, 2), (2, 2), (0, 0)), (8,)), "rank 1"),
    ],
)
def test_attributes_must_fit_the_tensors(graph: Graph, what: str):
    with pytest.raises(GraphError) as caught:
        validate(graph)
    assert what in caught.value.what
    assert "op 'op'" in caught.value.where
    assert "i0[" in caught.value.where  # the shapes are shown


def test_a_depthwise_and_a_transposed_convolution_fit():
    validate(one_op(OpKind.CONV, ConvAttrs((3, 3), (1, 1), (1, 1), (1, 1), groups=4), IMAGE, (4, 1, 3, 3)))
    validate(one_op(OpKind.CONV, ConvAttrs((2, 2), (2, 2), (0, 0), (1, 1), transposed=True), IMAGE, (4, 9, 2, 2)))


def test_strides_are_one_per_axis():
    graph = small_graph()
    tensors = {**graph.tensors, "x": replace(graph.tensors["x"], strides=(1, 2))}
    with pytest.raises(GraphError, match="strides"):
        validate(replace(graph, tensors=tensors))


def test_an_op_without_inputs_cannot_be_in_place():
    fill = Op("z", OpKind.FILL, (), ("z",), FunctionAttrs("zeros"), in_place=True)
    with pytest.raises(GraphError, match="in place"):
        validate(with_ops(CONV, fill))
