"""The index arrays of a batch: what a hand-written one means, and that every broken one is named."""

import pytest

from estimator.dtypes import DType
from estimator.errors import BadOptionError, GraphError, RequestLimitError
from estimator.ir.op import OpKind
from estimator.ir.tensor import TensorRole
from estimator.service.graph_batch import GraphBatch
from estimator.service.limits import Limits
from estimator.v1 import graph_pb2 as pb

ROW = pb.TensorType(shape=[1, 4], element_type=pb.ELEMENT_TYPE_F32)
SQUARE = pb.TensorType(shape=[4, 4], element_type=pb.ELEMENT_TYPE_F32)
INPUT = pb.BatchOp(results=[ROW], source_role=pb.TENSOR_ROLE_INPUT)
LINEAR = pb.BatchOp(
    kind=pb.OP_KIND_LINEAR,
    operands=[pb.BatchOperand(type=ROW), pb.BatchOperand(type=SQUARE, role=pb.TENSOR_ROLE_PARAMETER)],
    results=[ROW],
)
ADD = pb.BatchOp(
    kind=pb.OP_KIND_BINARY,
    attrs=pb.OpAttrs(function=pb.FunctionAttrs(function="add")),
    operands=[pb.BatchOperand(type=ROW), pb.BatchOperand(type=ROW)],
    results=[ROW],
)


def residual(**changes):
    """Graph 0: add(linear(x), x). Graph 1: linear(linear(x))."""
    arrays = {
        "ops": [INPUT, LINEAR, ADD],
        "graph_offsets": [0, 3, 6],
        "op_index": [0, 1, 2, 0, 1, 1],
        "edge_offsets": [0, 0, 1, 3, 3, 4, 5],
        "edge_src": [0, 1, 0, 0, 1],
    }
    return pb.GraphBatch(**{**arrays, **changes})


def test_a_batch_written_by_hand_means_what_the_contract_says():
    batch = GraphBatch(residual(), Limits())
    first, second = batch.graph(0), batch.graph(1)
    assert [(op.kind, op.inputs, op.outputs) for op in first.ops] == [
        (OpKind.LINEAR, ("v0", "w1.1"), ("v1",)),
        (OpKind.BINARY, ("v1", "v0"), ("v2",)),
    ]
    assert (first.inputs, first.outputs) == (("v0",), ("v2",))
    assert [op.inputs for op in second.ops] == [("v0", "w1.1"), ("v1", "w2.1")]
    assert first.params == 4 * 4
    assert second.params == 2 * 4 * 4  # a weight of its own for each use
    assert second.tensors["w2.1"].role is TensorRole.PARAMETER
    assert second.tensors["v2"].dtype is DType.F32


def test_without_output_arrays_what_nothing_reads_is_an_output():
    one_input_two_heads = {
        "graph_offsets": [0, 3], "op_index": [0, 1, 1], "edge_offsets": [0, 0, 1, 2], "edge_src": [0, 0],
    }  # fmt: skip
    assert GraphBatch(residual(**one_input_two_heads), Limits()).graph(0).outputs == ("v1", "v2")


def test_an_output_may_be_read_as_well():
    batch = GraphBatch(residual(output_offsets=[0, 2, 3], output_src=[1, 2, 2]), Limits())
    assert batch.graph(0).outputs == ("v1", "v2")
    assert batch.graph(1).outputs == ("v2",)


def test_calls_of_modules_name_what_they_were_given_and_returned():
    calls = {
        "call_offsets": [0, 2, 3],
        "call_value_offsets": [0, 1, 2, 4, 5, 6, 7],
        "call_values": [0, 1, 0, 1, 2, 1, 2],
    }
    batch = GraphBatch(residual(**calls), Limits())
    assert [(c.inputs, c.outputs) for c in batch.graph(0).module_calls] == [
        (("v0",), ("v1",)),
        (("v0", "v1"), ("v2",)),
    ]
    assert [(c.inputs, c.outputs) for c in batch.graph(1).module_calls] == [(("v1",), ("v2",))]


