"""One surface, two implementations: local and remote give the same numbers, to the bit, and the same errors."""

import threading
from contextlib import contextmanager

import numpy as np
import pytest

from estimator import connect, engine
from estimator import estimate as estimate_once
from estimator.client.local import Estimator, estimate
from estimator.client.remote import Connection
from estimator.client.surface import ItemFailure
from estimator.errors import (
    BadOptionError,
    EstimatorError,
    GraphError,
    ServiceError,
    ServiceTimeoutError,
    ServiceUnreachableError,
    UnknownDeviceError,
    UnknownPrecisionError,
    UnsupportedOpError,
)
from estimator.service.answers import Answers
from estimator.service.server import Server, ServerOptions
from tests.cli.models import conv_relu_file
from tests.service.networks import mlp, with_two_uses_of_one_weight, with_unknown_op

WAIT_S = 20
COLUMNS = ("latency_p10_us", "latency_p50_us", "latency_p90_us", "peak_memory_bytes")
GRAPHS = (mlp(1), mlp(7, width=64), with_two_uses_of_one_weight(), with_unknown_op())


@pytest.fixture(scope="module")
def server():
    with Server(ServerOptions(listen="localhost:0", grace_s=0)) as running:
        yield running


@pytest.fixture(params=["local", "remote"])
def make(request, server):
    """Make an estimator of either kind."""
    if request.param == "local":
        return Estimator
    return lambda device, **options: connect(server.address, device, retries=0, **options)


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.name)
@pytest.mark.parametrize("device", ["sd865", "sd865/cpu", "rtx4090", "i9-10940x"])
def test_the_same_question_has_the_same_answer_to_the_bit(server, graph, device):
    local = Estimator(device).estimate(graph)
    with connect(server.address, device) as remote:
        assert remote.estimate(graph) == local
        assert remote.latency_ms(graph).hex() == Estimator(device).latency_ms(graph).hex()


@pytest.mark.parametrize("device", ["sd865", "rtx4090"])
def test_a_batch_has_the_numbers_of_single_questions_to_the_bit(server, device):
    local = Estimator(device)
    singles = [local.estimate(graph) for graph in GRAPHS]
    with connect(server.address, device) as remote:
        batches = [local.estimate_many(GRAPHS), remote.estimate_many(GRAPHS), *remote.estimate_stream(GRAPHS)]
    for batch in batches:
        assert batch.latency_p50_us.tolist() == [single.latency.p50_s / 1e-6 for single in singles]
        assert batch.peak_memory_bytes.tolist() == [single.memory.peak_bytes for single in singles]
        for column in COLUMNS:
            np.testing.assert_array_equal(getattr(batch, column), getattr(batches[0], column))


def test_options_travel(make):
    default = make("rtx4090").estimate(mlp())
    other = make("rtx4090", runtime="torch-compile", precision="fp16", source="datasheet").estimate(mlp())
    assert (other.runtime, other.precision) == ("torch-compile", "fp16")
    assert (default.runtime, default.precision) != (other.runtime, other.precision)


def test_strict_fails_on_an_operator_without_a_rule(make):
    with pytest.raises(UnsupportedOpError) as caught:
        make("sd865", strict=True).estimate(with_unknown_op())
    assert caught.value.ops == ("Strange",)


def test_an_unknown_precision_fails_where_it_is_written(make):
    with pytest.raises(UnknownPrecisionError):
        make("sd865", precision="fp15")


def test_an_unknown_device_fails_with_its_neighbours(make):
    with pytest.raises(UnknownDeviceError, match="rtx4090"):
        make("rtx409").estimate(mlp())


def test_a_network_that_fails_keeps_its_place_in_a_batch(make):
    batch = make("sd865", strict=True).estimate_many([mlp(), with_unknown_op(), mlp()])
    assert len(batch) == 3
    assert [(failure.index, failure.reason) for failure in batch.failures] == [(1, "UNSUPPORTED_OP")]
    assert np.isnan(batch.latency_ms).tolist() == [False, True, False]
    assert batch.peak_memory_bytes[1] == 0


