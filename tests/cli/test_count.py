from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from onnx import helper

from estimator.cli.count import count
from estimator.errors import BadOptionError, UnknownConventionError, UnsupportedOpError
from tests.cli.models import conv_relu_file, saved, unknown_op_file

MACS = 8 * 16 * 16 * 27


def run(*arguments: str) -> Result:
    return CliRunner().invoke(count, list(arguments), catch_exceptions=True)


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(conv_relu_file(tmp_path / "m.onnx"))


def test_json_has_the_contract_s_fields(model: str) -> None:
    document = json.loads(run(model, "--format", "json").stdout)
    assert {"convention", "total", "macs", "flops", "params", "layers", "unsupported"} <= document.keys()
    assert document["macs"] == MACS
    assert document["total"] == document["flops"] == 2 * MACS + 8 * 16 * 16
    assert document["params"] == 8 * 27
    assert sum(layer["value"] for layer in document["layers"]) == document["total"]


@pytest.mark.parametrize(("convention", "total"), [("fvcore", MACS), ("thop", MACS), ("torch", 2 * MACS)])
def test_a_convention_gives_its_tool_s_number(model: str, convention: str, total: int) -> None:
    document = json.loads(run(model, "--convention", convention, "--format", "json").stdout)
    assert (document["convention"], document["total"]) == (convention, total)


def test_results_go_to_stdout_and_notes_to_stderr(model: str) -> None:
    result = run(model, "--convention", "thop")
    assert result.stdout.startswith("macs, params = (")
    assert "no modules" in result.stderr


def test_csv_and_markdown_hold_the_same_rows(model: str) -> None:
    rows = list(csv.DictReader(io.StringIO(run(model, "--format", "csv").stdout)))
    markdown = run(model, "--format", "markdown").stdout
    assert [row["macs"] for row in rows] == [str(MACS), "0"]
    assert all(row["name"] in markdown for row in rows)


def test_an_explanation_closes_to_zero(model: str) -> None:
    document = json.loads(run(model, "--explain", "thop,deepspeed", "--format", "json").stdout)
    assert document["remainder"] == 0
    difference = sum(row["difference"] for row in document["rows"])
    assert document["first"]["total"] + difference == document["second"]["total"]
    assert "remainder" in run(model, "--explain", "thop,deepspeed").stdout


def test_an_explanation_has_the_same_rows_in_every_format(model: str) -> None:
    explain = ("--explain", "thop,deepspeed", "--format")
    document = json.loads(run(model, *explain, "json").stdout)
    rows = list(csv.DictReader(io.StringIO(run(model, *explain, "csv").stdout)))
    assert [row["reason"] for row in rows] == [row["reason"] for row in document["rows"]]
    assert [int(row["first"]) for row in rows] == [row["first"] for row in document["rows"]]
    markdown = run(model, *explain, "markdown").stdout
    assert all(f"| {row['reason']} | {row['first']} |" in markdown for row in rows)


def test_an_explanation_carries_the_notes_of_both_counts(tmp_path: Path) -> None:
    path = str(unknown_op_file(tmp_path / "m.onnx"))
    said = run(path, "--explain", "thop,native").stderr
    assert "thop has no rule for 1 of the operators" in said
    assert "note: thop: this source has no modules" in said
    notes = json.loads(run(path, "--explain", "thop,native", "--format", "json").stdout)["notes"]
    assert any(note.startswith("native: 66.7% of the ops have a rule") for note in notes)


def test_a_layer_s_name_is_no_formula_and_no_markup(tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["x"], ["y"], name="=1+1|<b>")
    path = str(saved(tmp_path / "m.onnx", [node], {"x": [1, 4]}, {"y": [1, 4]}))
    assert next(csv.DictReader(io.StringIO(run(path, "--format", "csv").stdout)))["name"].startswith("'=")
    assert "<b>" not in run(path, "--format", "markdown").stdout


def test_a_training_step_counts_more_than_a_forward_pass(model: str) -> None:
    step = json.loads(run(model, "--mode", "train", "--format", "json").stdout)
    assert step["macs"] == 2 * MACS  # forward, and the weight gradient


def test_an_operator_without_a_rule_is_listed_and_strict_refuses_it(tmp_path: Path) -> None:
    path = str(unknown_op_file(tmp_path / "m.onnx"))
    result = run(path, "--format", "json")
    assert json.loads(result.stdout)["unsupported"]
    assert isinstance(run(path, "--strict").exception, UnsupportedOpError)


def test_a_mistyped_convention_fails_before_the_model_is_read() -> None:
    assert isinstance(run("no-such-model", "--convention", "thopp").exception, UnknownConventionError)


def test_explain_wants_two_names(model: str) -> None:
    assert isinstance(run(model, "--explain", "thop").exception, BadOptionError)


def test_a_device_fills_torchstat_s_duration_column(model: str) -> None:
    without = run(model, "--convention", "torchstat").stdout
    with_device = run(model, "--convention", "torchstat", "--device", "rtx4090").stdout
    assert "%" not in without.replace("duration[%]", "")
    assert "100.00%" in with_device
