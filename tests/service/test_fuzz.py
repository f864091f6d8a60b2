"""Whatever is sent, the answer is a reason: never INTERNAL, never a hang."""

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from estimator.client.batch_builder import BatchBuilder
from estimator.client.graph_message import graph_to_message
from estimator.v1 import estimator_pb2 as pb
from estimator.v1 import graph_pb2
from tests.contract import nouns
from tests.service.networks import mlp, with_every_kind_of_arithmetic, with_two_uses_of_one_weight

WAIT_S = 20
TARGET = pb.Target(device="sd865")
ACCEPTED = (
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,  # a network that is sound and has no rule
)
numbers = st.lists(st.integers(-(2**31), 2**31 - 1) | st.integers(-1, 8), max_size=12)


def code(call, request):
    try:
        call(request, timeout=WAIT_S)
    except grpc.RpcError as failure:
        return failure.code()
    return grpc.StatusCode.OK


def built(*graphs):
    builder = BatchBuilder()
    for graph in graphs:
        builder.add(graph)
    return builder.take()


GOOD_BATCH = built(mlp(), with_two_uses_of_one_weight(), mlp(3))
GOOD_BYTES = GOOD_BATCH.SerializeToString()
GOOD_GRAPH = graph_to_message(with_every_kind_of_arithmetic())
GOOD_GRAPH_BYTES = GOOD_GRAPH.SerializeToString()


@given(content=st.binary(max_size=200))
def test_random_bytes_are_no_onnx_file(service, content):
    request = pb.EstimateRequest(model=pb.Model(onnx=pb.OnnxModel(content=content)), target=TARGET)
    assert code(service.stub.Estimate, request) is grpc.StatusCode.INVALID_ARGUMENT


def onnx_file():
    """A real file of two operators."""
    from onnx import TensorProto, helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])
    w = helper.make_tensor("w", TensorProto.FLOAT, [4, 4], [0.0] * 16)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    return helper.make_model(helper.make_graph(nodes, "g", [x], [y], [w])).SerializeToString()


@pytest.fixture(scope="module")
def good_onnx():
    return onnx_file()


def test_the_onnx_file_that_is_mutated_below_is_sound(service, good_onnx):
    request = pb.EstimateRequest(model=pb.Model(onnx=pb.OnnxModel(content=good_onnx)), target=TARGET)
    assert code(service.stub.Estimate, request) is grpc.StatusCode.OK


@given(data=st.data())
@settings(max_examples=200)
def test_a_broken_onnx_file_is_refused_or_answered(service, good_onnx, data):
    content = bytearray(good_onnx)
    for _ in range(data.draw(st.integers(1, 4), "changes")):
        content[data.draw(st.integers(0, len(content) - 1), "position")] = data.draw(st.integers(0, 255), "value")
    del content[data.draw(st.just(len(content)) | st.integers(0, len(content)), "cut") :]
    request = pb.EstimateRequest(model=pb.Model(onnx=pb.OnnxModel(content=bytes(content))), target=TARGET)
    assert code(service.stub.Estimate, request) in ACCEPTED


@given(
    shapes=st.lists(
        st.builds(
            pb.InputShape, name=st.sampled_from(["", "x", "y"]), extents=st.lists(st.integers(-1, 2**62), max_size=4)
        ),
        max_size=2,
    ),
    batch=st.none() | st.integers(-(2**63), 2**63 - 1),
)
def test_any_shape_and_batch_of_an_onnx_file_is_refused_or_answered(service, good_onnx, shapes, batch):
    onnx = pb.OnnxModel(content=good_onnx, input_shapes=shapes, batch=batch)
    request = pb.EstimateRequest(model=pb.Model(onnx=onnx), target=TARGET)
    assert code(service.stub.Estimate, request) in ACCEPTED


@given(
    graph_offsets=numbers, op_index=numbers, edge_offsets=numbers, edge_src=numbers, output_offsets=numbers,
    output_src=numbers,
)  # fmt: skip
def test_random_arrays_are_refused_or_answered(service, **arrays):
    batch = graph_pb2.GraphBatch(ops=GOOD_BATCH.ops, **arrays)
    request = pb.BatchEstimateRequest(batch=batch, targets=[TARGET])
    assert code(service.stub.BatchEstimate, request) in ACCEPTED


