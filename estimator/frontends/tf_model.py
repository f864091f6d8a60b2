"""TensorFlow models: GraphDef, MetaGraph, SavedModel and Keras files, through the `tensorflow` package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

# The rule modules register themselves.
from estimator.errors import ModelFileError
from estimator.frontends import tf_compute, tf_control, tf_movement  # noqa: F401
from estimator.frontends.graph_builder import GraphBuilder
from estimator.frontends.input_binding import BoundInputs, DeclaredInput, Extent, bind_inputs, check_batch
from estimator.frontends.rebatch import rebatch
from estimator.frontends.tf_control import settle_element_shapes
from estimator.frontends.tf_importer import VARIABLES, TfImporter, dtype_of, needed_operations
from estimator.frontends.tf_source import TfSource, read_source, tensorflow
from estimator.ir.graph import Graph
from estimator.ir.tensor import Shape, TensorRole

_NO_SHAPES: Mapping[str, Shape] = MappingProxyType({})
_SIDE_EFFECTS = ("Assign", "NoOp", "Save", "Restore", "Merge", "Summary", "Print", "Assert", "Apply", "Scatter", "Init")
"""Operation types that contain one of these never are a model's result."""


def load_tensorflow(
    path: str | Path,
    *,
    input_shapes: Mapping[str, Shape] = _NO_SHAPES,
    batch: int | None = None,
    prune: bool = True,
) -> Graph:
    """Read a TensorFlow model as a graph; nothing is run.

    Activations keep their axis order (usually [n, h, w, c]); convolution weights are [co, ci/g, *k].

    Parameters
    ----------
    path : str or Path
        A GraphDef (``.pb``, ``.pbtxt``), MetaGraph (``.meta``), SavedModel folder or Keras file.
    input_shapes : mapping of placeholder name to shape
        For placeholders with unknown extents; "" means the first.
    batch : int, optional
        Leading extent of the placeholders. An unknown one is 1 by default.
    prune : bool
        Keep what the outputs need, with everything that depends on weights alone folded. Without, every node
        of the file is an op under its own name (initialisers, assignments, reads of variables), as
        TensorFlow's profiler counts; an unknown extent is then 0, so that it counts nothing.

    Raises
    ------
    ModelFileError
        Not a TensorFlow file, damaged, or TensorFlow refuses the graph.
    MissingShapeError
        An extent that is not the batch is unknown and was not given.
    MissingDependencyError
        TensorFlow is not installed.
    """
    check_batch(batch)
    path = Path(path)
    source = read_source(path, input_shapes, batch)
    if source.function is not None:
        graph = _from_function(source, path, prune)
        return graph if batch is None else rebatch(graph, batch)  # a given shape has a batch of its own
    return _from_graph_def(source, path, input_shapes, batch, prune)


def _from_function(source: TfSource, path: Path, prune: bool) -> Graph:
    """Import a traced Keras model: captured resources are its variables."""
    graph = source.function.graph
    builder = GraphBuilder()
    importer = TfImporter(builder, source.trainable, not prune, graph, frozen=False, functions=_library(graph))
    variables = {id(v.handle): v for v in source.function.variables}
    captured = set()
    for outer, inner in graph.captures:
        captured.add(inner.op.name)
        variable = variables.get(id(outer))
        if variable is not None:
            name = variable.name.partition(":")[0]
            importer.declare_variable(name, inner.name, "", tuple(variable.shape), dtype_of(variable.dtype))
        else:
            builder.add_tensor(inner.op.name, tuple(inner.shape), dtype_of(inner.dtype), TensorRole.CONSTANT)
            importer.bound[inner.name] = inner.op.name
    inputs = [t.op for t in graph.inputs if t.op.name not in captured]
    return _finish(importer, graph, inputs, [t.name for t in graph.outputs], path, "keras")


def _from_graph_def(
    source: TfSource, path: Path, input_shapes: Mapping[str, Shape], batch: int | None, prune: bool
) -> Graph:
    tf = tensorflow()
    graph_def = _without_recorded_shapes(source.graph_def)
    placeholders = _placeholders(graph_def)
    bound = _bind(placeholders, source, input_shapes, batch, prune, path)
    for node in placeholders:
        shape = bound.shapes.get(node.name)
        if shape is not None:
            node.attr["shape"].shape.CopyFrom(tf.TensorShape(shape).as_proto())
    if prune and (leads := [shape[0] for shape in bound.shapes.values() if shape]):
        settle_element_shapes(graph_def, leads[0])
    graph = _imported(tf, graph_def, path)
    builder = GraphBuilder()
    for text in bound.notes:
        builder.note(text)
    functions = {f.signature.name: f for f in graph_def.library.function}
    frozen = not any(n.op in VARIABLES for n in graph_def.node)
    importer = TfImporter(builder, source.trainable, not prune, graph, frozen, functions)
    inputs = [o for o in graph.get_operations() if o.type == "Placeholder"]
    result = _finish(importer, graph, inputs, source.outputs, path, "tensorflow")
    if batch is None or bound.batch_applied:
        return result
    return rebatch(result, batch, builder.orders)


