"""fvcore 0.1.5, `FlopCountAnalysis`: operators of a traced graph; one multiply-add counts as one.

Source: fvcore/nn/flop_count.py and jit_handles.py, release 0.1.5.post20221221.
"""

from __future__ import annotations

import math

from estimator.costs.conventions.aten_name import aten_name
from estimator.costs.conventions.count import Convention, Count
from estimator.costs.conventions.op_walk import OpRule, Work, count_ops, einsum_path_flops
from estimator.costs.convolution import conv_macs
from estimator.costs.matmul import contracted_extent
from estimator.costs.normalisation import has_stored_statistics
from estimator.costs.recurrent import rnn_product_macs
from estimator.costs.registry import Tensors
from estimator.ir.graph import Graph
from estimator.ir.op import AdaptivePoolAttrs, EinsumAttrs, NormAttrs, Op, OpKind, ResizeAttrs, RnnAttrs

_MATMULS = frozenset({"addmm", "bmm", "mm", "matmul"})
_NORM_PER_ELEMENT = {"batch": 4, "layer": 4, "group": 4, "instance": 4}
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
    if op.attrs.function == "batch" and has_stored_statistics(op, inputs):
        return Work(other=inputs[0].numel * (1 + op.attrs.affine))
    per_element = _NORM_PER_ELEMENT.get(op.attrs.function)
    return None if per_element is None else Work(other=inputs[0].numel * (per_element + op.attrs.affine))


def _linear(_: Op, inputs: Tensors, outputs: Tensors) -> Work:
    return Work(macs=outputs[0].numel * inputs[1].shape[-1])


def _conv(op: Op, inputs: Tensors, outputs: Tensors) -> Work | None:
    if op.source.endswith(".padding"):
        return None  # padding given as a word is another operator, aten::_convolution_mode, without a rule
    return Work(macs=conv_macs(op, inputs, outputs))


def _matmul(op: Op, inputs: Tensors, outputs: Tensors) -> Work | None:
    if op.source.startswith(("aten.", "operator.")) and aten_name(op) not in _MATMULS:
        return None
    return Work(macs=outputs[0].numel * contracted_extent(inputs, outputs))


def _einsum(op: Op, inputs: Tensors, _outputs: Tensors) -> Work | None:
    """Two equations exactly; others by numpy's path search, whose report has four digits."""
    assert isinstance(op.attrs, EinsumAttrs)
    if aten_name(op) != "einsum":
        return None  # another operator that contracts
    equation = op.attrs.equation
    if equation == "abc,abd->acd":
        return Work(macs=inputs[0].numel * inputs[1].shape[-1])
    if equation == "abc,adc->adb":
        return Work(macs=inputs[0].numel * inputs[1].shape[1])
    return Work(macs=math.floor(einsum_path_flops(equation, inputs) / 2))


def _resize(op: Op, inputs: Tensors, outputs: Tensors) -> Work | None:
    assert isinstance(op.attrs, ResizeAttrs)
    per_output = {"nearest": 1, "bilinear": 4}.get(op.attrs.mode)
    planar = len(inputs[0].shape) == 4 and not aten_name(op).startswith("_")
    return Work(other=per_output * outputs[0].numel) if planar and per_output else None


def _rnn(op: Op, inputs: Tensors, _outputs: Tensors) -> Work | None:
    """Count single cells, which a trace shows as linear layers; whole recurrent layers are one unknown operator."""
    assert isinstance(op.attrs, RnnAttrs)
    return Work(rnn_product_macs(op.attrs, inputs)) if aten_name(op).endswith("_cell") else None


def _grid_sample(_: Op, _inputs: Tensors, outputs: Tensors) -> Work:
    return Work(other=4 * outputs[0].numel)


def _adaptive_pool(op: Op, inputs: Tensors, _outputs: Tensors) -> Work | None:
    assert isinstance(op.attrs, AdaptivePoolAttrs)
    counted = op.attrs.function == "avg" and len(op.attrs.output_size) == 2
    return Work(other=inputs[0].numel) if counted else None


_RULES: dict[OpKind, OpRule] = {
    OpKind.CONV: _conv,
    OpKind.LINEAR: _linear,
    OpKind.MATMUL: _matmul,
    OpKind.EINSUM: _einsum,
    OpKind.NORM: _norm,
    OpKind.RESIZE: _resize,
    OpKind.ADAPTIVE_POOL: _adaptive_pool,
    OpKind.RNN: _rnn,
    OpKind.GRID_SAMPLE: _grid_sample,
}


def _count(convention: Convention, graph: Graph) -> Count:
    return count_ops(convention, graph, lambda op: _RULES.get(op.kind), skipped=lambda op: aten_name(op) in _IGNORED)


CONVENTION = Convention(
    name="fvcore",
    tool="fvcore 0.1.5",
    quantity="FLOPs (1 MAC = 1)",
    mac_weight=1,
    rules={
        "convolution": "1 MAC = 1, no bias; padding given as a word (same) nothing",
        "linear": "1 MAC = 1, no bias",
        "matmul": "1 MAC = 1, no addend; baddbmm nothing",
        "batch norm": "2 per element with scale and shift, else 1; from the batch's own statistics 5 and 4",
        "other norm": "layer, group, instance norm 5 per element with scale and shift, else 4; RMS norm nothing",
        "recurrent": "single cells 1 MAC = 1; layers nothing",
        "resize": "nearest 1, bilinear 4 per output, in two dimensions only",
        "adaptive pooling": "1 per input of a 2-d average",
    },
    counter=_count,
)
