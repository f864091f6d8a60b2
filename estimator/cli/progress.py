"""A progress line on standard error, for verbs that take a while."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Final

import click

_EVERY_S: Final = 0.2
_EVERY_S_IN_A_LOG: Final = 10.0


class ProgressLine:
    """Rewrites one line on a terminal; in a log, writes a line every ten seconds and nothing if all is quick."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._terminal = sys.stderr.isatty()
        self._next_s = time.monotonic() + (0.0 if self._terminal else _EVERY_S_IN_A_LOG)
        self._shown = False

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` are done."""
        now_s = time.monotonic()
        if now_s < self._next_s and done < total:
            return
        if not self._terminal and not self._shown and done == total:
            return
        self._next_s = now_s + (_EVERY_S if self._terminal else _EVERY_S_IN_A_LOG)
        self._shown = True
        text = f"{self._what}: {done} of {total}"
        click.echo(f"\r{text}\x1b[K" if self._terminal else text, err=True, nl=not self._terminal)

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._terminal and self._shown:
            click.echo("\r\x1b[K", err=True, nl=False)
