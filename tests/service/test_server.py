"""The service as a whole: health, reflection, devices, estimates, limits, deadlines, cancellation."""

import threading

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from estimator.catalogue.loader import device_ids, load_device
from estimator.client.batch_builder import BatchBuilder
from estimator.client.device_message import device_from_message
from estimator.client.graph_message import graph_to_message
from estimator.engine import estimate, estimate_columns
from estimator.errors import BadOptionError
from estimator.service.limits import Limits
from estimator.service.server import SERVICE, Server, ServerOptions, describe
from estimator.v1 import device_pb2, graph_pb2
from estimator.v1 import estimator_pb2 as pb
from tests.service.networks import mlp, with_unknown_op

WAIT_S = 20
TARGET = pb.Target(device="sd865")


def model(graph=None):
    return pb.Model(graph=graph_to_message(graph or mlp()))


def batch(*graphs):
    builder = BatchBuilder()
    for graph in graphs:
        builder.add(graph)
    return builder.take()


def refusal(call, request, **options):
    """Make a call that must fail; return its code, reason and text."""
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=options.pop("timeout", WAIT_S), **options)
    status = rpc_status.from_call(caught.value)
    info = error_details_pb2.ErrorInfo()
    reason = info.reason if status is not None and status.details and status.details[0].Unpack(info) else ""
    return caught.value.code(), reason, caught.value.details()


# ---------------------------------------------------------------- health and reflection
@pytest.mark.parametrize("name", ["", SERVICE])
def test_health_says_serving(service, name):
    stub = health_pb2_grpc.HealthStub(service.channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=WAIT_S)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_health_turns_to_not_serving_before_the_server_stops(serving):
    with serving() as up:
        stub = health_pb2_grpc.HealthStub(up.channel)
        changes = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=WAIT_S)
        assert next(changes).status == health_pb2.HealthCheckResponse.SERVING
        stopper = threading.Thread(target=up.server.stop)
        stopper.start()
        assert next(changes).status == health_pb2.HealthCheckResponse.NOT_SERVING
        stopper.join()


def test_reflection_lists_the_service_and_gives_its_descriptor(service):
    stub = reflection_pb2_grpc.ServerReflectionStub(service.channel)
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
    ]
    listed, described = stub.ServerReflectionInfo(iter(requests), timeout=WAIT_S)
    names = {service.name for service in listed.list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} <= names
    file = FileDescriptorProto.FromString(described.file_descriptor_response.file_descriptor_proto[0])
    methods = {method.name for method in file.service[0].method}
    assert {
        "ListDevices",
        "GetDevice",
        "Estimate",
        "BatchEstimate",
        "StreamEstimate",
        "CompareDevices",
        "PlanDeployment",
        "ExportTable",
    } == methods


# ---------------------------------------------------------------- devices
def test_the_list_of_devices_is_the_catalogue(service):
    answer = service.stub.ListDevices(pb.ListDevicesRequest(), timeout=WAIT_S)
    assert tuple(device.id for device in answer.devices) == device_ids()


def test_the_list_of_devices_can_be_cut_to_a_kind_of_unit(service):
    answer = service.stub.ListDevices(pb.ListDevicesRequest(kind=device_pb2.UNIT_KIND_NPU), timeout=WAIT_S)
    assert "sd865" in {device.id for device in answer.devices}
    assert all(any(unit.kind == device_pb2.UNIT_KIND_NPU for unit in d.units) for d in answer.devices)


@pytest.mark.parametrize(("reference", "unit"), [("sd865", "npu"), ("sd865/cpu", "cpu"), (" SD865/GPU ", "gpu")])
def test_a_device_arrives_with_every_fact_and_the_unit_asked_for(service, reference, unit):
    answer = service.stub.GetDevice(pb.GetDeviceRequest(device=reference), timeout=WAIT_S)
    assert device_from_message(answer.device) == load_device("sd865")[0]
    assert answer.unit == unit


@pytest.mark.parametrize("reference", ["rtx409", "", "here", "sd865/dsp", "/etc/passwd", "devices/sd865.yaml", "../x"])
def test_only_names_of_the_catalogue_find_a_device(service, reference):
    code, reason, _ = refusal(service.stub.GetDevice, pb.GetDeviceRequest(device=reference))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_DEVICE")


