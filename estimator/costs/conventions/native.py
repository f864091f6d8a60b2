"""The project's own count: every op by the rules of `costs`."""

from __future__ import annotations

from estimator.costs.conventions.aten_name import display_name
from estimator.costs.conventions.count import Convention, Count
from estimator.costs.conventions.op_class import class_of_op
from estimator.costs.registry import graph_cost, is_free
from estimator.ir.graph import Graph
from estimator.ir.op import OpKind


def _count(convention: Convention, graph: Graph) -> Count:
    cost = graph_cost(graph)
    layers = []
    for op, op_cost in zip(graph.ops, cost.per_op, strict=True):
        if op_cost is None or is_free(op.kind):
            continue
        out = graph.tensors[op.outputs[0]] if op.outputs else None
        has_bias = op.kind in (OpKind.CONV, OpKind.LINEAR)
        layers.append(
            convention.layer(
                op.name,
                display_name(op),
                class_of_op(op),
                macs=op_cost.macs,
                other=0 if has_bias else op_cost.other_flops,
                bias=op_cost.other_flops if has_bias else 0,
                params=op_cost.params,
                output_shape=out.shape if out else (),
                ops=(op.name,),
            )
        )
    notes = []
    if cost.unsupported:
        notes.append(f"{cost.coverage:.1%} of the ops have a rule; the others are not in the total")
    return convention.total(layers, params=graph.params, unsupported=dict.fromkeys(cost.unsupported, 1), notes=notes)


CONVENTION = Convention(
    name="native",
    tool="this project",
    quantity="FLOPs",
    mac_weight=2,
    rules={
        "convolution": "1 MAC = 2, bias 1 per output",
        "linear": "1 MAC = 2, bias 1 per output",
        "matmul": "1 MAC = 2",
        "attention": "both products, and 6 per score (scale, softmax)",
        "recurrent": "gate products, biases and cell arithmetic",
        "batch norm": "2 per element",
        "other norm": "5 per element, 7 with scale and shift (RMS 3 and 4)",
        "softmax": "5 per element",
        "activation": "relu 1, gelu 5, silu 5, … per element",
        "pooling": "window − 1 (max) or window (average) per output",
        "adaptive pooling": "1 per input",
        "resize": "bilinear 7 per output, nearest 0",
        "reduction": "1 per input folded",
        "elementwise": "1 per output",
        "other": "see docs/model/counting.md",
    },
    counter=_count,
)
