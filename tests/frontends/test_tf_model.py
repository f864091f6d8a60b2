from __future__ import annotations

import gzip
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from estimator.costs.registry import graph_cost
from estimator.errors import MissingDependencyError, MissingShapeError, ModelFileError
from estimator.frontends.tf_model import load_tensorflow
from estimator.ir.op import ConvAttrs, OpKind
from estimator.ir.tensor import TensorRole

pytestmark = [
    pytest.mark.extra,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of TensorFlow's own imports
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
DATA = Path(__file__).parent / "data"
BISENET = Path(__file__).parents[2] / "benchmarks" / "counts" / "bisenetv2.meta.gz"
PARAMS = (27 * 8 + 8) + (9 * 8 + 8) + (8 * 16 + 16) + (16 * 10 + 10)
MACS = (8 * 8 * 8) * 27 + (8 * 8 * 8) * 9 + (8 * 8 * 16) * 8 + 16 * 10


@pytest.fixture(autouse=True)
def _needs_tensorflow() -> None:
    pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tf = pytest.importorskip("tensorflow")
    folder = tmp_path_factory.mktemp("models") / "saved"
    tf.keras.models.load_model(DATA / "small.keras").export(folder, verbose=False)
    return folder


@pytest.mark.parametrize("name", ["small_frozen.pb", "small.keras"])
def test_formats_hold_the_same_network(name: str) -> None:
    graph = load_tensorflow(DATA / name)
    cost = graph_cost(graph)
    assert (graph.params, cost.total.macs, cost.coverage) == (PARAMS, MACS, 1)
    assert graph.inputs_of(graph.ops[0])[0].shape == (1, 16, 16, 3)


def test_a_saved_model_is_inlined_without_its_weights(saved_model: Path) -> None:
    for weights in (saved_model / "variables").iterdir():
        weights.unlink()
    graph = load_tensorflow(saved_model, batch=4)
    assert (graph.params, graph_cost(graph).total.macs) == (PARAMS, 4 * MACS)
    assert OpKind.UNKNOWN not in {op.kind for op in graph.ops}


def test_convolutions_keep_channels_last_and_turn_their_weights() -> None:
    graph = load_tensorflow(DATA / "small_frozen.pb")
    stem, depthwise, point = (op for op in graph.ops if op.kind is OpKind.CONV)
    assert stem.attrs == ConvAttrs((3, 3), (2, 2), (0, 0), (1, 1), 1, channels_last=True)
    assert [graph.inputs_of(op)[1].shape for op in (stem, depthwise, point)] == [
        (8, 3, 3, 3), (8, 1, 3, 3), (16, 8, 1, 1)]  # fmt: skip


def test_an_unknown_batch_is_one_for_estimates_and_nothing_for_counts() -> None:
    pruned = load_tensorflow(DATA / "variables.meta")
    assert graph_cost(pruned).total.macs == (8 * 8 * 4) * 27
    complete = load_tensorflow(DATA / "variables.meta", prune=False)
    assert graph_cost(complete).total.macs == 0
    assert any("unknown batch" in note for note in complete.notes)
    given = load_tensorflow(DATA / "variables.meta", prune=False, batch=2)
    assert graph_cost(given).total.macs == 2 * (8 * 8 * 4) * 27


def test_a_complete_graph_has_every_node_under_its_own_name() -> None:
    tf = pytest.importorskip("tensorflow")
    meta = tf.compat.v1.MetaGraphDef.FromString((DATA / "variables.meta").read_bytes())
    graph = load_tensorflow(DATA / "variables.meta", prune=False)
    ours = {op.name: op.source for op in graph.ops if op.source}
    not_ops = ("Const", "VariableV2", "Placeholder", "NoOp")  # tensors of the graph, or nothing
    theirs = {n.name: n.op for n in meta.graph_def.node if n.op not in not_ops}
    assert ours == theirs


def test_trainable_variables_are_parameters_in_their_own_order_of_axes() -> None:
    graph = load_tensorflow(DATA / "variables.meta", prune=False)
    assert graph.tensors["conv/weights"].shape == (3, 3, 3, 4)
    assert graph.tensors["conv/weights"].role is TensorRole.PARAMETER
    assert graph.tensors["global_step"].role is TensorRole.BUFFER
    assert graph.params == 3 * 3 * 3 * 4 + 4


def test_a_real_training_graph_is_pruned_to_its_network(tmp_path: Path) -> None:
    path = tmp_path / "bisenetv2.meta"
    path.write_bytes(gzip.decompress(BISENET.read_bytes()))
    graph = load_tensorflow(path)
    assert not any("Initializer" in op.name or op.source == "Assign" for op in graph.ops)
    assert len(graph.outputs) == 5  # four auxiliary heads and the last one
    assert graph_cost(graph).coverage == 1
    complete = load_tensorflow(path, prune=False)
    assert graph_cost(complete).total.macs == graph_cost(graph).total.macs
    assert complete.params == 2_392_297  # "2.39m params" in the profiler's own text


# ---------------------------------------------------------------- files that are no models


def refusal(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        load_tensorflow(path)
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".pb", ".meta", ".keras", ".h5"])
def test_empty_files_pickles_and_noise_are_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"")
    assert "is empty" in refusal(path)
    for data in (pickle.dumps({"a": 1}), b"\x00" * 100, b"\xff" * 100, b"{}"):
        path.write_bytes(data)
        refusal(path)


