from pathlib import Path

import onnx
import pytest

from estimator.calibration.measure import MeasureOptions, measure, measured_unit, time_passes
from estimator.calibration.records import read_records, write_records
from estimator.cli.main import run
from estimator.dtypes import Precision
from estimator.errors import (
    BadOptionError,
    EstimatorError,
    ModelFileError,
    TraceError,
    UnknownDeviceError,
    UnknownRuntimeError,
)

QUICK = MeasureOptions(warmup_count=1, min_count=3, budget_s=0.0, thread_count=1)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A model of the user's own, importable from the working directory."""
    (tmp_path / "tiny_model.py").write_text(
        "import torch\ndef make():\n    return torch.nn.Conv2d(3, 4, 3)\n"
        "def broken():\n    raise OSError('no weights')\n"
        "class Two(torch.nn.Module):\n"
        "    def forward(self, image, scale):\n        return image * scale\n"
    )
    monkeypatch.chdir(tmp_path)
    return "tiny_model:make"


def relu_file(path: Path, batch: int | str = 2) -> Path:
    info = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [batch, 8]) for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "relu", info[:1], info[1:])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_passes_go_on_until_the_count_is_reached_after_those_thrown_away():
    calls: list[int] = []
    times = time_passes(lambda: calls.append(1), MeasureOptions(warmup_count=2, min_count=7, budget_s=0.0))
    assert len(times) == 7
    assert len(calls) == 2 + 7


def test_passes_go_on_until_the_time_is_spent():
    times = time_passes(lambda: None, MeasureOptions(warmup_count=0, min_count=1, budget_s=1e-3))
    assert sum(times) >= 1e-3
    assert sum(times[:-1]) < 1e-3


def test_a_torch_model_becomes_a_record_that_reads_back(tiny: str, tmp_path: Path):
    record = measure(tiny, "here", "cpu", QUICK, input_shapes=["2x3x8x8"])
    assert record.latency_s > 0
    assert record.input_shape == (2, 3, 8, 8)
    assert "torch 2" in record.conditions
    write_records([record], tmp_path / "r.csv")
    (again,) = read_records(tmp_path / "r.csv")
    assert again.latency_s == pytest.approx(record.latency_s, rel=1e-5)
    assert (again.model, again.runtime, again.precision) == (tiny, "torch-eager", Precision.FP32)


@pytest.mark.extra
def test_an_onnx_file_is_measured_with_onnxruntime(tmp_path: Path):
    pytest.importorskip("onnxruntime")
    options = MeasureOptions("onnxruntime", warmup_count=1, min_count=3, budget_s=0.0, thread_count=1)
    record = measure(str(relu_file(tmp_path / "relu.onnx")), "here", "cpu", options)
    assert record.input_shape == (2, 8)
    assert record.latency_s > 0


@pytest.mark.parametrize(
    ("reference", "options", "error"),
    [
        ("squeezenet1_1", MeasureOptions("qnn"), UnknownRuntimeError),
        ("squeezenet1_1", MeasureOptions("onnxruntime"), BadOptionError),
        ("nowhere.onnx", MeasureOptions("onnxruntime"), ModelFileError),
        ("nowhere.onnx", MeasureOptions("torch-eager"), BadOptionError),
        ("kernel:linear-768", MeasureOptions("torch-eager"), BadOptionError),
        (__file__, MeasureOptions("torch-eager"), BadOptionError),
        ("nowhere.tflite", MeasureOptions("tflite"), ModelFileError),
    ],
)
def test_what_cannot_be_measured_says_so(reference: str, options: MeasureOptions, error: type[EstimatorError]):
    with pytest.raises(error):
        measure(reference, "here", "cpu", options)


def test_a_precision_that_torch_cannot_run_is_refused(tiny: str):
    with pytest.raises(BadOptionError, match="int8"):
        measure(tiny, "here", "cpu", MeasureOptions(precision=Precision.INT8), input_shapes=["1x3x8x8"])


def test_a_shape_that_the_model_rejects_is_an_error_of_the_model(tiny: str):
    with pytest.raises(EstimatorError, match="does not run"):
        measure(tiny, "here", "cpu", QUICK, input_shapes=["1x5x8x8"])


def test_inputs_are_measured_by_the_names_that_an_estimate_takes(tiny: str):
    shapes = ["scale=1x3x1x1", "image=1x3x8x8"]
    assert measure("tiny_model:Two", "here", "cpu", QUICK, input_shapes=shapes).latency_s > 0
    with pytest.raises(BadOptionError, match="Two has no input 'scales'"):
        measure("tiny_model:Two", "here", "cpu", QUICK, input_shapes=["scales=1x3x1x1", *shapes[1:]])


