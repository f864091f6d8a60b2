"""Tokens and certificates: who may call, and what the others are told."""

import hmac
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc

from estimator.client.remote import connect
from estimator.errors import BadOptionError, ServiceDeniedError, ServiceUnreachableError
from estimator.service import auth
from estimator.service.auth import MIN_TOKEN_LENGTH, read_tokens
from estimator.service.server import Server, ServerOptions, describe
from estimator.v1 import estimator_pb2 as pb
from tests.service.networks import mlp

TOKEN, NEXT_TOKEN = "correct-horse-battery-staple", "0123456789abcdef"
WAIT_S = 20


@dataclass(frozen=True)
class Files:
    """PEM files of an authority, a server and a client."""

    ca: Path
    cert: Path
    key: Path
    client_cert: Path
    client_key: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Files:
    folder = tmp_path_factory.mktemp("tls")
    ca = trustme.CA()
    found = Files(*(folder / name for name in ("ca", "cert", "key", "client-cert", "client-key")))
    server, client = ca.issue_cert("localhost"), ca.issue_cert("client@example.org")
    ca.cert_pem.write_to_path(found.ca)
    server.cert_chain_pems[0].write_to_path(found.cert)
    server.private_key_pem.write_to_path(found.key)
    client.cert_chain_pems[0].write_to_path(found.client_cert)
    client.private_key_pem.write_to_path(found.client_key)
    return found


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"# the old one, until March\n{TOKEN}\n\n{NEXT_TOKEN}\n")
    return path


# ---------------------------------------------------------------- tokens
def test_a_token_file_has_one_token_a_line_and_comments(token_file):
    assert read_tokens(token_file) == (TOKEN.encode(), NEXT_TOKEN.encode())


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "holds no token"),
        (b"# only a comment\n", "holds no token"),
        (b"s" * (MIN_TOKEN_LENGTH - 1), "too short"),
        (b"correct-horse-battery-staple\nshort\n", "too short"),
        ("tökentökentöken".encode(), "not ASCII text"),
        (None, "No such file"),
    ],
)
def test_a_token_file_that_protects_nothing_is_refused(tmp_path, content, what):
    path = tmp_path / "tokens"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadOptionError, match=what):
        read_tokens(path)


@pytest.mark.parametrize("token", [TOKEN, NEXT_TOKEN])
def test_each_token_of_the_file_opens_every_kind_of_call(serving, remote, token_file, token):
    with serving(token_file=token_file) as up, remote(up, token=token) as estimator:
        assert estimator.latency_ms(mlp()) > 0
        assert len(estimator.estimate_many([mlp()])) == 1
        assert [len(columns) for columns in estimator.estimate_stream([mlp()])] == [1]
        assert estimator.device.id == "sd865"


@pytest.mark.parametrize("token", [None, "wrong-horse-battery-staple", TOKEN[:-1], TOKEN + "x"])
def test_without_the_token_every_call_is_refused(serving, remote, token_file, token):
    with serving(token_file=token_file) as up, remote(up, token=token) as estimator:
        for call in (
            lambda: estimator.latency_ms(mlp()),
            lambda: estimator.estimate_many([mlp()]),
            lambda: list(estimator.estimate_stream([mlp()])),
            lambda: estimator.device,
        ):
            with pytest.raises(ServiceDeniedError, match="refuses the call"):
                call()


def test_another_scheme_than_bearer_is_refused(serving, token_file):
    with serving(token_file=token_file) as up, pytest.raises(grpc.RpcError) as caught:
        up.stub.ListDevices(pb.ListDevicesRequest(), timeout=WAIT_S, metadata=(("authorization", f"Basic {TOKEN}"),))
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_health_needs_no_token(serving, token_file):
    with serving(token_file=token_file) as up:
        answer = health_pb2_grpc.HealthStub(up.channel).Check(health_pb2.HealthCheckRequest(), timeout=WAIT_S)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_every_token_is_compared_in_constant_time(monkeypatch, serving, remote, token_file):
    compared = []
    monkeypatch.setattr(
        auth.hmac, "compare_digest", lambda a, b, real=hmac.compare_digest: compared.append(b) or real(a, b)
    )
    with serving(token_file=token_file) as up, remote(up, token=TOKEN) as estimator:
        estimator.latency_ms(mlp())
    assert compared == [TOKEN.encode(), NEXT_TOKEN.encode()]  # also after the first one matched


