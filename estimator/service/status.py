"""One table: error class → gRPC code; and the status that carries its fields to the caller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from estimator import errors
from estimator.errors import EstimatorError

DOMAIN: Final = "estimator.v1"
MAX_TEXT: Final = 1500
"""Characters of one text field: a status travels in trailers, which peers bound at 8 kB."""

CODE_OF: Final[Mapping[type[EstimatorError], grpc.StatusCode]] = {
    errors.EstimatorError: grpc.StatusCode.UNKNOWN,
    errors.UsageError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.UnknownDeviceError: grpc.StatusCode.NOT_FOUND,
    errors.UnknownPrecisionError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.UnknownRuntimeError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.UnknownConventionError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.UnknownModelError: grpc.StatusCode.NOT_FOUND,
    errors.BadOptionError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.RequestLimitError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.UnsupportedCombinationError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.ModelError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.ModelFileError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.TraceError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.GraphError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.MissingShapeError: grpc.StatusCode.INVALID_ARGUMENT,
    # The request is well formed; this version of the service has no rule, no package, no rate for it.
    errors.UnsupportedOpError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.MissingDependencyError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.MissingCeilingError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.RecordError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.CalibrationError: grpc.StatusCode.FAILED_PRECONDITION,
    # The service's own files are wrong: nothing that the caller could change.
    errors.CatalogueError: grpc.StatusCode.INTERNAL,
    errors.OutputError: grpc.StatusCode.INTERNAL,
    errors.ServiceError: grpc.StatusCode.UNAVAILABLE,
    errors.ServiceUnreachableError: grpc.StatusCode.UNAVAILABLE,
    errors.ServiceDeniedError: grpc.StatusCode.UNAUTHENTICATED,
    errors.ServiceTimeoutError: grpc.StatusCode.DEADLINE_EXCEEDED,
}


def code_of(error: EstimatorError) -> grpc.StatusCode:
    """Code of an error: its own class's, or that of its nearest listed ancestor."""
    return next(CODE_OF[cls] for cls in type(error).__mro__ if cls in CODE_OF)


def code_number(code: grpc.StatusCode) -> int:
    """Return the number of a code, as google.rpc.Code has it."""
    return int(code.value[0])


def error_fields(error: EstimatorError) -> dict[str, str]:
    """Fields from which a client rebuilds the error."""
    texts = {"what": error.what, "where": error.where, "expected": error.expected, "hint": error.hint}
    fields = {key: value for key, value in texts.items() if value}
    for name in ("name", "package", "given", "allowed"):
        if hasattr(error, name):
            fields[name] = str(getattr(error, name))
    for name in ("known", "ops"):
        if hasattr(error, name):
            fields[name] = _joined(getattr(error, name))
    return {key: value[:MAX_TEXT] for key, value in fields.items()}


def _joined(names: tuple[str, ...]) -> str:
    """Join as many whole names as fit: no name contains a comma."""
    text = ",".join(names)
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT].rpartition(",")[0]


def status_of(error: EstimatorError) -> status_pb2.Status:
    """Make the rich status of an error: code, text for people, ErrorInfo for machines."""
    info = error_details_pb2.ErrorInfo(reason=type(error).reason(), domain=DOMAIN, metadata=error_fields(error))
    detail = any_pb2.Any()
    detail.Pack(info)
    return status_pb2.Status(code=code_number(code_of(error)), message=str(error)[:MAX_TEXT], details=[detail])
