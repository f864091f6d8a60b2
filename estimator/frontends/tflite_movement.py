"""TFLite operators that move, select, create or rename data, control flow and state."""

from __future__ import annotations

import math

import numpy as np

from estimator.frontends.shape_arithmetic import (
    axis_of,
    broadcast,
    is_metadata_permutation,
    reshaped,
)
from estimator.frontends.tflite_importer import TfliteNode, TfliteProblem, rule
from estimator.ir.op import AxisAttrs, CopyAttrs, FunctionAttrs, OpKind
from estimator.ir.tensor import Shape, TensorRole


@rule("RESHAPE")
def _reshape(node: TfliteNode) -> None:
    """Target from the second input, or from the option in old files."""
    target = node.int_values(1) if node.has(1) else node.options(0)
    if target is None:
        target = node.out_tensor().shape
    shape = node.input(0).shape
    if math.prod(t for t in target if t > 0) != math.prod(shape) and -1 not in target:
        target = (-1, *target[1:])  # a baked batch: the converter writes the extent it saw
    try:
        result: Shape | None = reshaped(shape, target, zero_copies=False)
    except ValueError:
        result = None
    _view(node, result)


def _view(node: TfliteNode, shape: Shape | None) -> None:
    value = node.value(0)
    folded = None if value is None or shape is None else value.reshape(shape)
    node.emit(OpKind.VIEW, shape, FunctionAttrs(node.op_type.lower()), inputs=(0,), value=folded)


@rule("SQUEEZE")
def _squeeze(node: TfliteNode) -> None:
    shape = node.input(0).shape
    drop = {axis_of(a, len(shape)) for a in node.options(0)} or {i for i, n in enumerate(shape) if n == 1}
    _view(node, tuple(n for i, n in enumerate(shape) if i not in drop))


@rule("EXPAND_DIMS")
def _expand_dims(node: TfliteNode) -> None:
    shape, axis = list(node.input(0).shape), node.int_values(1)
    if axis is None:
        _view(node, None)
        return
    shape.insert(axis_of(axis[0], len(shape) + 1), 1)
    _view(node, tuple(shape))


@rule("TRANSPOSE")
def _transpose(node: TfliteNode) -> None:
    shape, order = node.input(0).shape, node.int_values(1)
    if order is None:
        node.emit(OpKind.COPY, None, CopyAttrs("transpose", transposing=True), inputs=(0,))
        return
    if sorted(order) != list(range(len(shape))):
        raise TfliteProblem(f"order {list(order)} for rank {len(shape)}")
    node.importer.builder.orders[node.name] = order
    result = tuple(shape[i] for i in order)
    if node.input(0).is_weight or is_metadata_permutation(shape, order):
        node.emit(OpKind.VIEW, result, FunctionAttrs("transpose"), inputs=(0,))
    else:
        node.emit(OpKind.COPY, result, CopyAttrs("transpose", transposing=True), inputs=(0,))


@rule("CONCATENATION")
def _concat(node: TfliteNode) -> None:
    shapes = [node.input(i).shape for i in node.given()]
    axis = axis_of(node.option(0, "i"), len(shapes[0]))
    shape = (*shapes[0][:axis], sum(s[axis] for s in shapes), *shapes[0][axis + 1 :])
    value = node.compute(lambda *parts: np.concatenate(parts, axis), *node.given())
    node.emit(OpKind.CONCAT, shape, AxisAttrs(axis), fused=node.option(1), value=value)


@rule("PACK")
def _pack(node: TfliteNode) -> None:
    shapes = [node.input(i).shape for i in node.given()]
    axis = axis_of(node.option(1, "i"), len(shapes[0]) + 1)
    shape = (*shapes[0][:axis], len(shapes), *shapes[0][axis:])
    value = node.compute(lambda *parts: np.stack(parts, axis), *node.given())
    node.emit(OpKind.COPY, shape, CopyAttrs("stack"), value=value)


@rule("UNPACK")
def _unpack(node: TfliteNode) -> None:
    shape = node.input(0).shape
    axis = axis_of(node.option(1, "i"), len(shape))
    part = (*shape[:axis], *shape[axis + 1 :])
    node.emit_many(OpKind.COPY, [part] * len(node.operator.outputs), CopyAttrs("unbind"))