def test_an_absurdly_long_name_is_refused_before_neighbours_are_searched(service):
    code, _, _ = refusal(service.stub.GetDevice, pb.GetDeviceRequest(device="x" * 1_000_000))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


# ---------------------------------------------------------------- estimates
@pytest.mark.parametrize(
    ("request_message", "code", "reason"),
    [
        (pb.EstimateRequest(target=TARGET), "INVALID_ARGUMENT", "BAD_OPTION"),
        (pb.EstimateRequest(model=model()), "NOT_FOUND", "UNKNOWN_DEVICE"),
        (
            pb.EstimateRequest(model=model(), target=pb.Target(device="sd865", precision="fp15")),
            "INVALID_ARGUMENT",
            "UNKNOWN_PRECISION",
        ),
        (
            pb.EstimateRequest(model=model(), target=pb.Target(device="sd865", runtime="x" * 1000)),
            "INVALID_ARGUMENT",
            "BAD_OPTION",
        ),
        (
            pb.EstimateRequest(model=pb.Model(graph=graph_pb2.Graph(ops=[graph_pb2.Op()])), target=TARGET),
            "INVALID_ARGUMENT",
            "GRAPH",
        ),
        (
            pb.EstimateRequest(model=pb.Model(onnx=pb.OnnxModel(content=b"not an ONNX file")), target=TARGET),
            "INVALID_ARGUMENT",
            "MODEL_FILE",
        ),
        (
            pb.EstimateRequest(model=model(with_unknown_op()), target=pb.Target(device="sd865", strict=True)),
            "FAILED_PRECONDITION",
            "UNSUPPORTED_OP",
        ),
    ],
)
def test_a_wrong_request_is_refused_with_its_reason(service, request_message, code, reason):
    got_code, got_reason, text = refusal(service.stub.Estimate, request_message)
    assert (got_code.name, got_reason) == (code, reason)
    assert text


def test_a_target_that_fails_keeps_its_place_in_a_comparison(service):
    targets = [TARGET, pb.Target(device="nobody"), pb.Target(device="rtx4090")]
    answer = service.stub.CompareDevices(pb.CompareDevicesRequest(model=model(), targets=targets), timeout=WAIT_S)
    assert [outcome.WhichOneof("outcome") for outcome in answer.outcomes] == ["estimate", "error", "estimate"]
    error = answer.outcomes[1].error
    assert (error.target_index, error.reason, error.code) == (1, "UNKNOWN_DEVICE", grpc.StatusCode.NOT_FOUND.value[0])


def test_batch_columns_are_graph_major(service):
    graphs, targets = [mlp(1), mlp(5)], [TARGET, pb.Target(device="rtx4090"), pb.Target(device="i9-10940x")]
    request = pb.BatchEstimateRequest(batch=batch(*graphs), targets=targets)
    columns = service.stub.BatchEstimate(request, timeout=WAIT_S).columns
    assert (columns.graph_count, columns.target_count, len(columns.errors)) == (2, 3, 0)
    for g, graph in enumerate(graphs):
        for t, target in enumerate(targets):
            one = service.stub.Estimate(pb.EstimateRequest(model=model(graph), target=target), timeout=WAIT_S).estimate
            cell = g * 3 + t
            assert columns.latency_us.p10[cell] == one.latency.p10_s / 1e-6
            assert columns.latency_us.p50[cell] == one.latency.p50_s / 1e-6
            assert columns.latency_us.p90[cell] == one.latency.p90_s / 1e-6
            parts = one.memory
            assert columns.peak_memory_bytes[cell] == (
                parts.weights_bytes + parts.activation_bytes + parts.workspace_bytes + parts.kv_cache_bytes
            )


def test_a_network_that_comes_again_is_estimated_once(serving):
    gate = Gate()
    gate.go.set()
    with serving(gate.one, gate.many) as up:
        request = pb.BatchEstimateRequest(batch=batch(mlp(1), mlp(2), mlp(1), mlp(1)), targets=[TARGET])
        columns = up.stub.BatchEstimate(request, timeout=WAIT_S).columns
    assert gate.calls == 2
    one, two, *again = columns.latency_us.p50
    assert again == [one, one] != [two, two]


