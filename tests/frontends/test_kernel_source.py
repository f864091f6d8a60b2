"""Graphs of one op, from a reference that names it."""

from __future__ import annotations

import pytest

from estimator.costs.registry import graph_cost
from estimator.errors import BadOptionError, UnknownModelError
from estimator.frontends.select import is_user_code, load_graph
from estimator.frontends.zoo_family import family_of
from estimator.ir.op import OpKind


@pytest.mark.parametrize(
    ("reference", "shape", "kind", "macs", "params"),
    [
        ("kernel:linear-768", "1x196x3072", OpKind.LINEAR, 196 * 3072 * 768, 3072 * 768 + 768),
        ("kernel:bmm-64", "12x196x32", OpKind.MATMUL, 12 * 196 * 32 * 64, 0),
        ("kernel:conv3x3-64", "2x16x8x8", OpKind.CONV, 2 * 64 * 8 * 8 * 16 * 9, 64 * 16 * 9),
        ("kernel:conv3x3-64-s2", "2x16x8x8", OpKind.CONV, 2 * 64 * 4 * 4 * 16 * 9, 64 * 16 * 9),
        ("kernel:layer_norm", "32x512", OpKind.NORM, 0, 2 * 512),
        ("kernel:softmax", "32x512", OpKind.SOFTMAX, 0, 0),
        ("kernel:gelu", "32x512", OpKind.ACTIVATION, 0, 0),
        ("kernel:pow_scalar", "32x512", OpKind.UNARY, 0, 0),
    ],
)
def test_a_reference_is_one_op(reference, shape, kind, macs, params):
    graph = load_graph(reference, input_shapes=[shape])
    assert [op.kind for op in graph.ops] == [kind]
    cost = graph_cost(graph)
    assert (cost.total.macs, graph.params) == (macs, params)


def test_two_tensors_are_added_and_a_number_is_not_a_tensor():
    assert len(load_graph("kernel:add", input_shapes=["4x8"]).inputs) == 2
    assert len(load_graph("kernel:add_scalar", input_shapes=["4x8"]).inputs) == 1


def test_a_batch_replaces_the_leading_extent():
    assert load_graph("kernel:relu", input_shapes=["4x8"], batch=16).batch == 16


@pytest.mark.parametrize(
    ("reference", "shapes", "message"),
    [
        ("kernel:add", [], "takes one input shape, not 0"),
        ("kernel:bmm-64", ["3x3"], r"cannot take \(3, 3\)"),
        ("kernel:conv3x3-64", ["8x3x32"], "cannot take"),
        ("kernel:linear-64-s2", ["8x32"], "cannot take"),
        ("kernel:conv7x1-64", ["1x8x4x4"], ""),
    ],
)
def test_what_an_op_cannot_take_is_refused(reference, shapes, message):
    if message:
        with pytest.raises(BadOptionError, match=message):
            load_graph(reference, input_shapes=shapes)
    else:
        assert load_graph(reference, input_shapes=shapes).tensors["out"].shape == (1, 64, 4, 4)


def test_an_unknown_op_suggests_known_ones():
    with pytest.raises(UnknownModelError, match="kernel:softmax"):
        load_graph("kernel:softmin", input_shapes=["4x4"])


def test_kernels_are_nobodys_code_and_their_family_is_the_op():
    assert not is_user_code("kernel:add")
    assert family_of("kernel:linear-768") == family_of("kernel:linear-5") == "linear"
