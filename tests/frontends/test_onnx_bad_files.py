from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from estimator.errors import ModelFileError
from estimator.frontends.onnx_model import load_onnx, parse_onnx
from estimator.frontends.onnx_schema import MAX_NESTING
from tests.frontends.onnx_files import model, node, scalar, value, weight, write


def relu_bytes() -> bytes:
    return model([node("Relu", "x", "y")], [value("x", [1, 3])], "y").SerializeToString()


def refusal(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        load_onnx(path)
    text = str(caught.value)
    assert "Traceback" not in text
    return text


def test_an_empty_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"")
    assert "is empty" in refusal(path)


def test_a_directory_and_a_missing_file_say_so(tmp_path: Path) -> None:
    assert "is a directory" in refusal(tmp_path)
    assert "does not exist" in refusal(tmp_path / "nothing.onnx")


def test_a_pickle_is_recognised_and_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(pickle.dumps({"weights": [1.0] * 10}))
    assert "never loaded" in refusal(path)


def test_a_zip_archive_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "b")
    assert "zip archive" in refusal(path)


def test_a_claim_of_four_gigabytes_is_an_error_not_an_allocation(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    graph_field, four_gib = bytes([7 << 3 | 2]), bytes([0x80, 0x80, 0x80, 0x80, 0x10])  # varint 2³²
    path.write_bytes(bytes([8, 9]) + graph_field + four_gib + b"\x00" * 16)
    assert "claims 4294967296 bytes, 16 are left" in refusal(path)


def test_weight_data_of_the_wrong_length_are_named(tmp_path: Path) -> None:
    proto = model([node("Conv", "x w", "y")], [value("x", [1, 3, 8, 8])], "y", [weight("w", 4, 3, 3, 3)])
    proto.graph.initializer[0].dims[0] = 1 << 30
    text = refusal(write(tmp_path / "model.onnx", proto))
    assert f"'w' of shape [{1 << 30}, 3, 3, 3] needs {(1 << 30) * 27 * 4} bytes, the file holds {4 * 27 * 4}" in text


def test_every_truncation_is_refused_or_whole(tmp_path: Path) -> None:
    data = relu_bytes()
    path = tmp_path / "model.onnx"
    for length in range(1, len(data)):
        path.write_bytes(data[:length])
        try:
            graph = load_onnx(path)
        except ModelFileError:
            continue
        assert [op.source for op in graph.ops] == ["Relu"]  # only what follows the graph was cut off


def test_an_operator_that_reads_nothing_known_is_named(tmp_path: Path) -> None:
    text = refusal(write(tmp_path / "m.onnx", model([node("Relu", "ghost", "y")], [value("x", [1])], "y")))
    assert "reads 'ghost', which nothing before it makes" in text


def test_an_output_that_nothing_makes_is_named(tmp_path: Path) -> None:
    text = refusal(write(tmp_path / "m.onnx", model([node("Relu", "x", "y")], [value("x", [1])], "z")))
    assert "graph output 'z'" in text


def test_a_model_without_operators_is_refused(tmp_path: Path) -> None:
    assert "holds no operators" in refusal(write(tmp_path / "m.onnx", model([], [value("x", [1])], "x")))


def test_subgraphs_nested_too_deep_are_refused(tmp_path: Path) -> None:
    inner = helper.make_graph([node("Relu", "x", "y")], "leaf", [], [value("y", None)])
    for depth in range(MAX_NESTING + 2):
        chosen = node("If", "c", "y", then_branch=inner, else_branch=inner if depth == 0 else helper.make_graph(
            [node("Relu", "x", "y")], "leaf", [], [value("y", None)]))  # fmt: skip
        inner = helper.make_graph([chosen], "level", [], [value("y", None)])
    proto = model([node("If", "c", "y", then_branch=inner, else_branch=inner)],
                  [value("x", [1]), value("c", [], TensorProto.BOOL)], "y")  # fmt: skip
    assert "nested more than" in refusal(write(tmp_path / "m.onnx", proto))


def test_functions_that_call_each_other_end(tmp_path: Path) -> None:
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    body = [helper.make_node("Again", ["a"], ["b"], domain="own")]
    function = helper.make_function("own", "Again", ["a"], ["b"], body, opsets)
    proto = model([helper.make_node("Again", ["x"], ["y"], domain="own")], [value("x", [1])], "y",
                  functions=[function], domains=["own"])  # fmt: skip
    assert "nested more than" in refusal(write(tmp_path / "m.onnx", proto))


def test_an_extent_beyond_any_model_is_refused(tmp_path: Path) -> None:
    huge = node("ConstantOfShape", "n", "y")
    shape = scalar("n", 1 << 50, "int64")
    shape.dims[:] = [1]
    text = refusal(write(tmp_path / "m.onnx", model([huge, node("Add", "x y", "z")], [value("x", [1])], "z", [shape])))
    assert "impossible shape" in text


def test_bytes_are_read_as_a_file_is(tmp_path: Path) -> None:
    path = tmp_path / "relu.onnx"
    path.write_bytes(relu_bytes())
    assert parse_onnx(relu_bytes(), name="relu").ops == load_onnx(path).ops
    with pytest.raises(ModelFileError):
        parse_onnx(b"\x00", name="relu")