def test_an_item_that_fails_keeps_its_place_in_a_batch(service):
    strict = pb.Target(device="sd865", strict=True)
    request = pb.BatchEstimateRequest(batch=batch(mlp(), with_unknown_op(), mlp()), targets=[strict])
    columns = service.stub.BatchEstimate(request, timeout=WAIT_S).columns
    assert [(e.graph_index, e.target_index, e.reason) for e in columns.errors] == [(1, 0, "UNSUPPORTED_OP")]
    assert columns.latency_us.p50[0] == columns.latency_us.p50[2] > 0
    assert columns.latency_us.p50[1] != columns.latency_us.p50[1]  # NaN


def test_a_stream_answers_in_order_and_remembers_operators_and_targets(service):
    builder = BatchBuilder()
    requests = []
    for graph in (mlp(1), mlp(3), mlp(2)):
        builder.add(graph)
        requests.append(pb.StreamEstimateRequest(batch=builder.take(fresh=False)))
    requests[0].targets.append(TARGET)
    assert [len(request.batch.ops) for request in requests] == [3, 0, 0]  # input, linear, relu; then nothing new
    answers = list(service.stub.StreamEstimate(iter(requests), timeout=WAIT_S))
    assert [answer.batch_index for answer in answers] == [0, 1, 2]
    for graph, answer in zip((mlp(1), mlp(3), mlp(2)), answers, strict=True):
        one = service.stub.Estimate(pb.EstimateRequest(model=model(graph), target=TARGET), timeout=WAIT_S).estimate
        assert list(answer.columns.latency_us.p50) == [one.latency.p50_s / 1e-6]


@pytest.mark.parametrize(
    ("request_message", "reason"),
    [
        (pb.StreamEstimateRequest(batch=batch(mlp())), "BAD_OPTION"),  # no target
        (
            pb.StreamEstimateRequest(
                batch=graph_pb2.GraphBatch(graph_offsets=[0, 1], op_index=[7], edge_offsets=[0, 0]), targets=[TARGET]
            ),
            "BAD_OPTION",
        ),
    ],
)
def test_a_wrong_batch_ends_the_stream_with_its_reason(service, request_message, reason):
    with pytest.raises(grpc.RpcError) as caught:
        list(service.stub.StreamEstimate(iter([request_message]), timeout=WAIT_S))
    info = error_details_pb2.ErrorInfo()
    assert rpc_status.from_call(caught.value).details[0].Unpack(info)
    assert info.reason == reason


# ---------------------------------------------------------------- limits
def test_a_message_above_the_limit_is_refused_by_the_transport(serving):
    with serving(limits=Limits(message_bytes=1000)) as up:
        code, _, text = refusal(up.stub.Estimate, pb.EstimateRequest(model=model(mlp(100)), target=TARGET))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in text


@pytest.mark.parametrize(
    "limit", ["ops", "tensors", "distinct_ops", "nodes", "batch_tensors", "graphs", "targets", "cells"]
)
def test_a_batch_or_graph_above_a_limit_is_refused_with_both_numbers(serving, limit):
    with serving(limits=Limits(**{limit: 1})) as up:
        if limit == "tensors":
            call, request = up.stub.Estimate, pb.EstimateRequest(model=model(), target=TARGET)
        else:
            call = up.stub.BatchEstimate
            request = pb.BatchEstimateRequest(batch=batch(mlp(), mlp(3)), targets=[TARGET, TARGET])
        code, reason, text = refusal(call, request)
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_LIMIT")
    assert "at most 1" in text


def test_a_stream_cannot_gather_more_operators_than_one_message_may_hold(serving):
    requests = []
    for width in range(1, 100):
        requests.append(pb.StreamEstimateRequest(batch=batch(mlp(width=width)), targets=[TARGET]))
    size = max(request.ByteSize() for request in requests)
    with serving(limits=Limits(message_bytes=3 * size)) as up, pytest.raises(grpc.RpcError, match="message bytes"):
        list(up.stub.StreamEstimate(iter(requests), timeout=WAIT_S))


def test_too_many_streams_are_refused_at_once(serving):
    release = threading.Event()

    def requests():
        yield pb.StreamEstimateRequest(batch=batch(mlp()), targets=[TARGET])
        release.wait(WAIT_S)

    with serving(limits=Limits(streams=1)) as up:
        first = up.stub.StreamEstimate(requests(), timeout=WAIT_S)
        next(first)
        with pytest.raises(grpc.RpcError) as caught:
            list(up.stub.StreamEstimate(iter([]), timeout=WAIT_S))
        release.set()
        assert list(first) == []
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