def test_a_constructor_that_fails_is_an_error_of_the_model(tiny: str):
    with pytest.raises(TraceError, match="could not be built: OSError: no weights"):
        measure("tiny_model:broken", "here", "cpu", QUICK, input_shapes=["1x3x8x8"])


@pytest.mark.parametrize(
    ("reference", "place"),
    [
        ("here", ("here", "cpu")),
        ("here/gpu", ("here", "gpu")),
        ("i9-10940x", ("i9-10940x", "cpu")),
        ("rtx4090", ("rtx4090", "gpu")),  # the default unit is what an estimate would be of
        ("sd865/cpu", ("sd865", "cpu")),
    ],
)
def test_records_carry_the_name_of_the_device_and_the_unit_that_ran(reference: str, place: tuple[str, str]):
    assert measured_unit(reference) == place


@pytest.mark.parametrize("ending", ["", "/cpu"])
def test_a_file_is_no_device_and_unit(tmp_path: Path, ending: str):
    path = tmp_path / "mine.yaml"
    path.write_text("schema_version: 1\nid: mine\ndisplay_name: Mine\nextends: i9-10940x\n")
    assert measured_unit(f"{path}{ending}") == (str(path), "cpu")


@pytest.mark.parametrize("reference", ["sd865", "sd865/npu", "here/npu"])
def test_an_accelerator_that_nothing_here_reaches_is_refused(reference: str):
    with pytest.raises(BadOptionError, match="npu cannot be measured"):
        measured_unit(reference)


def test_an_unknown_device_is_refused():
    with pytest.raises(UnknownDeviceError):
        measured_unit("nosuchdev/xyz")


TFLITE = Path(__file__).parents[1] / "frontends" / "data"


@pytest.mark.extra
@pytest.mark.parametrize(
    ("name", "precision"), [("small_int8", Precision.INT8), ("small_float32", Precision.FP32)]
)  # fmt: skip
def test_the_precision_of_a_record_is_the_files_own(name: str, precision: Precision):
    pytest.importorskip("ai_edge_litert")
    options = MeasureOptions("tflite", warmup_count=1, min_count=3, budget_s=0.0, thread_count=1)
    assert measure(str(TFLITE / f"{name}.tflite"), "here", "cpu", options).precision is precision


@pytest.mark.extra
@pytest.mark.parametrize(
    ("asked", "sizes", "words"),
    [
        ({"precision": Precision.FP32}, {}, "is int8, not fp32"),
        ({"layout": "nhwc"}, {}, "layout"),
        ({}, {"batch": 8}, "to 1x16x16x3, not 8x16x16x3"),
        ({}, {"input_shapes": ["3x3"]}, "has 4 axes"),
    ],
)
def test_what_a_file_fixes_cannot_be_asked_otherwise(asked, sizes, words: str):
    pytest.importorskip("ai_edge_litert")
    with pytest.raises(BadOptionError, match=words):
        measure(str(TFLITE / "small_int8.tflite"), "here", "cpu", MeasureOptions("tflite", **asked), **sizes)


def test_why_nothing_could_be_measured_is_said_once(capsys: pytest.CaptureFixture[str]):
    assert run(["measure", "m.onnx", "-o", "-"]) == 2
    assert capsys.readouterr().err == (
        "error: torch-eager measures torch models, not 'm.onnx'\n"
        "  where         --runtime\n"
        "  expected      --runtime onnxruntime, or a model such as torchvision:NAME or pkg.module:callable\n"
    )
    assert run(["measure", "a.onnx", "b.onnx", "--runtime", "foo", "-o", "-"]) == 2
    assert "left out" not in capsys.readouterr().err


@pytest.mark.extra
def test_a_batch_that_a_file_fixes_loses_that_file_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("onnxruntime")
    free, fixed = relu_file(tmp_path / "free.onnx", "n"), relu_file(tmp_path / "fixed.onnx")
    out = tmp_path / "r.csv"
    command = ["measure", str(free), str(fixed), "--runtime", "onnxruntime", "--seconds", "0", "--batch", "4"]
    assert run([*command, "-o", str(out)]) == 0
    assert [(record.model, record.batch) for record in read_records(out)] == [(str(free), 4)]
    assert "fixed.onnx fixes its input x to 2x8, not 4x8" in capsys.readouterr().err
