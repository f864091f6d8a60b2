"""DeepSpeed 0.19 flops profiler: patched `torch.nn.functional` and tensor functions, hooks on recurrent layers.

Flops count 1 MAC as 2; recurrent layers and einsum report flops but no MACs. `torch.add` and `x.mul()` are patched,
``+`` and ``*`` are not; `F.softmax` is, `x.softmax()` is not.

Source: deepspeed/profiling/flops_profiler/profiler.py, release 0.19.8.
"""

from __future__ import annotations

import math

from estimator.costs.conventions.aten_name import aten_name
from estimator.costs.conventions.count import Convention, Count
from estimator.costs.conventions.op_walk import OpRule, Work, count_ops, einsum_path_flops
from estimator.costs.conventions.patched_function import (
    PatchedActivations,
    patched_softmax,
    patched_sum_or_product,
)
from estimator.costs.conventions.rnn_cell_rule import rnn_layer_work
from estimator.costs.convolution import conv_macs
from estimator.costs.matmul import contracted_extent
from estimator.costs.normalisation import has_stored_statistics
from estimator.costs.recurrent import GATES
from estimator.costs.registry import Tensors
from estimator.ir.graph import Graph
from estimator.ir.op import EinsumAttrs, NormAttrs, Op, OpKind, ResizeAttrs, RnnAttrs

_PATCHED_ACTIVATIONS = frozenset({"relu", "prelu", "elu", "leaky_relu", "relu6", "silu", "gelu"})
_RESIZE_BY_SCALE = frozenset({"torchvision.models.detection.transform.GeneralizedRCNNTransform"})
"""Modules that ask for a scale factor and have torch turn it into a size (`recompute_scale_factor`)."""
_PATCHED_PRODUCTS = frozenset({"matmul", "mm", "bmm", "addmm", "baddbmm"})


def _conv(op: Op, inputs: Tensors, outputs: Tensors) -> Work:
    return Work(conv_macs(op, inputs, outputs), bias=outputs[0].numel if len(inputs) > 2 else 0)


def _linear(_: Op, inputs: Tensors, outputs: Tensors) -> Work:
    return Work(outputs[0].numel * inputs[1].shape[-1])


def _matmul(op: Op, inputs: Tensors, outputs: Tensors) -> Work | None:
    if aten_name(op) not in _PATCHED_PRODUCTS:
        return None
    macs = outputs[0].numel * contracted_extent(inputs, outputs)
    return Work(macs, bias=inputs[2].numel if len(inputs) > 2 else 0)


def _einsum(op: Op, inputs: Tensors, _outputs: Tensors) -> Work | None:
    assert isinstance(op.attrs, EinsumAttrs)
    if aten_name(op) != "einsum":
        return None  # another operator that contracts
    return Work(other=int(einsum_path_flops(op.attrs.equation, inputs)))


def _attention(_: Op, inputs: Tensors, _outputs: Tensors) -> Work:
    q, k, v = inputs[:3]
    scores = math.prod(q.shape[:-1]) * k.shape[-2]
    return Work(scores * (q.shape[-1] + v.shape[-1]))


def _rnn(op: Op, inputs: Tensors, _outputs: Tensors) -> Work:
    """Leave out the first product sum of each gate, and report no MACs."""
    assert isinstance(op.attrs, RnnAttrs)
    attrs, x = op.attrs, inputs[0]
    products, other, bias = rnn_layer_work(attrs, x.shape[-1])
    first_sums = 2 * GATES[attrs.cell] * attrs.hidden_size * attrs.layers
    times = x.numel // x.shape[-1] * (2 if attrs.bidirectional else 1)
    return Work(other=times * (2 * products - first_sums + other), bias=times * bias)


def _norm(op: Op, inputs: Tensors, _outputs: Tensors) -> Work | None:
    assert isinstance(op.attrs, NormAttrs)
    plain = {"batch": 4, "layer": 4, "group": 4, "instance": 4}.get(op.attrs.function)
    if op.attrs.function == "batch" and has_stored_statistics(op, inputs):
        plain = 1
    return None if plain is None else Work(other=inputs[0].numel * (plain + op.attrs.affine))


