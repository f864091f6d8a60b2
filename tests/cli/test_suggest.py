"""``suggest``: which models to measure, and what to type next."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from estimator.calibration.starter_models import CANDIDATE_MODELS
from estimator.cli.suggest import suggest
from estimator.errors import CalibrationError
from estimator.frontends.torch_zoo import torchvision_names
from tests.cli.models import conv_relu_file


def run(*arguments: str) -> Result:
    return CliRunner().invoke(suggest, list(arguments), catch_exceptions=True)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    return [conv_relu_file(tmp_path / f"{name}.onnx").name for name in "ab"]


def test_the_list_is_followed_by_commands_that_fit_a_screen(models: list[str]) -> None:
    result = run("--device", "i7-12700h", "--batch", "2", *models)
    assert "1 of 2" not in result.stdout
    assert "2 of 2 models" in result.stdout
    assert "estimator-cli measure --device i7-12700h --runtime torch-compile" in result.stdout
    assert "--batch 2" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100


def test_a_name_with_a_space_can_be_pasted(models: list[str], tmp_path: Path) -> None:
    (tmp_path / "our board.yaml").write_text(
        "schema_version: 1\nid: board\ndisplay_name: Our board\nextends: i7-12700h\n"
    )
    shown = run("--device", "our board.yaml", *models).stdout
    assert shown.count("--device 'our board.yaml'") == 2


def test_a_runtime_that_is_measured_elsewhere_gets_the_header_of_the_records(models: list[str]) -> None:
    result = run("--device", "sd865", "--runtime", "tflite", "--count", "1", *models)
    assert "model,input_shape,device,unit,runtime,precision,layout,latency_ms" in result.stdout
    assert "estimator-cli measure" not in result.stdout


def test_json_has_an_expected_error_before_and_after_each(models: list[str]) -> None:
    document = json.loads(run("--device", "i7-12700h", "--format", "json", *models).stdout)
    after = [one["expected_error_after"] for one in document["suggestions"]]
    assert [one["model"] for one in document["suggestions"]] == models
    assert document["expected_error_before"] > after[0] >= after[1] > 0


def test_what_cannot_be_read_is_named_and_left_out(models: list[str]) -> None:
    result = run("--device", "i7-12700h", models[0], "nosuch.onnx")
    assert "left out nosuch.onnx" in result.stderr
    assert "1 of 1 models" in result.stdout
    assert isinstance(run("--device", "i7-12700h", "nosuch.onnx").exception, CalibrationError)


def test_the_models_to_choose_from_are_in_the_zoo() -> None:
    assert {name.partition(":")[2] for name in CANDIDATE_MODELS} <= set(torchvision_names())