def test_a_folder_without_a_saved_model_is_refused(tmp_path: Path) -> None:
    assert "without saved_model.pb" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["small_frozen.pb", "variables.meta"])
def test_truncated_graphs_are_refused_or_valid(name: str, tmp_path: Path) -> None:
    data = (DATA / name).read_bytes()
    path = tmp_path / name
    for part in range(1, 12):
        path.write_bytes(data[: len(data) * part // 12])
        refusal(path)


def test_without_tensorflow_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "from estimator.errors import MissingDependencyError\n"
        "from estimator.frontends.tf_model import load_tensorflow\n"
        "try: load_tensorflow(sys.argv[1])\n"
        "except MissingDependencyError as error: print(error)"
    )
    command = [sys.executable, "-c", code, str(DATA / "small_frozen.pb")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "estimator[tensorflow]" in done.stdout
    assert issubclass(MissingDependencyError, Exception)


def recurrent_function(steps: int, width: int, units: int) -> Any:
    """A loop of known length over a list of steps, as a recurrent Keras layer builds it."""
    import tensorflow as tf

    kernel = tf.Variable(tf.ones((width, units)), name="kernel")
    state = tf.Variable(tf.ones((units, units)), name="state")

    class Recurrent(tf.Module):
        def __init__(self) -> None:
            self.weights = [kernel, state]

        @tf.function(input_signature=[tf.TensorSpec([None, steps, width], tf.float32, name="x")])
        def __call__(self, x: Any) -> Any:
            elements = tf.TensorArray(tf.float32, steps).unstack(tf.transpose(x, [1, 0, 2]))
            results = tf.TensorArray(tf.float32, steps, element_shape=[None, units])
            hidden = tf.zeros([tf.shape(x)[0], units])
            for step in tf.range(steps):
                hidden = tf.tanh(elements.read(step) @ kernel + hidden @ state)
                results = results.write(step, hidden)
            return tf.transpose(results.stack(), [1, 0, 2])

    return Recurrent()


def test_a_saved_model_without_signatures_is_a_call_of_what_it_exports(tmp_path: Path) -> None:
    import tensorflow as tf

    class Layer(tf.Module):
        def __init__(self) -> None:
            self.w = tf.Variable(tf.ones((6, 4)), name="w")
            self.scale = tf.Variable(tf.ones(4), name="scale", trainable=False)

        @tf.function(input_signature=[tf.TensorSpec([None, 6], tf.float32, name="features")])
        def __call__(self, x: Any) -> Any:
            return {"scaled": (x @ self.w) * self.scale}

    tf.saved_model.save(Layer(), tmp_path, signatures={})
    graph = load_tensorflow(tmp_path, batch=3)
    assert graph.inputs == ("features",)
    assert graph_cost(graph).total.macs == 3 * 6 * 4
    assert graph.params == 6 * 4  # what is not trainable is no parameter
    assert [graph.tensors[name].shape for name in graph.outputs] == [(3, 4)]


@pytest.mark.parametrize("batch", [1, 3])
def test_a_loop_of_known_length_is_counted_step_by_step(batch: int, tmp_path: Path) -> None:
    import tensorflow as tf

    tf.saved_model.save(recurrent_function(steps=5, width=4, units=2), tmp_path)
    graph = load_tensorflow(tmp_path, batch=batch)
    assert graph_cost(graph).total.macs == batch * 5 * (4 * 2 + 2 * 2)
    assert graph_cost(graph).coverage == 1
    assert graph.params == 4 * 2 + 2 * 2
    assert [graph.tensors[name].shape for name in graph.outputs] == [(batch, 5, 2)]


def test_lowered_loops_are_refused_with_what_to_do(tmp_path: Path) -> None:
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    module = recurrent_function(steps=5, width=4, units=2)
    concrete = module.__call__.get_concrete_function()
    for lowered in (False, True):
        frozen = convert_variables_to_constants_v2(concrete, lower_control_flow=lowered).graph
        tf.io.write_graph(frozen, str(tmp_path), f"{lowered}.pb", as_text=False)
    assert graph_cost(load_tensorflow(tmp_path / "False.pb")).total.macs == 5 * (4 * 2 + 2 * 2)
    with pytest.raises(MissingShapeError, match="lower_control_flow=False"):
        load_tensorflow(tmp_path / "True.pb")


def test_a_keras_file_takes_a_batch_beside_a_shape(tmp_path: Path) -> None:
    import tensorflow as tf

    x = tf.keras.Input((None, None, 3), name="image")
    tf.keras.Model(x, tf.keras.layers.Conv2D(4, 1, use_bias=False)(x)).save(tmp_path / "open.keras")
    graph = load_tensorflow(tmp_path / "open.keras", input_shapes={"": (1, 8, 8, 3)}, batch=5)
    assert graph_cost(graph).total.macs == 5 * (8 * 8) * 3 * 4