def _softmax(op: Op, inputs: Tensors, _outputs: Tensors) -> Work | None:
    return Work(other=inputs[0].numel) if patched_softmax(op) else None


def _binary(op: Op, _inputs: Tensors, outputs: Tensors) -> Work | None:
    return Work(other=outputs[0].numel) if patched_sum_or_product(op) else None


def _resize(op: Op, inputs: Tensors, outputs: Tensors) -> Work:
    """By scale factor: every output. By size: the product of the size alone, batch and channels forgotten."""
    assert isinstance(op.attrs, ResizeAttrs)
    if op.attrs.by_scale:
        return _output_elements(op, inputs, outputs)
    shape = outputs[0].shape
    return Work(other=math.prod(shape[1:-1] if op.attrs.channels_last else shape[2:]))


def _input_elements(_: Op, inputs: Tensors, _outputs: Tensors) -> Work:
    return Work(other=inputs[0].numel)


def _output_elements(_: Op, _inputs: Tensors, outputs: Tensors) -> Work:
    return Work(other=outputs[0].numel)


_RULES: dict[OpKind, OpRule] = {
    OpKind.CONV: _conv,
    OpKind.LINEAR: _linear,
    OpKind.MATMUL: _matmul,
    OpKind.EINSUM: _einsum,
    OpKind.ATTENTION: _attention,
    OpKind.RNN: _rnn,
    OpKind.NORM: _norm,
    OpKind.POOL: _input_elements,
    OpKind.ADAPTIVE_POOL: _input_elements,
    OpKind.SOFTMAX: _softmax,
    OpKind.BINARY: _binary,
    OpKind.RESIZE: _resize,
}


def _count(convention: Convention, graph: Graph) -> Count:
    activations = PatchedActivations(graph, _PATCHED_ACTIVATIONS)
    scaling = {module.path for module in graph.modules if module.type_name in _RESIZE_BY_SCALE}

    def rule_of(op: Op) -> OpRule | None:
        if op.kind is OpKind.RESIZE and op.scope in scaling:
            return _output_elements
        return _input_elements if activations.sees(op) else _RULES.get(op.kind)

    notes = []
    if any(op.kind is OpKind.RNN for op in graph.ops):
        notes.append("recurrent layers enter the flops but not the MACs, as in DeepSpeed")
    if any(rule_of(op) is _resize and not getattr(op.attrs, "by_scale", False) for op in graph.ops):
        notes.append("a resize to a given size counts its pixels only: DeepSpeed forgets batch and channels")
    return count_ops(convention, graph, rule_of, notes=notes)


CONVENTION = Convention(
    name="deepspeed",
    tool="DeepSpeed 0.19 flops profiler",
    quantity="FLOPs",
    mac_weight=2,
    rules={
        "convolution": "1 MAC = 2, bias 1 per output",
        "linear": "1 MAC = 2, no bias",
        "matmul": "1 MAC = 2, addend 1 per element of it",
        "attention": "both products, 1 MAC = 2; no softmax",
        "recurrent": "gate products less first sums, biases, cell arithmetic; no MACs",
        "batch norm": "2 per element (1 without scale and shift)",
        "other norm": "layer, group, instance norm 5 per element (4 without); RMS norm nothing",
        "activation": "ReLU, LeakyReLU, PReLU, ELU, GELU, SiLU, F.relu6 1 per element; nn.ReLU6 nothing",
        "pooling": "1 per input",
        "adaptive pooling": "1 per input",
        "softmax": "F.softmax 1 per element; the method nothing",
        "elementwise": "torch.add and torch.mul 1 per output; + and * nothing",
        "resize": "by scale 1 per output; by size 1 per pixel",
    },
    counter=_count,
)
