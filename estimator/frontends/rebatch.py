"""Change the batch of a graph whose file has it baked into every shape.

The batch axis is followed from the inputs through each op by what the op does to axes; constants such as
a reshape's target need no care, because only the shapes of the finished graph are rewritten.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from estimator.errors import BadOptionError, GraphError
from estimator.ir.graph import Graph
from estimator.ir.op import AxisAttrs, EinsumAttrs, Op, OpKind, ReduceAttrs
from estimator.ir.tensor import Shape, TensorSpec
from estimator.ir.validate import validate

_RESHAPING = frozenset({OpKind.VIEW, OpKind.COPY, OpKind.GATHER, OpKind.UNKNOWN, OpKind.CONTROL, OpKind.FOLD,
                        OpKind.UNFOLD})  # fmt: skip
_BROADCASTING = frozenset({OpKind.BINARY, OpKind.TERNARY, OpKind.MATMUL, OpKind.ACTIVATION, OpKind.CONCAT})
_UNBATCHED = frozenset({OpKind.SHAPE, OpKind.FILL})


def rebatch(graph: Graph, batch: int, orders: Mapping[str, Sequence[int]] | None = None) -> Graph:
    """Rescale the leading extent of the inputs and all that follows from it.

    Parameters
    ----------
    graph : Graph
        Its batch is the leading extent of its first input.
    batch : int
        The wanted leading extent, ≥ 1.
    orders : mapping of op name to permutation, optional
        Axis orders of transposing ops; where unknown, the axis is found by its extent.

    Returns
    -------
    Graph
        Same ops and names. A baked tensor that meets batched ones in a concatenation is widened with them.

    Raises
    ------
    BadOptionError
        The graph has an input for each item of its batch, or its leading extent is no batch.
    """
    old = graph.batch
    if batch == old or old == 0:
        return graph
    if graph.one_input_per_item:
        raise BadOptionError(
            f"{graph.name} cannot be rescaled to batch {batch}: each input is one item",
            where="--batch",
            expected=f"{old}, or the model itself instead of its graph",
        )
    axes = _batch_axes(graph, old, orders or {})
    factor = (batch, old)
    tensors = {name: _scaled(spec, axes.get(name), factor) for name, spec in graph.tensors.items()}
    note = f"the file fixes batch {old}; shapes rescaled to batch {batch}"
    try:
        return validate(replace(graph, tensors=tensors, notes=(*graph.notes, note)))
    except GraphError as error:
        shape = "x".join(map(str, graph.tensors[graph.inputs[0]].shape))
        raise BadOptionError(
            f"{graph.name} cannot be rescaled to batch {batch}: {error.what}",
            where=f"--batch {batch}, first input {shape}",
            expected="a network whose first input has the batch as its leading extent",
            hint="leave out --batch, or export the model for that batch",
        ) from error


def _batch_axes(graph: Graph, old: int, orders: Mapping[str, Sequence[int]]) -> dict[str, int]:
    axes = {name: 0 for name in graph.inputs if graph.tensors[name].shape and graph.tensors[name].shape[0] == old}
    for op in graph.ops:
        if op.kind in _UNBATCHED:
            continue
        for name in op.outputs:
            axis = _output_axis(graph, op, graph.tensors[name], axes, old, orders.get(op.name))
            if axis is not None:
                axes[name] = axis
        _widen_baked(graph, op, axes, old)
    return axes


def _output_axis(
    graph: Graph, op: Op, out: TensorSpec, axes: Mapping[str, int], old: int, order: Sequence[int] | None
) -> int | None:
    if isinstance(op.attrs, EinsumAttrs):
        return _einsum_axis(op, op.attrs.equation, axes)
    for name in op.inputs:
        if name in axes:
            axis = _follow(op, graph.tensors[name].shape, out.shape, axes[name], old, order)
            if axis is not None:
                return axis
    return None


def _follow(op: Op, source: Shape, result: Shape, axis: int, old: int, order: Sequence[int] | None) -> int | None:
    """Where the batch axis of one input goes."""
    if order is not None and len(order) == len(result):
        return list(order).index(axis)
    if isinstance(op.attrs, ReduceAttrs):
        if axis in op.attrs.axes:
            return None
        return axis if op.attrs.keepdim else axis - sum(a < axis for a in op.attrs.axes)
    if op.kind in _BROADCASTING:
        aligned = axis + len(result) - len(source)
        return aligned if 0 <= aligned < len(result) and result[aligned] >= source[axis] else None
    if len(source) == len(result) and source[axis] == result[axis] and op.kind not in _RESHAPING:
        return axis
    if len(source) == len(result) and source[axis] == result[axis] and math.prod(source) != math.prod(result):
        return axis  # a slice or a repetition along another axis
    if op.kind in _RESHAPING and len(source) == len(result) and sorted(source) == sorted(result):
        return axis if source[axis] == result[axis] else result.index(source[axis])
    return _by_position(source, result, axis, old)


def _by_position(source: Shape, result: Shape, axis: int, old: int) -> int | None:
    """Row-major position: the axis of the result with as many elements before it, and the batch as a factor."""
    for dropped in range(len(source)):
        if (*source[:dropped], *source[dropped + 1 :]) == result and dropped != axis:
            return axis - (dropped < axis)  # an unbound or selected axis
    for inserted in (axis, axis + 1):
        if old == 1 != source[axis] and (*source[:inserted], 1, *source[inserted:]) == result:
            return inserted  # [tokens × 1, width] to [tokens, 1, width]: what was flattened is split again
    outer = math.prod(source[:axis])
    for candidate, extent in enumerate(result):
        before = math.prod(result[:candidate])
        if before == outer and extent % old == 0:
            flattened = old == 1 != extent and 0 < candidate == len(result) - 1
            return candidate - 1 if flattened else candidate  # [tokens, 1, width] to [tokens × 1, width]
        if before < outer < before * extent and extent % old == 0:
            return candidate  # [tokens, batch, width] to [tokens × batch, width]
    same = [i for i, n in enumerate(result) if n == source[axis]]
    return same[0] if same else None


def _einsum_axis(op: Op, equation: str, axes: Mapping[str, int]) -> int | None:
    left, _, right = equation.partition("->")
    for term, name in zip(left.split(","), op.inputs, strict=True):
        if name in axes and axes[name] < len(term) and term[axes[name]] in right:
            return right.index(term[axes[name]])
    return None


def _widen_baked(graph: Graph, op: Op, axes: dict[str, int], old: int) -> None:
    """Let a tensor with the batch baked in (an expanded class token) follow what it is concatenated to."""
    if not isinstance(op.attrs, AxisAttrs) or not op.outputs or op.outputs[0] not in axes:
        return
    axis = axes[op.outputs[0]]
    for name in op.inputs:
        spec = graph.tensors[name]
        if name not in axes and not spec.is_weight and axis != op.attrs.axis and spec.shape[axis] == old:
            axes[name] = axis


def _scaled(spec: TensorSpec, axis: int | None, factor: tuple[int, int]) -> TensorSpec:
    if axis is None or axis >= len(spec.shape):
        return spec
    new, old = factor
    shape = (*spec.shape[:axis], spec.shape[axis] * new // old, *spec.shape[axis + 1 :])
    strides = spec.strides and tuple(s * new // old if s > spec.strides[axis] else s for s in spec.strides)
    return replace(spec, shape=shape, strides=strides)
