"""Bearer tokens: every call but a health check shows one, or is refused before it is read."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import grpc

from estimator.errors import BadOptionError

HEADER: Final = "authorization"
OPEN_SERVICE: Final = "/grpc.health.v1.Health/"
"""Load balancers and orchestrators probe health without a token."""
MIN_TOKEN_LENGTH: Final = 16


def read_tokens(path: Path) -> tuple[bytes, ...]:
    """Read the accepted tokens: one a line, ``#`` starts a comment; two lines make a rotation.

    Raises
    ------
    BadOptionError
        The file cannot be read, holds none, or holds one that is short or not ASCII.
    """
    where = f"--token-file {path}"
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not ASCII text"
        raise BadOptionError(
            f"cannot read the token file: {reason}", where=where, expected="one token a line"
        ) from None
    tokens = tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
    if not tokens or min(map(len, tokens)) < MIN_TOKEN_LENGTH:
        what = "the token file holds a token that is too short" if tokens else "the token file holds no token"
        raise BadOptionError(
            what,
            where=where,
            expected=f"one token a line, {MIN_TOKEN_LENGTH} characters or more",
            hint="openssl rand -base64 32 > token",
        )
    return tuple(token.encode() for token in tokens)


class TokenInterceptor(grpc.ServerInterceptor):
    """Refuses calls without one of the tokens, as UNAUTHENTICATED."""

    def __init__(self, tokens: Sequence[bytes]) -> None:
        self._tokens = tuple(tokens)

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Let the call through, or hand it to a handler that refuses it."""
        if handler_call_details.method.startswith(OPEN_SERVICE) or self._accepts(handler_call_details):
            return continuation(handler_call_details)
        return grpc.stream_stream_rpc_method_handler(_refuse)

    def _accepts(self, details: grpc.HandlerCallDetails) -> bool:
        for key, value in details.invocation_metadata or ():
            if key == HEADER:
                scheme, _, token = str(value).partition(" ")
                given = token.encode("utf-8", "replace")
                # All tokens are compared, each in constant time: the time taken tells nothing.
                matches = [hmac.compare_digest(given, known) for known in self._tokens]
                return scheme.lower() == "bearer" and any(matches)
        return False


def _refuse(_requests: Iterator[bytes], context: grpc.ServicerContext) -> NoReturn:
    """Refuse without reading the request; a stream handler fits calls of every shape."""
    context.abort(grpc.StatusCode.UNAUTHENTICATED, "this service wants a bearer token, and not this one")