def test_the_client_sends_no_token_in_clear_text_to_another_machine():
    with pytest.raises(BadOptionError, match="unencrypted"):
        connect("estimator.example.org:50051", "sd865", token=TOKEN)


# ---------------------------------------------------------------- TLS
def test_tls_and_a_token_together(files, token_file, serving, remote):
    with (
        serving(tls_cert=files.cert, tls_key=files.key, token_file=token_file) as up,
        remote(up, tls=files.ca, token=TOKEN) as estimator,
    ):
        assert estimator.latency_ms(mlp()) > 0


def test_a_token_read_from_a_file_may_end_in_a_line_break(token_file, serving, remote):
    with serving(token_file=token_file) as up, remote(up, token=f"{TOKEN}\n") as estimator:
        assert estimator.latency_ms(mlp()) > 0


def test_a_client_without_tls_reaches_nothing(files, serving, remote):
    with (
        serving(tls_cert=files.cert, tls_key=files.key) as up,
        remote(up) as estimator,
        pytest.raises(ServiceUnreachableError, match="pass tls"),
    ):
        estimator.latency_ms(mlp())


def test_a_client_that_trusts_another_authority_reaches_nothing(files, serving, remote, tmp_path):
    trustme.CA().cert_pem.write_to_path(tmp_path / "other")
    with (
        serving(tls_cert=files.cert, tls_key=files.key) as up,
        remote(up, tls=tmp_path / "other") as estimator,
        pytest.raises(ServiceUnreachableError, match="no TLS connection to"),
    ):
        estimator.latency_ms(mlp())


def test_mutual_tls_takes_the_clients_certificate(files, serving, remote):
    options = {"tls_cert": files.cert, "tls_key": files.key, "client_ca": files.ca}
    with serving(**options) as up:
        with remote(up, tls=files.ca, client_cert=files.client_cert, client_key=files.client_key) as known:
            assert known.latency_ms(mlp()) > 0
        with remote(up, tls=files.ca) as unknown, pytest.raises(ServiceUnreachableError):
            unknown.latency_ms(mlp())


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"tls": "ca", "client_cert": "client_cert"}, "half of a TLS identity"),
        ({"tls": "ca", "client_key": "client_key"}, "half of a TLS identity"),
        ({"tls": "ca", "client_cert": "client_key", "client_key": "client_cert"}, "no PRIVATE KEY in the file"),
        ({"tls": "key"}, "no CERTIFICATE in the file"),
        ({"client_cert": "client_cert", "client_key": "client_key"}, "no effect without tls"),
    ],
)
def test_an_identity_that_proves_nothing_is_refused(files, options, what):
    paths = {name: getattr(files, value) for name, value in options.items()}
    with pytest.raises(BadOptionError, match=what):
        connect("localhost:1", "sd865", **paths)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"tls_cert": "cert"}, "half of a TLS identity"),
        ({"tls_key": "key"}, "half of a TLS identity"),
        ({"client_ca": "ca"}, "--client-ca without TLS"),
        ({"tls_cert": "key", "tls_key": "cert"}, "no PRIVATE KEY in the file"),
        ({"tls_cert": "cert", "tls_key": "nowhere"}, "No such file"),
        ({"tls_cert": "cert", "tls_key": "client-key"}, "cannot be used together"),
    ],
)
def test_options_that_protect_nothing_are_refused(files, options, what):
    paths = {name: files.ca.parent / value for name, value in options.items()}
    with pytest.raises(BadOptionError, match=what):
        Server(ServerOptions(listen="localhost:0", **paths))


def test_the_announcement_names_the_protection(files, token_file):
    options = ServerOptions(
        listen="0.0.0.0:1", tls_cert=files.cert, tls_key=files.key, client_ca=files.ca, token_file=token_file
    )
    assert describe(options) == "mutual TLS, token, 1 worker"
    assert describe(ServerOptions(listen="0.0.0.0:1", token_file=token_file)).endswith("; tokens travel unencrypted")
