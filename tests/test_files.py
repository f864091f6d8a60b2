import os
import stat
from pathlib import Path

import pytest

from estimator.errors import OutputError
from estimator.files import check_writable, near_files, write_whole


def test_a_file_is_written_as_a_whole_with_ordinary_permissions(tmp_path: Path):
    target = tmp_path / "graph.json"
    target.write_text("old")
    write_whole(target, "new ÷\n")
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
        write_whole(target, "new")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["graph.json"]


def test_a_dash_is_standard_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    write_whole(Path("-"), "1 ÷ 2\n")
    assert capfd.readouterr().out == "1 ÷ 2\n"
    assert list(tmp_path.iterdir()) == []


def test_files_near_a_missing_one_are_those_of_like_name_and_kind(tmp_path: Path):
    for name in ("resnet50.onnx", "resnet50.txt", "vgg.onnx"):
        (tmp_path / name).touch()
    assert near_files(tmp_path / "resent50.onnx", (".onnx", ".tflite")) == (str(tmp_path / "resnet50.onnx"),)
    assert near_files(tmp_path / "nowhere" / "resnet50.onnx", (".onnx",)) == ()


@pytest.mark.parametrize("name", ["nowhere/graph.json", "folder"])
def test_where_nothing_can_be_written_is_known_beforehand(tmp_path: Path, name: str):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=name):
        check_writable(tmp_path / name)
    check_writable(tmp_path / "graph.json")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_missing_folder_is_an_error_that_says_what_next(tmp_path: Path):
    with pytest.raises(OutputError, match="choose another path"):
        write_whole(tmp_path / "nowhere" / "graph.json", "")
