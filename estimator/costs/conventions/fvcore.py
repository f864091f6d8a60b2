"""fvcore 0.1.5, `FlopCountAnalysis`: operators of a traced graph; one multiply-add counts as one.

Source: fvcore/nn/flop_count.py and jit_handles.py, release 0.1.5.post20221221.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from estimator.costs.conventions.aten_name import aten_name, qualified
from estimator.costs.conventions.count import Convention, Count, LayerCount
from estimator.costs.conventions.missed import note_missed_macs
from estimator.costs.conventions.op_class import class_of_op
from estimator.costs.convolution import conv_macs
from estimator.costs.matmul import contracted_extent
from estimator.costs.registry import Tensors, is_free
from estimator.ir.graph import Graph
from estimator.ir.op import AdaptivePoolAttrs, EinsumAttrs, NormAttrs, Op, OpKind, ResizeAttrs

Work = tuple[int, int]
"""(macs, other)."""

_MATMULS = frozenset({"addmm", "bmm", "mm", "matmul", "einsum_matmul"})
_NORM_PER_ELEMENT = {"layer": 4, "group": 4, "instance": 4}
_IGNORED = frozenset({
    "Int", "ScalarImplicit", "__and__", "arange", "bitwise_not", "cat", "chunk", "clamp", "clamp_",
    "constant_pad_nd", "contiguous", "copy_", "detach", "dropout", "empty", "eq", "expand", "flatten", "floor",
    "floor_divide", "full", "full_like", "gather", "ge", "gt", "index", "index_put_", "masked_fill", "max", "narrow",
    "new_empty", "new_full", "new_zeros", "nonzero", "ones", "permute", "relu", "relu_", "remainder", "reshape",
    "roll", "select", "size", "slice", "split", "split_with_sizes", "squeeze", "stack", "t", "to", "transpose",
    "type_as", "unbind", "unsqueeze", "unsqueeze_", "view", "zeros", "zeros_like",
})  # fmt: skip
"""Operators that fvcore takes for zero on purpose, and so does not list."""


def _norm(op: Op, inputs: Tensors, _outputs: Tensors) -> Work | None:
    assert isinstance(op.attrs, NormAttrs)
    if op.attrs.function == "batch":
        return 0, inputs[0].numel * (1 + op.attrs.affine)
    per_element = _NORM_PER_ELEMENT.get(op.attrs.function)
    return None if per_element is None else (0, inputs[0].numel * (per_element + op.attrs.affine))


def _matmul(op: Op, inputs: Tensors, outputs: Tensors) -> Work | None:
    if op.source.startswith("aten.") and aten_name(op) not in _MATMULS:
        return None
    return outputs[0].numel * contracted_extent(inputs, outputs), 0


def _einsum(op: Op, inputs: Tensors, _outputs: Tensors) -> Work:
    """Two shapes of equation exactly; others by numpy's path search, whose report has four digits."""
    assert isinstance(op.attrs, EinsumAttrs)
    equation = op.attrs.equation
    if equation in ("abc,abd->acd", "abc,adc->adb"):
        last = inputs[1].shape[-1] if equation == "abc,abd->acd" else inputs[1].shape[1]
        return inputs[0].numel * last, 0
    import numpy as np  # only here: einsum is rare

    operands = [np.broadcast_to(np.zeros(()), t.shape) for t in inputs]
    report = str(np.einsum_path(equation, *operands, optimize="optimal")[1])
    line = next(line for line in report.split("\n") if "optimized flop" in line.lower())
    return math.floor(float(line.split(":")[-1]) / 2), 0


def _resize(op: Op, inputs: Tensors, outputs: Tensors) -> Work | None:
    assert isinstance(op.attrs, ResizeAttrs)
    per_output = {"nearest": 1, "bilinear": 4}.get(op.attrs.mode)
    planar = len(inputs[0].shape) == 4 and not aten_name(op).startswith("_")
    return (0, per_output * outputs[0].numel) if planar and per_output else None


def _adaptive_pool(op: Op, inputs: Tensors, _outputs: Tensors) -> Work | None:
    assert isinstance(op.attrs, AdaptivePoolAttrs)
    counted = op.attrs.function == "avg" and len(op.attrs.output_size) == 2
    return (0, inputs[0].numel) if counted else None


_RULES: dict[OpKind, Callable[[Op, Tensors, Tensors], Work | None]] = {
    OpKind.CONV: lambda op, i, o: (conv_macs(op, i, o), 0),
    OpKind.LINEAR: lambda _, i, o: (o[0].numel * i[1].shape[-1], 0),
    OpKind.MATMUL: _matmul,
    OpKind.EINSUM: _einsum,
    OpKind.NORM: _norm,
    OpKind.RESIZE: _resize,
    OpKind.ADAPTIVE_POOL: _adaptive_pool,
    OpKind.GRID_SAMPLE: lambda _, i, o: (0, 4 * o[0].numel),
}


def _count(convention: Convention, graph: Graph) -> Count:
    layers: list[LayerCount] = []
    unsupported: dict[str, int] = {}
    for op in graph.ops:
        rule = _RULES.get(op.kind)
        outputs = graph.outputs_of(op)
        work = rule(op, graph.inputs_of(op), outputs) if rule else None
        if work is not None:
            layers.append(
                convention.layer(
                    op.name, qualified(op), class_of_op(op), macs=work[0], other=work[1],
                    output_shape=outputs[0].shape, ops=(op.name,),
                )
            )  # fmt: skip
        elif not is_free(op.kind) and aten_name(op) not in _IGNORED:
            unsupported[qualified(op)] = unsupported.get(qualified(op), 0) + 1
    count = convention.total(layers, params=graph.params, unsupported=unsupported)
    return note_missed_macs(count, graph)


CONVENTION = Convention(
    name="fvcore",
    tool="fvcore 0.1.5",
    quantity="FLOPs (1 MAC = 1)",
    mac_weight=1,
    rules={
        "convolution": "1 MAC = 1, no bias",
        "linear": "1 MAC = 1, no bias",
        "matmul": "1 MAC = 1, no addend; baddbmm nothing",
        "batch norm": "2 per element with scale and shift, else 1",
        "other norm": "layer, group, instance norm 5 per element with scale and shift, else 4; RMS norm nothing",
        "resize": "nearest 1, bilinear 4 per output, in two dimensions only",
        "adaptive pooling": "1 per input of a 2-d average",
    },
    counter=_count,
)
