"""Build the server, and run it until it is told to stop."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final, TypeAlias

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from estimator.errors import BadOptionError
from estimator.files import read_pem
from estimator.service.answers import Answers
from estimator.service.auth import TokenInterceptor, read_tokens
from estimator.service.limits import Limits
from estimator.service.runner import InlineRunner, PoolRunner, Runner
from estimator.service.servicer import Servicer
from estimator.v1 import estimator_pb2, estimator_pb2_grpc

SERVICE: Final = estimator_pb2.DESCRIPTOR.services_by_name["EstimatorService"].full_name
LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")

AddressInfo: TypeAlias = tuple[
    socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
]

logger = logging.getLogger("estimator.service")


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How the service is offered.

    Attributes
    ----------
    listen : str
        ``HOST:PORT``, or ``unix:PATH``; port 0 takes a free one.
    workers : int
        Processes that compute; 1 computes in the server's own process.
    tls_cert, tls_key : Path or None
        PEM files; both or none.
    client_ca : Path or None
        PEM file; callers must show a certificate that it signed.
    token_file : Path or None
        Accepted bearer tokens, one a line.
    grace_s : float
        How long running calls may take to end after a signal.
    """

    listen: str = "localhost:50051"
    workers: int = 1
    tls_cert: Path | None = None
    tls_key: Path | None = None
    client_ca: Path | None = None
    token_file: Path | None = None
    grace_s: float = 10.0
    limits: Limits = field(default_factory=Limits)


class Server:
    """A running service. Use as a context manager, or call `stop`."""

    def __init__(self, options: ServerOptions, answers: Answers | None = None) -> None:
        """Check the options, bind the port and start answering.

        Raises
        ------
        BadOptionError
            A file cannot be read, options contradict each other, or the address cannot be bound.
        """
        self._options = options
        limits = options.limits
        credentials = _credentials(options)
        interceptors: list[grpc.ServerInterceptor] = []
        if options.token_file:
            interceptors.append(TokenInterceptor(read_tokens(options.token_file)))
        self._runner: Runner = (
            PoolRunner(options.workers, limits) if options.workers > 1 else InlineRunner(answers or Answers(limits))
        )
        try:
            self._server = grpc.server(
                ThreadPoolExecutor(limits.calls, thread_name_prefix="rpc"),
                interceptors=interceptors,
                maximum_concurrent_rpcs=limits.calls,
                options=[
                    ("grpc.max_receive_message_length", limits.message_bytes),
                    ("grpc.max_send_message_length", limits.message_bytes),
                    ("grpc.so_reuseport", 0),
                ],
            )
            self._health = health.HealthServicer()
            self._register()
            self.port = self._bind(credentials)
            self._server.start()
        except BaseException:
            self._runner.close()
            raise

    @property
    def address(self) -> str:
        """Where callers reach it."""
        host, colon, _ = self._options.listen.rpartition(":")
        return self._options.listen if self._options.listen.startswith("unix:") else f"{host}{colon}{self.port}"

    def stop(self) -> None:
        """Say NOT_SERVING, refuse new calls, let running ones end within the grace, and free everything."""
        self._health.enter_graceful_shutdown()
        self._server.stop(self._options.grace_s).wait()
        self._runner.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def _register(self) -> None:
        servicer = Servicer(self._runner, self._options.limits)
        estimator_pb2_grpc.add_EstimatorServiceServicer_to_server(servicer, self._server)  # type: ignore[no-untyped-call]  # generated
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server)
        for name in ("", SERVICE):
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    def _bind(self, credentials: grpc.ServerCredentials | None) -> int:
        listen = self._options.listen
        _probe(listen)
        try:
            if credentials is None:
                return int(self._server.add_insecure_port(listen))
            return int(self._server.add_secure_port(listen, credentials))
        except RuntimeError as error:
            if credentials is not None:  # the address itself was probed
                raise BadOptionError(
                    "the certificate and the key cannot be used together",
                    where="--tls-cert, --tls-key",
                    expected="PEM files of a certificate chain and of its own private key",
                ) from None
            raise _cannot_listen(listen, str(error).partition("\n")[0]) from None


