"""``validate --device FILE``: ids in the files against those in the records."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.accuracy.few_records import OTHER_CPU
from estimator.calibration.records import read_records, write_records
from estimator.catalogue.loader import load_device
from estimator.cli.main import run
from tests.calibration.workloads import record, small_network

BOARD = "schema_version: 1\nid: our-board\ndisplay_name: Our board\nextends: sd865\n"


@pytest.fixture
def two_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Records of a device of the catalogue and of a board, and a file of the board's id."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ESTIMATOR_CACHE", str(tmp_path / "cache"))
    one = record(str(small_network(tmp_path / "n.json", 16, 2)), 1e-3, 16)
    Path("board.yaml").write_text(BOARD)
    write_records([one, replace(one, device="our-bord")], Path("r.csv"))
    return ["validate", "r.csv", "--device", "board.yaml"]


def test_ids_that_differ_are_named_beside_each_other(two_devices: list[str], capsys: pytest.CaptureFixture[str]):
    assert run(two_devices) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "neither the catalogue nor --device has a device our-bord: given were our-board" in said
    assert "board.yaml has the id our-board, which no record names; records name sd865, our-bord" in said


def test_a_file_that_a_record_names_is_not_said_to_be_unused(
    two_devices: list[str], capsys: pytest.CaptureFixture[str]
):
    Path("board.yaml").write_text(BOARD.replace("our-board", "our-bord"))
    assert run(two_devices) == 0
    assert "warning" not in capsys.readouterr().err


def test_the_files_of_the_other_cpu_have_the_ids_of_its_records():
    ids = {load_device(path)[0].id for path in OTHER_CPU.glob("*.yaml")}
    assert {one.device for one in read_records(OTHER_CPU / "records.csv")} == ids
