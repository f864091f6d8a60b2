"""How the command line finds its verb and shows its failures."""

from __future__ import annotations

import errno
import sys

import click
import pytest

from estimator.cli import main as cli_main
from estimator.cli.main import VERBS, Verb, run, verb_first
from estimator.errors import EstimatorError, ModelFileError, ServiceUnreachableError, UnknownDeviceError


@pytest.fixture
def verb_that(monkeypatch: pytest.MonkeyPatch):
    """Install a verb ``probe`` that runs a given function."""

    def install(action):
        @click.command()
        def probe() -> None:
            action()

        module = type(sys)("estimator.cli.probe")
        module.probe = probe  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "estimator.cli.probe", module)
        monkeypatch.setattr(cli_main, "VERBS", dict(VERBS) | {"probe": Verb("probe", "probe", "")})

    return install


def failing_with(error: BaseException):
    def action() -> None:
        raise error

    return action


@pytest.mark.parametrize(
    ("typed", "understood"),
    [
        ("--device sd865 m", "estimate --device sd865 m"),
        ("m --device sd865", "estimate m --device sd865"),
        ("estimate m --device sd865", "estimate m --device sd865"),
        ("--device=sd865 --strict m", "estimate --device=sd865 --strict m"),
        ("--format json compare m --device a,b", "compare --format json m --device a,b"),
        ("--device compare m", "estimate --device compare m"),  # `compare` is an option's value here
        ("-- count", "estimate -- count"),  # after `--` everything is a model
        ("count m", "count m"),
    ],
)
def test_the_verb_may_be_left_out_and_options_may_come_first(typed: str, understood: str):
    assert verb_first(typed.split()) == understood.split()


def test_help_is_the_answer_to_no_arguments_and_lists_every_verb(capsys: pytest.CaptureFixture[str]):
    assert run([]) == 0
    shown = capsys.readouterr().out
    for name, verb in VERBS.items():
        assert f"  {name} " in shown
        assert verb.summary.split()[0] in shown


@pytest.mark.parametrize("name", list(VERBS))
def test_every_verb_explains_itself(name: str, capsys: pytest.CaptureFixture[str]):
    assert run([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: estimator-cli {name} ")


def test_version_is_the_packages_own(capsys: pytest.CaptureFixture[str]):
    from importlib.metadata import version

    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"estimator-cli {version('estimator')}\n"


@pytest.mark.parametrize(
    ("typed", "shown"),
    [("help", "Usage: estimator-cli [OPTIONS] COMMAND"), ("help plan", "Usage: estimator-cli plan"),
     ("version", "estimator-cli ")],
)  # fmt: skip
def test_help_and_version_are_also_words(typed: str, shown: str, capsys: pytest.CaptureFixture[str]):
    assert run(typed.split()) == 0
    assert capsys.readouterr().out.startswith(shown)


def test_a_mistyped_verb_is_not_taken_for_a_model(capsys: pytest.CaptureFixture[str]):
    assert run(["devcies", "list"]) == 2
    assert capsys.readouterr().err == (
        "error: unknown command 'devcies'\n"
        "  expected      devices, or a model with --device\n"
        "  next          estimator-cli --help\n"
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["m"], "error: missing option '--device'"),
        (["--device", "sd865"], "error: missing argument 'MODEL'"),
        (["m", "--device", "sd865", "--batch", "-1"], "error: invalid value for '--batch': -1 is not in the range"),
        (["m", "--device", "sd865", "--batch", "many"], "error: invalid value for '--batch'"),
        (["m", "--device", "sd865", "--format", "yaml"], "error: invalid value for '--format'"),
        (["m", "--device", "sd865", "--nonsense"], "error: no such option"),
    ],
)
def test_a_malformed_command_line_is_exit_2_with_the_option_named(
    args: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    assert run(args) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(message)
    assert captured.err.endswith("  next          estimator-cli estimate --help\n")
    assert captured.out == ""


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ModelFileError("broken.onnx ends early", hint="export it again"), 1),
        (UnknownDeviceError("sd86", ["sd865"]), 2),
        (ServiceUnreachableError("nothing answers at localhost:1"), 3),
    ],
)
def test_an_error_class_decides_the_exit_status(
    error: EstimatorError, status: int, verb_that, capsys: pytest.CaptureFixture[str]
):
    verb_that(failing_with(error))
    assert run(["probe"]) == status
    assert capsys.readouterr().err == f"error: {error}\n"


def test_a_bug_is_one_short_message_without_a_traceback(verb_that, capsys: pytest.CaptureFixture[str]):
    verb_that(failing_with(ZeroDivisionError("division by zero\nsecond line")))
    assert run(["probe"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("error: this is a bug in estimator: ZeroDivisionError: division by zero\n")
    assert "Traceback" not in shown
    assert "ESTIMATOR_DEBUG=1" in shown


def test_a_bug_keeps_its_traceback_for_those_who_ask(verb_that, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ESTIMATOR_DEBUG", "1")
    verb_that(failing_with(ZeroDivisionError("x")))
    with pytest.raises(ZeroDivisionError):
        run(["probe"])


def test_a_full_disk_is_no_bug_of_ours(verb_that, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(cli_main, "_discard_stdout", lambda: None)  # pytest's own standard output stays
    verb_that(failing_with(OSError(errno.ENOSPC, "No space left on device")))
    assert run(["probe"]) == 1
    assert capsys.readouterr().err.startswith("error: cannot write: No space left on device\n")


def test_ctrl_c_is_no_traceback_either(verb_that, capsys: pytest.CaptureFixture[str]):
    verb_that(failing_with(KeyboardInterrupt()))
    assert run(["probe"]) == 130  # 128 + SIGINT, as shells have it
    assert capsys.readouterr().err == "interrupted\n"


def test_an_endless_hostile_message_is_cut_to_a_screen_and_defused(verb_that, capsys: pytest.CaptureFixture[str]):
    verb_that(failing_with(ModelFileError("\x1b[2J" + "x" * 10_000, where="\n".join(map(str, range(500))))))
    assert run(["probe"]) == 1
    shown = capsys.readouterr().err
    assert "\x1b" not in shown
    assert len(shown.splitlines()) <= 20
    assert max(map(len, shown.splitlines())) <= 310
