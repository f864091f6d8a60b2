"""Where answers are computed: in this process, or in a pool of processes.

Computing holds the interpreter lock, so threads add no throughput and processes do. Either way the
server's threads mostly wait, which keeps health checks and cancellation prompt (docs/adr/0006).
"""

from __future__ import annotations

import ctypes
import multiprocessing
import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Final, Protocol

from google.protobuf.message import Message
from google.rpc import status_pb2

from estimator.errors import EstimatorError, ServiceError
from estimator.service.answers import Answers
from estimator.service.limits import AnswerEnded, Budget, Limits
from estimator.service.planning_answers import export_table, plan_deployment
from estimator.service.status import status_of
from estimator.v1 import estimator_pb2 as pb

POLL_S: Final = 0.05
"""How often a waiting thread looks whether its caller went away; a finished answer wakes it at once."""


@dataclass(frozen=True, slots=True)
class Method:
    """One rpc: the messages on both sides and the function between them."""

    request: type[Message]
    response: type[Message]
    answer: Callable[[Answers, Message, Budget], Message]


METHODS: Final[Mapping[str, Method]] = {
    "ListDevices": Method(pb.ListDevicesRequest, pb.ListDevicesResponse, Answers.list_devices),  # type: ignore[arg-type]
    "GetDevice": Method(pb.GetDeviceRequest, pb.GetDeviceResponse, Answers.get_device),  # type: ignore[arg-type]
    "Estimate": Method(pb.EstimateRequest, pb.EstimateResponse, Answers.estimate),  # type: ignore[arg-type]
    "BatchEstimate": Method(pb.BatchEstimateRequest, pb.BatchEstimateResponse, Answers.batch_estimate),  # type: ignore[arg-type]
    "CompareDevices": Method(pb.CompareDevicesRequest, pb.CompareDevicesResponse, Answers.compare_devices),  # type: ignore[arg-type]
    "PlanDeployment": Method(pb.PlanDeploymentRequest, pb.PlanDeploymentResponse, plan_deployment),  # type: ignore[arg-type]
    "ExportTable": Method(pb.ExportTableRequest, pb.ExportTableResponse, export_table),  # type: ignore[arg-type]
}


class RefusedError(Exception):
    """An answer that another process refused; its status is ready to send."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status.message)
        self.status = status


class Runner(Protocol):
    """Computes answers."""

    def run(self, method: str, request: Message, budget: Budget) -> Message:
        """Answer one request; raise what went wrong."""
        ...

    def close(self) -> None:
        """Free what it holds, after the last answer."""
        ...


class InlineRunner:
    """Answers in the thread that asks."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def run(self, method: str, request: Message, budget: Budget) -> Message:
        """Answer one request."""
        return METHODS[method].answer(self._answers, request, budget)

    def close(self) -> None:
        """Hold nothing, free nothing."""


class PoolRunner:
    """Answers in `workers` processes, which are started at once and import no framework.

    A cancelled request that is running is told through shared memory: each has a slot, one byte.
    """

    def __init__(self, workers: int, limits: Limits) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._workers = workers
        self._limits = limits
        self._cancelled = self._context.RawArray(ctypes.c_bool, limits.calls)
        self._slots: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(limits.calls):
            self._slots.put(slot)
        self._lock = threading.Lock()
        self._pool = self._start()

    def run(self, method: str, request: Message, budget: Budget) -> Message:
        """Answer one request.

        Raises
        ------
        RefusedError
            The worker refused it.
        ServiceError
            The worker died.
        """
        slot = self._slots.get()
        try:
            self._cancelled[slot] = budget.is_cancelled()
            job = (method, request.SerializeToString(), budget.deadline_s, slot)
            ok, payload = self._result(self._submit(job), budget, slot)
        finally:
            self._slots.put(slot)
        if not ok:
            raise RefusedError(status_pb2.Status.FromString(payload))
        return METHODS[method].response.FromString(payload)

    def close(self) -> None:
        """End the workers."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _submit(self, job: tuple[str, bytes, float, int]) -> Future[tuple[bool, bytes]]:
        with self._lock:
            try:
                return self._pool.submit(_answer_in_worker, *job)
            except BrokenProcessPool:
                self._pool = self._start()
                return self._pool.submit(_answer_in_worker, *job)

    def _result(self, future: Future[tuple[bool, bytes]], budget: Budget, slot: int) -> tuple[bool, bytes]:
        while not wait([future], timeout=POLL_S).done:
            if budget.is_cancelled():
                self._cancelled[slot] = True
                if future.cancel():
                    raise AnswerEnded("cancelled")
        try:
            return future.result()
        except BrokenProcessPool:
            raise ServiceError(
                "a worker process died while it computed this answer",
                hint="try again; if it happens with the same network, the server's log and memory say more",
            ) from None

    def _start(self) -> ProcessPoolExecutor:
        pool = ProcessPoolExecutor(
            self._workers, self._context, initializer=_start_worker, initargs=(self._limits, self._cancelled)
        )
        try:
            for future in [pool.submit(_ready) for _ in range(self._workers)]:
                future.result()
        except BrokenProcessPool:
            raise ServiceError(
                f"the {self._workers} worker processes did not start",
                hint='a script that starts a server needs `if __name__ == "__main__":` around it',
            ) from None
        return pool


@dataclass(slots=True)
class _Worker:
    """What a worker process holds."""

    answers: Answers
    cancelled: ctypes.Array[ctypes.c_bool]


_worker: _Worker | None = None


def _start_worker(limits: Limits, cancelled: ctypes.Array[ctypes.c_bool]) -> None:
    import signal

    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    _worker = _Worker(Answers(limits), cancelled)


def _ready() -> bool:
    return _worker is not None


def _answer_in_worker(method: str, payload: bytes, deadline_s: float, slot: int) -> tuple[bool, bytes]:
    """Answer in a worker process; errors travel as statuses, for exceptions with fields do not pickle."""
    assert _worker is not None
    worker = _worker
    spec = METHODS[method]
    budget = Budget(deadline_s, lambda: bool(worker.cancelled[slot]))
    try:
        return True, spec.answer(worker.answers, spec.request.FromString(payload), budget).SerializeToString()
    except EstimatorError as error:
        return False, status_of(error).SerializeToString()
