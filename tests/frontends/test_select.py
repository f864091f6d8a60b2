from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from estimator.errors import BadOptionError, EstimatorError, GraphError, ModelFileError, UnknownModelError
from estimator.frontends.select import is_user_code, load_graph
from estimator.ir.document import graph_to_json
from tests.ir.graphs import small_graph


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(graph_to_json(small_graph())))
    return path


def test_a_graph_document_is_read_as_it_was_written(document: Path):
    assert load_graph(str(document)) == small_graph()
    assert load_graph(str(document), batch=1, input_shapes=["1x3x8x8"]) == small_graph()


def test_a_graph_document_keeps_its_shapes(document: Path):
    with pytest.raises(BadOptionError, match="shapes fixed"):
        load_graph(str(document), input_shapes=["1x3x9x9"])


def test_a_batch_rescales_a_graph_document_and_says_so(document: Path):
    graph = load_graph(str(document), batch=5)
    assert [graph.tensors[name].shape for name in ("x", "w", "y")] == [(5, 3, 8, 8), (4, 3, 3, 3), (5, 4, 8, 8)]
    assert "rescaled to batch 5" in graph.notes[-1]


@pytest.mark.parametrize("reference", ["squeezenet1_1", "graph.json", "model.onnx", "kernel:relu"])
def test_a_sequence_length_is_refused_where_nothing_has_one(reference: str):
    with pytest.raises(BadOptionError, match="takes no --seq-len"):
        load_graph(reference, seq_len=4)


def test_reading_a_document_loads_no_framework(document: Path):
    probe = (
        "import sys; from estimator.frontends.select import load_graph; load_graph(sys.argv[1]); "
        "print([m for m in ('torch', 'onnx', 'timm', 'tensorflow', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe, str(document)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_a_damaged_document_is_reported_with_its_path(document: Path):
    document.write_text(document.read_text()[:-20])
    with pytest.raises(GraphError) as caught:
        load_graph(str(document))
    assert "not JSON" in str(caught.value)
    assert str(document) in str(caught.value)


@pytest.mark.parametrize("name", ["empty.onnx", "empty.tflite", "empty.pt2", "empty.json", "empty.pb"])
def test_an_empty_file_is_called_empty(tmp_path: Path, name: str):
    path = tmp_path / name
    path.touch()
    with pytest.raises(ModelFileError, match="is empty"):
        load_graph(str(path))


@pytest.mark.parametrize(("suffix", "word"), [(".pth", "checkpoint"), (".safetensors", "weights"), (".gguf", "GGUF")])
def test_a_file_without_a_network_says_what_it_is_and_what_to_do(tmp_path: Path, suffix: str, word: str):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"not looked at")
    with pytest.raises(ModelFileError) as caught:
        load_graph(str(path))
    assert word in caught.value.what
    assert "export" in caught.value.hint


def test_a_binary_that_claims_to_be_json_is_refused(tmp_path: Path):
    path = tmp_path / "graph.json"
    path.write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(ModelFileError, match="cannot be read"):
        load_graph(str(path))


def test_a_missing_file_suggests_its_neighbours(document: Path):
    with pytest.raises(UnknownModelError) as caught:
        load_graph(str(document.with_name("grahp.json")))
    assert caught.value.first_line == f"no such file: {document.with_name('grahp.json')}"
    assert str(document) in str(caught.value)


def test_a_missing_file_does_not_suggest_what_is_not_near(document: Path):
    with pytest.raises(UnknownModelError) as caught:
        load_graph(str(document.with_name("resnet.json")))
    assert document.name not in str(caught.value)


def test_a_file_of_unknown_kind_lists_the_known_ones(tmp_path: Path):
    path = tmp_path / "model.xyz"
    path.write_bytes(b"?")
    with pytest.raises(ModelFileError) as caught:
        load_graph(str(path))
    assert ".onnx" in caught.value.expected


def test_a_folder_that_is_no_model_is_said_to_lack_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "exported").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelFileError, match=r"without saved_model\.pb"):
        load_graph("exported")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"batch": 0}, "--batch"),
        ({"batch": -3}, "--batch"),
        ({"batch": 2**40}, "--batch"),
        ({"seq_len": 0}, "--seq-len"),
        ({"layout": "chwn"}, "nhwc"),
        ({"input_shapes": ["1xx3"]}, "--input-shape"),
    ],
)
def test_a_senseless_option_is_a_usage_error_before_anything_is_read(options: dict[str, object], word: str):
    with pytest.raises(BadOptionError) as caught:
        load_graph("no-such-file.onnx", **options)  # type: ignore[arg-type]
    assert word in str(caught.value)


@pytest.mark.parametrize(
    ("reference", "is_code"),
    [
        ("pkg.module:net", True),
        ("module:Net.small", True),
        ("torchvision:resnet50", False),
        ("timm:resnet50", False),
        ("transformers:config.json", False),
        ("resnet50", False),
        ("model.onnx", False),
    ],
)
def test_references_that_run_the_users_code_are_told_apart(reference: str, is_code: bool):
    assert is_user_code(reference) is is_code


@pytest.mark.parametrize(
    "reference", ["", ":", "::", "a:", ":b", "a b", "?", "\x00", "torchvision:", "timm:", "x" * 5000]
)
def test_a_nonsense_reference_is_an_unknown_model(reference: str):
    with pytest.raises(EstimatorError) as caught:
        load_graph(reference)
    assert caught.value.exit_code in (1, 2)
