"""TensorFlow control flow and tensor lists: loops of known length are unrolled, other bodies are listed as CONTROL.

A recurrent Keras layer is a While over lists of tensors (`tensor_list`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estimator.errors import MissingShapeError
from estimator.frontends import tensor_list
from estimator.frontends.tensor_list import MAX_UNROLLED_OPS, MAX_UNROLLED_TRIPS, ListOp
from estimator.frontends.tf_importer import TfNode, dtype_of, rule
from estimator.ir.op import ControlAttrs, FunctionAttrs, OpKind, UnknownAttrs

_CONTROL = {
    "If": "if", "StatelessIf": "if", "While": "while", "StatelessWhile": "while", "Case": "if", "StatelessCase": "if",
}  # fmt: skip
_BODY_ATTRIBUTES = ("then_branch", "else_branch", "cond", "body")
_ELEMENT_SHAPE_INPUT = {"TensorListReserve": 0, "TensorListFromTensor": 1, "TensorListGetItem": 2, "TensorListStack": 1}
_DT_INT32 = 3

Value = NDArray[np.generic]
_SCALAR: dict[str, Callable[..., Any]] = {
    "Less": np.less, "LessEqual": np.less_equal, "Greater": np.greater, "GreaterEqual": np.greater_equal,
    "Equal": np.equal, "NotEqual": np.not_equal, "LogicalAnd": np.logical_and, "LogicalOr": np.logical_or,
    "LogicalNot": np.logical_not, "Add": np.add, "AddV2": np.add, "Sub": np.subtract, "Mul": np.multiply,
    "Minimum": np.minimum, "Maximum": np.maximum, "Identity": np.asarray,
    "Max": lambda values, axes: np.max(values, tuple(axes.reshape(-1))),
    "Min": lambda values, axes: np.min(values, tuple(axes.reshape(-1))),
}  # fmt: skip
"""What counts iterations."""


@rule(*_CONTROL)
def _control(node: TfNode) -> None:
    """Import a loop step by step if it is known how often it runs."""
    importer = node.importer
    if "While" in node.op_type and not importer.complete and _unroll(node):
        return
    importer.met_control_flow = not importer.complete
    bodies = [node.attribute(a).name for a in _BODY_ATTRIBUTES if node.has_attribute(a)]
    importer.builder.note(f"{node.op_type} {node.name!r} depends on data: its bodies are not counted")
    node.emit_all(OpKind.CONTROL, ControlAttrs(_CONTROL[node.op_type], tuple(bodies)))


@rule("Enter", "RefEnter")
def _enter(node: TfNode) -> None:
    """Say that loops of TensorFlow 1 stay closed: their nodes are a cycle, through which no shape is inferred."""
    if not node.importer.complete:
        raise MissingShapeError(
            f"{node.name!r} starts a loop of TensorFlow 1 (Enter, Merge, NextIteration), which has no inferred shapes",
            expected="loops as functions (While)",
            hint="freeze with lower_control_flow=False, or build under tf.compat.v1.enable_control_flow_v2()",
        )
    node.emit_all(OpKind.UNKNOWN, UnknownAttrs(f"no rule for {node.op_type}"))


def _unroll(node: TfNode) -> bool:
    """Import the body once per iteration; False, and nothing is imported, if data decides how often it runs."""
    importer = node.importer
    condition = importer.body_of(node.attribute("cond").name, node)
    body = importer.body_of(node.attribute("body").name, node)
    if condition is None or body is None:
        return False
    trips = _trip_count(node, condition, body)
    if trips is None or trips * len(body[0].get_operations()) > MAX_UNROLLED_OPS:
        return False
    state = [importer.bound[node.key(tensor)] for tensor in node.op.inputs]
    for trip in range(trips):
        state = importer.run_body(body, f"{node.name}/{trip}/", state, node.depth + 1)
    importer.bound.update(zip((node.key(tensor) for tensor in node.op.outputs), state, strict=True))
    return True


def _trip_count(node: TfNode, condition: Any, body: Any) -> int | None:
    """Follow the numbers that a loop counts with, without importing anything."""
    state = [_value(tensor, {}) for tensor in node.op.inputs]
    for trip in range(MAX_UNROLLED_TRIPS + 1):
        (going,) = _results(condition, state)
        if going is None or going.size != 1:
            return None
        if not bool(going.reshape(-1)[0]):
            return trip
        state = _results(body, state)
    return None


def _results(body: Any, arguments: Sequence[Value | None]) -> list[Value | None]:
    graph, names, results = body
    given = {f"{name}:0": value for name, value in zip(names, arguments, strict=True)}
    return [_value(graph.get_tensor_by_name(result), given) for result in results]


def _value(tensor: Any, given: Mapping[str, Value | None], depth: int = 0) -> Value | None:
    """Value of a small tensor, from constants and given numbers alone."""
    from tensorflow.python.framework.tensor_util import constant_value

    if tensor.name in given:
        return given[tensor.name]
    function = _SCALAR.get(tensor.op.type)
    if function is None or depth > 16:
        value = constant_value(tensor) if tensor.dtype.is_integer or tensor.dtype.is_bool else None
        return None if value is None else np.asarray(value)
    arguments = [_value(source, given, depth + 1) for source in tensor.op.inputs]
    return None if any(a is None for a in arguments) else np.asarray(function(*arguments))


# ---------------------------------------------------------------- tensor lists
def settle_element_shapes(graph_def: Any, batch: int) -> None:
    """Put the batch where an element's leading extent is open: elements are [batch, …], one per step.

    TensorFlow then knows the shapes of what comes out of a list.
    """
    for nodes in (graph_def.node, *(function.node_def for function in graph_def.library.function)):
        constants = {node.name: node for node in nodes if node.op == "Const"}
        for node in list(nodes):
            position = _ELEMENT_SHAPE_INPUT.get(node.op)
            shape = None if position is None else constants.get(node.input[position].partition(":")[0])
            extents = [] if shape is None else _extents(shape)
            if position is None or shape is None or len(extents) < 2 or extents[0] >= 0 or min(extents[1:]) < 0:
                continue
            settled = nodes.add()
            settled.CopyFrom(shape)
            settled.name = f"{node.name}/settled_element_shape"
            settled.attr["value"].tensor.Clear()
            settled.attr["value"].tensor.dtype = _DT_INT32
            settled.attr["value"].tensor.tensor_shape.dim.add(size=len(extents))
            settled.attr["value"].tensor.int_val.extend([batch, *extents[1:]])
            node.input[position] = node.input[position].replace(shape.name, settled.name, 1)


def _extents(constant: Any) -> list[int]:
    from tensorflow.python.framework.tensor_util import MakeNdarray

    values = MakeNdarray(constant.attr["value"].tensor)
    return [int(v) for v in values.reshape(-1)] if values.dtype == np.int32 else []


def _emit(node: TfNode, op: ListOp) -> None:
    builder = node.importer.builder
    name = builder.unique_tensor(node.name)
    builder.add_tensor(name, op.shape, op.dtype)
    node.importer.bound[node.key(node.op.outputs[0])] = name
    builder.emit(
        op.kind, op.reads, (name,), op.attrs,
        name=node.name, source=node.op_type, scope=node.scope(), in_place=op.in_place,
    )  # fmt: skip


@rule("TensorListReserve")
def _reserve(node: TfNode) -> None:
    """Shape of an element, number of elements."""
    element, count = node.value(0), node.value(1)
    _emit(node, tensor_list.reserve(count or (1,), element or (), dtype_of(node.attribute("element_dtype"))))


@rule("TensorListFromTensor")
def _list_from_tensor(node: TfNode) -> None:
    """x[n, ...], shape of an element."""
    _emit(node, tensor_list.from_tensor(node.input(0)))


@rule("TensorListSetItem")
def _set_item(node: TfNode) -> None:
    """List, index, item."""
    _emit(node, tensor_list.set_item(node.input(0), node.name_of(1), node.input(2)))


@rule("TensorListGetItem")
def _get_item(node: TfNode) -> None:
    """List, index, shape of an element."""
    _emit(node, tensor_list.get_item(node.input(0)))


@rule("TensorListStack")
def _stack(node: TfNode) -> None:
    """List, shape of an element."""
    _emit(node, tensor_list.stack(node.input(0)))


@rule("TensorListLength", "TensorListElementShape")
def _list_size(node: TfNode) -> None:
    node.emit(OpKind.SHAPE, FunctionAttrs(node.op_type.lower()))
