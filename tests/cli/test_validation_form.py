import csv
import io
import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rich.cells import cell_len

from estimator.calibration.records import Record
from estimator.cli.validate import drawn
from estimator.cli.validation_form import (
    predictions_csv,
    validation_csv,
    validation_json,
    validation_markdown,
    validation_screen,
)
from estimator.dtypes import Precision
from estimator.result import Interval, ProvenanceKind

SCORE = {
    "median_ape": 0.05, "p90_ape": 0.2, "mape": 0.08, "within_10": 0.7, "within_20": 0.9, "bias": -0.012,
    "spearman": 0.987, "interval_coverage": 0.8,
}  # fmt: skip
RECORD = Record("timm:x", (1, 3, 8, 8), "sd865", "npu", "tflite", Precision.INT8, "", 0.004)

ESTIMATE = Interval(0.004, 0.0044, 0.005)


@dataclass(frozen=True)
class Prediction:
    """One record and its estimate, 10 % too slow."""

    record: Record = RECORD
    latency: Interval = ESTIMATE
    naive_latency_s: float = 1e-4
    roofline_latency_s: float = 1e-3
    provenance: ProvenanceKind = ProvenanceKind.CALIBRATED


@dataclass(frozen=True)
class Report:
    """The fields that the contract promises."""

    records: int = 3
    scored: int = 2
    failed: int = 1
    failures: tuple[dict, ...] = ({"model": "timm:broken", "reason": "no rule\nmore"},)
    median_ape: float = SCORE["median_ape"]
    p90_ape: float = SCORE["p90_ape"]
    mape: float = SCORE["mape"]
    within_10: float = SCORE["within_10"]
    within_20: float = SCORE["within_20"]
    bias: float = SCORE["bias"]
    spearman: float | None = SCORE["spearman"]
    interval_coverage: float = SCORE["interval_coverage"]
    baselines: dict = field(default_factory=lambda: {"naive": SCORE | {"median_ape": 0.9}, "roofline": SCORE})
    groups: tuple[dict, ...] = (
        {"device": "good", "unit": "gpu", "runtime": "torch-eager", "precision": "fp32", "scored": 1, **SCORE},
        {
            "device": "bad",
            "unit": "npu",
            "runtime": "tflite",
            "precision": "int8",
            "scored": 1,
            **SCORE,
            "median_ape": 0.4,
        },
    )
    predictions: tuple[Prediction, ...] = (Prediction(),)


def test_the_screen_has_the_whole_its_baselines_and_the_worst_group_first():
    lines = validation_screen(Report()).splitlines()
    assert lines[0] == "2 of 3 records scored, 1 failed"
    labels = ("all", "FLOPs ÷ peak", "spec roofline", "bad/npu", "good/gpu")
    positions = [next(i for i, line in enumerate(lines) if label in line) for label in labels]
    assert positions == sorted(positions)
    assert lines[-1] == "  timm:broken: no rule"
    assert max(cell_len(line) for line in lines) <= 100


def test_a_bias_carries_its_sign_and_a_missing_rank_is_a_dash():
    whole = validation_screen(Report(bias=0.031, spearman=None)).splitlines()[3]
    assert whole.split()[-7:] == ["90", "%", "+3.1", "%", "–", "80", "%"]


def test_json_has_the_promised_fields_and_no_single_predictions():
    document = json.loads(validation_json(Report()))
    assert document.keys() >= {"records", "scored", "failed", "failures", "baselines", "groups", *SCORE}
    assert "predictions" not in document
    assert document["baselines"]["naive"]["median_ape"] == 0.9


def test_csv_and_markdown_have_one_row_per_group():
    rows = list(csv.DictReader(io.StringIO(validation_csv(Report()))))
    assert [row["row"] for row in rows] == ["all", "group", "group"]
    assert validation_markdown(Report()).count("\n| ") == 1 + 1 + 1 + 2 + 2  # header, rule, all, baselines, groups


def test_a_prediction_is_written_with_its_relative_error():
    (row,) = csv.DictReader(io.StringIO(predictions_csv(Report())))
    assert float(row["measured_ms"]) == pytest.approx(4.0)
    assert float(row["error"]) == pytest.approx(0.0044 / 0.004 - 1)


def test_drawing_is_repeatable_keeps_the_order_and_takes_all_when_asked_for_more():
    records = tuple(
        Record(f"timm:{i}", (1, 3, 8, 8), "sd865", "npu", "tflite", Precision.INT8, "", 0.001) for i in range(50)
    )
    first, again = drawn(records, 7, seed=3), drawn(records, 7, seed=3)
    assert first == again
    assert len(first) == 7
    assert sorted(first, key=records.index) == list(first)
    assert drawn(records, 7, seed=4) != first
    assert drawn(records, 500, seed=0) == records


def test_the_verb_refuses_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    from estimator.cli.main import run

    assert run(["validate", str(tmp_path / "nowhere.csv")]) == 1
    assert "nowhere.csv" in capsys.readouterr().err
