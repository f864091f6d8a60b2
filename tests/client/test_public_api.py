"""Ten names, lazily."""

import json
import subprocess
import sys

import pytest

import estimator

NAMES = {
    "Device", "Estimate", "Estimator", "EstimatorError", "Graph", "connect", "estimate", "list_devices",
    "load_device", "load_graph",
}  # fmt: skip
FRAMEWORKS = ("torch", "torchvision", "onnx", "tensorflow", "grpc", "google.protobuf", "numpy", "scipy", "yaml")


def test_ten_names_are_public():
    assert set(estimator.__all__) == NAMES
    assert set(dir(estimator)) >= NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_each_public_name_exists_and_is_documented(name):
    assert getattr(estimator, name).__doc__


def test_the_version_is_the_distributions():
    assert estimator.__version__.count(".") >= 2


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'estimat'"):
        estimator.estimat  # noqa: B018


def loaded_after(statement):
    """Frameworks that a fresh interpreter has loaded after a statement."""
    probe = f"import sys, json\n{statement}\nprint(json.dumps([n for n in {FRAMEWORKS} if n in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


def test_importing_the_package_loads_no_framework_and_no_grpc():
    assert loaded_after("import estimator") == []


def test_a_local_estimator_loads_neither_a_framework_nor_grpc():
    loaded = loaded_after("import estimator; estimator.Estimator('sd865')")
    assert not {"torch", "onnx", "tensorflow", "grpc"} & set(loaded)


def test_a_remote_estimator_loads_no_framework():
    loaded = loaded_after("import estimator; estimator.connect('localhost:1', device='sd865')")
    assert not {"torch", "onnx", "tensorflow"} & set(loaded)


def test_the_package_says_that_it_is_typed():
    from importlib.resources import files

    assert files("estimator").joinpath("py.typed").is_file()