def serve(options: ServerOptions, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, then stop gracefully.

    Parameters
    ----------
    announce : callable
        Given one line for people: where it listens, and how it is protected.

    Raises
    ------
    BadOptionError
        As `Server`.
    """
    with _signals() as wait_for_one, Server(options) as server:
        announce(f"listening on {server.address} ({describe(options)})")
        wait_for_one()
        announce(f"stopping, running calls have {options.grace_s:g} s")


def describe(options: ServerOptions) -> str:
    """Say how the service is protected; what lies open is said, too."""
    tls = "mutual TLS" if options.client_ca else "TLS" if options.tls_cert else "no TLS"
    token = "token" if options.token_file else "no token"
    workers = f"{options.workers} worker{'s' if options.workers > 1 else ''}"
    local = options.listen.startswith("unix:") or options.listen.rpartition(":")[0] in LOCAL_HOSTS
    warning = ""
    if not local and not options.client_ca:
        if not options.token_file:
            warning = "; anybody on the network may call it"
        elif not options.tls_cert:
            warning = "; tokens travel unencrypted"
    return f"{tls}, {token}, {workers}{warning}"


def _probe(listen: str) -> None:
    """Bind and release the address: the system says why it cannot be had, gRPC's core only logs it."""
    if listen.startswith("unix:"):
        if not Path(listen.removeprefix("unix:")).parent.is_dir():
            raise _cannot_listen(listen, "no such folder")
        return
    host, colon, port = listen.rpartition(":")
    if not (colon and host and port.isdecimal() and int(port) < 1 << 16):
        raise _cannot_listen(listen, "it is not HOST:PORT")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise _cannot_listen(listen, error.strerror) from None
    reasons = [reason for reason in map(_bind_problem, found) if reason]
    if len(reasons) == len(found):
        raise _cannot_listen(listen, reasons[0])


def _bind_problem(found: AddressInfo) -> str:
    family, kind, protocol, _, address = found
    try:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _cannot_listen(listen: str, reason: str | None) -> BadOptionError:
    return BadOptionError(
        f"cannot listen on {listen!r}: {reason}",
        where="--listen",
        expected="HOST:PORT, a free port of this machine, or unix:PATH",
        hint="--listen localhost:0 takes any free port",
    )


@contextlib.contextmanager
def _signals() -> Iterator[Callable[[], None]]:
    """Catch SIGTERM and SIGINT; gives a function that waits for one.

    The system may hand a signal to a thread of gRPC's core. Python's handler then waits for the main thread to run
    bytecode, which one that waits for a lock never does; the wake-up file is written to in whichever thread.
    """

    def take_note(_number: int, _frame: FrameType | None) -> None:
        """Leave it to the wake-up file."""

    def wait_for_one() -> None:
        while receiver.recv(1)[0] not in previous:
            pass

    receiver, sender = socket.socketpair()
    with receiver, sender:
        sender.setblocking(False)
        previous = {number: signal.signal(number, take_note) for number in (signal.SIGTERM, signal.SIGINT)}
        previous_file = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        try:
            yield wait_for_one
        finally:
            signal.set_wakeup_fd(previous_file)
            for number, handler in previous.items():
                signal.signal(number, handler)


def _credentials(options: ServerOptions) -> grpc.ServerCredentials | None:
    if options.tls_cert is None and options.tls_key is None:
        if options.client_ca is not None:
            raise BadOptionError("--client-ca without TLS", expected="--tls-cert and --tls-key with it")
        return None
    if options.tls_cert is None or options.tls_key is None:
        missing = "--tls-cert" if options.tls_cert is None else "--tls-key"
        raise BadOptionError("half of a TLS identity", where=missing, expected="both --tls-cert and --tls-key")
    key = read_pem(options.tls_key, "PRIVATE KEY", "--tls-key")
    certificate = read_pem(options.tls_cert, "CERTIFICATE", "--tls-cert")
    client_ca = read_pem(options.client_ca, "CERTIFICATE", "--client-ca") if options.client_ca else None
    return grpc.ssl_server_credentials([(key, certificate)], client_ca, require_client_auth=client_ca is not None)
