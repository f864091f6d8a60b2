"""torch 2.14 `FlopCounterMode`, as it counts on meta tensors: matrix products and convolutions, 1 MAC = 2.

The tool's number depends on how the model runs. Eagerly on a CPU, attention goes to a kernel it has no formula for, an
encoder layer's fast path hides whole layers, and LSTMs are one opaque call; on meta tensors all of them decompose into
products. This is the meta number.

Source: torch/utils/flop_counter.py, release 2.14.
"""

from __future__ import annotations

from estimator.costs.attention import score_count
from estimator.costs.conventions.aten_name import aten_name
from estimator.costs.conventions.count import Convention, Count
from estimator.costs.conventions.op_walk import Work, count_ops
from estimator.costs.convolution import conv_macs
from estimator.costs.matmul import contracted_extent, einsum_steps
from estimator.costs.recurrent import rnn_product_macs
from estimator.costs.registry import Tensors
from estimator.ir.graph import Graph
from estimator.ir.op import Op, OpKind, RnnAttrs

_UNCOUNTED_PRODUCTS = frozenset(
    {"mv", "dot", "addmv", "addr", "outer", "ger", "vdot", "addbmm", "bilinear", "_trilinear"}
)


def counted_macs(op: Op, inputs: Tensors, outputs: Tensors) -> int | None:
    """MACs of the products an op decomposes into, None if it has none with a formula."""
    if op.kind is OpKind.CONV:
        return conv_macs(op, inputs, outputs)
    if op.kind is OpKind.LINEAR:
        return outputs[0].numel * inputs[1].shape[-1]
    if op.kind is OpKind.MATMUL:
        vectors = any(len(t.shape) < 2 for t in inputs[:2])
        counted = not vectors and aten_name(op) not in _UNCOUNTED_PRODUCTS
        return outputs[0].numel * contracted_extent(inputs, outputs) if counted else None
    if op.kind is OpKind.EINSUM:
        if aten_name(op) in _UNCOUNTED_PRODUCTS:
            return None
        return sum(step.extent for step in einsum_steps(op, [t.shape for t in inputs]) if step.summed)
    if op.kind is OpKind.ATTENTION:
        return score_count(inputs) * (inputs[0].shape[-1] + inputs[2].shape[-1])
    if op.kind is OpKind.RNN and isinstance(op.attrs, RnnAttrs):
        return rnn_product_macs(op.attrs, inputs)
    return None


def _work(op: Op, inputs: Tensors, outputs: Tensors) -> Work | None:
    macs = counted_macs(op, inputs, outputs)
    return None if macs is None else Work(macs)


def _count(convention: Convention, graph: Graph) -> Count:
    notes = []
    kinds = {op.kind for op in graph.ops}
    if OpKind.ATTENTION in kinds or OpKind.RNN in kinds:
        notes.append(
            "run eagerly on a CPU, torch's counter leaves out fused attention, LSTMs and encoder fast paths; "
            "this is its count on meta tensors, which has them"
        )
    return count_ops(convention, graph, lambda _: _work, notes=notes)


CONVENTION = Convention(
    name="torch",
    tool="torch 2.14 FlopCounterMode (meta)",
    quantity="FLOPs",
    mac_weight=2,
    rules={
        "convolution": "1 MAC = 2, no bias",
        "linear": "1 MAC = 2, no bias",
        "matmul": "1 MAC = 2, no addend; matrix-vector products nothing",
        "attention": "both products, 1 MAC = 2; no softmax",
        "recurrent": "gate products, 1 MAC = 2; no biases, no cell arithmetic",
    },
    counter=_count,
)
