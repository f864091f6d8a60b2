from pathlib import Path

import onnx
import pytest

from estimator.calibration.measure import MeasureOptions, measure, time_passes
from estimator.calibration.records import read_records, write_records
from estimator.dtypes import Precision
from estimator.errors import BadOptionError, EstimatorError, ModelFileError, UnknownRuntimeError

QUICK = MeasureOptions(warmup_count=1, min_count=3, budget_s=0.0, thread_count=1)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A model of the user's own, importable from the working directory."""
    (tmp_path / "tiny_model.py").write_text("import torch\ndef make():\n    return torch.nn.Conv2d(3, 4, 3)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "tiny_model:make"


def relu_file(path: Path) -> Path:
    info = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2, 8]) for name in "xy"]
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
