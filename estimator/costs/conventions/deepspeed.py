"""DeepSpeed 0.19 flops profiler: patched `torch.nn.functional` and tensor functions, hooks on recurrent layers.

Flops count 1 MAC as 2; recurrent layers and einsum report flops but no MACs. What a graph cannot tell: `a + b` (not
patched) from `torch.add` (patched); sums and products are taken for operators.

Source: deepspeed/profiling/flops_profiler/profiler.py, release 0.19.8.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from estimator.costs.conventions.aten_name import aten_name, qualified
from estimator.costs.conventions.count import Convention, Count, LayerCount
from estimator.costs.conventions.missed import note_missed_macs
from estimator.costs.conventions.op_class import class_of_op
from estimator.costs.conventions.patched_function import PatchedActivations
from estimator.costs.conventions.rnn_cell_rule import rnn_layer_work
from estimator.costs.convolution import conv_macs
from estimator.costs.matmul import contracted_extent
from estimator.costs.recurrent import GATES
from estimator.costs.registry import Tensors, is_free
from estimator.ir.graph import Graph
from estimator.ir.op import EinsumAttrs, NormAttrs, Op, OpKind, ResizeAttrs, RnnAttrs, SoftmaxAttrs

Work = tuple[int, int, int]
"""(macs, other, bias)."""

_PATCHED_ACTIVATIONS = frozenset({"relu", "prelu", "elu", "leaky_relu", "relu6", "silu", "gelu"})
_PATCHED_PRODUCTS = frozenset({"matmul", "mm", "bmm", "addmm", "baddbmm"})


def _conv(op: Op, inputs: Tensors, outputs: Tensors) -> Work:
    return conv_macs(op, inputs, outputs), 0, outputs[0].numel if len(inputs) > 2 else 0


def _linear(_: Op, inputs: Tensors, outputs: Tensors) -> Work:
    return outputs[0].numel * inputs[1].shape[-1], 0, 0


def _matmul(op: Op, inputs: Tensors, outputs: Tensors) -> Work | None:
    if aten_name(op) not in _PATCHED_PRODUCTS:
        return None
    return outputs[0].numel * contracted_extent(inputs, outputs), 0, inputs[2].numel if len(inputs) > 2 else 0


def _einsum(op: Op, inputs: Tensors, _outputs: Tensors) -> Work:
    """Numpy's path report, read with its four digits."""
    assert isinstance(op.attrs, EinsumAttrs)
    import numpy as np  # only here: einsum is rare

    operands = [np.broadcast_to(np.zeros(()), t.shape) for t in inputs]
    report = str(np.einsum_path(op.attrs.equation, *operands, optimize="optimal")[1])
    line = next(line for line in report.split("\n") if "optimized flop" in line.lower())
    return 0, int(float(line.split(":")[-1])), 0


def _attention(_: Op, inputs: Tensors, _outputs: Tensors) -> Work:
    q, k, v = inputs[:3]
    scores = math.prod(q.shape[:-1]) * k.shape[-2]
    return scores * q.shape[-1] + scores * v.shape[-1], 0, 0


def _rnn(op: Op, inputs: Tensors, _outputs: Tensors) -> Work:
    """Leave out the first product sum of each gate, and report no MACs."""
    assert isinstance(op.attrs, RnnAttrs)
    attrs, x = op.attrs, inputs[0]
    products, other, bias = rnn_layer_work(attrs, x.shape[-1])
    first_sums = 2 * GATES[attrs.cell] * attrs.hidden_size * attrs.layers
    times = x.numel // x.shape[-1] * (2 if attrs.bidirectional else 1)
    return 0, times * (2 * products - first_sums + other), times * bias


def _norm(op: Op, inputs: Tensors, _outputs: Tensors) -> Work | None:
    assert isinstance(op.attrs, NormAttrs)
    plain = {"batch": 1, "layer": 4, "group": 4, "instance": 4}.get(op.attrs.function)
    return None if plain is None else (0, inputs[0].numel * (plain + op.attrs.affine), 0)


def _input_elements(_: Op, inputs: Tensors, _outputs: Tensors) -> Work:
    return 0, inputs[0].numel, 0


def _softmax(op: Op, inputs: Tensors, _outputs: Tensors) -> Work | None:
    return None if isinstance(op.attrs, SoftmaxAttrs) and op.attrs.log else (0, inputs[0].numel, 0)


def _resize(op: Op, _inputs: Tensors, outputs: Tensors) -> Work:
    """By scale factor: every output. By size: the product of the size alone, batch and channels forgotten."""
    assert isinstance(op.attrs, ResizeAttrs)
    shape = outputs[0].shape
    pixels = shape[1:-1] if op.attrs.channels_last else shape[2:]
    return 0, math.prod(shape if op.attrs.by_scale else pixels), 0


_RULES: dict[OpKind, Callable[[Op, Tensors, Tensors], Work | None]] = {
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
    OpKind.RESIZE: _resize,
}


def _count(convention: Convention, graph: Graph) -> Count:
    layers: list[LayerCount] = []
    unsupported: dict[str, int] = {}
    activations = PatchedActivations(graph, _PATCHED_ACTIVATIONS)
    for op in graph.ops:
        rule = _input_elements if activations.sees(op) else _RULES.get(op.kind)
        outputs = graph.outputs_of(op)
        work = rule(op, graph.inputs_of(op), outputs) if rule else None
        if work is not None:
            macs, other, bias = work
            layers.append(
                convention.layer(
                    op.name, qualified(op), class_of_op(op), macs=macs, other=other, bias=bias,
                    output_shape=outputs[0].shape, ops=(op.name,),
                )
            )  # fmt: skip
        elif not is_free(op.kind):
            unsupported[op.source or str(op.kind)] = unsupported.get(op.source or str(op.kind), 0) + 1
    kinds = {op.kind for op in graph.ops}
    notes = []
    if OpKind.RNN in kinds:
        notes.append("recurrent layers enter the flops but not the MACs, as in DeepSpeed")
    if any(isinstance(op.attrs, ResizeAttrs) and not op.attrs.by_scale for op in graph.ops):
        notes.append("a resize to a given size counts its pixels only: DeepSpeed forgets batch and channels")
    return note_missed_macs(
        convention.total(layers, params=graph.params, unsupported=unsupported, notes=notes), graph
    )


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
        "softmax": "1 per element",
        "resize": "by scale 1 per output; by size 1 per pixel",
    },
    counter=_count,
)