def test_a_weight_that_two_operators_share_is_a_node_of_its_own():
    weight = pb.BatchOp(results=[SQUARE], source_role=pb.TENSOR_ROLE_PARAMETER)
    shared = pb.BatchOp(
        kind=pb.OP_KIND_LINEAR, operands=[pb.BatchOperand(type=ROW), pb.BatchOperand(type=SQUARE)], results=[ROW]
    )
    batch = pb.GraphBatch(
        ops=[INPUT, weight, shared],
        graph_offsets=[0, 4],
        op_index=[0, 1, 2, 2],
        edge_offsets=[0, 0, 0, 2, 4],
        edge_src=[0, 1, 2, 1],
    )
    graph = GraphBatch(batch, Limits()).graph(0)
    assert [op.inputs for op in graph.ops] == [("v0", "v1"), ("v2", "v1")]
    assert graph.params == 4 * 4


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"graph_offsets": []}, "graph_offsets"),
        ({"graph_offsets": [0]}, "graph_offsets"),
        ({"graph_offsets": [1, 3, 6]}, "graph_offsets"),
        ({"graph_offsets": [0, 3, 5]}, "graph_offsets"),
        ({"graph_offsets": [0, 3, 7]}, "graph_offsets"),
        ({"graph_offsets": [0, 4, 3, 6]}, "graph_offsets[2]"),
        ({"graph_offsets": [-1, 3, 6]}, "graph_offsets[0]"),
        ({"op_index": [0, 1, 3, 0, 1, 1]}, "op_index[2]"),
        ({"op_index": [0, 1, -1, 0, 1, 1]}, "op_index[2]"),
        ({"op_index": [0, 1, 2, 0, 1, 2**31 - 1]}, "op_index[5]"),
        ({"op_index": []}, "graph_offsets"),
        ({"ops": []}, "op_index[0]"),
        ({"edge_offsets": [0, 0, 1, 3, 3, 4]}, "edge_offsets"),
        ({"edge_offsets": [0, 0, 1, 3, 3, 4, 6]}, "edge_offsets"),
        ({"edge_offsets": [0, 0, 2, 1, 3, 4, 5]}, "edge_offsets[3]"),
        ({"edge_offsets": [0, 0, 2, 3, 3, 4, 5]}, "edge_offsets[1]"),  # the linear gets two, the add one
        ({"edge_src": [0, 1, 0, 0]}, "edge_offsets"),
        ({"edge_src": [0, 2, 0, 0, 1]}, "edge_src[1]"),  # its own result
        ({"edge_src": [0, -1, 0, 0, 1]}, "edge_src[1]"),
        ({"edge_src": [0, 1, 0, 0, 2**31 - 1]}, "edge_src[4]"),
        ({"edge_src": [0, 1, 0, 0, -(2**31)]}, "edge_src[4]"),  # a value of the graph before
        ({"output_offsets": [0, 1], "output_src": [2]}, "output_offsets"),
        ({"output_offsets": [0, 1, 2], "output_src": [2, 3]}, "output_src[1]"),
        ({"output_offsets": [0, 1, 2], "output_src": [2, -1]}, "output_src[1]"),
        ({"output_src": [2]}, "output_src[0]"),
        ({"call_value_offsets": [0]}, "call_value_offsets[0]"),
        ({"call_values": [0]}, "call_values[0]"),
        ({"call_offsets": [0, 0, 0]}, "call_value_offsets"),
        ({"call_offsets": [0, 1, 1], "call_value_offsets": [0, 1], "call_values": [0]}, "call_offsets"),
        ({"call_offsets": [0, 1, 1], "call_value_offsets": [0, 1, 2, 2], "call_values": [0, 1]}, "call_value_offsets"),
        ({"call_offsets": [0, 1, 1], "call_value_offsets": [0, 1, 2], "call_values": [0, 3]}, "call_values[1]"),
        ({"call_offsets": [0, 1, 1], "call_value_offsets": [0, 1, 2], "call_values": [-1, 2]}, "call_values[0]"),
    ],
)
def test_a_broken_array_is_named_with_its_position(changes, place):
    with pytest.raises(BadOptionError) as caught:
        GraphBatch(residual(**changes), Limits())
    assert caught.value.where == f"batch.{place}"


def test_an_edge_to_a_value_of_another_type_is_named():
    narrow = pb.BatchOp(
        results=[pb.TensorType(shape=[1, 3], element_type=pb.ELEMENT_TYPE_F32)], source_role=pb.TENSOR_ROLE_INPUT
    )
    with pytest.raises(BadOptionError, match=r"edge_src\[0\] is 0") as caught:
        GraphBatch(residual(ops=[narrow, LINEAR, ADD]), Limits())
    assert caught.value.expected == "a value of the operand's type"


