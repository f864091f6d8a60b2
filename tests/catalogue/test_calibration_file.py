from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import yaml

from estimator.catalogue.calibration import (
    STEEP_CACHE_EXPONENT,
    Calibration,
    ContextOffset,
    Network,
    Residual,
    Response,
    Spread,
)
from estimator.catalogue.calibration_file import (
    MAX_FILE_BYTES,
    dump_calibration,
    dump_response,
    load_calibration,
    load_response,
    parse_response,
    response_names,
)
from estimator.errors import BadOptionError, CatalogueError, OutputError

HELD_OUT = Spread(-0.125, 0.25, 0.0625, 40)


def small_response() -> Response:
    """Two classes, three features, a network of two units and two anchors; values are exact in few digits."""
    network = Network(
        np.arange(3.0), np.ones(3), np.full((3, 2), 0.5), np.full((2, 2), 0.25), np.eye(2), np.zeros(2),
        np.array([1.0, -1.0]), 0.125, 1.0,
    )  # fmt: skip
    classes = np.array([-0.5, 0.25])
    return Response(
        "small", ("matmul", "pool"), ("a", "b", "c"), classes, classes, classes, classes, classes, -12.5, classes, -9.5,
        0.5, 0.125, 0.75, network, Residual(np.array([[0.5, 1.0], [0.25, 0.0]]), np.array([0.5, -0.5]), 0.3),
        {"precision:fp16": ContextOffset(0.5, 0.25, 0.125, 0.0, np.array([0.0, 1.0]))}, {"family": HELD_OUT}, 40,
    )  # fmt: skip


def written(tmp_path: Path) -> dict[str, object]:
    dump_response(small_response(), tmp_path / "small.json")
    document = json.loads((tmp_path / "small.json").read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


def assert_same(left: object, right: object) -> None:
    for field in fields(left):  # type: ignore[arg-type]  # any of the dataclasses here
        a, b = getattr(left, field.name), getattr(right, field.name)
        if hasattr(a, "__dataclass_fields__"):
            assert_same(a, b)
        elif isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b)
        elif field.name != "contexts":
            assert a == b, field.name


def test_a_response_comes_back_as_it_was_written(tmp_path):
    path = tmp_path / "small.json"
    dump_response(small_response(), path)
    back = parse_response(path.read_text(encoding="utf-8"), path)
    assert_same(back, small_response())
    assert_same(back.contexts["precision:fp16"], small_response().contexts["precision:fp16"])
    assert list(tmp_path.iterdir()) == [path]  # nothing half-written is left


def test_a_response_that_states_no_cache_exponent_has_the_steep_one(tmp_path):
    document = written(tmp_path)
    assert document.pop("cache_exponent") == STEEP_CACHE_EXPONENT
    assert parse_response(json.dumps(document), tmp_path).cache_exponent == STEEP_CACHE_EXPONENT
    assert parse_response(json.dumps(document | {"cache_exponent": 1.0}), tmp_path).cache_exponent == 1.0


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"schema_version": 2}, "schema_version"),
        ({"log_launch_s": "fast"}, "log_launch_s"),
        ({"log_launch_s": True}, "log_launch_s"),
        ({"log_k_half": [1.0]}, "log_k_half"),
        ({"log_k_half": [1.0, "x"]}, "log_k_half"),
        ({"class_names": "matmul"}, "class_names"),
        ({"contexts": {"precision:fp16": [0.0]}}, "contexts.precision:fp16"),
        ({"spreads": {"family": 3}}, "spreads.family"),
        ({"network": {}}, "network.output"),
        ({"residual": {"weights": [1.0], "anchors": [[1.0], [2.0]], "length": 1.0}}, "residual.anchors"),
        ({"records": None}, "records"),
    ],
)
def test_a_malformed_response_names_file_and_field(tmp_path, changes, field):
    document = written(tmp_path) | changes
    with pytest.raises(CatalogueError) as caught:
        parse_response(json.dumps(document), Path("bad.json"))
    assert field in str(caught.value)
    assert "bad.json" in str(caught.value)


