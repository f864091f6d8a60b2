"""Open TensorFlow's file formats and say which graph, inputs, outputs and variables they hold.

Nothing of a model is run and, except for Keras files, no weights are read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from estimator.errors import BadOptionError, MissingDependencyError, ModelFileError
from estimator.frontends.file_signature import open_model_file, signature_of
from estimator.frontends.input_binding import Extent
from estimator.frontends.tf_unsigned import exported_call
from estimator.ir.tensor import Shape

MAX_PROTO_BYTES = 2**31 - 1
"""Protobuf's own limit."""
_EXPECTED = "a GraphDef (.pb), a MetaGraph (.meta), a SavedModel folder or a Keras file"


@dataclass(frozen=True, slots=True)
class TfSource:
    """One TensorFlow graph, imported or still as a GraphDef.

    Attributes
    ----------
    graph_def : GraphDef or None
        The nodes, for formats that store them.
    function : ConcreteFunction or None
        The traced model, for Keras files.
    inputs, outputs : tuple of str
        Tensor names (``node:0``) that a signature names; empty if there is none.
    trainable : mapping of variable name to bool
        Empty if the file does not say.
    """

    graph_def: Any = None
    function: Any = None
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    trainable: Mapping[str, bool] = field(default_factory=dict)


def tensorflow() -> Any:
    """Import TensorFlow, quietly.

    Raises
    ------
    MissingDependencyError
        It is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with _native_log_silenced():
            import tensorflow as tf
    except ImportError:
        raise MissingDependencyError("tensorflow", "reading TensorFlow and Keras models", "tensorflow") from None
    return tf


@contextmanager
def _native_log_silenced() -> Iterator[None]:
    """Send what TensorFlow's native start-up writes to file descriptor 2 nowhere: it has no switch for it."""
    try:
        saved = os.dup(2)
    except OSError:  # no standard error at all
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def read_source(path: Path, given: Mapping[str, Shape], batch: int | None) -> TfSource:
    """Read a file or folder; `given` and `batch` matter only where the model must be traced (Keras).

    Raises
    ------
    ModelFileError
        None of the known formats, or damaged.
    MissingDependencyError
        TensorFlow is not installed.
    """
    if path.is_dir():
        inner = path / "saved_model.pb"
        if not inner.exists():
            raise ModelFileError(f"{path} is a directory without saved_model.pb", expected=_EXPECTED)
        return _saved_model(inner)
    suffix = path.suffix.lower()
    if suffix in (".keras", ".h5"):
        open_model_file(path, _EXPECTED).close()
        return _keras(path, given, batch)
    data = _contents(path)
    if suffix == ".meta":
        return _meta_graph(_parsed(data, "MetaGraphDef", path), path)
    if path.name == "saved_model.pb":
        return _saved_model(path)
    if suffix == ".pbtxt":
        raise ModelFileError(
            f"{path} is a graph in text form", expected=_EXPECTED, hint="tf.io.write_graph(…, as_text=False) writes .pb"
        )
    graph_def = _parsed(data, "GraphDef", path)
    if not graph_def.node:
        raise ModelFileError(f"{path} holds no operators", expected=_EXPECTED)
    return TfSource(graph_def=graph_def)


def _contents(path: Path) -> bytes:
    with open_model_file(path, _EXPECTED) as file:
        if path.stat().st_size > MAX_PROTO_BYTES:
            raise ModelFileError(f"{path} is larger than a protobuf message can be", expected=_EXPECTED)
        return file.read()


def _parsed(data: bytes, kind: str, path: Path) -> Any:
    tensorflow()
    from tensorflow.core.framework.graph_pb2 import GraphDef
    from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    message = {"GraphDef": GraphDef, "MetaGraphDef": MetaGraphDef, "SavedModel": SavedModel}[kind]()
    try:
        message.ParseFromString(data)
    except Exception:  # protobuf's DecodeError, whose module is not imported here
        looks_like = signature_of(data)
        raise ModelFileError(
            f"{path} is not a readable TensorFlow file",
            where=f"{len(data)} bytes" + (f", which look like {looks_like}" if looks_like else ""),
            expected=f"a complete protobuf {kind}",
            hint="save or copy the file again",
        ) from None
    return message


