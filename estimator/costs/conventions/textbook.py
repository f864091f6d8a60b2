"""The formulas of lecture notes: params = n·(h·w·c + 1), FLOPs = H·W·n·(h·w·c + 1).

n filters of h × w × c on an H × W output; a fully connected layer is h = w = H = W = 1. The "+ 1" is the bias and
is counted for every layer, as the formulas are written, whether the layer has one or not. Their "FLOPs" are MACs.
"""

from __future__ import annotations

import math

from estimator.costs.conventions.count import Convention, Count, LayerCount
from estimator.costs.conventions.op_class import class_of_op
from estimator.costs.convolution import conv_macs
from estimator.costs.registry import is_free
from estimator.ir.graph import Graph
from estimator.ir.op import ConvAttrs, Op, OpKind

_LAYERS = (OpKind.CONV, OpKind.DEFORM_CONV, OpKind.LINEAR)


def _layer(convention: Convention, op: Op, graph: Graph) -> LayerCount:
    inputs, (out, *_) = graph.inputs_of(op), graph.outputs_of(op)
    weight = inputs[1]
    if op.kind is OpKind.LINEAR:
        filters, macs = weight.shape[0], out.numel * weight.shape[-1]
    else:
        attrs = op.attrs
        transposed = isinstance(attrs, ConvAttrs) and attrs.transposed
        groups = attrs.groups if isinstance(attrs, ConvAttrs) else 1
        filters = weight.shape[1] * groups if transposed else weight.shape[0]
        macs = conv_macs(op, inputs, (out,))
    return convention.layer(
        op.name, op.source or str(op.kind), class_of_op(op), macs=macs, bias=out.numel,
        params=math.prod(weight.shape) + filters, output_shape=out.shape, ops=(op.name,),
    )  # fmt: skip


def _count(convention: Convention, graph: Graph) -> Count:
    layers: list[LayerCount] = []
    counted: dict[str, int] = {}
    unsupported: dict[str, int] = {}
    unbiased = 0
    for op in graph.ops:
        if op.kind in _LAYERS:
            layer = _layer(convention, op, graph)
            layers.append(layer)
            counted[op.inputs[1]] = layer.params
            unbiased += op.kind is not OpKind.DEFORM_CONV and len(op.inputs) < 3
        elif not is_free(op.kind):
            name = op.source or str(op.kind)
            unsupported[name] = unsupported.get(name, 0) + 1
    notes = ["only convolutions and fully connected layers have a textbook formula"]
    if unbiased:
        notes.append(f"the formulas give every layer a bias; {unbiased} of the {len(layers)} here have none")
    return convention.total(layers, params=sum(counted.values()), unsupported=unsupported, notes=notes)


CONVENTION = Convention(
    name="textbook",
    tool="lecture-note formulas",
    quantity="MACs",
    mac_weight=1,
    rules={
        "convolution": "H·W·n·(h·w·c + 1), bias or not",
        "linear": "n·(c + 1) per position, bias or not",
    },
    counter=_count,
)