def test_an_empty_batch_has_empty_columns(make):
    batch = make("sd865").estimate_many([])
    assert (len(batch), batch.failures, batch.latency_p50_us.dtype) == (0, (), np.float64)


def test_a_comparison_has_one_answer_for_each_device(make):
    first, second, third = make("sd865").compare(mlp(), ["sd865/cpu", "nobody", "rtx4090"])
    assert (first.unit, third.device) == ("cpu", "rtx4090")
    assert isinstance(second, ItemFailure)
    assert (second.index, second.reason) == (1, "UNKNOWN_DEVICE")


def test_the_devices_facts_are_the_catalogues(make):
    assert make("sd865").device == Estimator("sd865").device


def test_the_function_is_the_class_for_a_single_use():
    assert estimate_once(mlp(), "sd865") == Estimator("sd865").estimate(mlp())


def test_long_batches_are_cut_and_joined_in_order(server, monkeypatch):
    monkeypatch.setattr("estimator.client.remote.BATCH_GRAPHS", 2)
    graphs = [mlp(depth) for depth in range(1, 12)]
    with connect(server.address, "sd865", strict=True) as remote:
        batch = remote.estimate_many([*graphs, with_unknown_op()])
    expected = Estimator("sd865").estimate_many(graphs)
    assert batch.latency_p50_us.tolist()[:-1] == expected.latency_p50_us.tolist()
    assert [failure.index for failure in batch.failures] == [len(graphs)]


def test_a_stream_gives_answers_before_the_last_question(server):
    answered = threading.Event()

    def questions():
        yield mlp(1)
        assert answered.wait(WAIT_S), "no answer came while the stream was open"
        yield mlp(2)

    found = []
    with connect(server.address, "sd865") as remote:
        for columns in remote.estimate_stream(questions(), batch_graphs=1):
            found.extend(columns.latency_p50_us)
            answered.set()
    assert found == Estimator("sd865").estimate_many([mlp(1), mlp(2)]).latency_p50_us.tolist()


def test_a_stream_raises_what_its_models_raise(server):
    def questions():
        yield mlp()
        yield "no-such-file.onnx"

    with connect(server.address, "sd865") as remote, pytest.raises(EstimatorError, match=r"no-such-file\.onnx"):
        list(remote.estimate_stream(questions()))


@pytest.mark.parametrize("make", [Estimator, lambda device: connect("localhost:1", device)])
def test_one_text_is_not_taken_letter_by_letter(make):
    with pytest.raises(BadOptionError, match="models is the one 'vgg11'"):
        make("sd865").estimate_many("vgg11")
    with pytest.raises(BadOptionError, match="devices is the one 'sd865,rtx4090'"):
        make("sd865").compare(mlp(), "sd865,rtx4090")
    with pytest.raises(BadOptionError, match=r"calibrations is the one 'own\.yaml'"):
        Estimator("sd865", calibrations="own.yaml")


def test_a_comparison_takes_the_shape_of_its_model(server, tmp_path):
    model, asked = str(conv_relu_file(tmp_path / "m.onnx")), {"input_shape": (1, 3, 32, 32), "batch": 2}
    with connect(server.address, "sd865") as remote:
        (there,) = remote.compare(model, ["rtx4090"], **asked)
    (here,) = Estimator("sd865").compare(model, ["rtx4090"], **asked)
    assert here == there == Estimator("rtx4090").estimate(model, **asked)


def test_a_device_file_may_be_a_path(tmp_path):
    board = tmp_path / "board.yaml"
    board.write_text("schema_version: 1\nid: board\ndisplay_name: Our board\nextends: sd865\n")
    assert Estimator(board).device.id == estimate(mlp(), board, source="datasheet").device == "board"


def test_a_stream_raises_what_the_callers_own_code_raises(server):
    def questions():
        yield mlp()
        raise ZeroDivisionError("the caller's own")

    with connect(server.address, "sd865") as remote, pytest.raises(ZeroDivisionError, match="the caller's own"):
        list(remote.estimate_stream(questions(), batch_graphs=1))


