"""Entry point of ``estimator-cli``: which verbs exist, and how failures are shown.

A verb's module is imported only when that verb runs, so that ``--help`` and the ONNX path load
neither a framework nor gRPC.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import click

from estimator.cli.failure import DEBUG_VARIABLE, report_failure
from estimator.errors import UsageError

PROGRAM: Final = "estimator-cli"
COMPLETION_VARIABLE: Final = "_ESTIMATOR_CLI_COMPLETE"
DEFAULT_VERB: Final = "estimate"


@dataclass(frozen=True, slots=True)
class Verb:
    """Where a verb lives and the line that ``--help`` shows without importing it."""

    module: str
    attribute: str
    summary: str


VERBS: Final[Mapping[str, Verb]] = {
    "estimate": Verb("estimate", "estimate", "Latency and memory of a model on a device (the default verb)."),
    "compare": Verb("compare", "compare", "One model on several devices, side by side."),
    "plan": Verb("plan", "plan", "Which devices, precisions and batches meet a latency and memory limit."),
    "count": Verb("count", "count", "MACs, FLOPs and parameters by any tool's convention."),
    "devices": Verb("devices", "devices", "List, show and validate the device catalogue."),
    "report": Verb("report", "report", "Write a self-contained HTML page: roofline, layers, memory over time."),
    "export-graph": Verb("export_graph", "export_graph", "Write a model as the project's own graph.json."),
    "validate": Verb("validate", "validate", "Score the estimator against measured records."),
    "calibrate": Verb("calibrate", "calibrate", "Fit a device's coefficients from measured records."),
    "suggest": Verb("suggest", "suggest", "Which models to measure on a device, the most telling first."),
    "measure": Verb("measure", "measure", "Measure models on this machine, as records."),
    "table": Verb("table", "table", "Write a per-block latency table for a search space."),
    "serve": Verb("serve", "serve", "Answer over gRPC."),
}

_FLAGS: Final = frozenset({"--strict", "--pessimistic", "--here", "--help", "-h", "--version"})
"""Options without a value, as far as `verb_first` must know them to find the first positional argument."""


def verb_first(args: Sequence[str]) -> list[str]:
    """Put the verb in front, the default one if none is named.

    Options may precede it: ``--format json compare m --device a,b`` and ``--device sd865 m`` both work.
    """
    rest = list(args)
    position = 0
    while position < len(rest) and rest[position].startswith("-") and rest[position] != "-":
        if rest[position] == "--":
            break
        takes_value = rest[position] not in _FLAGS and "=" not in rest[position]
        position += 2 if takes_value else 1
    if position < len(rest) and rest[position] in VERBS:
        return [rest.pop(position), *rest]
    return [DEFAULT_VERB, *rest]


def _reject_mistyped_verb(args: Sequence[str]) -> None:
    """Say "unknown command" where a missing ``--device`` would mislead."""
    if not args or args[0].startswith("-") or any(a.split("=")[0] == "--device" for a in args):
        return
    close = difflib.get_close_matches(args[0], list(VERBS), n=2, cutoff=0.7)
    if close:
        raise UsageError(
            f"unknown command {args[0]!r}",
            expected=f"{' or '.join(close)}, or a model with --device",
            hint=f"{PROGRAM} --help",
        )


class VerbGroup(click.Group):
    """The command group: lazy verbs, one of which may be left out."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the verbs in the order of the table, not of the alphabet."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one verb's module."""
        verb = VERBS.get(cmd_name)
        if verb is None:
            return None
        module = importlib.import_module(f"estimator.cli.{verb.module}")
        command = getattr(module, verb.attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs from the table, importing none."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.summary) for name, verb in VERBS.items()])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert the default verb unless help or the version is asked for, in whichever way."""
        if not args or args == ["help"]:
            args = ["--help"]
        if args[0] == "help" and args[1] in VERBS:
            args = [args[1], "--help"]
        if args == ["version"]:
            args = ["--version"]
        if args[0] not in {"--help", "-h", "--version"}:
            if args[0] not in VERBS:
                _reject_mistyped_verb(args)
            args = verb_first(args)
        return super().parse_args(ctx, args)


def _print_version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"{PROGRAM} {version('estimator')}")
        ctx.exit()


@click.group(cls=VerbGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show it.")
def cli() -> None:
    """Estimate a neural network's latency and memory on a device, with the reason.

    \b
    estimator-cli --device sd865 mobilenet_v2
    estimator-cli resnet50.onnx --device rtx4090 --batch 64 --precision fp16
    estimator-cli compare resnet50 --device sd865,rtx4090,i9-10940x

    Results go to standard output, everything else to standard error.
    Exit status: 0 done, 1 could not estimate, 2 wrong usage, 3 service unreachable.
    """  # noqa: D301 - \b is click's mark for "do not rewrap", not a typing slip


def _prepare_streams() -> None:
    """Let any terminal show any name: what its encoding lacks becomes "?" instead of a crash."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def _discard_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush cannot fail on a closed pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run(args: Sequence[str]) -> int:
    """Run one command line and return its exit status; never raises for a failure of the estimate."""
    debug = bool(os.environ.get(DEBUG_VARIABLE))
    if not debug:
        warnings.simplefilter("ignore")  # a framework's remarks about itself are no result of ours
    try:
        # Not `cli.main`: click would turn a closed pipe into exit 1 and put an empty line before ours on Ctrl-C.
        with cli.make_context(PROGRAM, list(args)) as context:
            outcome = cli.invoke(context)  # a verb that checks something returns its exit status
        sys.stdout.flush()
        return outcome if isinstance(outcome, int) else 0
    except click.exceptions.Exit as finished:
        return finished.exit_code
    except BrokenPipeError:
        _discard_stdout()  # the reader (`head`) has all it wanted
        return 0
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return 130
    except Exception as error:
        if debug and not isinstance(error, click.ClickException):
            raise
        if isinstance(error, OSError):
            _discard_stdout()  # a full disk would fail again at exit
        return report_failure(error)


def main() -> None:
    """Run the command line of this process."""
    _prepare_streams()
    if COMPLETION_VARIABLE in os.environ:
        cli.main(prog_name=PROGRAM)  # a shell asks what could follow; click answers and exits
    sys.exit(run(sys.argv[1:]))