def _placeholders(graph_def: Any) -> list[Any]:
    """Find the inputs; one without a shape that nothing reads is left over from lowered control flow."""
    read = {name.lstrip("^").partition(":")[0] for node in graph_def.node for name in node.input}
    placeholders = [node for node in graph_def.node if node.op == "Placeholder"]
    return [p for p in placeholders if p.name in read or not p.attr["shape"].shape.unknown_rank]


def _without_recorded_shapes(graph_def: Any) -> Any:
    """Drop shapes recorded at save time: they are for the batch of then, and inference works them out anew."""
    bodies = [graph_def.node, *(function.node_def for function in graph_def.library.function)]
    for node in (n for body in bodies for n in body):
        node.attr.pop("_output_shapes", None)
        if node.op in ("While", "StatelessWhile"):  # without them, results have the shapes of what is carried in
            node.attr["output_shapes"].list.ClearField("shape")
    for function in graph_def.library.function:
        for argument in function.arg_attr.values():
            argument.attr.pop("_output_shapes", None)
    return graph_def


def _bind(
    placeholders: Sequence[Any],
    source: TfSource,
    input_shapes: Mapping[str, Shape],
    batch: int | None,
    prune: bool,
    path: Path,
) -> BoundInputs:
    """Bind the placeholders that matter; without a wish, a complete graph keeps its unknown extents."""
    wanted = {name.partition(":")[0] for name in source.inputs}
    chosen = [p for p in placeholders if not wanted or p.name in wanted]
    declared = [DeclaredInput(p.name, _declared_shape(p)) for p in chosen]
    if not prune and not input_shapes and batch is None:
        return BoundInputs({}, {}, (), batch_applied=True)
    return bind_inputs(declared, input_shapes, batch, path=str(path))


def _declared_shape(node: Any) -> tuple[Extent, ...] | None:
    shape = node.attr["shape"].shape
    if shape.unknown_rank:
        return None
    return tuple(None if d.size < 0 else int(d.size) for d in shape.dim)


def _imported(tf: Any, graph_def: Any, path: Path) -> Any:
    graph = tf.Graph()
    try:
        with graph.as_default():
            tf.import_graph_def(graph_def, name="")
    except Exception as error:  # TensorFlow raises its own and built-in classes; all mean a graph it refuses
        first = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        raise ModelFileError(
            f"TensorFlow refuses the graph in {path}: {first}",
            expected="a graph that this TensorFlow version knows, with input shapes that fit",
        ) from None
    return graph


def _library(graph: Any) -> dict[str, Any]:
    return {f.signature.name: f for f in graph.as_graph_def().library.function}


def _finish(
    importer: TfImporter, graph: Any, inputs: Sequence[Any], outputs: Sequence[str], path: Path, source_format: str
) -> Graph:
    """Declare inputs, import what is wanted, and freeze."""
    operations = graph.get_operations()
    results = _result_tensors(graph, outputs, operations, path)
    if not importer.complete:
        needed = needed_operations(results)
        operations = [o for o in operations if o.name in needed]
        inputs = [o for o in inputs if o.name in needed]
    names = _declare_inputs(importer, inputs)
    taken = {o.name for o in inputs} | {key.partition(":")[0] for key in importer.bound}
    importer.run([o for o in operations if o.name not in taken])
    found = [importer.bound[t.name] for t in results if t.name in importer.bound]
    return importer.builder.freeze(path.stem, names, list(dict.fromkeys(found)), source_format)


def _declare_inputs(importer: TfImporter, inputs: Sequence[Any]) -> list[str]:
    from estimator.frontends.tf_importer import TfNode

    names = []
    for operation in inputs:
        tensor = operation.outputs[0]
        shape = TfNode(operation, importer, "", 0).shape_of(tensor)
        name = importer.builder.unique_tensor(operation.name)
        importer.builder.add_tensor(name, shape, dtype_of(tensor.dtype), TensorRole.INPUT)
        importer.bound[tensor.name] = name
        names.append(name)
    return names


def _result_tensors(graph: Any, outputs: Sequence[str], operations: Sequence[Any], path: Path) -> list[Any]:
    """Tensors that a signature names, or those that depend on an input and that nothing reads."""
    if outputs:
        try:
            return [graph.get_tensor_by_name(name) for name in outputs]
        except (KeyError, ValueError) as error:
            raise ModelFileError(f"{path}: its signature names a missing tensor: {error}") from None
    alive: set[str] = set()
    leaves = []
    for operation in operations:
        if operation.type in ("Placeholder", "PlaceholderV2") or any(t.op.name in alive for t in operation.inputs):
            alive.add(operation.name)
            side_effect = any(word in operation.type for word in _SIDE_EFFECTS)
            if operation.outputs and not side_effect and not operation.type.startswith("Placeholder"):
                leaves.append(operation)
    results = [o.outputs[0] for o in leaves if all(_only_effects(t) for t in o.outputs)]
    if not results:
        raise ModelFileError(f"{path} has no result that depends on an input", expected="a graph with a placeholder")
    return results


def _only_effects(tensor: Any) -> bool:
    return all(any(word in reader.type for word in _SIDE_EFFECTS) for reader in tensor.consumers())
