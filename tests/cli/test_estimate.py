"""The main job, as typed."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len

from estimator.cli.main import run
from tests.cli.models import conv_relu_file, unknown_op_file
from tests.report.test_json_document import PROMISED, PROMISED_OF_A_KERNEL

CONV_MACS = (8 * 16 * 16) * (3 * 3 * 3)  # outputs × taps of `conv_relu_file`
PARAMS = 8 * 3 * 3 * 3
CALIBRATIONS = Path(__file__).parents[2] / "devices" / "calibration"


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(conv_relu_file(tmp_path / "small.onnx"))


def printed(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    assert run(list(args)) == 0
    return capsys.readouterr().out


def test_the_screen_answers_in_the_order_of_the_questions(model: str, capsys: pytest.CaptureFixture[str]):
    screen = printed(capsys, "--device", "sd865", model)
    labels = ["Latency", "Bound by", "FLOPs ÷ peak", "Roofline", "Peak memory", "Coverage", "kernel"]
    positions = [screen.index(label) for label in labels]
    assert positions == sorted(positions)
    assert max(cell_len(line) for line in screen.splitlines()) <= 100
    assert "\x1b" not in screen


def test_json_has_every_promised_field_and_the_counts_of_the_model(model: str, capsys: pytest.CaptureFixture[str]):
    document = json.loads(printed(capsys, model, "--device", "rtx4090", "--format", "json"))
    assert document.keys() >= PROMISED
    assert document["kernels"][0].keys() >= PROMISED_OF_A_KERNEL
    assert document["macs"] == CONV_MACS
    assert document["params"] == PARAMS
    assert document["coverage"] == 1.0
    latency = document["latency_ms"]
    assert latency["p10"] <= latency["p50"] <= latency["p90"]
    assert sum(document["bound_share"].values()) == pytest.approx(1.0)
    assert sum(kernel["share"] for kernel in document["kernels"]) <= 1.0 + 1e-9
    assert document["roofline_latency_ms"] > 0


def test_the_same_question_has_the_same_answer_wherever_the_options_stand(
    model: str, capsys: pytest.CaptureFixture[str]
):
    forms = (
        ["--format", "json", "--device", "sd865", model],
        [model, "--device=sd865", "--format=json"],
        ["estimate", "--device", "sd865/npu", model, "--format", "json"],
        ["--device", "sd865", "--format", "json", "estimate", model],
    )
    assert len({printed(capsys, *form) for form in forms}) == 1


def test_the_forms_agree_on_the_latency(model: str, capsys: pytest.CaptureFixture[str]):
    document = json.loads(printed(capsys, model, "--device", "sd865", "--format", "json"))
    total = next(csv.DictReader(io.StringIO(printed(capsys, model, "--device", "sd865", "--format", "csv"))))
    assert float(total["latency_us"]) == pytest.approx(document["latency_ms"]["p50"] * 1e3)
    assert "| **Latency** |" in printed(capsys, model, "--device", "sd865", "--format", "markdown")
    assert run([model, "--device", "rtx4090", "--format", "markdown"]) == 0
    shown = capsys.readouterr()
    assert "- warning: fp32 on GPUs" in shown.out
    assert shown.err == ""


def test_a_larger_batch_takes_longer_and_needs_more_memory(model: str, capsys: pytest.CaptureFixture[str]):
    one, many = (
        json.loads(printed(capsys, model, "--device", "rtx4090", "--format", "json", "--batch", batch))
        for batch in ("1", "4096")
    )
    assert many["batch"] == 4096
    assert many["macs"] == 4096 * CONV_MACS
    assert many["latency_ms"]["p50"] > one["latency_ms"]["p50"]
    assert many["memory"]["peak_bytes"] > one["memory"]["peak_bytes"]


def test_top_limits_the_kernels_shown_but_not_those_in_json(model: str, capsys: pytest.CaptureFixture[str]):
    assert "utilisation" not in printed(capsys, model, "--device", "sd865", "--top", "0")
    document = json.loads(printed(capsys, model, "--device", "sd865", "--top", "0", "--format", "json"))
    assert document["kernels"]


def test_a_kernel_is_explained_with_its_operators(model: str, capsys: pytest.CaptureFixture[str]):
    text = printed(capsys, model, "--device", "rtx4090", "--explain", "#0")
    assert "formula" in text
    assert "[1,3,16,16]" in text


def test_devices_are_compared_side_by_side(model: str, capsys: pytest.CaptureFixture[str]):
    document = json.loads(printed(capsys, "compare", model, "--device", "rtx4090,sd865", "--format", "json"))
    assert [row["device"] for row in document["rows"]] == ["rtx4090", "sd865"]
    assert all(row["latency_ms"]["p50"] > 0 for row in document["rows"])


def test_a_device_that_cannot_run_it_is_a_row_with_the_reason(model: str, capsys: pytest.CaptureFixture[str]):
    args = ("compare", model, "--device", "rtx4090,coral-edgetpu", "--precision", "fp16", "--format", "json")
    works, fails = json.loads(printed(capsys, *args))["rows"]
    assert works["precision"] == "fp16"
    assert "fp16" in fails["error"]


def test_an_exported_graph_is_a_model_with_the_same_estimate(
    model: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    target = tmp_path / "graph.json"
    printed(capsys, "export-graph", model, "-o", str(target))
    before, after = (
        json.loads(printed(capsys, one, "--device", "sd865", "--format", "json")) for one in (model, str(target))
    )
    assert after["latency_ms"] == before["latency_ms"]
    assert after["memory"] == before["memory"]


def test_the_report_is_a_page_with_plots_and_every_kernel(
    model: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    target = tmp_path / "report.html"
    assert printed(capsys, "report", model, "--device", "rtx4090", "-o", str(target)) == ""
    page = target.read_text(encoding="utf-8")
    assert page.count("<svg") == 2  # roofline and memory
    assert "<script" not in page


def test_a_plan_parts_what_meets_the_limits_from_what_does_not(model: str, capsys: pytest.CaptureFixture[str]):
    args = ("plan", model, "--devices", "rtx4090,coral-edgetpu", "--precisions", "fp16", "--format", "json")
    document = json.loads(printed(capsys, *args))
    assert [row["device"] for row in document["feasible"]] == ["rtx4090"]
    assert [row["device"] for row in document["rejected"]] == ["coral-edgetpu"]


def test_a_plan_names_models_as_they_were_named_and_says_what_holds_for_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    twins = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        twins.append(str(unknown_op_file(tmp_path / folder / "m.onnx")))
    assert run(["plan", *twins, "--devices", "rtx4090,i9-10940x", "--format", "csv"]) == 0
    shown = capsys.readouterr()
    assert {row["model"] for row in csv.DictReader(io.StringIO(shown.out))} == set(twins)
    warned = " ".join(shown.err.split())
    assert all(warned.count(f"warning: {twin}: no cost rule for") == 1 for twin in twins)


@pytest.fixture
def own_calibration(tmp_path: Path) -> str:
    """The records of one chip said to be another's, as only a file of one's own can."""
    text = (CALIBRATIONS / "sd865" / "npu-tflite.yaml").read_text(encoding="utf-8")
    path = tmp_path / "own.yaml"
    path.write_text(text.replace("device: sd865", "device: sd855"), encoding="utf-8")
    return str(path)


def test_a_plan_estimates_as_estimate_does(model: str, own_calibration: str, capsys: pytest.CaptureFixture[str]):
    options = ["--layout", "nhwc", "--calibration", own_calibration, "--strict", "--format", "json"]
    planned = json.loads(printed(capsys, "plan", model, "--devices", "sd855,rtx4090", *options))["feasible"]
    alone = [json.loads(printed(capsys, model, "--device", device, *options)) for device in ("sd855", "rtx4090")]
    kinds = {one["device"]: one["provenance"]["kind"] for one in planned}
    assert kinds["sd855"] == "calibrated"  # by the file: the catalogue has no record of it
    assert {one["device"]: (one["latency_ms"], one["layout"]) for one in planned} == {
        one["device"]: (one["latency_ms"], "nhwc") for one in alone
    }


def test_a_calibration_that_no_candidate_is_of_is_said_to_be_unused(
    model: str, own_calibration: str, capsys: pytest.CaptureFixture[str]
):
    plan = ["plan", model, "--calibration", own_calibration, "--devices"]
    warned = []
    for devices in ("sd855,rtx4090", "rtx4090", "rtx4090,i9-10940x"):
        assert run([*plan, devices]) == 0
        warned.append("".join(capsys.readouterr().err.split()).count("own.yamlisfor"))
    assert warned == [0, 1, 1]


@pytest.mark.extra
def test_a_plan_of_a_language_model_takes_its_tokens(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    config = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
              "intermediate_size": 64, "vocab_size": 50}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    options = [f"transformers:{tmp_path / 'config.json'}", "--seq-len", "16", "--format", "json"]
    (planned,) = json.loads(printed(capsys, "plan", *options, "--devices", "rtx4090"))["feasible"]
    assert planned["macs"] == json.loads(printed(capsys, *options, "--device", "rtx4090"))["macs"]


def test_a_plan_that_is_strict_rejects_what_has_no_cost_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    unknown = str(unknown_op_file(tmp_path / "m.onnx"))
    shown = printed(capsys, "plan", unknown, "--devices", "rtx4090", "--strict", "--format", "json")
    (rejected,) = json.loads(shown)["rejected"]
    assert "without a cost rule" in rejected["reason"]


def test_a_search_that_ends_before_the_limit_says_so(model: str, capsys: pytest.CaptureFixture[str]):
    assert run(["plan", model, "--devices", "rtx4090", "--batches", "max"]) == 0
    assert "note: batches above 4096 are not tried" in capsys.readouterr().err


def test_the_largest_batch_that_fits_is_found(model: str, capsys: pytest.CaptureFixture[str]):
    args = ("plan", model, "--devices", "rtx4090", "--max-memory-mb", "1", "--batches", "max", "--format", "json")
    (found,) = json.loads(printed(capsys, *args))["feasible"]
    assert found["batch"] > 1
    assert found["memory"]["peak_bytes"] <= 1_000_000


PROCESS = [sys.executable, "-c", "from estimator.cli.main import main; main()"]


def test_the_onnx_path_loads_no_framework(model: str):
    probe = (
        "import sys\nfrom estimator.cli.main import run\n"
        f"assert run(['--device', 'sd865', {model!r}]) == 0\n"
        "print(sorted(m for m in ('torch', 'torchvision', 'tensorflow', 'timm', 'grpc', 'scipy') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_goes_away_is_no_failure(model: str):
    process = subprocess.Popen(
        [*PROCESS, model, "--device", "sd865", "--format", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_terminal_encoding_will_do(encoding: str, model: str):
    done = subprocess.run(
        [*PROCESS, model, "--device", "sd865"],
        capture_output=True,
        check=True,
        timeout=60,
        env={"PYTHONIOENCODING": encoding, "PATH": ""},
    )
    assert re.search(rb"Latency +[0-9.]+ ms", done.stdout)


def test_ctrl_c_during_a_run_prints_no_traceback(model: str):
    probe = (
        "import os, signal, sys\nimport estimator.frontends.select as select\n"
        f"select.load_graph = lambda *a, **k: os.kill(os.getpid(), {int(signal.SIGINT)})\n"
        f"from estimator.cli.main import run\nsys.exit(run([{model!r}, '--device', 'sd865']))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 130
    assert done.stderr.strip() == "interrupted"


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
@pytest.mark.parametrize(("no_colour", "coloured"), [("", True), ("1", False)])
def test_colour_on_a_terminal_unless_it_is_declined(no_colour: str, coloured: bool, model: str):
    import pty

    reader, writer = pty.openpty()
    command = [*PROCESS, model, "--device", "sd865"]
    done = subprocess.run(
        command, stdout=writer, stderr=subprocess.PIPE, check=True, timeout=60,
        env={"TERM": "xterm", "NO_COLOR": no_colour, "PATH": ""},
    )  # fmt: skip
    os.close(writer)
    shown = os.read(reader, 1 << 16)
    os.close(reader)
    assert (b"\x1b[" in shown) == coloured
    assert done.returncode == 0
