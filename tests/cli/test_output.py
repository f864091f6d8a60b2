import os
import stat
from pathlib import Path

import pytest

from estimator.cli.output import colour_wanted, write_file, write_result, write_warnings
from estimator.errors import OutputError


def test_a_file_is_written_as_a_whole_with_ordinary_permissions(tmp_path: Path):
    target = tmp_path / "graph.json"
    target.write_text("old")
    write_file(target, "new ÷\n")
    assert target.read_text(encoding="utf-8") == "new ÷\n"
    assert [path.name for path in tmp_path.iterdir()] == ["graph.json"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    target = tmp_path / "graph.json"
    target.write_text("old")

    def disk_full(source: object, destination: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", disk_full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_file(target, "new")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["graph.json"]


def test_a_missing_folder_is_an_error_that_says_what_next(tmp_path: Path):
    with pytest.raises(OutputError, match="-o"):
        write_file(tmp_path / "nowhere" / "graph.json", "")


def test_results_end_in_one_newline_and_warnings_go_to_stderr(capsys: pytest.CaptureFixture[str]):
    write_result("answer\n\n")
    write_warnings(["raise --batch", "\x1b[2J"])
    captured = capsys.readouterr()
    assert captured.out == "answer\n"
    assert captured.err == "warning: raise --batch\nwarning: \\x1b[2J\n"


def test_no_colour_where_nobody_looks_or_nobody_wants_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert not colour_wanted()  # captured output is no terminal
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert colour_wanted()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colour_wanted()
