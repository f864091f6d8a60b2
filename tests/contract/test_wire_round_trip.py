"""What is sent is what arrives: client and service codecs are inverses, through real bytes."""

import pytest
from hypothesis import HealthCheck, given, settings

from estimator.client.batch_builder import BatchBuilder
from estimator.client.device_message import device_from_message
from estimator.client.estimate_message import estimate_from_message
from estimator.client.graph_message import graph_to_message
from estimator.ir.tensor import TensorRole
from estimator.service import graph_batch, graph_message
from estimator.service.device_message import device_to_message
from estimator.service.estimate_message import estimate_to_message
from estimator.service.graph_batch import GraphBatch
from estimator.service.graph_message import graph_from_message
from estimator.service.limits import Limits
from estimator.v1 import device_pb2, estimator_pb2, graph_pb2
from tests.contract import nouns

patched_once = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def unchecked(monkeypatch):
    """Leave validation out: these graphs have every attribute, and make no sense."""
    for module in (graph_message, graph_batch):
        monkeypatch.setattr(module, "validate", lambda graph: graph)


@given(graph=nouns.graphs())
@patched_once
def test_a_graph_survives_the_wire(unchecked, graph):
    wire = graph_to_message(graph).SerializeToString()
    arrived = graph_from_message(graph_pb2.Graph.FromString(wire), Limits())
    assert arrived == graph
    assert arrived.source_format == graph.source_format  # not part of a graph's equality
    assert list(arrived.tensors) == list(graph.tensors)  # nor is the order of its tensors


@given(estimate=nouns.estimates)
def test_an_estimate_survives_the_wire_to_the_bit(estimate):
    wire = estimate_to_message(estimate).SerializeToString()
    arrived = estimate_from_message(estimator_pb2.Estimate.FromString(wire))
    assert arrived == estimate
    assert arrived.latency.p50_s.hex() == estimate.latency.p50_s.hex()


@given(device=nouns.devices)
def test_a_device_survives_the_wire(device):
    wire = device_to_message(device).SerializeToString()
    assert device_from_message(device_pb2.Device.FromString(wire)) == device


@given(graph=nouns.graphs())
@patched_once
def test_a_graph_survives_a_batch_but_for_its_names(unchecked, graph):
    builder = BatchBuilder()
    builder.add(graph)
    builder.add(graph)
    batch = GraphBatch(graph_pb2.GraphBatch.FromString(builder.take().SerializeToString()), Limits())
    assert [nameless(batch.graph(index)) for index in (0, 1)] == [nameless(graph)] * 2


@given(first=nouns.graphs(), second=nouns.graphs())
@patched_once
def test_a_batch_holds_each_distinct_operator_once(unchecked, first, second):
    builder = BatchBuilder()
    for graph in (first, second, first, second):
        builder.add(graph)
    ops = [op.SerializeToString(deterministic=True) for op in builder.take().ops]
    assert len(set(ops)) == len(ops)


def nameless(graph):
    """Describe everything of a graph that its estimate may depend on, with numbers in place of names."""
    number = {}

    def seen(name):
        spec = graph.tensors[name]
        role = spec.role if name not in graph.producer_of else TensorRole.ACTIVATION
        index = number.setdefault(name, len(number))
        return index, spec.shape, spec.dtype, role, spec.quantised, spec.strides

    ops = [
        (op.kind, op.attrs, op.in_place, [seen(n) for n in op.inputs], [seen(n) for n in op.outputs])
        for op in graph.ops
    ]
    held = [
        [[n for n in names if not graph.tensors[n].is_weight] for names in (call.inputs, call.outputs)]
        for call in graph.module_calls
    ]
    calls = [[[seen(n) for n in names] for names in call] for call in held if all(call)]
    inputs, outputs = [seen(n) for n in graph.inputs], [seen(n) for n in graph.outputs]
    rest = sorted(str(seen(name)[1:]) for name in graph.tensors if name not in number)
    return ops, calls, inputs, outputs, rest
