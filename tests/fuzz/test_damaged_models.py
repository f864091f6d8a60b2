"""A damaged model file is either refused with one of our errors or read as some valid graph; never anything else."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from estimator.errors import MissingShapeError, ModelFileError
from estimator.frontends.onnx_model import load_onnx
from estimator.frontends.pt2_archive import load_pt2
from estimator.frontends.tflite_model import load_tflite
from estimator.ir.graph import Graph
from tests.frontends.onnx_files import integers, model, node, scalar, value, weight
from tests.fuzz.damage import damaged

DATA = Path(__file__).parent.parent / "frontends" / "data"
MAX_ALLOCATION_BYTES = 64 * 1024**2
"""Far above what a file of some kilobytes needs, far below what its largest length field can claim."""
Loader = Callable[[Path], Graph]

several = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def onnx_bytes() -> bytes:
    nodes = [
        node("Conv", "x w b", "c", pads=[1, 1, 1, 1]),
        node("Shape", "c", "s"),
        node("Gather", "s zero", "n"),
        node("Unsqueeze", "n axis", "n1"),
        node("Concat", "n1 minus", "t", axis=0),
        node("Reshape", "c t", "flat"),
        node("Gemm", "flat v", "y", transB=1),
    ]
    weights = [weight("w", 4, 3, 3, 3), weight("b", 4), weight("v", 5, 4 * 8 * 8), scalar("zero", 0, "int64"),
               integers("axis", 0), integers("minus", -1)]  # fmt: skip
    return bytes(model(nodes, [value("x", ["n", 3, 8, 8])], "y", weights).SerializeToString())


def assert_refused_or_read(data: bytes, path: Path, load: Loader) -> None:
    path.write_bytes(data)
    tracemalloc.start()
    try:
        load(path)
    except (ModelFileError, MissingShapeError):
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < MAX_ALLOCATION_BYTES


@several
@given(damaged(onnx_bytes()))
def test_damaged_onnx(tmp_path: Path, data: bytes) -> None:
    assert_refused_or_read(data, tmp_path / "model.onnx", load_onnx)


@pytest.mark.parametrize("name", ["small_float16.tflite", "small_int8.tflite", "resizable.tflite"])
@several
@given(source=st.data())
def test_damaged_tflite(tmp_path: Path, name: str, source: st.DataObject) -> None:
    data = source.draw(damaged((DATA / name).read_bytes()))
    assert_refused_or_read(data, tmp_path / "model.tflite", load_tflite)


@several
@given(damaged((DATA / "small.pt2").read_bytes()))
def test_damaged_pt2_archive(tmp_path: Path, data: bytes) -> None:
    assert_refused_or_read(data, tmp_path / "model.pt2", load_pt2)


def program_of(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read("small/models/model.json")


@several
@given(damaged(program_of(DATA / "small.pt2"), header=30_000))
def test_damaged_pt2_program(tmp_path: Path, data: bytes) -> None:
    """Damage inside the JSON, in an archive whose checksums are right."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("small/models/model.json", data)
    assert_refused_or_read(buffer.getvalue(), tmp_path / "model.pt2", load_pt2)


@several
@given(st.binary(max_size=200))
def test_arbitrary_bytes(tmp_path: Path, data: bytes) -> None:
    for suffix, load, head in ((".onnx", load_onnx, b""), (".tflite", load_tflite, b"\x08\0\0\0TFL3"),
                               (".pt2", load_pt2, b"PK\x03\x04")):  # fmt: skip
        assert_refused_or_read(head + data, tmp_path / f"model{suffix}", load)
