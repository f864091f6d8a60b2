"""What may stand for a model, and how shapes may be written."""

import subprocess
import sys

import numpy as np
import pytest

from estimator.client.model import graph_of, shape_texts
from estimator.errors import BadOptionError, MissingShapeError, UnknownModelError
from tests.service.networks import mlp


@pytest.mark.parametrize(
    ("shape", "texts"),
    [
        (None, ()),
        ((1, 3, 224, 224), ("1x3x224x224",)),
        ([1, 128], ("1x128",)),
        ("1x3x224x224", ("1x3x224x224",)),
        ("ids=1x128:i64", ("ids=1x128:i64",)),
        (["ids=1x128", "mask=1x128"], ("ids=1x128", "mask=1x128")),
        ([(1, 3, 8, 8), (1, 4)], ("1x3x8x8", "1x4")),
        ([], ()),
        (tuple(np.array([1, 3, 8, 8])), ("1x3x8x8",)),
        ({"image": (1, 3, 8, 8), "ids": "1x4:i64"}, ("image=1x3x8x8", "ids=1x4:i64")),
    ],
)
def test_a_shape_may_be_written_in_each_of_these_ways(shape, texts):
    assert shape_texts(shape) == texts


@pytest.mark.parametrize("shape", [[1.5, 2], [(1, "a")], (True, 3), [None], [()], [object()], {"image": 3}])
def test_anything_else_is_no_shape(shape):
    with pytest.raises(BadOptionError, match="cannot read the input shape"):
        shape_texts(shape)


def test_a_graph_passes_through():
    graph = mlp()
    assert graph_of(graph) is graph


@pytest.mark.parametrize("options", [{"input_shape": (1, 8)}, {"batch": 2}, {"seq_len": 8}])
def test_a_graph_has_its_shapes_fixed(options):
    with pytest.raises(BadOptionError, match="shapes fixed"):
        graph_of(mlp(), **options)


@pytest.mark.parametrize("batch", [2.5, "2", True])
def test_a_batch_is_a_whole_number(batch):
    with pytest.raises(BadOptionError, match="batch is"):
        graph_of("m.onnx", batch=batch)


@pytest.mark.parametrize("model", [None, 7, b"bytes", {"a": 1}, object()])
def test_anything_else_is_no_model(model):
    with pytest.raises(BadOptionError, match="is no model"):
        graph_of(model)


def test_a_path_that_does_not_exist_is_an_unknown_model(tmp_path):
    with pytest.raises(UnknownModelError):
        graph_of(tmp_path / "nowhere.onnx")


def test_asking_whether_something_is_a_module_does_not_load_torch():
    probe = (
        "import sys\n"
        "from estimator.client.model import graph_of\n"
        "from estimator.errors import BadOptionError\n"
        "try: graph_of(object())\n"
        "except BadOptionError: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"


class TestModule:
    """A torch module in hand is traced as it is."""

    @pytest.fixture
    def module(self):
        torch = pytest.importorskip("torch")
        return torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.ReLU())

    def test_its_graph_has_its_parameters_and_its_name(self, module):
        graph = graph_of(module, (2, 8))
        assert graph.params == 8 * 4 + 4
        assert graph.name == "Sequential"
        assert graph.batch == 2

    def test_a_batch_replaces_the_leading_extent(self, module):
        assert graph_of(module, (1, 8), batch=5).batch == 5

    def test_it_stays_as_it_was(self, module):
        import torch

        before = {name: value.clone() for name, value in module.state_dict().items()}
        module.train()
        graph_of(module, (1, 8))
        assert module.training
        assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())

    def test_without_a_shape_the_error_says_so(self, module):
        with pytest.raises(MissingShapeError):
            graph_of(module)
