"""Writing results: standard output, files as a whole, warnings beside them."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import click

from estimator.errors import OutputError
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


def write_file(path: Path, text: str) -> None:
    """Write a file as a whole or not at all: to a temporary neighbour, then renamed.

    Raises
    ------
    OutputError
        The folder is missing or not writable, or the disk is full.
    """
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise _output_error(path, error) from error
    try:
        with open(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise _output_error(path, error) from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _output_error(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot write {str(path)!r}: {error.strerror}",
        expected="a path in an existing, writable folder",
        hint="choose another path with -o",
    )
