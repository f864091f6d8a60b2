from pathlib import Path

import pytest

from estimator.cli.output import (
    colour_wanted,
    device_files,
    keep_inputs,
    model_files,
    say_written,
    write_result,
    write_warnings,
)


def test_results_end_in_one_newline_and_warnings_go_to_stderr(capsys: pytest.CaptureFixture[str]):
    write_result("answer\n\n")
    write_warnings(["raise --batch", "\x1b[2J"])
    captured = capsys.readouterr()
    assert captured.out == "answer\n"
    assert captured.err == "warning: raise --batch\nwarning: \\x1b[2J\n"


def test_of_a_file_on_standard_output_nothing_is_said_and_the_rest_goes_beside_it(capsys: pytest.CaptureFixture[str]):
    say_written(Path("-"), "12 operators")
    assert capsys.readouterr().err == ""
    say_written(Path("graph.json"), "12 operators")
    write_result("beside a file", beside=Path("graph.json"))
    assert capsys.readouterr() == ("beside a file\n", "wrote graph.json: 12 operators\n")
    write_result("beside standard output", beside=Path("-"))
    assert capsys.readouterr() == ("", "beside standard output\n")


@pytest.mark.parametrize("name", ["sd865", "rtx4090/gpu", "here", "D"])
def test_an_id_of_a_device_is_no_file_that_a_result_could_replace(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(exist_ok=True)
    for path in (Path(name), Path(f"{name}.yaml")):
        path.touch()
        keep_inputs(path, *device_files(name))


@pytest.mark.parametrize("name", ["mobilenet_v2", "timm:vit_tiny.augreg", "vit_tiny.augreg", "package.module:build"])
def test_the_name_of_a_model_is_no_file_that_a_result_could_replace(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path(name).touch()
    keep_inputs(Path(name), *model_files(name))


def test_no_colour_where_nobody_looks_or_nobody_wants_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert not colour_wanted()  # captured output is no terminal
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert colour_wanted()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colour_wanted()
