"""The rpcs, thin: a budget from the call, an answer from the runner, a status from an error."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Iterator
from typing import NoReturn, TypeVar, cast

import grpc
from google.protobuf.message import Message
from google.rpc import status_pb2
from grpc_status import rpc_status

from estimator.errors import EstimatorError
from estimator.service.limits import AnswerEnded, Budget, Limits
from estimator.service.runner import RefusedError, Runner
from estimator.service.status import code_number, status_of
from estimator.service.stream import StreamDictionary
from estimator.v1 import estimator_pb2 as pb
from estimator.v1 import estimator_pb2_grpc

Response = TypeVar("Response", bound=Message)

logger = logging.getLogger("estimator.service")


class Servicer(estimator_pb2_grpc.EstimatorServiceServicer):
    """EstimatorService over a runner."""

    def __init__(self, runner: Runner, limits: Limits) -> None:
        self._runner = runner
        self._limits = limits
        self._streams = threading.BoundedSemaphore(limits.streams)

    def ListDevices(self, request: pb.ListDevicesRequest, context: grpc.ServicerContext) -> pb.ListDevicesResponse:
        """List the catalogue."""
        return self._answer("ListDevices", request, context, pb.ListDevicesResponse)

    def GetDevice(self, request: pb.GetDeviceRequest, context: grpc.ServicerContext) -> pb.GetDeviceResponse:
        """Get one device."""
        return self._answer("GetDevice", request, context, pb.GetDeviceResponse)

    def Estimate(self, request: pb.EstimateRequest, context: grpc.ServicerContext) -> pb.EstimateResponse:
        """Estimate one network on one target."""
        return self._answer("Estimate", request, context, pb.EstimateResponse)

    def BatchEstimate(
        self, request: pb.BatchEstimateRequest, context: grpc.ServicerContext
    ) -> pb.BatchEstimateResponse:
        """Estimate many networks on some targets."""
        return self._answer("BatchEstimate", request, context, pb.BatchEstimateResponse)

    def CompareDevices(
        self, request: pb.CompareDevicesRequest, context: grpc.ServicerContext
    ) -> pb.CompareDevicesResponse:
        """Estimate one network on several targets."""
        return self._answer("CompareDevices", request, context, pb.CompareDevicesResponse)

    def PlanDeployment(
        self, request: pb.PlanDeploymentRequest, context: grpc.ServicerContext
    ) -> pb.PlanDeploymentResponse:
        """Hold networks on targets against limits."""
        return self._answer("PlanDeployment", request, context, pb.PlanDeploymentResponse)

    def ExportTable(self, request: pb.ExportTableRequest, context: grpc.ServicerContext) -> pb.ExportTableResponse:
        """Tabulate the blocks of a search space."""
        return self._answer("ExportTable", request, context, pb.ExportTableResponse)

    def StreamEstimate(
        self, request_iterator: Iterator[pb.StreamEstimateRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.StreamEstimateResponse]:
        """Answer batches in order; the dictionary of operators lives as long as the call."""
        if not self._streams.acquire(blocking=False):
            context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, f"{self._limits.streams} streams are open; try again later"
            )
        try:
            dictionary = StreamDictionary(self._limits)
            for index, request in enumerate(request_iterator):
                try:
                    batch = dictionary.complete(request)
                except EstimatorError as error:
                    _abort(context, status_of(error))
                answer = self._answer("BatchEstimate", batch, context, pb.BatchEstimateResponse)
                yield pb.StreamEstimateResponse(batch_index=index, columns=answer.columns)
        finally:
            self._streams.release()

    def _answer(
        self, method: str, request: Message, context: grpc.ServicerContext, response: type[Response]
    ) -> Response:
        try:
            return cast(Response, self._runner.run(method, request, self._budget(context)))
        except EstimatorError as error:
            _abort(context, status_of(error))
        except RefusedError as error:
            _abort(context, error.status)
        except AnswerEnded as ended:
            code = grpc.StatusCode.CANCELLED if ended.reason == "cancelled" else grpc.StatusCode.DEADLINE_EXCEEDED
            context.abort(code, f"the answer was given up: {ended.reason}")
        except Exception:
            reference = secrets.token_hex(4)
            logger.exception("%s failed, reference %s", method, reference)
            context.abort(grpc.StatusCode.INTERNAL, f"this is a bug in the service; its log has it as {reference}")

    def _budget(self, context: grpc.ServicerContext) -> Budget:
        cancelled = threading.Event()
        if not context.add_callback(cancelled.set):
            cancelled.set()
        remaining_s = cast("float | None", context.time_remaining())  # the type stubs forget calls without deadline
        limit_s = self._limits.seconds
        return Budget.of(limit_s if remaining_s is None else min(limit_s, remaining_s), cancelled.is_set)


def _abort(context: grpc.ServicerContext, status: status_pb2.Status) -> NoReturn:
    if status.code == code_number(grpc.StatusCode.INTERNAL):
        logger.error("%s", status.message)
    context.abort_with_status(rpc_status.to_status(status))