# ---------------------------------------------------------------- a service that is not there
def test_an_unreachable_service_is_exit_status_three_and_names_the_address():
    with Server(ServerOptions(listen="localhost:0", grace_s=0)) as gone:
        address = gone.address
    with connect(address, "sd865", retries=0) as remote, pytest.raises(ServiceUnreachableError) as caught:
        remote.latency_ms(mlp())
    assert caught.value.exit_code == 3
    assert f"no service answers at {address}" in str(caught.value)


class Failing:
    """An engine that fails a number of times and then works; it counts its calls."""

    def __init__(self, error, times):
        self.error, self.times, self.calls = error, times, 0

    def __call__(self, *arguments):
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return engine.estimate(*arguments)


@contextmanager
def server_with(estimate_graph, estimate_many=engine.estimate_columns):
    answers = Answers(estimate_graph=estimate_graph, estimate_many=estimate_many)
    with Server(ServerOptions(listen="localhost:0", grace_s=0), answers) as running:
        yield running


def test_the_client_tries_again_while_no_service_answers():
    failing = Failing(ServiceError("not now"), times=2)
    with server_with(failing) as server, connect(server.address, "sd865", retries=2) as remote:
        assert remote.estimate(mlp()) == Estimator("sd865").estimate(mlp())
    assert failing.calls == 3


def test_the_client_gives_up_after_the_last_try():
    failing = Failing(ServiceError("not now"), times=9)
    with (
        server_with(failing) as server,
        connect(server.address, "sd865", retries=1) as remote,
        pytest.raises(ServiceError, match="not now"),
    ):
        remote.estimate(mlp())
    assert failing.calls == 2


def test_no_other_failure_is_tried_again():
    failing = Failing(GraphError("always wrong"), times=9)
    with (
        server_with(failing) as server,
        connect(server.address, "sd865", retries=4) as remote,
        pytest.raises(GraphError, match="always wrong"),
    ):
        remote.estimate(mlp())
    assert failing.calls == 1


def test_a_deadline_that_passes_is_a_timeout_that_names_the_limit():
    go = threading.Event()

    def waiting(estimate):
        def wait(*arguments):
            go.wait(WAIT_S)
            return estimate(*arguments)

        return wait

    slow = waiting(engine.estimate), waiting(engine.estimate_columns)
    with server_with(*slow) as server, connect(server.address, "sd865", timeout_s=0.1) as remote:
        for call in (remote.latency_ms, lambda graph: remote.estimate_many([graph])):
            with pytest.raises(ServiceTimeoutError, match=r"within 0\.1 s") as caught:
                call(mlp())
            assert caught.value.exit_code == 3
        go.set()


@pytest.mark.parametrize(
    "options",
    [
        {"retries": -1},
        {"retries": 5},
        {"timeout_s": 0},
        {"timeout_s": float("inf")},
        {"source": "guess"},
        {"token": "clé"},
        {"server_name": "localhost"},
    ],
)
def test_a_wrong_option_fails_before_anything_is_sent(options):
    with pytest.raises(BadOptionError):
        connect("localhost:1", "sd865", **options)


def test_an_address_is_needed():
    with pytest.raises(BadOptionError, match="no address"):
        connect("", "sd865")


def test_a_closed_connection_says_so(server):
    with connect(server.address, "sd865") as remote:
        pass
    for call in (remote.latency_ms, lambda graph: remote.estimate_many([graph])):
        with pytest.raises(ServiceError, match="is closed"):
            call(mlp())
    with pytest.raises(ServiceError, match="is closed"):
        list(remote.estimate_stream([mlp()]))


def test_a_stream_of_empty_batches_is_refused(server):
    with connect(server.address, "sd865") as remote, pytest.raises(BadOptionError, match="batch_graphs"):
        list(remote.estimate_stream([mlp()], batch_graphs=0))


def test_a_certificate_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BadOptionError, match="cannot read the file"):
        connect("localhost:1", "sd865", tls=tmp_path / "nowhere")


def test_a_connection_opens_nothing_before_it_is_used():
    Connection("nowhere.invalid:1").open().close()
