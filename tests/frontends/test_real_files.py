"""Models of published packages, where they were fetched (`python benchmarks/formats/coverage.py --fetch`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.formats.coverage import INPUT_SHAPES, model_files, read
from estimator.errors import MissingShapeError
from estimator.frontends.select import load_graph

pytestmark = pytest.mark.extra
FILES = model_files()
if not FILES:
    pytest.skip("the real files were not fetched", allow_module_level=True)

WITHOUT_A_RULE = {
    "face_landmark_with_attention.tflite": {
        "TransformLandmarks",
        "Landmarks2TransformMatrix",
        "TransformTensorBilinear",
    },
    "selfie_segmentation.tflite": {"Convolution2DTransposeBias"},
    "selfie_segmentation_landscape.tflite": {"Convolution2DTransposeBias"},
    "silero_vad.onnx": {"If"},
    "silero_vad_op18_ifless.onnx": {"If"},
}
"""Custom operators, and branches that an input decides (the sampling rate)."""


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_a_real_file_is_read_and_what_it_lacks_is_named(path: Path) -> None:
    reading = read(path)
    assert reading.failure == ""
    assert reading.ops > 0
    assert reading.params > 0
    expected = WITHOUT_A_RULE.get(path.name, set())
    assert set(reading.unsupported) == expected
    assert (reading.coverage == 1) == (not expected)


@pytest.mark.parametrize("path", [p for p in FILES if p.name in INPUT_SHAPES and "silero" not in p.name],
                         ids=lambda p: p.name)  # fmt: skip
def test_open_extents_of_real_files_are_asked_for(path: Path) -> None:
    with pytest.raises(MissingShapeError, match=r"--input-shape|x="):
        load_graph(str(path))
