"""The estimator over gRPC: same methods, same numbers to the bit, same errors."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, TypedDict, TypeVar

import grpc
import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from estimator.catalogue.device import Device
from estimator.client.batch_builder import MAX_NODES, BatchBuilder
from estimator.client.device_message import device_from_message
from estimator.client.estimate_message import estimate_from_message
from estimator.client.failure import error_of
from estimator.client.graph_message import graph_to_message
from estimator.client.model import Model, graph_of, several
from estimator.client.surface import BatchEstimate, EstimatorSurface, ItemFailure, Request
from estimator.dtypes import Precision
from estimator.errors import BadOptionError, EstimatorError, ServiceError
from estimator.files import read_pem
from estimator.ir.graph import Graph
from estimator.result import Estimate, ProvenanceKind
from estimator.units import MIB
from estimator.v1 import estimator_pb2 as pb
from estimator.v1 import estimator_pb2_grpc, graph_pb2

LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")
MAX_MESSAGE_BYTES: Final = 64 * MIB
LONGEST_TIMEOUT_S: Final = 86_400.0
"""A day; infinity would end at once in gRPC."""
BATCH_GRAPHS: Final = 1000
"""Networks of one call: enough to spread the call's fixed cost, few enough to bound its time."""
CALLS_IN_FLIGHT: Final = 4
"""Batches sent ahead, so that a service with several workers computes them at the same time."""

Response = TypeVar("Response")


