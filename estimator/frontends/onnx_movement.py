"""ONNX operators that move, select, create or rename data. Most can also be computed on small known values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from estimator.dtypes import DType
from estimator.frontends.onnx_importer import DataDependentShape, Node, NodeProblem, rule
from estimator.frontends.onnx_schema import ELEMENT_TYPES, MAX_VALUE_COUNT, WireTensor
from estimator.frontends.shape_arithmetic import (
    axis_of,
    broadcast,
    is_metadata_permutation,
    reshaped,
    slice_extent,
)
from estimator.ir.op import AxisAttrs, CopyAttrs, FunctionAttrs, OpKind
from estimator.ir.tensor import Shape

Array = NDArray[np.generic]
_NUMPY = {e.dtype: e.numpy_name for e in ELEMENT_TYPES.values() if e.numpy_name}


@rule("Constant")
def _constant(node: Node) -> None:
    """Declare a literal, or a weight where the exporter has no initialisers."""
    (local,) = node.wire.outputs
    for found in map(node.attribute, ("value", "sparse_value")):
        if found is not None and found.tensor is not None:
            node.importer.declare_weight(node.frame, local, found.tensor, literal=True)
            return
    value: Array
    if (found := node.attribute("value_ints")) is not None:
        value, code = np.array(found.integers, np.int64), 7
    elif (found := node.attribute("value_floats")) is not None:
        value, code = np.array(found.numbers, np.float32), 1
    elif (found := node.attribute("value_int")) is not None:
        value, code = np.array(found.integer or 0, np.int64), 7
    elif (found := node.attribute("value_float")) is not None:
        value, code = np.array(found.number or 0.0, np.float32), 1
    else:
        value, code = np.zeros((), np.int64), 8
    tensor = WireTensor(local, value.shape, code, code == 8, None, value.reshape(-1))
    node.importer.declare_weight(node.frame, local, tensor, literal=True)


@rule("Identity", "Dropout")
def _identity(node: Node) -> None:
    if node.has(0) and (sequence := node.importer.sequences.get(node.name_of(0))) is not None:
        node.bind_sequence(sequence)
        return
    x = node.input(0)
    value = node.value(0)
    outputs = [(x.shape, x.dtype), (x.shape, DType.BOOL)]
    attrs = FunctionAttrs(node.op_type.lower())
    node.emit_many(OpKind.IDENTITY, outputs, attrs, inputs=(0,), values=None if value is None else [value])


@rule("Shape")
def _shape(node: Node) -> None:
    shape = node.input(0).shape
    start, end = node.int_attr("start", 0), node.int_attr("end", len(shape))
    value = np.array(shape[slice(start, end)], np.int64)
    _host(node, value)


@rule("Size")
def _size(node: Node) -> None:
    _host(node, np.array(node.input(0).numel, np.int64))


def _host(node: Node, value: Array) -> None:
    node.emit_many(OpKind.SHAPE, [(value.shape, DType.I64)], inputs=(0,), values=[value], quantised=False)


def _view(node: Node, shape: Sequence[int]) -> None:
    value = node.value(0)
    folded = None if value is None else value.reshape(tuple(shape))
    node.emit(OpKind.VIEW, shape, FunctionAttrs(node.op_type.lower()), inputs=(0,), value=folded)


@rule("Reshape")
def _reshape(node: Node) -> None:
    target = node.integers(1, "shape", "target shape")
    if target is None:
        raise NodeProblem("its target shape is missing")
    _view(node, reshaped(node.input(0).shape, target, zero_copies=not node.int_attr("allowzero", 0)))


@rule("Flatten")
def _flatten(node: Node) -> None:
    shape = node.input(0).shape
    axis = node.int_attr("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    _view(node, (math.prod(shape[:axis]), math.prod(shape[axis:])))


@rule("Squeeze")
def _squeeze(node: Node) -> None:
    shape = node.input(0).shape
    given = node.integers(1, "axes", "axes")
    drop = {axis_of(a, len(shape)) for a in given} if given else {i for i, n in enumerate(shape) if n == 1}
    _view(node, [n for i, n in enumerate(shape) if i not in drop])


@rule("Unsqueeze")
def _unsqueeze(node: Node) -> None:
    shape = list(node.input(0).shape)
    axes = node.integers(1, "axes", "axes") or ()
    rank = len(shape) + len(axes)
    for axis in sorted(axis_of(a, rank) for a in axes):
        shape.insert(axis, 1)
    _view(node, shape)


@rule("Transpose")
def _transpose(node: Node) -> None:
    """Import a transpose: a copy, unless only axes of extent 1 move."""
    shape = node.input(0).shape
    order = node.ints_attr("perm", tuple(reversed(range(len(shape)))))
    if sorted(order) != list(range(len(shape))):
        raise NodeProblem(f"order {list(order)} for rank {len(shape)}")
    value = node.compute(lambda a: np.transpose(a, order), 0)
    result = [shape[i] for i in order]
    node.importer.builder.orders[node.name] = tuple(order)
    if is_metadata_permutation(shape, order):
        node.emit(OpKind.VIEW, result, FunctionAttrs("transpose"), value=value)
    else:
        node.emit(OpKind.COPY, result, CopyAttrs("transpose", transposing=True), value=value)


@rule("Concat")
def _concat(node: Node) -> None:
    specs = node.inputs()
    axis = axis_of(node.int_attr("axis", 1), len(specs[0].shape))
    others = {(*s.shape[:axis], *s.shape[axis + 1 :]) for s in specs}
    if len(others) > 1:
        raise NodeProblem(f"parts {[list(s.shape) for s in specs]} differ outside axis {axis}")
    shape = (*specs[0].shape[:axis], sum(s.shape[axis] for s in specs), *specs[0].shape[axis + 1 :])
    value = node.compute(lambda *parts: np.concatenate(parts, axis), *range(len(specs)))
    node.emit(OpKind.CONCAT, shape, AxisAttrs(axis), value=value)


@rule("Split")
def _split(node: Node) -> None:
    x = node.input(0)
    axis = axis_of(node.int_attr("axis", 0), len(x.shape))
    sizes = node.integers(1, "split", "split sizes")
    if not sizes:
        count = node.int_attr("num_outputs", len(node.wire.outputs))
        each = -(-x.shape[axis] // max(count, 1))
        sizes = tuple(min(each, max(x.shape[axis] - i * each, 0)) for i in range(count))
    if sum(sizes) != x.shape[axis]:
        raise NodeProblem(f"parts {list(sizes)} of an axis of {x.shape[axis]}")
    outputs = [((*x.shape[:axis], n, *x.shape[axis + 1 :]), x.dtype) for n in sizes]
    value = node.value(0)
    values = None if value is None else np.split(value, np.cumsum(sizes)[:-1], axis)
    node.emit_many(OpKind.COPY, outputs, CopyAttrs("split"), inputs=(0,), values=values)


@rule("Slice")
def _slice(node: Node) -> None:
    """Cut; starts, ends, axes, steps are attributes until opset 9, inputs since."""
    x = node.input(0)
    starts = node.integers(1, "starts", "starts") or ()
    ends = node.integers(2, "ends", "ends") or ()
    axes = node.integers(3, "axes", "axes") or tuple(range(len(starts)))
    steps = node.int_values(4, "steps") if node.has(4) else (1,) * len(starts)
    cuts = [slice(None)] * len(x.shape)
    shape = list(x.shape)
    for raw, start, end, step in zip(axes, starts, ends, steps, strict=True):
        axis = axis_of(raw, len(shape))
        size = x.shape[axis]
        if step < 0:  # Python's slices have no spelling for "to before the first" but None
            stop = None if end < -size else end
            cuts[axis] = slice(min(start, size - 1), stop, step)
            shape[axis] = len(range(*cuts[axis].indices(size)))
        else:
            cuts[axis] = slice(start, end, step)
            shape[axis] = slice_extent(size, start, end, step)
    value = node.compute(lambda a: a[tuple(cuts)], 0)
    if tuple(shape) == x.shape:
        node.emit(OpKind.IDENTITY, shape, FunctionAttrs("slice"), inputs=(0,), value=value)
    else:
        node.emit(OpKind.COPY, shape, CopyAttrs("slice"), inputs=(0,), value=value)


@rule("Gather")
def _gather(node: Node) -> None:
    """Rows of a weight are an embedding; otherwise an indexed read."""
    x, ids = node.input(0), node.input(1)
    axis = axis_of(node.int_attr("axis", 0), len(x.shape))
    shape = (*x.shape[:axis], *ids.shape, *x.shape[axis + 1 :])
    value = node.compute(lambda a, i: np.take(a, i.astype(np.int64), axis), 0, 1)
    if x.is_weight and len(x.shape) == 2 and axis == 0 and x.dtype.is_float:
        node.as_weight(0)
        node.emit(OpKind.EMBEDDING, shape, dtype=x.dtype, value=value)
    else:
        node.emit(OpKind.GATHER, shape, FunctionAttrs("index_select"), dtype=x.dtype, value=value)


@rule("GatherElements")
def _gather_elements(node: Node) -> None:
    node.emit(OpKind.GATHER, node.input(1).shape, FunctionAttrs("gather"), dtype=node.input(0).dtype)


@rule("GatherND")
def _gather_nd(node: Node) -> None:
    x, ids = node.input(0), node.input(1)
    batch = node.int_attr("batch_dims", 0)
    shape = (*ids.shape[:-1], *x.shape[batch + ids.shape[-1] :])
    node.emit(OpKind.GATHER, shape, FunctionAttrs("index"), dtype=x.dtype)


@rule("ArrayFeatureExtractor", domain="ai.onnx.ml")
def _feature_extractor(node: Node) -> None:
    x = node.input(0)
    node.emit(OpKind.GATHER, (*x.shape[:-1], node.input(1).numel), FunctionAttrs("index"), dtype=x.dtype)


@rule("Scatter", "ScatterElements", "ScatterND", "TensorScatter")
def _scatter(node: Node) -> None:
    x = node.input(0)
    function = "scatter_add" if node.text_attr("reduction", "none") != "none" else "scatter"
    value = None
    if node.op_type == "ScatterND" and function == "scatter":
        value = node.compute(_scatter_nd, 0, 1, 2)
    order = (0, 2, 1) if node.op_type == "TensorScatter" else (0, 1, 2)
    node.emit(OpKind.SCATTER, x.shape, FunctionAttrs(function), dtype=x.dtype, inputs=order, value=value)


def _scatter_nd(data: Array, indices: Array, updates: Array) -> Array:
    result = data.copy()
    result[tuple(np.moveaxis(indices.astype(np.int64), -1, 0))] = updates
    return result


@rule("Pad")
def _pad(node: Node) -> None:
    x = node.input(0)
    pads = node.integers(1, "pads", "pads") or node.ints_attr("paddings", (0,) * 2 * len(x.shape))
    axes = node.int_values(3, "axes") if node.has(3) else tuple(range(len(x.shape)))
    shape = list(x.shape)
    for position, axis in enumerate(axes):
        shape[axis_of(axis, len(shape))] += pads[position] + pads[position + len(axes)]
    node.emit(OpKind.PAD, shape, inputs=(0,))


@rule("CenterCropPad")
def _center_crop_pad(node: Node) -> None:
    shape = list(node.input(0).shape)
    axes = node.ints_attr("axes", tuple(range(len(shape))))
    for axis, extent in zip(axes, node.int_values(1, "shape"), strict=True):
        shape[axis_of(axis, len(shape))] = extent
    node.emit(OpKind.PAD, shape, inputs=(0,))


@rule("Expand")
def _expand(node: Node) -> None:
    x = node.input(0)
    target = node.int_values(1, "target shape")
    shape = broadcast(x.shape, target)
    value = node.compute(lambda a: np.broadcast_to(a, shape), 0) if math.prod(shape) <= MAX_VALUE_COUNT else None
    if shape == x.shape:
        node.emit(OpKind.IDENTITY, shape, FunctionAttrs("expand"), inputs=(0,), value=value)
    else:
        node.emit(OpKind.COPY, shape, CopyAttrs("expand"), inputs=(0,), value=value)


@rule("Tile")
def _tile(node: Node) -> None:
    x = node.input(0)
    repeats = node.int_values(1, "repeats")
    shape = tuple(n * r for n, r in zip(x.shape, repeats, strict=True))
    value = node.compute(lambda a: np.tile(a, repeats), 0) if math.prod(shape) <= MAX_VALUE_COUNT else None
    node.emit(OpKind.COPY, shape, CopyAttrs("repeat"), inputs=(0,), value=value)


@rule("DepthToSpace", "SpaceToDepth")
def _shuffle(node: Node) -> None:
    n, c, h, w = node.input(0).shape
    b = node.int_attr("blocksize", 1)
    up = node.op_type == "DepthToSpace"
    shape: Shape = (n, c // (b * b), h * b, w * b) if up else (n, c * b * b, h // b, w // b)
    node.emit(OpKind.COPY, shape, CopyAttrs("pixel_shuffle" if up else "pixel_unshuffle", transposing=True))


@rule("ReverseSequence", "Trilu")
def _same_shape_copy(node: Node) -> None:
    function = "flip" if node.op_type == "ReverseSequence" else "triu" if node.int_attr("upper", 1) else "tril"
    node.emit(OpKind.COPY, node.input(0).shape, CopyAttrs(function), inputs=(0,))


@rule("ConstantOfShape")
def _constant_of_shape(node: Node) -> None:
    shape = node.int_values(0, "shape")
    found = node.attribute("value")
    tensor = found.tensor if found else None
    dtype = tensor.dtype if tensor else DType.F32
    fill = tensor.values() if tensor else np.zeros(1, np.float32)
    small = all(n >= 0 for n in shape) and math.prod(shape) <= MAX_VALUE_COUNT
    value = np.broadcast_to(fill.reshape(-1)[:1].reshape(()), shape) if fill is not None and small else None
    node.emit(OpKind.FILL, shape, FunctionAttrs("full"), dtype=dtype, inputs=(), value=value, quantised=False)


@rule("Range")
def _range(node: Node) -> None:
    parts = [node.value(i) for i in range(3)]
    if any(p is None for p in parts):
        raise DataDependentShape("its bounds depend on input data")
    start, limit, delta = (float(p.reshape(-1)[0]) for p in parts if p is not None)
    count = max(0, math.ceil((limit - start) / delta))
    dtype = node.input(0).dtype
    value = None
    if count <= MAX_VALUE_COUNT and dtype in _NUMPY:
        value = (start + delta * np.arange(count)).astype(_NUMPY[dtype])
    node.emit(OpKind.FILL, (count,), FunctionAttrs("arange"), dtype=dtype, inputs=(), value=value)


@rule("EyeLike", "RandomNormalLike", "RandomUniformLike")
def _fill_like(node: Node) -> None:
    x = node.input(0)
    code = node.int_attr("dtype", 0)
    dtype = ELEMENT_TYPES[code].dtype if code else x.dtype
    function = "eye" if node.op_type == "EyeLike" else "rand"
    node.emit(OpKind.FILL, x.shape, FunctionAttrs(function), dtype=dtype, inputs=())


@rule("RandomNormal", "RandomUniform")
def _random(node: Node) -> None:
    dtype = ELEMENT_TYPES[node.int_attr("dtype", 1)].dtype
    node.emit(OpKind.FILL, node.ints_attr("shape"), FunctionAttrs("rand"), dtype=dtype, inputs=())


@rule("OneHot")
def _one_hot(node: Node) -> None:
    ids = node.input(0).shape
    depth = node.int_values(1, "depth")[0]
    axis = axis_of(node.int_attr("axis", -1), len(ids) + 1)
    shape = (*ids[:axis], depth, *ids[axis:])
    node.emit(OpKind.FILL, shape, FunctionAttrs("one_hot"), dtype=node.input(2).dtype, inputs=(0,))


@rule("NonZero")
def _nonzero(node: Node) -> None:
    """How many elements are set is data; all of them is the largest possible answer."""
    x = node.input(0)
    value = node.compute(lambda a: np.array(np.nonzero(a), np.int64).reshape(max(a.ndim, 1), -1), 0)
    if value is None:
        node.importer.builder.note("NonZero: the number of set elements is data; all are taken to be set")
    shape = (len(x.shape), x.numel) if value is None else value.shape
    node.emit(OpKind.GATHER, shape, FunctionAttrs("nonzero"), dtype=DType.I64, value=value, quantised=False)


@rule("Compress")
def _compress(node: Node) -> None:
    x = node.input(0)
    node.importer.builder.note("Compress: the number of kept elements is data; all are taken to be kept")
    found = node.attribute("axis")
    shape: Shape = x.shape if found else (x.numel,)
    extent = node.input(1).numel
    if found:
        axis = axis_of(node.int_attr("axis", 0), len(shape))
        shape = tuple(min(n, extent) if i == axis else n for i, n in enumerate(shape))
    node.emit(OpKind.GATHER, shape, FunctionAttrs("masked_select"), dtype=x.dtype)
