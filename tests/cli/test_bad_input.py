"""Whatever is typed or handed in wrong: one screen, the right exit status, no traceback, nothing half-written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from estimator.cli.main import run
from tests.cli.models import conv_relu_file, free_batch_file, unknown_op_file

Failure = Callable[..., str]


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(conv_relu_file(tmp_path / "good.onnx"))


@pytest.fixture
def failure(capsys: pytest.CaptureFixture[str]) -> Failure:
    """Run a command line that must fail and return what it said."""

    def fail(*args: str, status: int) -> str:
        assert run(list(args)) == status
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("error: ")
        assert "Traceback" not in captured.err
        assert "this is a bug" not in captured.err
        assert len(captured.err.splitlines()) <= 20
        return captured.err

    return fail


def test_an_unknown_device_lists_near_names(model: str, failure: Failure):
    said = failure(model, "--device", "sd856", status=2)
    assert "unknown device 'sd856' (--device)" in said
    assert "sd865" in said
    assert "estimator-cli devices list" in said


def test_an_unknown_unit_of_a_known_device_lists_its_units(model: str, failure: Failure):
    said = failure(model, "--device", "sd865/tpu", status=2)
    assert "sd865 has no unit 'tpu'" in said
    assert all(unit in said for unit in ("cpu", "gpu", "npu"))


def test_several_devices_are_a_comparison(model: str, failure: Failure):
    said = failure(model, "--device", "sd865,rtx4090", status=2)
    assert "estimator-cli compare MODEL --device sd865,rtx4090" in said


def test_an_unknown_precision_lists_those_that_exist(model: str, failure: Failure):
    said = failure(model, "--device", "sd865", "--precision", "fp12", status=2)
    assert "unknown precision 'fp12' (--precision)" in said
    assert "fp16" in said


def test_an_unknown_runtime_lists_near_names(model: str, failure: Failure):
    said = failure(model, "--device", "sd865", "--runtime", "tflight", status=2)
    assert "'tflight'" in said
    assert "tflite" in said


def test_a_precision_that_the_unit_cannot_run_is_a_wrong_request(model: str, failure: Failure):
    said = failure(model, "--device", "coral-edgetpu", "--precision", "fp32", status=2)
    assert "fp32" in said
    assert "int8" in said


def test_a_long_list_is_wrapped_to_the_screen(model: str, failure: Failure):
    for option, verb in (("--runtime", ["estimate", model, "--device", "sd865"]), ("--convention", ["count", model])):
        said = failure(*verb, option, "nonsense", status=2)
        assert max(map(len, said.splitlines())) <= 100


def test_an_unknown_zoo_model_lists_near_names(failure: Failure):
    assert "resnet50" in failure("torchvision:resnet5", "--device", "sd865", status=2)


def test_a_missing_file_is_named(failure: Failure, tmp_path: Path):
    assert "nowhere.onnx" in failure(str(tmp_path / "nowhere.onnx"), "--device", "sd865", status=2)


@pytest.mark.parametrize("suffix", [".onnx", ".tflite", ".json", ".pt2"])
def test_an_empty_file_is_called_empty(suffix: str, failure: Failure, tmp_path: Path):
    path = tmp_path / f"empty{suffix}"
    path.touch()
    assert "is empty" in failure(str(path), "--device", "sd865", status=1)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.97])
def test_a_truncated_onnx_file_is_a_broken_file(kept: float, model: str, failure: Failure, tmp_path: Path):
    whole = Path(model).read_bytes()
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(whole[: int(len(whole) * kept)])
    assert "broken.onnx" in failure(str(broken), "--device", "sd865", status=1)


@pytest.mark.parametrize("suffix", [".onnx", ".tflite", ".json", ".pt2"])
def test_noise_is_a_broken_file(suffix: str, failure: Failure, tmp_path: Path):
    path = tmp_path / f"noise{suffix}"
    path.write_bytes(bytes(range(256)) * 4)
    assert "noise" in failure(str(path), "--device", "sd865", status=1)


def test_a_claim_of_four_gigabytes_in_a_header_is_not_believed(failure: Failure, tmp_path: Path):
    four_gigabytes = bytes([0x80, 0x80, 0x80, 0x80, 0x10])  # 2³² as a protobuf varint
    path = tmp_path / "huge.onnx"
    path.write_bytes(b"\x08\x08" + b"\x3a" + four_gigabytes + b"short")  # ir_version 8, then field 7: the graph
    assert "huge.onnx" in failure(str(path), "--device", "sd865", status=1)


def test_a_folder_is_no_model(failure: Failure, tmp_path: Path):
    folder = tmp_path / "folder.onnx"
    folder.mkdir()
    failure(str(folder), "--device", "sd865", status=1)


def test_an_operator_without_a_rule_fails_in_strict_mode_and_is_named(failure: Failure, tmp_path: Path):
    path = unknown_op_file(tmp_path / "odd.onnx")
    said = failure(str(path), "--device", "rtx4090", "--strict", status=1)
    assert "Frobnicate" in said
    assert "--strict" in said


def test_without_strict_it_is_estimated_and_the_coverage_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = unknown_op_file(tmp_path / "odd.onnx")
    assert run([str(path), "--device", "rtx4090", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["coverage"] == pytest.approx(2 / 3)  # two of three operators
    assert any("Frobnicate" in name for name in document["unsupported_ops"])
    assert document["warnings"]


@pytest.mark.parametrize("batch", ["-1", "0", "many", "1.5"])
def test_a_batch_that_is_no_count_is_refused(batch: str, model: str, failure: Failure):
    assert "'--batch'" in failure(model, "--device", "sd865", f"--batch={batch}", status=2)


@pytest.mark.parametrize("shape", ["", "x", "1x-3x8x8", "1x3x8x8x" + "9" * 400])
def test_a_shape_that_is_none_is_refused(shape: str, model: str, failure: Failure):
    assert "--input-shape" in failure(model, "--device", "sd865", "--input-shape", shape, status=2)


def test_a_dimension_without_a_number_asks_for_one(failure: Failure, tmp_path: Path):
    path = free_batch_file(tmp_path / "free.onnx")
    assert "--input-shape" in failure(str(path), "--device", "rtx4090", status=1)


def test_a_broken_device_file_names_file_and_line(model: str, failure: Failure, tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("schema_version: 1\nid: mine\nnonsense: true\n")
    assert "mine.yaml" in failure(model, "--device", str(path), status=1)


def test_a_missing_device_file_is_a_wrong_request(model: str, failure: Failure, tmp_path: Path):
    said = failure(model, "--device", str(tmp_path / "nosuch.yaml"), status=2)
    assert "no such file" in said
    assert "expected" in said


@pytest.mark.parametrize("request_", ["nowhere.onnx --device sd865", "plan nowhere.onnx --devices sd865"])
def test_a_missing_calibration_is_found_before_the_model_is_read(request_: str, failure: Failure, tmp_path: Path):
    said = failure(*request_.split(), "--calibration", str(tmp_path / "nosuch.yaml"), status=2)
    assert "no such file" in said
    assert "(--calibration)" in said


@pytest.mark.parametrize(
    ("options", "needed"),
    [
        (["--optimiser", "sgd"], "--mode train"),
        (["--device", "sd865"], "torchstat"),
        (["--device", "sd865", "--convention", "torchstat", "--per", "op"], "torchstat"),
        (["--mode", "train", "--explain", "thop,fvcore"], "no --explain"),
        (["--convention", "native", "--explain", "thop,fvcore"], "no --explain"),
    ],
)
def test_an_option_that_would_change_nothing_is_refused(options: list[str], needed: str, model: str, failure: Failure):
    said = failure("count", model, *options, status=2)
    assert f"error: {options[0]}" in said
    assert needed in said


@pytest.mark.parametrize(
    ("request_", "option"),
    [
        (["plan", "m.onnx", "--devices", "sd865,foo"], "--devices"),
        (["plan", "m.onnx", "--devices", "sd865", "--precisions", "foo"], "--precisions"),
        (["plan", "m.onnx", "--devices", "sd865", "--runtime", "foo"], "--runtime"),
        (["count", "m.onnx", "--explain", "fvcore,foo"], "--explain"),
        (["count", "m.onnx", "--convention", "foo"], "--convention"),
    ],
)
def test_an_unknown_name_is_blamed_on_the_option_that_has_it(request_: list[str], option: str, failure: Failure):
    assert f"'foo' ({option})" in failure(*request_, status=2)


def test_an_explanation_is_no_json(model: str, failure: Failure):
    said = failure(model, "--device", "sd865", "--explain", "conv", "--format", "json", status=2)
    assert "--format json has no effect" in said


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize("command", ["serve --grace", "measure m.onnx -o - --seconds", "plan m.onnx --max-memory-mb"])
def test_a_number_without_an_end_is_refused(command: str, value: str, failure: Failure):
    verb, *rest = command.split()
    assert rest[-1] in failure(verb, *rest, value, status=2)


@pytest.mark.parametrize("option", ["--devices", "--precisions", "--batches"])
def test_a_plan_over_nothing_is_a_wrong_request(option: str, failure: Failure):
    assert option in failure("plan", "m.onnx", option, ",", status=2)


def test_an_unknown_kernel_to_explain_lists_near_ones(model: str, failure: Failure):
    assert "--explain" in failure(model, "--device", "sd865", "--explain", "conw", status=2)


def test_a_name_with_control_sequences_does_not_reach_the_terminal(failure: Failure, tmp_path: Path):
    path = tmp_path / "\x1b[2Jevil.onnx"
    path.write_bytes(b"\x00")
    assert "\x1b" not in failure(str(path), "--device", "sd865", status=1)


@pytest.mark.skipif(os.name == "nt", reason="file names are bytes on POSIX only")
def test_a_file_name_that_is_no_text_is_still_shown(failure: Failure, tmp_path: Path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.onnx")
    Path(path).touch()
    failure(path, "--device", "sd865", status=1)


@pytest.mark.parametrize("verb", [["export-graph"], ["report", "--device", "sd865"]])
def test_a_result_that_cannot_be_written_leaves_nothing_behind(
    verb: list[str], model: str, failure: Failure, tmp_path: Path
):
    before = sorted(tmp_path.iterdir())
    said = failure(*verb, model, "-o", str(tmp_path / "nowhere" / "out"), status=1)
    assert "cannot write" in said
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "command",
    [
        "export-graph nosuch.onnx -o",
        "report nosuch.onnx --device sd865 -o",
        "measure nosuch.onnx -o",
        "table nosuch.yaml --device sd865 -o",
        "calibrate nosuch.csv --device sd865 --runtime tflite -o",
        "calibrate --here --device sd865/cpu --runtime torch-eager -o own.yaml",
        "validate nosuch.csv --predictions",
    ],
)
def test_where_a_result_cannot_go_is_found_before_any_work(
    command: str, failure: Failure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    said = failure(*command.split(), str(Path("nowhere") / "out"), status=1)
    assert "cannot write 'nowhere/out'" in said
    assert "nosuch" not in said


@pytest.mark.parametrize(
    ("command", "read"),
    [
        ("report {} --device sd865 -o", "g.onnx"),
        ("report g.onnx --device {} -o", "my.yaml"),
        ("report g.onnx --device {}/npu -o", "my.yaml"),
        ("report g.onnx --device sd865 --calibration {} -o", "own.yaml"),
        ("report transformers:{}?phase=decode --device sd865 -o", "config.json"),
        ("export-graph {} --batch 4 -o", "g.json"),
        ("measure {} --runtime onnxruntime -o", "g.onnx"),
        ("measure g.onnx --runtime onnxruntime --device {} -o", "my.yaml"),
        ("table {} --device sd865 -o", "space.yaml"),
        ("table space.yaml --device {} -o", "my.yaml"),
        ("table space.yaml --device sd865 --calibration {} -o", "own.yaml"),
        ("calibrate {} --device sd865 --runtime tflite -o", "few.csv"),
        ("calibrate few.csv --device {} --runtime tflite -o", "my.yaml"),
        ("calibrate --device {} --runtime torch-eager -o own.yaml --here", "my.yaml"),
        ("validate {} --predictions", "few.csv"),
        ("validate few.csv --device {} --predictions", "my.yaml"),
        ("validate few.csv --calibration {} --predictions", "own.yaml"),
    ],
)
def test_what_is_read_is_not_written_over(
    command: str, read: str, failure: Failure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    for name in ("g.onnx", "g.json", "config.json", "my.yaml", "own.yaml", "space.yaml", "few.csv"):
        Path(name).write_text("as it was")
    said = failure(*command.format(read).split(), read, status=2)
    assert f"{read} is what this command reads" in " ".join(said.split())
    assert Path(read).read_text() == "as it was"


def test_comparing_with_an_unknown_device_is_a_wrong_request(model: str, failure: Failure):
    failure("compare", model, "--device", "sd865,nonsense", status=2)


def test_comparing_with_no_device_is_a_wrong_request(model: str, failure: Failure):
    failure("compare", model, "--device", ",", status=2)


@pytest.mark.parametrize("value", ["0", "nan", "-3"])
def test_a_limit_that_is_none_is_refused(value: str, model: str, failure: Failure):
    failure("plan", model, f"--max-latency-ms={value}", "--devices", "sd865", status=2)