def _meta_graph(meta: Any, path: Path) -> TfSource:
    if not meta.graph_def.node:
        raise ModelFileError(f"{path} holds no operators", expected="a MetaGraphDef with a graph")
    inputs, outputs = _signature(meta)
    trainable = _trainable(meta, path)
    called = exported_call(meta) if not outputs else None
    if called is not None:
        graph_def, names, results = called
        return TfSource(graph_def=graph_def, inputs=tuple(names), outputs=tuple(results), trainable=trainable)
    return TfSource(graph_def=meta.graph_def, inputs=inputs, outputs=outputs, trainable=trainable)


def _signature(meta: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Tensors of the default signature, or of the first that has outputs."""
    named = {k: s for k, s in meta.signature_def.items() if s.outputs and not k.startswith("__saved_model_")}
    chosen = named.get("serving_default") or next((named[k] for k in sorted(named)), None)
    if chosen is None:
        return (), ()
    inputs = tuple(chosen.inputs[k].name for k in sorted(chosen.inputs) if chosen.inputs[k].name)
    outputs = tuple(chosen.outputs[k].name for k in sorted(chosen.outputs) if chosen.outputs[k].name)
    return inputs, outputs


def _trainable(meta: Any, path: Path) -> dict[str, bool]:
    """Trainable flags by variable name: from TF 1 collections or the TF 2 object graph."""
    from tensorflow.core.framework.variable_pb2 import VariableDef

    flags: dict[str, bool] = {}
    for collection, trainable in (("variables", False), ("global_variables", False), ("trainable_variables", True)):
        for data in meta.collection_def[collection].bytes_list.value if collection in meta.collection_def else ():
            variable = VariableDef()
            try:
                variable.ParseFromString(data)
            except Exception:  # as above
                raise ModelFileError(f"{path}: its list of {collection} is damaged", expected=_EXPECTED) from None
            flags[variable.variable_name.partition(":")[0]] = trainable
    for node in meta.object_graph_def.nodes:
        if node.HasField("variable") and node.variable.name:
            flags[node.variable.name] = node.variable.trainable
    return flags


def _saved_model(path: Path) -> TfSource:
    model = _parsed(_contents(path), "SavedModel", path)
    if not model.meta_graphs:
        raise ModelFileError(f"{path} holds no graph", expected="a SavedModel with a MetaGraph")
    serving = [m for m in model.meta_graphs if "serve" in m.meta_info_def.tags]
    return _meta_graph((serving or list(model.meta_graphs))[0], path)


def _keras(path: Path, given: Mapping[str, Shape], batch: int | None) -> TfSource:
    tf = tensorflow()
    try:
        with _native_log_silenced():
            model = tf.keras.models.load_model(str(path), compile=False, safe_mode=True)
    except Exception as error:  # Keras raises nearly every class on a damaged or unsafe file
        raise ModelFileError(
            f"{path} cannot be loaded by Keras: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            expected="a .keras or .h5 model without Lambda layers (their code is never run)",
        ) from None
    specs = _keras_specs(tf, model, given, batch, path)
    function = tf.function(lambda *inputs: model(list(inputs) if len(inputs) > 1 else inputs[0], training=False))
    concrete = function.get_concrete_function(*specs)
    trainable = {v.path if hasattr(v, "path") else v.name: True for v in model.trainable_variables}
    flags = {(v.path if hasattr(v, "path") else v.name): False for v in model.variables}
    return TfSource(function=concrete, trainable={**flags, **trainable})


def _keras_specs(tf: Any, model: Any, given: Mapping[str, Shape], batch: int | None, path: Path) -> list[Any]:
    from estimator.frontends.input_binding import DeclaredInput, bind_inputs

    declared = [DeclaredInput(tensor.name, _extents(tensor.shape)) for tensor in model.inputs or ()]
    if not declared:
        raise BadOptionError(f"{path} has no declared inputs", expected="a functional or sequential Keras model")
    bound = bind_inputs(declared, given, batch, path=str(path))
    return [
        tf.TensorSpec(bound.shapes[d.name], tensor.dtype, name=d.name)
        for d, tensor in zip(declared, model.inputs, strict=True)
    ]


def _extents(shape: Any) -> tuple[Extent, ...]:
    return tuple(None if extent is None else int(extent) for extent in shape)