@pytest.mark.parametrize(
    "op",
    [
        pb.BatchOp(),
        pb.BatchOp(kind=99),
        pb.BatchOp(kind=pb.OP_KIND_VIEW, results=[pb.TensorType(shape=[1])]),
        pb.BatchOp(kind=pb.OP_KIND_VIEW, results=[pb.TensorType(shape=[-1], element_type=pb.ELEMENT_TYPE_F32)]),
        pb.BatchOp(kind=pb.OP_KIND_VIEW, results=[pb.TensorType(shape=[1] * 99, element_type=pb.ELEMENT_TYPE_F32)]),
        pb.BatchOp(
            kind=pb.OP_KIND_VIEW, results=[pb.TensorType(shape=[2**40, 2**40], element_type=pb.ELEMENT_TYPE_F32)]
        ),
        pb.BatchOp(
            kind=pb.OP_KIND_VIEW, results=[pb.TensorType(shape=[1], strides=[1, 1], element_type=pb.ELEMENT_TYPE_F32)]
        ),
        pb.BatchOp(kind=pb.OP_KIND_VIEW, operands=[pb.BatchOperand(type=ROW, role=pb.TENSOR_ROLE_INPUT)]),
        pb.BatchOp(kind=pb.OP_KIND_VIEW, operands=[pb.BatchOperand(type=ROW, role=77)]),
        pb.BatchOp(source_role=pb.TENSOR_ROLE_INPUT),
        pb.BatchOp(source_role=pb.TENSOR_ROLE_ACTIVATION, results=[ROW]),
        pb.BatchOp(source_role=77, results=[ROW]),
        pb.BatchOp(source_role=pb.TENSOR_ROLE_INPUT, results=[ROW], operands=[pb.BatchOperand(type=ROW)]),
    ],
)
def test_a_wrong_entry_of_the_dictionary_is_a_graph_error_that_names_it(op):
    with pytest.raises(GraphError) as caught:
        GraphBatch(pb.GraphBatch(ops=[INPUT, op], graph_offsets=[0], edge_offsets=[0]), Limits())
    assert caught.value.where.startswith("ops[1]")


def test_the_same_network_has_the_same_fingerprint_and_no_other_has():
    twice = residual(
        graph_offsets=[0, 3, 6, 9],
        op_index=[0, 1, 2, 0, 1, 1, 0, 1, 2],
        edge_offsets=[0, 0, 1, 3, 3, 4, 5, 5, 6, 8],
        edge_src=[0, 1, 0, 0, 1, 0, 1, 0],
    )
    batch = GraphBatch(twice, Limits())
    assert batch.fingerprint(0) == batch.fingerprint(2) != batch.fingerprint(1)
    mirrored = residual(edge_src=[0, 0, 1, 0, 1])  # add(x, linear(x))
    assert GraphBatch(mirrored, Limits()).fingerprint(0) != batch.fingerprint(0)
    called = residual(call_offsets=[0, 1, 1], call_value_offsets=[0, 1, 2], call_values=[0, 1])
    assert GraphBatch(called, Limits()).fingerprint(0) != batch.fingerprint(0)
    kept = residual(output_offsets=[0, 2, 3], output_src=[1, 2, 2])
    assert GraphBatch(kept, Limits()).fingerprint(0) != batch.fingerprint(0)


def test_an_empty_batch_has_no_graphs():
    assert len(GraphBatch(pb.GraphBatch(graph_offsets=[0], edge_offsets=[0]), Limits())) == 0


def test_an_empty_graph_is_an_error_of_its_own_item():
    batch = GraphBatch(residual(graph_offsets=[0, 3, 3, 6]), Limits())
    assert batch.graph(2).ops
    with pytest.raises(GraphError, match="the graph has no operators"):
        batch.graph(1)


def test_a_small_message_that_unfolds_to_a_huge_batch_is_refused_before_it_does():
    wide = pb.BatchOp(kind=pb.OP_KIND_VIEW, operands=[pb.BatchOperand(type=ROW)], results=[ROW] * 1000)
    node_count = 100_000
    batch = pb.GraphBatch(
        ops=[INPUT, wide],
        graph_offsets=[0, *range(2, node_count + 1, 2)],
        op_index=[0, 1] * (node_count // 2),
        edge_offsets=[(node + 1) // 2 for node in range(node_count + 1)],
        edge_src=[0] * (node_count // 2),
    )
    with pytest.raises(RequestLimitError) as caught:
        GraphBatch(batch, Limits(graphs=node_count))
    assert caught.value.given == (node_count // 2) * (1 + 1001)  # of an input, and of a wide operator