@dataclass(frozen=True, slots=True)
class Tls:
    """How to trust the service, and be trusted by it.

    Attributes
    ----------
    root_certificates : Path or None
        PEM file of the authority that signed the service's certificate; None for the public ones.
    certificate, key : Path or None
        PEM files of the caller's own identity, where the service asks for one.
    server_name : str or None
        Name in the service's certificate, where it is not the address.
    """

    root_certificates: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files.

        Raises
        ------
        BadOptionError
            One cannot be read or is of another kind, or half of the identity is missing.
        """
        if (self.certificate is None) != (self.key is None):  # gRPC's core would end the process
            missing = "client_cert" if self.certificate is None else "client_key"
            raise BadOptionError("half of a TLS identity", where=missing, expected="both client_cert and client_key")
        return grpc.ssl_channel_credentials(
            _pem(self.root_certificates, "CERTIFICATE", "tls"),
            _pem(self.key, "PRIVATE KEY", "client_key"),
            _pem(self.certificate, "CERTIFICATE", "client_cert"),
        )


@dataclass(frozen=True, slots=True)
class Retry:
    """How often to try again when no service answers, and only then: waits double, with jitter."""

    attempts: int = 4
    first_wait_s: float = 0.2
    longest_wait_s: float = 2.0

    def service_config(self) -> str:
        """Write it as gRPC's own policy, which the channel carries out."""
        policy = {
            "maxAttempts": self.attempts,
            "initialBackoff": f"{self.first_wait_s}s",
            "maxBackoff": f"{self.longest_wait_s}s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
        method = {"name": [{"service": "estimator.v1.EstimatorService"}]}
        return json.dumps({"methodConfig": [method | ({"retryPolicy": policy} if self.attempts > 1 else {})]})


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the service is and how it is called."""

    address: str
    token: str | None = None
    tls: Tls | None = None
    timeout_s: float = 60.0
    retry: Retry = field(default_factory=Retry)

    def open(self) -> grpc.Channel:
        """Make a channel; nothing is sent yet.

        Raises
        ------
        BadOptionError
            A token would travel in clear text, or a file cannot be read.
        """
        host = self.address.rpartition(":")[0]
        if self.token and self.tls is None and host not in LOCAL_HOSTS and not self.address.startswith("unix:"):
            raise BadOptionError(
                "a token would travel unencrypted",
                where=self.address,
                expected="tls=True, or tls=CA_FILE, with a token",
            )
        options: list[tuple[str, str | int]] = [
            ("grpc.service_config", self.retry.service_config()),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ]
        if self.tls is None:
            return grpc.insecure_channel(self.address, options)
        if self.tls.server_name:
            options.append(("grpc.ssl_target_name_override", self.tls.server_name))
        return grpc.secure_channel(self.address, self.tls.credentials(), options)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Headers of each call."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()


class RemoteEstimator(EstimatorSurface):
    """Latency and memory of models on one device, computed by a service.

    Models are traced here; shapes travel, weights never. Use as a context manager, or `close`.
    """

    def __init__(self, connection: Connection, device: str, request: Request) -> None:
        if request.calibrations:
            raise BadOptionError(
                "a service reads no calibration files", where="calibrations", expected="none with connect()"
            )
        if request.precision is not None:
            Precision.parse(request.precision)
        self._source = _source(request.source)
        self._connection = connection
        self._reference = device
        self._request = request
        self._channel = connection.open()
        self._open_stub = estimator_pb2_grpc.EstimatorServiceStub(self._channel)  # type: ignore[no-untyped-call]  # generated
        self._closed = False

    def __repr__(self) -> str:
        return f"connect({self._connection.address!r}, device={self._reference!r})"

    def __enter__(self) -> RemoteEstimator:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._closed = True
        self._channel.close()

    @property
    def _stub(self) -> estimator_pb2_grpc.EstimatorServiceStub:
        if self._closed:
            raise ServiceError(f"the connection to {self._connection.address} is closed", hint="connect() again")
        return self._open_stub

    @property
    def layout(self) -> str | None:
        """Layout asked for; None is nchw."""
        return self._request.layout

    @cached_property
    def device(self) -> Device:
        """The device's facts, asked for once."""
        response = self._call(self._stub.GetDevice, pb.GetDeviceRequest(device=self._reference))
        return device_from_message(response.device)

    def list_devices(self) -> tuple[str, ...]:
        """IDs of the service's catalogue, sorted."""
        response = self._call(self._stub.ListDevices, pb.ListDevicesRequest())
        return tuple(summary.id for summary in response.devices)

    def estimate_many(self, models: Iterable[Model]) -> BatchEstimate:
        """Estimate many networks; one that cannot be estimated keeps its place and is listed in `failures`.

        They travel in batches of 1,000, a few ahead of the answers.
        """
        columns: list[pb.EstimateColumns] = []
        waiting: deque[grpc.Future[pb.BatchEstimateResponse]] = deque()
        targets = [self._target(self._reference)]
        for batch in self._batches(models, BATCH_GRAPHS):
            if len(waiting) == CALLS_IN_FLIGHT:
                columns.append(self._result(waiting.popleft()))
            request = pb.BatchEstimateRequest(batch=batch, targets=targets)
            waiting.append(self._stub.BatchEstimate.future(request, **self._call_options))
        columns.extend(self._result(future) for future in waiting)
        return _joined(columns)

    def estimate_stream(self, models: Iterable[Model], *, batch_graphs: int = BATCH_GRAPHS) -> Iterator[BatchEstimate]:
        """Estimate networks without end over one call: one `BatchEstimate` for each `batch_graphs` of them.

        Operators that recur are sent once. `models` is read ahead of the answers, by a thread of its own,
        so it must not wait for them. There is no deadline; leaving the loop cancels the call.
        """
        if batch_graphs < 1:
            raise BadOptionError(f"batch_graphs is {batch_graphs}", expected="1 or more")
        targets = [self._target(self._reference)]
        failed: list[Exception] = []

        def requests() -> Iterator[pb.StreamEstimateRequest]:
            try:
                for batch in self._batches(models, batch_graphs, fresh=False):
                    yield pb.StreamEstimateRequest(batch=batch, targets=targets)
            except Exception as error:  # in gRPC's thread, where nobody would see it; `models` is the caller's code
                failed.append(error)

        call = self._stub.StreamEstimate(requests(), metadata=self._connection.metadata)
        try:
            for response in call:
                yield _joined([response.columns])
        except grpc.RpcError as failure:
            raise self._error(failure) from None
        finally:
            call.cancel()
        if failed:
            raise failed[0]

    def _batches(
        self, models: Iterable[Model], graph_count: int, *, fresh: bool = True
    ) -> Iterator[graph_pb2.GraphBatch]:
        builder = BatchBuilder()
        for model in several(models, "models"):
            builder.add(graph_of(model, layout=self.layout))
            if builder.graph_count >= graph_count or builder.node_count >= MAX_NODES:
                yield builder.take(fresh=fresh)
        if builder.graph_count:
            yield builder.take(fresh=fresh)

    def _estimate_graph(self, graph: Graph) -> Estimate:
        request = pb.EstimateRequest(
            model=pb.Model(graph=graph_to_message(graph)), target=self._target(self._reference)
        )
        return estimate_from_message(self._call(self._stub.Estimate, request).estimate)

    def _compare_graph(self, graph: Graph, devices: Sequence[str]) -> tuple[Estimate | ItemFailure, ...]:
        targets = [self._target(device) for device in devices]
        request = pb.CompareDevicesRequest(model=pb.Model(graph=graph_to_message(graph)), targets=targets)
        response = self._call(self._stub.CompareDevices, request)
        return tuple(_outcome(index, outcome) for index, outcome in enumerate(response.outcomes))

    def _target(self, device: str) -> pb.Target:
        request = self._request
        return pb.Target(
            device=device,
            runtime=request.runtime,
            precision=request.precision,
            layout=request.layout,
            strict=request.strict,
            source=self._source,
        )

    @property
    def _call_options(self) -> _CallOptions:
        return {"timeout": self._connection.timeout_s, "metadata": self._connection.metadata}

    def _call(self, method: Callable[..., Response], request: Message) -> Response:
        try:
            return method(request, **self._call_options)
        except grpc.RpcError as failure:
            raise self._error(failure) from None

    def _result(self, future: grpc.Future[pb.BatchEstimateResponse]) -> pb.EstimateColumns:
        try:
            return future.result().columns
        except grpc.RpcError as failure:
            raise self._error(failure) from None

    def _error(self, failure: grpc.RpcError) -> EstimatorError:
        return error_of(failure, self._connection.address, self._connection.timeout_s)


def connect(
    address: str,
    device: str,
    *,
    runtime: str | None = None,
    precision: str | None = None,
    layout: str | None = None,
    strict: bool = False,
    source: str | None = None,
    token: str | None = None,
    tls: bool | str | Path = False,
    client_cert: str | Path | None = None,
    client_key: str | Path | None = None,
    server_name: str | None = None,
    timeout_s: float = 60.0,
    retries: int = 3,
) -> RemoteEstimator:
    """Make an estimator that asks a service; its methods are those of `Estimator`.

    Parameters
    ----------
    address : str
        ``HOST:PORT`` or ``unix:PATH``. Nothing is sent before the first question.
    device, runtime, precision, layout, strict, source
        As for `Estimator`; the names are those of the service's catalogue.
    token : str, optional
        Bearer token, without the white space around it; needs `tls` unless the service is on this machine.
    tls : bool or path
        True trusts public authorities; a path names the PEM file of the one to trust.
    client_cert, client_key : path, optional
        PEM files of the caller's identity, where the service asks for one.
    server_name : str, optional
        Name in the service's certificate, where it is not the address.
    timeout_s : float
        Deadline of each call, its retries included.
    retries : int
        How often to try again while no service answers, 0 to 4, with doubling waits.

    Returns
    -------
    RemoteEstimator
        A context manager.

    Raises
    ------
    BadOptionError, UnknownPrecisionError
        An argument makes no sense. What the service refuses comes with the first question:
        ServiceUnreachableError, ServiceDeniedError, ServiceTimeoutError, and every error of `Estimator`.
    """
    if not 0 <= retries <= 4:
        raise BadOptionError(f"retries is {retries}", expected="0 to 4")
    if not 0 < timeout_s <= LONGEST_TIMEOUT_S:
        raise BadOptionError(f"timeout_s is {timeout_s}", expected=f"seconds, above 0, at most {LONGEST_TIMEOUT_S:g}")
    if not address:
        raise BadOptionError("no address", expected="HOST:PORT or unix:PATH")
    identity = Tls(_path(tls), _path(client_cert), _path(client_key), server_name)
    if not tls and identity != Tls():
        raise BadOptionError(
            "client_cert, client_key and server_name have no effect without tls", expected="tls=True, or tls=CA_FILE"
        )
    connection = Connection(address, _header(token), identity if tls else None, timeout_s, Retry(retries + 1))
    return RemoteEstimator(connection, device, Request(runtime, precision, layout, strict, source))


def _path(value: bool | str | Path | None) -> Path | None:
    return Path(value) if isinstance(value, str | Path) else None


def _header(token: str | None) -> str | None:
    """Take the white space off a token that was read from a file, and refuse what no header can carry."""
    stripped = None if token is None else token.strip()
    if stripped and not (stripped.isascii() and stripped.isprintable()):
        raise BadOptionError("the token cannot be sent", where="token", expected="printable ASCII characters")
    return stripped


class _CallOptions(TypedDict):
    timeout: float
    metadata: tuple[tuple[str, str], ...]


def _source(name: str | None) -> str | None:
    if name is None:
        return None
    known = [kind.value for kind in ProvenanceKind]
    if name not in known:
        raise BadOptionError(f"unknown source {name!r}", where="source", expected=", ".join(known))
    return f"COEFFICIENT_SOURCE_{name.upper()}"


def _outcome(index: int, message: pb.TargetOutcome) -> Estimate | ItemFailure:
    if message.HasField("error"):
        return ItemFailure(index, message.error.reason, message.error.message)
    return estimate_from_message(message.estimate)


def _joined(batches: Sequence[pb.EstimateColumns]) -> BatchEstimate:
    """Put the columns of consecutive batches end to end."""
    failures: list[ItemFailure] = []
    first = 0
    for columns in batches:
        failures.extend(ItemFailure(first + e.graph_index, e.reason, e.message) for e in columns.errors)
        first += columns.graph_count
    return BatchEstimate(
        _column([c.latency_us.p10 for c in batches]),
        _column([c.latency_us.p50 for c in batches]),
        _column([c.latency_us.p90 for c in batches]),
        np.concatenate([np.zeros(0, np.int64), *(np.asarray(c.peak_memory_bytes) for c in batches)]).astype(np.int64),
        tuple(failures),
    )


def _column(parts: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    return np.concatenate([np.zeros(0), *(np.asarray(part, dtype=np.float64) for part in parts)])


def _pem(path: Path | None, kind: str, where: str) -> bytes | None:
    return None if path is None else read_pem(path, kind, where)
