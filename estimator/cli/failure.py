"""How a failure is shown: one screen on standard error, never a traceback."""

from __future__ import annotations

import errno
import traceback
from typing import Final

import click

from estimator.errors import EstimatorError, OutputError
from estimator.report.escaping import printable
from estimator.report.wrapping import wrapped

DEBUG_VARIABLE: Final = "ESTIMATOR_DEBUG"
MAX_LINES: Final = 20
MAX_LINE: Final = 600


def one_screen(text: str) -> str:
    """Fit a message to a screen and make it safe for a terminal: names in it may come from a file."""
    cut = (line if len(line) <= MAX_LINE else line[: MAX_LINE - 1] + "…" for line in map(printable, text.splitlines()))
    lines = [part for line in cut for part in wrapped(line).splitlines()]
    if len(lines) > MAX_LINES:
        lines = [*lines[: MAX_LINES - 1], f"  … {len(lines) - MAX_LINES + 1} more lines"]
    return "\n".join(lines)


def report_failure(error: Exception) -> int:
    """Print a failure and return its exit status."""
    match error:
        case click.ClickException():
            _report_usage(error)
            return error.exit_code
        case EstimatorError():
            click.echo(one_screen(f"error: {error}"), err=True)
            return error.exit_code
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return report_failure(
                OutputError(f"cannot write: {error.strerror}", hint="free some space, or write elsewhere")
            )
        case _:
            _report_bug(error)
            return EstimatorError.exit_code


def _report_usage(error: click.ClickException) -> None:
    """Print a malformed command line in the form of our own errors."""
    message = error.format_message().rstrip(".")
    lines = [one_screen(f"error: {message[:1].lower()}{message[1:]}")]
    context = getattr(error, "ctx", None)
    if context is not None:
        lines.append(f"  {'next':<12}  {context.command_path} --help")
    click.echo("\n".join(lines), err=True)


def _report_bug(error: Exception) -> None:
    """Print a failure that nobody foresaw: what and where, and how to get the traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/estimator/" in frame.filename] or frames[-1:]
    place = f"{ours[-1].filename.rpartition('/estimator/')[2]}:{ours[-1].lineno}" if ours else "unknown"
    detail = str(error).partition("\n")[0]
    click.echo(
        one_screen(
            f"error: this is a bug in estimator: {type(error).__name__}{': ' + detail if detail else ''}\n"
            f"  where         {place}\n"
            f"  next          set {DEBUG_VARIABLE}=1 for the traceback and report it with the command line"
        ),
        err=True,
    )
