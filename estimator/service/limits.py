"""What one request may cost: sizes, and the time that it may take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from estimator.errors import RequestLimitError
from estimator.units import MIB

MAX_RANK: Final = 16
MAX_TENSOR_BYTES: Final = 1 << 50
"""One pebibyte: above any real tensor, and far below what overflows a signed 64-bit count."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes that the service accepts; each is checked before anything is built from the message.

    Attributes
    ----------
    message_bytes : int
        One message, in either direction; the transport refuses more.
    cells : int
        Networks × targets of a batch.
    seconds : float
        Time for one answer, also when the caller sets no deadline.
    calls : int
        Calls that are answered or wait at the same time; more are refused at once.
    streams : int
        Open streams, which hold a thread each; fewer than `calls`, so that health checks get through.
    """

    message_bytes: int = 64 * MIB
    ops: int = 50_000
    tensors: int = 200_000
    distinct_ops: int = 50_000
    nodes: int = 2_000_000
    batch_tensors: int = 20_000_000
    graphs: int = 20_000
    targets: int = 256
    cells: int = 100_000
    seconds: float = 300.0
    calls: int = 64
    streams: int = 16

    def check(self, what: str, given: int) -> None:
        """Refuse more than the limit of this name.

        Raises
        ------
        RequestLimitError
            `given` is above it.
        """
        allowed = int(getattr(self, what))
        if given > allowed:
            raise RequestLimitError(what.replace("_", " "), given, allowed)


class AnswerEnded(Exception):
    """The caller went away or its time is over; `reason` says which. Nobody is left to be told."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Budget:
    """Time left for one answer; long answers look at it between parts.

    Attributes
    ----------
    deadline_s : float
        On the monotonic clock of this process.
    is_cancelled : callable
        Whether the caller went away.
    """

    deadline_s: float
    is_cancelled: Callable[[], bool] = field(default=_never)

    @classmethod
    def of(cls, time_left_s: float, is_cancelled: Callable[[], bool] = _never) -> Budget:
        """Start a budget now."""
        return cls(time.monotonic() + time_left_s, is_cancelled)

    def check(self) -> None:
        """Stop the answer if nobody waits for it.

        Raises
        ------
        AnswerEnded
            Cancelled, or past the deadline.
        """
        if self.is_cancelled():
            raise AnswerEnded("cancelled")
        if time.monotonic() > self.deadline_s:
            raise AnswerEnded("deadline")
