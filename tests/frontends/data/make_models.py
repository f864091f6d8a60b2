"""Make the small model files in this folder. They are our own and under the repository's licence.

Run by hand, once per framework (they do not share a process): `python tests/frontends/data/make_models.py
tensorflow`, then `… torch`. The tests only read the files. All hold the same network, so that formats can be compared:

    x[1, 16, 16, 3]  conv 3×3 stride 2 → 8, relu6 · depthwise 3×3 · 1×1 → 16, relu ·
    mean over space · dense → 10, softmax
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def keras_model() -> Any:
    import tensorflow as tf

    layers = tf.keras.layers
    biases = [tf.keras.initializers.RandomUniform(seed=s) for s in range(4)]  # equal ones would be stored once
    x = inputs = tf.keras.Input((16, 16, 3), batch_size=1, name="image")
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu6", bias_initializer=biases[0])(x)
    x = layers.DepthwiseConv2D(3, padding="same", bias_initializer=biases[1])(x)
    x = layers.Conv2D(16, 1, activation="relu", bias_initializer=biases[2])(x)
    x = layers.GlobalAveragePooling2D()(x)
    return tf.keras.Model(inputs, layers.Dense(10, activation="softmax", bias_initializer=biases[3])(x))


def torch_program() -> Any:
    import torch

    class Small(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = torch.nn.Conv2d(3, 8, 3, 2, 1)
            self.depthwise = torch.nn.Conv2d(8, 8, 3, 1, 1, groups=8)
            self.point = torch.nn.Conv2d(8, 16, 1)
            self.head = torch.nn.Linear(16, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.relu(self.point(self.depthwise(torch.nn.functional.relu6(self.stem(x)))))
            return self.head(x.mean((2, 3))).softmax(-1)

    torch.manual_seed(0)
    batch = torch.export.Dim("batch", min=1, max=1024)
    arguments = (torch.zeros(2, 3, 16, 16),)
    return torch.export.export(Small().eval(), arguments, dynamic_shapes=({0: batch},), strict=False)


def resizable_model() -> Any:
    import tensorflow as tf

    layers = tf.keras.layers
    x = inputs = tf.keras.Input((None, None, 3), name="image")
    x = layers.Conv2D(4, 3, strides=2, padding="same")(x)
    return tf.keras.Model(inputs, layers.MaxPooling2D(2)(x))


def sequence_model() -> Any:
    """Layers whose extents the converter computes from an open batch, or in a loop."""
    import tensorflow as tf

    layers = tf.keras.layers
    x = inputs = tf.keras.Input((5, 3), name="sequence")
    x = layers.Dense(4)(x)
    return tf.keras.Model(inputs, layers.LSTM(2)(x))


def volume_model() -> Any:
    import tensorflow as tf

    x = inputs = tf.keras.Input((3, 4, 5, 2), batch_size=1, name="volume")
    return tf.keras.Model(inputs, tf.keras.layers.Conv3DTranspose(6, 2, strides=2)(x))


def variable_model() -> bytes:
    """A dense layer whose weights stay variables, which a second subgraph fills when the model is loaded."""
    import tensorflow as tf

    x = inputs = tf.keras.Input((6,), batch_size=2, name="features")
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(4, use_bias=False)(x))
    concrete = tf.function(lambda x: model(x)).get_concrete_function(tf.TensorSpec([2, 6], tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], model)
    converter.experimental_enable_resource_variables = True
    return bytes(converter.convert())


def convert(model: Any, kind: str) -> bytes:
    import numpy as np
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if kind == "float16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    if kind == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        samples = np.random.default_rng(0).random((4, 1, 16, 16, 3), np.float32)
        converter.representative_dataset = lambda: ([sample] for sample in samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if kind == "flex":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
        converter._experimental_lower_tensor_list_ops = False
    return bytes(converter.convert())


def frozen_graph(model: Any) -> bytes:
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    function = tf.function(lambda x: model(x, training=False))
    concrete = function.get_concrete_function(tf.TensorSpec([None, 16, 16, 3], tf.float32, name="image"))
    graph_def = convert_variables_to_constants_v2(concrete).graph.as_graph_def()
    return bytes(graph_def.SerializeToString())


def variable_graph() -> bytes:
    """A TensorFlow 1 graph with variables, initialisers and an unknown batch, as a MetaGraph."""
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        v1 = tf.compat.v1
        x = v1.placeholder(tf.float32, [None, 8, 8, 3], "image")
        w = v1.get_variable("conv/weights", [3, 3, 3, 4], use_resource=False)
        y = tf.nn.bias_add(
            tf.nn.conv2d(x, w, 1, "SAME", name="conv/Conv2D"),
            v1.get_variable("conv/biases", [4], use_resource=False),
            name="conv/BiasAdd",
        )
        v1.get_variable("global_step", [], tf.int64, trainable=False, use_resource=False)
        tf.nn.relu(y, name="conv/Relu")
        return bytes(v1.train.export_meta_graph(graph=graph).SerializeToString())


def write_tensorflow() -> None:
    import tensorflow as tf

    tf.random.set_seed(0)
    model = keras_model()
    for kind in ("float32", "float16", "int8"):
        (HERE / f"small_{kind}.tflite").write_bytes(convert(model, kind))
    (HERE / "resizable.tflite").write_bytes(convert(resizable_model(), "float32"))
    (HERE / "sequence.tflite").write_bytes(convert(sequence_model(), "flex"))
    (HERE / "variables.tflite").write_bytes(variable_model())
    (HERE / "volume.tflite").write_bytes(convert(volume_model(), "float32"))
    (HERE / "small_frozen.pb").write_bytes(frozen_graph(model))
    (HERE / "variables.meta").write_bytes(variable_graph())
    model.save(HERE / "small.keras")


def write_torch() -> None:
    import torch

    torch.export.save(torch_program(), HERE / "small.pt2")


if __name__ == "__main__":
    {"tensorflow": write_tensorflow, "torch": write_torch}[sys.argv[1]]()
