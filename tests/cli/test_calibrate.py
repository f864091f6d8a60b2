"""``calibrate --here``: this machine measured first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from estimator.calibration import measure, starter_models
from estimator.calibration.records import Record, read_records
from estimator.cli.main import run
from estimator.dtypes import Precision
from estimator.errors import TraceError
from estimator.units import MILLI
from tests.calibration.workloads import small_network

HERE = ["calibrate", "--here", "--device", "i7-12700h", "--runtime", "torch-compile"]


@pytest.fixture
def candidates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Six networks, one of them not measurable, on a machine where everything takes a millisecond."""

    def one_millisecond(
        model: str, device: str, unit: str, options: measure.MeasureOptions, *, batch: int, **others: object
    ) -> Record:
        if Path(model).stem == "n2":
            raise TraceError("it wants weights")
        return Record(model, (batch, 8, 32, 32), device, unit, options.runtime, Precision.FP32, "nchw", MILLI)

    sizes = [(8, 2), (16, 3), (32, 2), (64, 4), (64, 8), (128, 3)]
    made = [str(small_network(tmp_path / f"n{i}.json", *size)) for i, size in enumerate(sizes)]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ESTIMATOR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(measure, "measure", one_millisecond)
    monkeypatch.setattr(starter_models, "CANDIDATE_MODELS", tuple(made))
    return made


def test_what_suggest_would_measure_is_measured(
    candidates: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(starter_models, "STARTER_COUNT", 5)
    suggest = ["suggest", "--device", "i7-12700h", "--runtime", "torch-compile", "--count", "5", "--format", "json"]
    assert run(suggest) == 0
    suggested = [one["model"] for one in json.loads(capsys.readouterr().out)["suggestions"]]
    run([*HERE, "few.csv", "-o", "own.yaml"])
    measurable = [model for model in suggested if Path(model).stem != "n2"]
    assert [one.model for one in read_records(Path("few.csv"))] == measurable


def test_a_model_that_cannot_be_measured_is_left_out_and_the_others_are_kept(
    candidates: list[str], capsys: pytest.CaptureFixture[str]
):
    run([*HERE, "few.csv", "-o", "own.yaml"])
    assert len(read_records(Path("few.csv"))) == len(candidates) - 1
    assert f"left out {candidates[2]}: it wants weights" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("output", ["few.csv", "./few.csv", "link/few.csv"])
def test_the_records_just_measured_are_not_replaced_by_the_calibration(
    output: str, candidates: list[str], capsys: pytest.CaptureFixture[str]
):
    Path("link").symlink_to(".")
    assert run([*HERE, "few.csv", "-o", output]) == 2
    assert "few.csv is what this command reads" in " ".join(capsys.readouterr().err.split())
    assert not Path("few.csv").exists()


def test_a_gpu_that_is_not_here_is_missed_before_any_model_is_read(
    candidates: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert run(["calibrate", "--here", "--device", "rtx4090", "--runtime", "torch-eager", "-o", "own.yaml"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: there is no CUDA device here")
    assert "left out" not in said


def test_a_runtime_that_takes_files_is_measured_by_other_means(capsys: pytest.CaptureFixture[str]):
    assert run(["calibrate", "--here", "--device", "sd865/cpu", "--runtime", "tflite", "-o", "own.yaml"]) == 2
    assert "estimator-cli measure" in capsys.readouterr().err