@given(
    field=st.sampled_from(
        [
            "graph_offsets",
            "op_index",
            "edge_offsets",
            "edge_src",
            "output_offsets",
            "output_src",
            "call_offsets",
            "call_value_offsets",
            "call_values",
        ]
    ),
    position=st.integers(0, 1000),
    value=st.integers(-(2**31), 2**31 - 1) | st.integers(-2, 12),
)
def test_one_wrong_number_is_refused_or_answered(service, field, position, value):
    batch = graph_pb2.GraphBatch.FromString(GOOD_BYTES)
    if field.startswith("call"):
        batch.MergeFrom(
            graph_pb2.GraphBatch(call_offsets=[0, 1, 2, 2], call_value_offsets=range(5), call_values=[0] * 4)
        )
    array = getattr(batch, field)
    array[position % len(array)] = value
    request = pb.BatchEstimateRequest(batch=batch, targets=[TARGET])
    assert code(service.stub.BatchEstimate, request) in ACCEPTED


@given(position=st.integers(0, len(GOOD_BYTES) - 1), value=st.integers(0, 255))
def test_a_flipped_byte_of_a_batch_is_refused_or_answered(service, position, value):
    data = bytearray(GOOD_BYTES)
    data[position] = value
    raw = service.channel.unary_unary("/estimator.v1.EstimatorService/BatchEstimate")
    wrapped = pb.BatchEstimateRequest(targets=[TARGET]).SerializeToString() + b"\x0a" + varint(len(data)) + bytes(data)
    # The transport answers bytes that are no message with INTERNAL, before the service sees them.
    assert code(raw, wrapped) in ACCEPTED or not parses(pb.BatchEstimateRequest, wrapped)


@given(position=st.integers(0, len(GOOD_GRAPH_BYTES) - 1), value=st.integers(0, 255))
def test_a_flipped_byte_of_a_graph_is_refused_or_answered(service, position, value):
    data = bytearray(GOOD_GRAPH_BYTES)
    data[position] = value
    if parses(graph_pb2.Graph, bytes(data)):
        model = pb.Model(graph=graph_pb2.Graph.FromString(bytes(data)))
        assert code(service.stub.Estimate, pb.EstimateRequest(model=model, target=TARGET)) in ACCEPTED


def test_the_graph_that_is_mutated_below_is_sound(service):
    request = pb.EstimateRequest(model=pb.Model(graph=GOOD_GRAPH), target=pb.Target(device="sd865", strict=True))
    assert code(service.stub.Estimate, request) is grpc.StatusCode.OK


@given(data=st.data())
@settings(max_examples=200)
def test_a_changed_number_of_a_graph_is_refused_or_answered(service, data):
    graph = graph_pb2.Graph.FromString(GOOD_GRAPH_BYTES)
    for _ in range(data.draw(st.integers(1, 3), "changes")):
        mutate(graph, data)
    request = pb.EstimateRequest(model=pb.Model(graph=graph), target=TARGET)
    assert code(service.stub.Estimate, request) in ACCEPTED


def mutate(graph, data):
    """Change one extent, or one number or flag of one operator's attributes."""
    value = data.draw(st.sampled_from([-1, 0, 1, 2, 3, 7, 2**20, 2**31, 2**62]), "value")
    if data.draw(st.booleans(), "shape"):
        shape = data.draw(st.sampled_from([t.type.shape for t in graph.tensors if t.type.shape]), "of")
        shape[data.draw(st.integers(0, len(shape) - 1), "axis")] = value
        return
    op = data.draw(st.sampled_from([op for op in graph.ops if op.HasField("attrs")]), "op")
    family = getattr(op.attrs, op.attrs.WhichOneof("family"))
    field = data.draw(st.sampled_from(list(family.DESCRIPTOR.fields)), "field")
    if field.type == field.TYPE_STRING:
        setattr(family, field.name, data.draw(st.sampled_from(["", "sum", "lstm", "ab,bc->ac", "?"]), "text"))
    elif field.type == field.TYPE_BOOL:
        setattr(family, field.name, not getattr(family, field.name))
    elif not field.is_repeated:
        setattr(family, field.name, value)
    elif data.draw(st.booleans(), "longer") or not getattr(family, field.name):
        getattr(family, field.name).append(value)
    else:
        getattr(family, field.name)[0] = value


@given(graph=nouns.graphs())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_a_graph_without_sense_is_refused_or_answered(service, graph):
    request = pb.EstimateRequest(model=pb.Model(graph=graph_to_message(graph)), target=TARGET)
    assert code(service.stub.Estimate, request) in ACCEPTED


def parses(message, data):
    try:
        message.FromString(data)
    except Exception:  # protobuf's own DecodeError
        return False
    return True


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])
