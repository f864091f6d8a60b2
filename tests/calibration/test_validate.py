"""Validation from a file of records to the figures that scripts read."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from estimator.calibration.graph_cache import GraphCache
from estimator.calibration.records import write_records
from estimator.calibration.score import score
from estimator.calibration.validate import sample_records, validate_records
from estimator.catalogue.calibration_file import dump_calibration, find_calibration, load_response
from estimator.catalogue.loader import load_device
from estimator.cli.main import run
from estimator.dtypes import Precision
from estimator.engine import EstimateOptions, estimate
from estimator.frontends.select import load_graph
from estimator.units import ms_from_s
from tests.calibration.workloads import record, small_network

CONTRACT_FIELDS = {
    "records", "scored", "failed", "failures", "median_ape", "p90_ape", "mape", "within_10", "within_20", "bias",
    "spearman", "interval_coverage", "baselines", "groups",
}  # fmt: skip


@pytest.fixture
def records(tmp_path, monkeypatch):
    monkeypatch.setenv("ESTIMATOR_CACHE", str(tmp_path / "cache"))
    sizes = [(16, 2), (64, 4), (128, 8)]
    return [record(str(small_network(tmp_path / f"n{c}.json", c, depth)), 1e-3 * depth, c) for c, depth in sizes]


def test_scores_are_plain_arithmetic():
    figures = score(np.array([1.05, 0.85, 2.0, 4.2]), np.array([1.0, 1.0, 2.0, 6.0]))
    # errors +5, −15, 0 and −30 %
    assert figures.median_ape == pytest.approx((0.05 + 0.15) / 2)
    assert figures.mape == pytest.approx((0.05 + 0.15 + 0.0 + 0.3) / 4)
    assert (figures.within_10, figures.within_20) == (2 / 4, 3 / 4)
    assert figures.bias == pytest.approx((0.0 - 0.15) / 2)


def test_rank_correlation_is_spearmans():
    squared_rank_differences = 0 + 1 + 1
    figures = score(np.array([1.0, 3.0, 2.0]), np.array([10.0, 20.0, 30.0]))
    assert figures.spearman == pytest.approx(1 - 6 * squared_rank_differences / (3 * (3**2 - 1)))


def test_no_record_has_no_score():
    assert score(np.array([]), np.array([])).median_ape is None


def test_a_record_is_scored_by_what_estimate_says(records):
    report = validate_records(records)
    device, unit = load_device("sd865/npu")
    for prediction in report.predictions:
        graph = load_graph(prediction.record.model)
        said = estimate(graph, device, unit, EstimateOptions(runtime="tflite", precision=Precision.INT8))
        assert prediction.latency.p50_s == pytest.approx(said.latency.p50_s, rel=1e-9)
        assert prediction.latency.p10_s == pytest.approx(said.latency.p10_s, rel=1e-9)
        assert prediction.naive_s == pytest.approx(said.naive_latency_s, rel=1e-12)
        assert prediction.roofline_s == pytest.approx(said.roofline_latency_s, rel=1e-9)


def test_what_cannot_be_estimated_is_listed_and_never_stops_the_rest(records):
    odd = [
        replace(records[0], device="sd999"),
        replace(records[0], model="missing.json"),
        replace(records[0], runtime="torch-eager"),
        replace(records[0], input_shape=(1, 3, 5, 5)),
    ]
    report = validate_records([*odd, *records])
    assert (report.records, report.scored, len(report.failures)) == (7, 3, 4)
    reasons = [failure.reason for failure in report.failures]
    for expected, reason in zip(("sd999", "missing.json", "torch-eager", "shapes fixed"), reasons, strict=True):
        assert expected in reason


def test_each_device_runtime_and_precision_is_a_group(records):
    report = validate_records([*records, *(replace(r, precision=Precision.FP16, runtime="qnn") for r in records)])
    first = report.groups[0]
    assert (first.runtime, first.precision, first.scored) == ("tflite", "int8", 3)
    assert sum(g.scored for g in report.groups) == report.scored


def test_less_evidence_is_said_to_be_less(records):
    kinds = {source: validate_records(records, source=source).predictions[0] for source in ("family", "datasheet")}
    assert [kinds[source].kind for source in kinds] == ["family", "datasheet"]
    width = {s: p.latency.p90_s / p.latency.p10_s for s, p in kinds.items()}
    assert width["datasheet"] > width["family"]


def test_a_sample_is_drawn_by_its_seed(records):
    assert sample_records(records, 2, 0) == sample_records(records, 2, 0)
    assert len(sample_records(records, 2, 0)) == 2
    assert sample_records(records, 9, 0) == tuple(records)


def test_the_command_writes_the_contract_and_the_predictions(records, tmp_path, capsys):
    path, out = tmp_path / "r.csv", tmp_path / "p.csv"
    write_records([*records, replace(records[0], device="sd999")], path)
    assert run(["validate", str(path), "--format", "json", "--predictions", str(out)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document.keys() >= CONTRACT_FIELDS
    assert document["groups"][0].keys() >= {"device", "unit", "runtime", "precision", "median_ape", "baselines"}
    assert document["baselines"].keys() == {"naive", "roofline"}
    assert document["failures"][0].keys() >= {"model", "reason"}
    assert (document["records"], document["scored"], document["failed"]) == (4, 3, 1)
    rows = list(csv.DictReader(out.open()))
    assert [float(row["measured_ms"]) for row in rows] == [pytest.approx(ms_from_s(r.latency_s)) for r in records]
    for row in rows:
        assert float(row["error"]) == pytest.approx(
            float(row["predicted_ms"]) / float(row["measured_ms"]) - 1, abs=1e-4
        )


@pytest.mark.parametrize("output_format", ["table", "markdown", "csv"])
def test_every_format_names_the_device(records, tmp_path, capsys, output_format):
    path = tmp_path / "r.csv"
    write_records(records, path)
    assert run(["validate", str(path), "--format", output_format]) == 0
    out = capsys.readouterr().out
    assert "sd865" in out
    if output_format == "table":
        assert max(map(len, out.splitlines())) <= 100


def test_no_record_that_can_be_estimated_is_still_a_report_and_a_failure(records, tmp_path, capsys):
    path = tmp_path / "r.csv"
    write_records([replace(records[0], device="sd999")], path)
    assert run(["validate", str(path), "--format", "json"]) == 1
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["median_ape"] is None
    assert document["failures"] == [
        {"line": 2, "model": records[0].model, "device": "sd999/npu", "reason": "unknown device 'sd999'"}
    ]
    assert captured.err.startswith("error: none of the 1 records could be estimated")


def test_a_reason_that_several_records_share_names_their_lines(records, tmp_path, capsys):
    path = tmp_path / "r.csv"
    odd = [replace(records[0], model="a.json", device="sd999"), replace(records[0], model="b.json", device="sd999")]
    write_records([odd[0], records[0], odd[1], replace(records[0], device="sd998")], path)
    assert run(["validate", str(path)]) == 0
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("failed")]
    assert failed[0] == "failed  2 × unknown device 'sd999'  (lines 2, 4: a.json, b.json)"
    assert failed[1].startswith(f"failed  line 5, {records[0].model[:20]}")


def test_a_device_file_of_the_users_own_stands_for_the_id_in_it(records, tmp_path, capsys):
    board, path = tmp_path / "board.yaml", tmp_path / "r.csv"
    board.write_text("schema_version: 1\nid: our-board\ndisplay_name: Our board\nextends: sd865\n")
    write_records([replace(one, device="our-board") for one in records], path)
    assert run(["validate", str(path)]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "the catalogue has no device our-board: --device FILE names a file of your own" in said
    assert run(["validate", str(path), "--device", str(board), "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["scored"], document["warnings"]) == (3, [])
    assert document["groups"][0]["device"] == "our-board"


def test_a_device_file_that_is_missing_is_found_before_any_model_is_read(records, tmp_path, capsys):
    write_records(records, tmp_path / "r.csv")
    assert run(["validate", str(tmp_path / "r.csv"), "--device", str(tmp_path / "nosuch.yaml")]) == 2
    assert "no such file" in capsys.readouterr().err


def test_a_calibration_that_is_for_none_of_the_records_is_said_to_be(records, tmp_path):
    own = tmp_path / "own.yaml"
    found = find_calibration("rtx4090", "gpu", "torch-compile", "nchw")
    assert found is not None
    dump_calibration(found, load_response(found.response).class_names, own)
    assert validate_records(records, calibrations=(own,)).warnings == (
        f"{own} is for rtx4090/gpu torch-compile, which no record is",
    )


def test_a_second_scoring_reads_the_same_kernels(records):
    first, second = validate_records(records), validate_records(records, cache=GraphCache())
    assert [p.latency for p in first.predictions] == [p.latency for p in second.predictions]
