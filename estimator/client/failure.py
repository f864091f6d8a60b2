"""Rebuild the error that the service reported, so that remote and local failures are the same exceptions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, cast

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from estimator import errors
from estimator.errors import EstimatorError

DOMAIN: Final = "estimator.v1"
_ALL_FAILED: Final = "failed to connect to all addresses; last error: "
_REFUSED_TLS: Final = re.compile("handshake|certificate|verification", re.IGNORECASE)
_CLOSED: Final = re.compile("socket closed|connection reset", re.IGNORECASE)
"""How gRPC's core words what went wrong beneath a call (1.85)."""


def _family(cls: type[EstimatorError]) -> Iterator[type[EstimatorError]]:
    yield cls
    for child in cls.__subclasses__():
        yield from _family(child)


CLASS_OF: Final[Mapping[str, type[EstimatorError]]] = {cls.reason(): cls for cls in _family(EstimatorError)}


def error_of(failure: grpc.RpcError, address: str, timeout_s: float) -> EstimatorError:
    """Make the error of a failed call.

    Parameters
    ----------
    failure : grpc.RpcError
        As a stub raises it.
    address : str
        The service's, for messages.
    timeout_s : float
        The deadline that was set.

    Returns
    -------
    EstimatorError
        The service's own, rebuilt, where it sent one; else a `ServiceError` that says what to do.
    """
    call = cast(grpc.Call, failure)  # an error that a stub raises is also the call
    info = _error_info(call)
    if info is not None:
        return _rebuilt(info)
    detail = str(call.details() or "").partition("\n")[0]
    match call.code():
        case grpc.StatusCode.UNAVAILABLE:
            return _unreachable(address, detail)
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return errors.ServiceTimeoutError(
                f"no answer from {address} within {timeout_s:g} s", hint="send less at once, or set timeout_s higher"
            )
        case grpc.StatusCode.UNAUTHENTICATED | grpc.StatusCode.PERMISSION_DENIED:
            return errors.ServiceDeniedError(
                f"{address} refuses the call", where=detail, hint="pass the token that the service was given"
            )
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return errors.ServiceError(f"{address} refuses the call: {detail}", hint="send less at once, or later")
        case code:
            return errors.ServiceError(f"{address} failed: {detail}", where=f"gRPC status {code.name}")


def _unreachable(address: str, detail: str) -> errors.ServiceUnreachableError:
    """Say whether nothing answers, or something that speaks TLS otherwise than this side does."""
    why = detail.removeprefix(_ALL_FAILED)
    if _REFUSED_TLS.search(why):
        return errors.ServiceUnreachableError(
            f"no TLS connection to {address}",
            where=why,
            hint="check tls=CA_FILE, server_name and client_cert, and that the service was given a certificate",
        )
    hint = "estimator-cli serve --listen HOST:PORT"
    if _CLOSED.search(why):
        hint = "pass tls if the service has a certificate, and client_cert if it asks for one"
    return errors.ServiceUnreachableError(f"no service answers at {address}", where=why, hint=hint)


def _error_info(call: grpc.Call) -> error_details_pb2.ErrorInfo | None:
    try:
        status = rpc_status.from_call(call)
    except ValueError:  # the peer's trailers contradict each other: not our service
        return None
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info) and info.domain == DOMAIN:
            return info
    return None


def _rebuilt(info: error_details_pb2.ErrorInfo) -> EstimatorError:
    """Make an error without its own constructor, which would compose `what` anew."""
    cls = CLASS_OF.get(info.reason, errors.ServiceError)
    fields = dict(info.metadata)
    text = {key: fields.get(key, "") for key in ("where", "expected", "hint")}
    error = cls.__new__(cls)
    EstimatorError.__init__(error, fields.get("what", info.reason), **text)
    for name in ("name", "package"):
        if name in fields:
            setattr(error, name, fields[name])
    for name in ("given", "allowed"):
        if name in fields:
            setattr(error, name, int(fields[name]))
    for name in ("known", "ops"):
        if name in fields:
            setattr(error, name, tuple(filter(None, fields[name].split(","))))
    return error
