"""What the builder interns: operators by what they are, not by their names."""

from estimator.client.batch_builder import BatchBuilder
from estimator.v1 import graph_pb2 as pb
from tests.service.networks import mlp, with_two_uses_of_one_weight


def built(*graphs):
    builder = BatchBuilder()
    for graph in graphs:
        builder.add(graph)
    return builder.take()


def test_a_deeper_network_of_the_same_blocks_adds_no_operators():
    batch = built(mlp(1), mlp(50))
    assert len(batch.ops) == 3  # input, linear, relu
    assert list(batch.graph_offsets) == [0, 1 + 2 * 1, (1 + 2 * 1) + (1 + 2 * 50)]
    assert list(batch.op_index[:3]) == [0, 1, 2]


def test_another_width_is_another_operator():
    assert len(built(mlp(1, width=8), mlp(1, width=16)).ops) == 2 * 3


def test_an_edge_names_the_value_that_is_read():
    batch = built(mlp(2))
    assert list(batch.edge_src) == [0, 1, 2, 3]  # a chain
    assert list(batch.edge_offsets) == [0, 0, 1, 2, 3, 4]
    assert list(batch.output_src) == [4]


def test_a_weight_that_is_used_twice_is_a_node():
    batch = built(with_two_uses_of_one_weight())
    assert [op.source_role for op in batch.ops] == [pb.TENSOR_ROLE_INPUT, pb.TENSOR_ROLE_PARAMETER, 0]
    assert list(batch.op_index) == [0, 1, 2, 2]
    assert list(batch.edge_src) == [0, 1, 2, 1]


def test_a_fresh_batch_starts_a_new_dictionary_and_a_stream_keeps_it():
    builder = BatchBuilder()
    builder.add(mlp())
    assert len(builder.take(fresh=False).ops) == 3
    builder.add(mlp())
    batch = builder.take()
    assert (len(batch.ops), list(batch.op_index)) == (0, [0, 1, 2, 1, 2])
    builder.add(mlp())
    assert len(builder.take().ops) == 3


def test_an_empty_batch_is_well_formed():
    batch = BatchBuilder().take()
    assert (list(batch.graph_offsets), list(batch.edge_offsets), list(batch.output_offsets)) == ([0], [0], [0])