# ---------------------------------------------------------------- deadlines and cancellation
class Gate:
    """An engine that says when it starts on a network, and waits to be let go."""

    def __init__(self):
        self.started = threading.Semaphore(0)
        self.go = threading.Event()
        self.calls = 0

    def passing(self, graph):
        self.calls += 1
        self.started.release()
        self.go.wait(WAIT_S)
        return graph

    def one(self, graph, *arguments):
        return estimate(self.passing(graph), *arguments)

    def many(self, graphs, *arguments):
        return estimate_columns(map(self.passing, graphs), *arguments)


def test_work_stops_after_a_cancellation(serving):
    gate = Gate()
    with serving(gate.one, gate.many) as up:
        call = up.stub.BatchEstimate.future(
            pb.BatchEstimateRequest(batch=batch(*map(mlp, range(1, 51))), targets=[TARGET]), timeout=WAIT_S
        )
        assert gate.started.acquire(timeout=WAIT_S)
        ended = threading.Event()
        call.add_done_callback(lambda _: ended.set())
        call.cancel()
        assert ended.wait(WAIT_S)
        wait_until_told(up)
        gate.go.set()
    assert call.cancelled()
    assert gate.calls == 1  # of 50


def wait_until_told(up):
    """A round trip on the same connection: what was sent before it has arrived."""
    up.stub.ListDevices(pb.ListDevicesRequest(), timeout=WAIT_S)


def test_work_stops_after_the_deadline(serving):
    gate = Gate()
    with serving(gate.one, gate.many) as up:
        request = pb.BatchEstimateRequest(batch=batch(*map(mlp, range(1, 51))), targets=[TARGET])
        code, _, _ = refusal(up.stub.BatchEstimate, request, timeout=0.2)
        gate.go.set()
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert gate.calls == 1  # of 50


def test_the_service_sets_a_deadline_of_its_own(serving):
    with serving(limits=Limits(seconds=-1)) as up:
        code, _, text = refusal(up.stub.Estimate, pb.EstimateRequest(model=model(), target=TARGET))
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "given up" in text


def test_health_answers_while_every_other_call_waits(serving):
    gate = Gate()
    with serving(gate.one, gate.many, limits=Limits(calls=4)) as up:
        request = pb.EstimateRequest(model=model(), target=TARGET)
        waiting = [up.stub.Estimate.future(request, timeout=WAIT_S) for _ in range(3)]
        for _ in waiting:
            assert gate.started.acquire(timeout=WAIT_S)
        stub = health_pb2_grpc.HealthStub(up.channel)
        assert stub.Check(health_pb2.HealthCheckRequest(), timeout=WAIT_S).status == 1
        gate.go.set()
        assert all(call.result().estimate.model == "mlp" for call in waiting)


# ---------------------------------------------------------------- options
def test_a_port_that_is_taken_is_a_usage_error(service):
    with pytest.raises(BadOptionError, match="cannot listen on"):
        Server(ServerOptions(listen=service.server.address))


@pytest.mark.parametrize(
    ("listen", "why"),
    [
        ("50051", "not HOST:PORT"),
        ("localhost:http", "not HOST:PORT"),
        ("localhost:70000", "not HOST:PORT"),
        ("192.0.2.1:0", "assign requested address"),  # TEST-NET-1: nobody's
        ("unix:/nowhere/at/all.sock", "no such folder"),
    ],
)
def test_an_address_that_cannot_be_had_is_a_usage_error_with_the_systems_reason(listen, why):
    with pytest.raises(BadOptionError, match=why):
        Server(ServerOptions(listen=listen))


def test_a_socket_file_is_an_address(serving, tmp_path):
    with Server(ServerOptions(listen=f"unix:{tmp_path}/s")) as server, grpc.insecure_channel(server.address) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=WAIT_S)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (ServerOptions(), "no TLS, no token, 1 worker"),
        (ServerOptions(listen="0.0.0.0:1"), "no TLS, no token, 1 worker; anybody on the network may call it"),
        (ServerOptions(workers=4), "no TLS, no token, 4 workers"),
    ],
)
def test_the_announcement_says_how_the_service_is_protected(options, text):
    assert describe(options) == text
