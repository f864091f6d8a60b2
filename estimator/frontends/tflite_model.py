"""TFLite files, read without TensorFlow: float, half-float and quantised weights, several subgraphs."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

# The rule modules register themselves.
from estimator.errors import MissingShapeError, ModelFileError
from estimator.frontends import tflite_compute, tflite_control, tflite_movement  # noqa: F401
from estimator.frontends.file_signature import open_model_file, signature_of
from estimator.frontends.graph_builder import GraphBuilder
from estimator.frontends.input_binding import DeclaredInput, bind_inputs
from estimator.frontends.rebatch import rebatch
from estimator.frontends.tflite_importer import TfliteImporter
from estimator.frontends.tflite_schema import TfliteModel, TfliteSubgraph, read_model
from estimator.frontends.tflite_variables import find_variables
from estimator.frontends.tflite_wire import WireError
from estimator.ir.graph import Graph
from estimator.ir.tensor import Shape

_NO_SHAPES: Mapping[str, Shape] = MappingProxyType({})


def load_tflite(path: str | Path, *, input_shapes: Mapping[str, Shape] = _NO_SHAPES, batch: int | None = None) -> Graph:
    """Read the first subgraph of a TFLite model as a graph.

    Activations keep their axis order, [n, h, w, c]; convolution weights are [co, ci/g, kh, kw]. A weight
    stored as float16 or int8 behind DEQUANTIZE is read as stored. Custom operators are UNKNOWN.

    Parameters
    ----------
    path : str or Path
        The ``.tflite`` file.
    input_shapes : mapping of input name to shape
        For inputs with unknown extents or other sizes; "" means the first input.
    batch : int, optional
        Leading extent of the inputs; all shapes are rescaled.

    Raises
    ------
    ModelFileError
        Not a TFLite file, truncated, or offsets, counts and sizes contradict each other.
    MissingShapeError
        An extent that is not the batch is −1 and was not given, or an operator cannot be resized.
    BadOptionError
        `input_shapes` names no input, or `batch` is out of range.
    """
    path = Path(path)
    with open_model_file(path, "a TFLite file") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # closed with its last view
    model = _read(memoryview(mapped), path)
    if batch is not None and not input_shapes and _leaves_batch_open(model.subgraphs[0]):
        try:
            return _import(model, GraphBuilder(), path, input_shapes, batch)
        except (MissingShapeError, ModelFileError):  # an operator has no rule for another size: rescale all shapes
            pass
    builder = GraphBuilder()
    graph = _import(model, builder, path, input_shapes, None if not input_shapes else batch)
    return graph if batch is None else rebatch(graph, batch, builder.orders)


def _read(view: memoryview, path: Path) -> TfliteModel:
    try:
        model = read_model(view)
    except WireError as error:
        looks_like = signature_of(view)
        raise ModelFileError(
            f"{path} is not a readable TFLite file: {error}",
            where=f"{len(view)} bytes" + (f", which look like {looks_like}" if looks_like else ""),
            expected="a complete flatbuffer with the identifier TFL3",
            hint="convert or copy the file again",
        ) from None
    if not model.subgraphs or not model.subgraphs[0].operators:
        raise ModelFileError(f"{path} holds no operators", expected="a TFLite model with at least one operator")
    return model


def _leaves_batch_open(subgraph: TfliteSubgraph) -> bool:
    leads = [subgraph.tensors[index].signature[:1] for index in subgraph.inputs]
    return all(lead == (-1,) for lead in leads)


def _import(
    model: TfliteModel, builder: GraphBuilder, path: Path, input_shapes: Mapping[str, Shape], batch: int | None
) -> Graph:
    subgraph = model.subgraphs[0]
    importer = TfliteImporter(model, subgraph, builder, variables=find_variables(model))
    declared = [_declared(subgraph, index) for index in subgraph.inputs]
    bound = bind_inputs(declared, input_shapes, batch, path=str(path))
    for text in bound.notes:
        builder.note(text)
    inputs = [
        importer.declare_input(index, bound.shapes[tensor.name])
        for index, tensor in zip(subgraph.inputs, declared, strict=True)
    ]
    importer.run()
    try:
        outputs = [importer.tensor_name(index) for index in subgraph.outputs]
    except ValueError as error:
        raise ModelFileError(f"a graph output cannot be made: {error}", where=str(path)) from None
    _note_other_subgraphs(model, importer)
    return builder.freeze(path.stem, inputs, outputs, "tflite")


def _declared(subgraph: TfliteSubgraph, index: int) -> DeclaredInput:
    tensor = subgraph.tensors[index]
    shape = tuple(None if s < 0 else n for n, s in zip(tensor.shape, tensor.signature, strict=True))
    return DeclaredInput(tensor.name or f"tensor_{index}", shape)


def _note_other_subgraphs(model: TfliteModel, importer: TfliteImporter) -> None:
    others = [s for s in model.subgraphs[1:] if s.operators and s.name not in importer.inlined]
    if others:
        count = sum(len(s.operators) for s in others)
        importer.builder.note(
            f"{len(others)} other subgraphs ({count} operators: bodies, set-up, other signatures) not counted"
        )
