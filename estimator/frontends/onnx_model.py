"""ONNX files: opset 9 to the newest, quantised or not, weights inside, as constants or absent."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from estimator.errors import ModelFileError

# The rule modules register themselves.
from estimator.frontends import (  # noqa: F401
    onnx_contrib,
    onnx_control,
    onnx_elementwise,
    onnx_movement,
    onnx_optimised,
    onnx_product,
    onnx_reduction,
)
from estimator.frontends.file_signature import open_model_file, signature_of
from estimator.frontends.graph_builder import GraphBuilder
from estimator.frontends.input_binding import DeclaredInput, bind_inputs
from estimator.frontends.onnx_importer import Frame, OnnxImporter
from estimator.frontends.onnx_schema import ELEMENT_TYPES, WireModel
from estimator.frontends.onnx_wire import WireError, read_model
from estimator.frontends.rebatch import rebatch
from estimator.ir.graph import Graph
from estimator.ir.tensor import Shape, TensorRole

_NO_SHAPES: Mapping[str, Shape] = MappingProxyType({})


def load_onnx(path: str | Path, *, input_shapes: Mapping[str, Shape] = _NO_SHAPES, batch: int | None = None) -> Graph:
    """Read an ONNX model as a graph. Weight data are not read and need not be there.

    Parameters
    ----------
    path : str or Path
        The ``.onnx`` file; external data files may be absent.
    input_shapes : mapping of input name to shape
        For inputs with unknown extents; "" means the first input.
    batch : int, optional
        Leading extent of the inputs. A symbolic one is 1 by default; a fixed one is rescaled.

    Raises
    ------
    ModelFileError
        Not an ONNX file, truncated, or an operator contradicts the specification.
    MissingShapeError
        An extent that is not the batch is symbolic and was not given.
    BadOptionError
        `input_shapes` names no input, or `batch` is out of range.
    """
    path = Path(path)
    with open_model_file(path, "an ONNX file") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # closed with its last view
    return _import(_read(memoryview(mapped), path), path, input_shapes, batch)


def parse_onnx(
    data: bytes, *, name: str, input_shapes: Mapping[str, Shape] = _NO_SHAPES, batch: int | None = None
) -> Graph:
    """Read an ONNX model from bytes; else as `load_onnx`. Never touches the file system.

    Parameters
    ----------
    data : bytes
        A serialised ModelProto.
    name : str
        The graph's name, also in messages.
    """
    path = Path(name.replace("/", "_") + ".onnx")
    return _import(_read(memoryview(data), path), path, input_shapes, batch)


def _read(view: memoryview, path: Path) -> WireModel:
    try:
        model = read_model(view)
    except WireError as error:
        looks_like = signature_of(view)
        raise ModelFileError(
            f"{path} is not a readable ONNX file: {error}",
            where=f"{len(view)} bytes" + (f", which look like {looks_like}" if looks_like else ""),
            expected="a complete protobuf ModelProto",
            hint="export or copy the file again",
        ) from None
    if not model.graph.nodes:
        raise ModelFileError(f"{path} holds no operators", expected="an ONNX model with at least one node")
    return model


def _import(model: WireModel, path: Path, input_shapes: Mapping[str, Shape], batch: int | None) -> Graph:
    weights = {tensor.name for tensor in model.graph.initialisers}
    inputs = [value for value in model.graph.inputs if value.name not in weights]
    bound = bind_inputs([DeclaredInput(v.name, v.shape) for v in inputs], input_shapes, batch, path=str(path))
    builder = GraphBuilder()
    for text in bound.notes:
        builder.note(text)
    importer = OnnxImporter(model, builder, bound.symbols)
    importer.weights_are_constants = not any(t.dtype.is_float and t.numel > 1 for t in model.graph.initialisers)
    frame = Frame("", model.opsets.get("", 1))
    for value in inputs:
        if value.element_type not in ELEMENT_TYPES:
            raise ModelFileError(f"input {value.name!r} is not a tensor", where=str(path))
        dtype = ELEMENT_TYPES[value.element_type].dtype
        builder.add_tensor(value.name, bound.shapes[value.name], dtype, TensorRole.INPUT)
        frame.bound[value.name] = value.name
    importer.import_graph(model.graph, frame)
    outputs = [name for value in model.graph.outputs for name in _output_tensors(importer, frame, value.name, path)]
    graph = builder.freeze(path.stem, [v.name for v in inputs], outputs, "onnx")
    if batch is None or bound.batch_applied:
        return graph
    return rebatch(graph, batch, builder.orders)


def _output_tensors(importer: OnnxImporter, frame: Frame, local: str, path: Path) -> tuple[str, ...]:
    """Tensors behind a graph output; a sequence is its parts."""
    found = frame.find(local)
    if found in importer.sequences:
        return importer.sequences[found]
    if found is None or found not in importer.builder.tensors:
        raise ModelFileError(f"graph output {local!r} is made by no operator", where=str(path))
    return (found,)
