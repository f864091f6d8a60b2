"""A real server on a free port of this machine, and stubs to call it."""

from contextlib import contextmanager
from dataclasses import dataclass

import grpc
import pytest

from estimator.engine import estimate, estimate_columns
from estimator.service.answers import Answers
from estimator.service.limits import Limits
from estimator.service.server import Server, ServerOptions
from estimator.v1 import estimator_pb2_grpc


@dataclass
class Running:
    """A server, a channel to it and a stub on that channel."""

    server: Server
    channel: grpc.Channel
    stub: estimator_pb2_grpc.EstimatorServiceStub


@contextmanager
def running(estimate_graph=estimate, estimate_many=estimate_columns, **options):
    """Serve for the length of a block."""
    limits = options.pop("limits", Limits())
    answers = Answers(limits, estimate_graph, estimate_many)
    with (
        Server(ServerOptions(listen="localhost:0", grace_s=0, limits=limits, **options), answers) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        yield Running(server, channel, estimator_pb2_grpc.EstimatorServiceStub(channel))


@pytest.fixture
def serving():
    """Serve with options of the test's own."""
    return running


@pytest.fixture(scope="module")
def service():
    """Serve with all defaults."""
    with running() as up:
        yield up


@pytest.fixture
def remote():
    """Make a remote estimator for a running server; no retries, so that failures come at once."""
    from estimator.client.remote import connect

    def make(up, device="sd865", **options):
        return connect(up.server.address, device, **{"retries": 0, "timeout_s": 20, **options})

    return make