@pytest.mark.parametrize("field", ["name", "log_launch_s", "log_memory_efficiency", "spreads", "contexts"])
def test_a_missing_field_is_named(tmp_path, field):
    document = written(tmp_path)
    del document[field]
    with pytest.raises(CatalogueError, match=f"{field} is missing"):
        parse_response(json.dumps(document), Path("bad.json"))


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "[" * 100_000, '{"schema_version": NaN}'])
def test_what_is_no_response_is_refused(text):
    with pytest.raises(CatalogueError, match=r"bad\.json"):
        parse_response(text, Path("bad.json"))


def calibration() -> Calibration:
    names = load_response(response_names()[0]).class_names
    offset = ContextOffset(0.5, -0.25, 0.125, 0.0, np.array([0.5] + [0.0] * (len(names) - 1)))
    return Calibration(
        "rtx4090", "gpu", "torch-eager", "2.14", response_names()[0], offset, HELD_OUT, 12, "ab" * 32, "2025-01-31",
        ("fp32", "amp-fp16"), ("other",),
    )  # fmt: skip


def test_a_calibration_comes_back_as_it_was_written(tmp_path):
    path, names = tmp_path / "own.yaml", load_response(response_names()[0]).class_names
    dump_calibration(calibration(), names, path, comment="fitted by hand\nfor a test")
    assert_same(load_calibration(path), calibration())
    assert path.read_text(encoding="utf-8").startswith("# fitted by hand\n# for a test\n")


def test_a_missing_folder_is_not_made(tmp_path):
    path, names = tmp_path / "nowhere" / "own.yaml", load_response(response_names()[0]).class_names
    with pytest.raises(OutputError, match="cannot write"):
        dump_calibration(calibration(), names, path)
    assert not path.parent.exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema_version": 9}, "schema_version"),
        ({"sample_count": "many"}, "sample_count"),
        ({"device": ["rtx4090"]}, "device"),
        ({"precisions": "fp32"}, "precisions"),
        ({"spread": {"log_p10": 0.0}}, "spread.log_p90"),
        ({"offset": {"compute": 0, "memory": 0, "overhead": 0, "fixed": 0, "classes": {"nonesuch": 1}}}, "nonesuch"),
    ],
)
def test_a_malformed_calibration_names_file_and_field(tmp_path, changes, words):
    path, names = tmp_path / "own.yaml", load_response(response_names()[0]).class_names
    dump_calibration(calibration(), names, path)
    document = yaml.safe_load(path.read_text(encoding="utf-8")) | changes
    broken = tmp_path / "broken.yaml"
    broken.write_text(yaml.safe_dump(document), encoding="utf-8")
    with pytest.raises(CatalogueError) as caught:
        load_calibration(broken)
    assert words in str(caught.value)
    assert "broken.yaml" in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(BadOptionError, match="no such file"):
        load_calibration(tmp_path / "missing.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CatalogueError, match="cannot read"):
        load_calibration(tmp_path / "binary.yaml")
    (tmp_path / "tag.yaml").write_text("!!python/object/apply:os.system ['true']", encoding="utf-8")
    with pytest.raises(CatalogueError, match="not a calibration file"):
        load_calibration(tmp_path / "tag.yaml")


def test_a_file_too_large_to_be_a_calibration_is_refused(tmp_path):
    with (tmp_path / "huge.yaml").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)  # sparse: takes no room
    with pytest.raises(CatalogueError, match="larger than"):
        load_calibration(tmp_path / "huge.yaml")


def test_every_shared_response_of_the_catalogue_has_the_features_and_classes_that_it_states():
    for name in response_names():
        response = load_response(name)
        assert response.name == name
        assert len(response.log_k_half) == len(response.class_names)
