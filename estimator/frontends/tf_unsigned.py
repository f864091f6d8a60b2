"""A SavedModel without signatures: its graph is a call of the function that the saved object exports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

CALL = "call"
_LIKELY_NAMES = ("__call__", "serve", "serving_default", "call", "predict", "forward", "f")


def exported_call(meta: Any) -> tuple[Any, list[str], list[str]] | None:
    """Build what a signature would have been.

    Parameters
    ----------
    meta : MetaGraphDef
        With the object graph that TensorFlow 2 saves.

    Returns
    -------
    tuple or None
        A GraphDef that calls the function, its input and its output tensors; None if no function is exported, or one
        that captures more than variables and constants.
    """
    objects = meta.object_graph_def
    name = next(_exported_functions(objects), None)
    bodies = {f.signature.name: f.signature for f in meta.graph_def.library.function}
    if name is None or name not in bodies:
        return None
    signature, captured = bodies[name], objects.concrete_functions[name].bound_inputs
    specs = list(_leaves(objects.concrete_functions[name].canonicalized_input_signature))
    if len(specs) + len(captured) != len(signature.input_arg):
        return None
    graph = type(meta.graph_def)()
    graph.library.CopyFrom(meta.graph_def.library)
    graph.versions.CopyFrom(meta.graph_def.versions)
    inputs = [
        _add_placeholder(graph, spec, argument) for spec, argument in zip(specs, signature.input_arg, strict=False)
    ]
    held = [_add_captured(graph, objects.nodes[i], i, meta.graph_def) for i in captured]
    if None in held:
        return None
    call = graph.node.add(name=CALL, op="StatefulPartitionedCall", input=[*inputs, *held])
    call.attr["f"].func.name = name
    call.attr["Tin"].list.type.extend(a.type for a in signature.input_arg)
    call.attr["Tout"].list.type.extend(a.type for a in signature.output_arg)
    outputs = [f"{CALL}:{i}" for i in range(len(signature.output_arg))]
    return graph, [f"{node}:0" for node in inputs], outputs


def _exported_functions(objects: Any) -> Iterator[str]:
    """Names of concrete functions of the root object, the likeliest first."""
    if not objects.nodes:
        return
    children = {child.local_name: objects.nodes[child.node_id] for child in objects.nodes[0].children}
    for key in sorted(children, key=lambda k: _LIKELY_NAMES.index(k) if k in _LIKELY_NAMES else len(_LIKELY_NAMES)):
        if children[key].HasField("function"):
            yield from children[key].function.concrete_functions
        if children[key].HasField("bare_concrete_function"):
            yield children[key].bare_concrete_function.concrete_function_name


def _leaves(value: Any) -> Iterator[Any]:
    """Tensor specs inside a StructuredValue, in the order in which a function takes them."""
    kind = value.WhichOneof("kind")
    if kind in ("tensor_spec_value", "bounded_tensor_spec_value"):
        yield getattr(value, kind)
    elif kind in ("tuple_value", "list_value"):
        for item in getattr(value, kind).values:
            yield from _leaves(item)
    elif kind == "dict_value":
        for key in sorted(value.dict_value.fields):
            yield from _leaves(value.dict_value.fields[key])
    elif kind == "named_tuple_value":
        for pair in value.named_tuple_value.values:
            yield from _leaves(pair.value)


def _unused(graph: Any, name: str) -> str:
    taken = {node.name for node in graph.node} | {CALL}
    while name in taken:
        name += "_"
    return name


def _add_placeholder(graph: Any, spec: Any, argument: Any) -> str:
    node = graph.node.add(name=_unused(graph, spec.name or argument.name), op="Placeholder")
    node.attr["dtype"].type = argument.type
    node.attr["shape"].shape.CopyFrom(spec.shape)
    return str(node.name)


def _add_captured(graph: Any, saved: Any, position: int, source: Any) -> str | None:
    if saved.HasField("variable"):
        node = graph.node.add(name=_unused(graph, saved.variable.name or f"variable_{position}"), op="VarHandleOp")
        node.attr["dtype"].type = saved.variable.dtype
        node.attr["shape"].shape.CopyFrom(saved.variable.shape)
        return str(node.name)
    if saved.HasField("constant"):
        constant = next((n for n in source.node if n.name == saved.constant.operation and n.op == "Const"), None)
        if constant is not None:
            graph.node.append(constant)
            return str(constant.name)
    return None
