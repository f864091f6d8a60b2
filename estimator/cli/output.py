"""Writing results: standard output, and warnings beside it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import click

from estimator.errors import BadOptionError
from estimator.files import STANDARD_OUTPUT
from estimator.report.escaping import printable
from estimator.report.wrapping import wrapped


def colour_wanted() -> bool:
    """Whether standard output is a terminal that may be coloured (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def write_result(text: str, *, beside: Path | None = None) -> None:
    """Write a result with exactly one newline at its end: to standard output, unless that is the file beside it."""
    click.echo(text.rstrip("\n"), err=beside == STANDARD_OUTPUT, color=True)


def keep_inputs(output: Path, *inputs: Path) -> None:
    """Refuse to write over what is read, or is made first and read then.

    Raises
    ------
    BadOptionError
        One of the inputs is the output, by whatever name.
    """
    place = os.path.realpath(output)
    for one in inputs:
        same = os.path.exists(output) and os.path.exists(one) and os.path.samefile(output, one)
        if same or os.path.realpath(one) == place:
            raise BadOptionError(f"{output} is what this command reads", expected="another file to write")


def device_files(*references: str) -> tuple[Path, ...]:
    """Files that references of ``--device`` name; an ID of the catalogue is none."""
    from estimator.catalogue.loader import is_path, split_reference

    names = [split_reference(reference)[0] for reference in references]
    return tuple(Path(name) for name in names if is_path(name))


def model_files(*references: str) -> tuple[Path, ...]:
    """Files that references to models name; a zoo's name and a user's callable are none."""
    from estimator.frontends.select import TOKEN_SCHEME, looks_like_file

    files: list[Path] = []
    for reference in references:
        scheme, _, rest = reference.partition(":")
        if scheme == TOKEN_SCHEME:
            files.append(Path(rest.partition("?")[0]))
        elif looks_like_file(reference, Path(reference)):
            files.append(Path(reference))
    return tuple(files)


def say_written(path: Path, detail: str = "") -> None:
    """Say on standard error which file was written; of standard output there is nothing to say."""
    if path != STANDARD_OUTPUT:
        click.echo(f"wrote {printable(str(path))}" + (f": {detail}" if detail else ""), err=True)


def write_warnings(messages: Iterable[str]) -> None:
    """Write warnings to standard error."""
    for message in messages:
        click.echo(wrapped(f"warning: {printable(message)}"), err=True)


def write_notes(notes: Iterable[str]) -> None:
    """Write what a number leaves out to standard error."""
    for note in notes:
        click.echo(wrapped(f"note: {printable(note)}"), err=True)