@rule("SPLIT", "SPLIT_V")
def _split(node: TfliteNode) -> None:
    """SPLIT: axis, x. SPLIT_V: x, sizes, axis."""
    equal = node.op_type == "SPLIT"
    position = 1 if equal else 0
    shape, given = node.input(position).shape, node.int_values(0 if equal else 2)
    count = len(node.operator.outputs)
    shapes: list[Shape | None] = [None] * count
    if given is not None:
        axis = axis_of(given[0], len(shape))
        sizes = (shape[axis] // max(count, 1),) * count if equal else node.int_values(1)
        if sizes is not None:
            rest = shape[axis] - sum(n for n in sizes if n >= 0)
            shapes = [(*shape[:axis], n if n >= 0 else rest, *shape[axis + 1 :]) for n in sizes]
    node.emit_many(OpKind.COPY, shapes, CopyAttrs("split"), inputs=(position,))


@rule("SLICE")
def _slice(node: TfliteNode) -> None:
    shape, begin, size = node.input(0).shape, node.int_values(1), node.int_values(2)
    result = None
    if begin is not None and size is not None:
        result = tuple(n - b if s < 0 else s for n, b, s in zip(shape, begin, size, strict=True))
    node.emit(OpKind.COPY, result, CopyAttrs("slice"), inputs=(0,))


@rule("STRIDED_SLICE")
def _strided_slice(node: TfliteNode) -> None:
    """x, begin, end, strides with bit masks; new-axis and ellipsis masks keep the file's shape."""
    shape = node.input(0).shape
    begin, end, strides = (node.int_values(i) for i in (1, 2, 3))
    begin_mask, end_mask, ellipsis, new_axis, shrink = (node.option(i, "i") for i in range(5))
    if begin is None or end is None or strides is None or ellipsis or new_axis:
        node.emit(OpKind.COPY, None, CopyAttrs("slice"), inputs=(0,))
        return
    cuts: list[slice | int] = []
    extents = []
    for axis, (b, e, s) in enumerate(zip(begin, end, strides, strict=True)):
        if shrink >> axis & 1:
            cuts.append(b)
            continue
        cut = slice(None if begin_mask >> axis & 1 else b, None if end_mask >> axis & 1 else e, s)
        cuts.append(cut)
        extents.append(len(range(*cut.indices(shape[axis]))))
    value = node.compute(lambda a: np.asarray(a[tuple(cuts)]), 0)
    result = (*extents, *shape[len(begin) :])
    node.emit(OpKind.COPY, result, CopyAttrs("slice"), inputs=(0,), value=value)


@rule("GATHER")
def _gather(node: TfliteNode) -> None:
    x, ids = node.input(0), node.input(1)
    axis = axis_of(node.option(0, "i"), len(x.shape))
    batch = node.option(1, "i")
    shape = (*x.shape[:axis], *ids.shape[batch:], *x.shape[axis + 1 :])
    value = node.compute(lambda a, i: np.take(a, i.astype(np.int64), axis), 0, 1) if not batch else None
    if x.is_weight and len(x.shape) == 2 and axis == 0 and (x.dtype.is_float or x.quantised):
        node.as_weight(0)
        node.emit(OpKind.EMBEDDING, shape)
    else:
        node.emit(OpKind.GATHER, shape, FunctionAttrs("index_select"), value=value)


@rule("EMBEDDING_LOOKUP")
def _embedding(node: TfliteNode) -> None:
    """Ids, table."""
    ids, table = node.input(0), node.input(1)
    node.as_weight(1)
    node.emit(OpKind.EMBEDDING, (*ids.shape, *table.shape[1:]), inputs=(1, 0))


@rule("GATHER_ND")
def _gather_nd(node: TfliteNode) -> None:
    x, ids = node.input(0).shape, node.input(1).shape
    node.emit(OpKind.GATHER, (*ids[:-1], *x[ids[-1] :]), FunctionAttrs("index"))


@rule("SCATTER_ND", "SPARSE_TO_DENSE", "DYNAMIC_UPDATE_SLICE", "SEGMENT_SUM", "UNSORTED_SEGMENT_SUM",
      "UNSORTED_SEGMENT_MAX", "UNSORTED_SEGMENT_MIN", "UNSORTED_SEGMENT_PROD", "MATRIX_SET_DIAG")  # fmt: skip
def _scatter(node: TfliteNode) -> None:
    node.emit(OpKind.SCATTER, None, FunctionAttrs("scatter_add" if "SEGMENT" in node.op_type else "scatter"))


@rule("PAD", "PADV2", "MIRROR_PAD")
def _pad(node: TfliteNode) -> None:
    shape, pads = node.input(0).shape, node.int_values(1)
    result = None
    if pads is not None:
        result = tuple(n + pads[2 * i] + pads[2 * i + 1] for i, n in enumerate(shape))
    node.emit(OpKind.PAD, result, inputs=(0,))


@rule("SPACE_TO_DEPTH", "DEPTH_TO_SPACE")
def _shuffle(node: TfliteNode) -> None:
    n, h, w, c = node.input(0).shape
    b = max(node.option(0, "i"), 1)
    up = node.op_type == "DEPTH_TO_SPACE"
    shape = (n, h * b, w * b, c // (b * b)) if up else (n, h // b, w // b, c * b * b)
    node.emit(OpKind.COPY, shape, CopyAttrs("pixel_shuffle" if up else "pixel_unshuffle", transposing=True))


@rule("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND")
def _space_to_batch(node: TfliteNode) -> None:
    node.emit(OpKind.COPY, None, CopyAttrs(node.op_type.lower(), transposing=True), inputs=(0,))


@rule("TILE")
def _tile(node: TfliteNode) -> None:
    shape, repeats = node.input(0).shape, node.int_values(1)
    result = None if repeats is None else tuple(n * r for n, r in zip(shape, repeats, strict=True))
    node.emit(OpKind.COPY, result, CopyAttrs("repeat"), inputs=(0,))


@rule("BROADCAST_TO")
def _broadcast_to(node: TfliteNode) -> None:
    target = node.int_values(1)
    result = None if target is None else broadcast(node.input(0).shape, target)
    node.emit(OpKind.COPY, result, CopyAttrs("expand"), inputs=(0,))


@rule("REVERSE_V2", "REVERSE_SEQUENCE", "MATRIX_DIAG", "UNIQUE", "DILATE")
def _other_copy(node: TfliteNode) -> None:
    same = node.op_type.startswith("REVERSE")
    function = "flip" if same else node.op_type.lower()
    shape = node.input(0).shape if same else None
    node.emit_many(OpKind.COPY, [shape] * len(node.operator.outputs), CopyAttrs(function), inputs=(0,))


@rule("SHAPE", "RANK")
def _shape(node: TfliteNode) -> None:
    shape = node.input(0).shape
    value = np.array(shape if node.op_type == "SHAPE" else len(shape), node.out_tensor().numpy_name or "i8")
    node.emit(OpKind.SHAPE, value.shape, FunctionAttrs(node.op_type.lower()), value=value)


@rule("BROADCAST_ARGS")
def _broadcast_args(node: TfliteNode) -> None:
    value = node.compute(lambda a, b: np.array(broadcast(tuple(a.tolist()), tuple(b.tolist())), a.dtype), 0, 1)
    node.emit(OpKind.SHAPE, None if value is None else value.shape, FunctionAttrs("broadcast_args"), value=value)


@rule("FILL", "ZEROS_LIKE", "RANGE", "ONE_HOT", "RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL", "MULTINOMIAL")
def _fill(node: TfliteNode) -> None:
    shape: Shape | None = None
    if node.op_type == "ZEROS_LIKE":
        shape = node.input(0).shape
    elif node.op_type == "FILL":
        shape = node.int_values(0)
    function = {"FILL": "full", "ZEROS_LIKE": "zeros", "RANGE": "arange", "ONE_HOT": "one_hot"}.get(
        node.op_type, "rand"
    )
    node.emit(OpKind.FILL, shape, FunctionAttrs(function), inputs=())


@rule("WHERE")
def _where(node: TfliteNode) -> None:
    """Coordinates of the set elements: as many as there are elements, at most."""
    node.importer.builder.note("WHERE: the number of set elements is data; the file's extent is taken")
    node.emit(OpKind.GATHER, None, FunctionAttrs("nonzero"))


@rule("VAR_HANDLE", "CALL_ONCE", "HASHTABLE", "HASHTABLE_IMPORT", "HASHTABLE_SIZE")
def _handle(node: TfliteNode) -> None:
    """Names of state, and what runs once when the model is loaded."""
    names = [node.declare(i, ()) for i in range(len(node.operator.outputs))]
    function = FunctionAttrs(node.op_type.lower())
    node.importer.builder.emit(OpKind.SHAPE, (), names, function, name=node.name, source=node.source)


@rule("READ_VARIABLE")
def _read_variable(node: TfliteNode) -> None:
    """State lives in the arena: reading it copies it out. What nothing writes after loading is a weight."""
    importer = node.importer
    variables = importer.variables.of(importer.model, importer.subgraph, node.operator.inputs[0])
    if variables & importer.variables.written:
        node.emit(OpKind.COPY, node.out_tensor().shape, CopyAttrs("read_variable"))
        return
    builder, tensor = importer.builder, node.out_tensor()
    shared = "/".join(part for part in min(variables) if part) if variables else ""
    name = f"{shared or node.name_of(0)}.value"
    if name not in builder.tensors:
        role = TensorRole.PARAMETER if tensor.dtype.is_float else TensorRole.CONSTANT
        builder.add_tensor(name, tensor.shape, tensor.dtype, role, tensor.quantised)
    importer.names[node.operator.outputs[0]] = name


@rule("ASSIGN_VARIABLE")
def _assign_variable(node: TfliteNode) -> None:
    """Handle, value. The copy is a tensor of the graph, as TFLite gives the operator no output."""
    value, builder = node.input(1), node.importer.builder
    state = builder.unique_tensor(f"{value.name}.state")
    builder.add_tensor(state, value.shape, value.dtype, quantised=value.quantised)
    attrs = CopyAttrs("assign_variable")
    builder.emit(OpKind.COPY, (value.name,), (state,), attrs, name=node.name, source=node.source)
