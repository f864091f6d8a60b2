"""How a failure is shown: one screen on standard error, never a traceback."""

from __future__ import annotations

import errno
import traceback
from typing import Final

import click

from estimator.errors import EstimatorError, OutputError
from estimator.report.escaping import printable

DEBUG_VARIABLE: Final = "ESTIMATOR_DEBUG"
MAX_LINES: Final = 20
MAX_COLUMNS: Final = 300


def one_screen(text: str) -> str:
    """Cut a message to a screen and make it safe for a terminal: names in it may come from a file."""
    lines = text.splitlines() or [""]
    if len(lines) > MAX_LINES:
        lines = [*lines[: MAX_LINES - 1], f"  … {len(lines) - MAX_LINES + 1} more lines"]
    return "\n".join(
        line if len(line) <= MAX_COLUMNS else line[: MAX_COLUMNS - 1] + "…" for line in map(printable, lines)
    )


def report_failure(error: Exception) -> int:
    """Print a failure and return its exit status."""
    match error:
        case click.ClickException():
            _report_usage(error)
            return error.exit_code
        case EstimatorError():
            click.echo(f"error: {one_screen(str(error))}", err=True)
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
    lines = [f"error: {one_screen(message[:1].lower() + message[1:])}"]
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
