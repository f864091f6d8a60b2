"""A pool of processes gives the answers, refusals and endings of one process."""

import os
import queue
import signal
import threading

import pytest

from estimator.client.batch_builder import BatchBuilder
from estimator.client.graph_message import graph_to_message
from estimator.errors import ServiceError, UnknownDeviceError
from estimator.service.answers import Answers
from estimator.service.limits import AnswerEnded, Budget, Limits
from estimator.service.runner import InlineRunner, PoolRunner, RefusedError
from estimator.v1 import estimator_pb2 as pb
from tests.service.networks import mlp

TARGET = pb.Target(device="sd865")


def budget(seconds=60.0, cancelled=None):
    return Budget.of(seconds, cancelled.is_set if cancelled else lambda: False)


def request(graph_count):
    builder = BatchBuilder()
    for number in range(graph_count):
        builder.add(mlp(1, width=1 + number))  # all different: equal ones are answered once
    return pb.BatchEstimateRequest(batch=builder.take(), targets=[TARGET])


@pytest.fixture(scope="module")
def pool():
    runner = PoolRunner(2, Limits())
    yield runner
    runner.close()


def test_a_worker_gives_the_same_bytes_as_this_process(pool):
    asked = pb.EstimateRequest(model=pb.Model(graph=graph_to_message(mlp())), target=TARGET)
    here = InlineRunner(Answers()).run("Estimate", asked, budget())
    there = pool.run("Estimate", asked, budget())
    assert there.SerializeToString(deterministic=True) == here.SerializeToString(deterministic=True)


def test_a_workers_refusal_is_the_status_of_the_same_error(pool):
    asked = pb.GetDeviceRequest(device="nobody")
    with pytest.raises(UnknownDeviceError) as here:
        InlineRunner(Answers()).run("GetDevice", asked, budget())
    with pytest.raises(RefusedError) as there:
        pool.run("GetDevice", asked, budget())
    assert there.value.status.message == str(here.value)


def test_a_worker_stops_at_the_deadline(pool):
    with pytest.raises(AnswerEnded, match="deadline"):
        pool.run("BatchEstimate", request(1), budget(-1))


def test_a_cancelled_answer_stops_in_its_worker_and_frees_it(pool):
    cancelled = threading.Event()
    endings = queue.SimpleQueue()

    def ask():
        try:
            pool.run("BatchEstimate", long_request, budget(cancelled=cancelled))
        except AnswerEnded as ended:
            endings.put(ended.reason)

    long_request = request(3000)
    asking = [threading.Thread(target=ask) for _ in range(3)]  # two run, one waits
    for thread in asking:
        thread.start()
    cancelled.set()
    for thread in asking:
        thread.join()
    assert [endings.get_nowait() for _ in asking] == ["cancelled"] * 3
    assert pool.run("BatchEstimate", request(1), budget()).columns.graph_count == 1


def test_a_worker_that_dies_fails_its_answer_and_is_replaced(pool):
    for process in list(pool._pool._processes.values()):
        os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(ServiceError, match="a worker process died"):
        pool.run("BatchEstimate", request(1), budget())
    assert pool.run("BatchEstimate", request(1), budget()).columns.graph_count == 1
