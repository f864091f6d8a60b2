"""Writing results: standard output, and warnings beside it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

import click

from estimator.report.escaping import printable


def colour_wanted() -> bool:
    """Whether standard output is a terminal that may be coloured (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def write_result(text: str) -> None:
    """Write a result to standard output, with exactly one newline at its end."""
    click.echo(text.rstrip("\n"), color=True)


def write_warnings(messages: Iterable[str]) -> None:
    """Write warnings to standard error."""
    for message in messages:
        click.echo(f"warning: {printable(message)}", err=True)
