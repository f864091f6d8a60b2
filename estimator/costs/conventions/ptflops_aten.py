"""ptflops 0.7.5, `backend="aten"`: mm, addmm, bmm and convolution as dispatched on a CPU; 1 MAC = 1, bias counted.

Source: ptflops/aten_engine.py and aten_ops.py, release 0.7.5.
"""

from __future__ import annotations

from estimator.costs.attention import score_count
from estimator.costs.conventions.aten_name import aten_name
from estimator.costs.conventions.contiguity import Contiguity
from estimator.costs.conventions.count import Convention, Count
from estimator.costs.conventions.op_walk import Work, count_ops
from estimator.costs.convolution import conv_macs
from estimator.costs.matmul import contracted_extent, einsum_steps
from estimator.costs.recurrent import rnn_cells, rnn_product_macs, sequence_steps
from estimator.costs.registry import Tensors
from estimator.costs.training import gradient_tensors
from estimator.ir.graph import Graph
from estimator.ir.op import Op, OpKind, RnnAttrs

_NOT_COUNTED = frozenset({"_trilinear", "bilinear", "addbmm", "mv", "dot", "addmv", "baddbmm"})


def _attention(op: Op, inputs: Tensors, learned: frozenset[str]) -> Work | None:
    """Count attention that the fused CPU kernel refuses and torch decomposes: with a learned mask, or d ≠ dv."""
    q, _, v = inputs[:3]
    fused = not any(name in learned for name in op.inputs[3:]) and q.shape[-1] == v.shape[-1] and len(q.shape) == 4
    return None if fused else Work(score_count(inputs) * (q.shape[-1] + v.shape[-1]))


def _work(op: Op, inputs: Tensors, outputs: Tensors, contiguity: Contiguity, learned: frozenset[str]) -> Work | None:
    """Count what the CPU dispatches for an op; None where that has no rule."""
    out = outputs[0]
    if op.kind is OpKind.CONV:
        return Work(conv_macs(op, inputs, outputs), bias=out.numel if len(inputs) > 2 else 0)
    if op.kind is OpKind.LINEAR:
        # addmm takes the bias in; a strided input of rank 3 or more goes through matmul and a separate add
        fused = len(inputs) > 2 and (len(inputs[0].shape) == 2 or contiguity.of(op.inputs[0]))
        return Work(out.numel * inputs[1].shape[-1], bias=out.numel if fused else 0)
    if op.kind is OpKind.MATMUL:
        if aten_name(op) in _NOT_COUNTED or min(len(t.shape) for t in inputs[:2]) < 2:
            return None
        return Work(out.numel * contracted_extent(inputs, outputs), bias=out.numel if len(inputs) > 2 else 0)
    if op.kind is OpKind.ATTENTION:
        return _attention(op, inputs, learned)
    if op.kind is OpKind.EINSUM and aten_name(op) not in _NOT_COUNTED:
        return Work(sum(step.extent for step in einsum_steps(op, [t.shape for t in inputs]) if step.summed))
    if op.kind is OpKind.RNN and isinstance(op.attrs, RnnAttrs):
        opaque = op.attrs.cell == "lstm" and not op.attrs.projection_size and not aten_name(op).endswith("_cell")
        return None if opaque else _recurrent(op.attrs, inputs)
    return None


def _recurrent(attrs: RnnAttrs, inputs: Tensors) -> Work:
    """Count the products and both biases of every gate.

    A batch-first input is transposed first, so that the first layer adds its input bias apart from the product.
    An LSTM without projection never comes here: it is one opaque CPU call.
    """
    x = inputs[0].shape
    cells = rnn_cells(attrs, x[-1])
    transposed = attrs.batch_first and len(x) == 3 and min(x[:2]) > 1
    biases = sum(cell.gates * (1 if transposed and cell.layer == 0 else 2) for cell in cells) * attrs.hidden_size
    steps = sequence_steps(attrs, inputs)
    return Work(rnn_product_macs(attrs, inputs), bias=steps * biases if attrs.has_bias else 0)


def _count(convention: Convention, graph: Graph) -> Count:
    contiguity, learned = Contiguity(graph), gradient_tensors(graph)

    def rule(op: Op, inputs: Tensors, outputs: Tensors) -> Work | None:
        return _work(op, inputs, outputs, contiguity, learned)

    return count_ops(convention, graph, lambda _: rule)


CONVENTION = Convention(
    name="ptflops-aten",
    tool="ptflops 0.7.5, aten backend",
    quantity="MACs",
    mac_weight=1,
    rules={
        "convolution": "1 MAC = 1, bias 1 per output",
        "linear": "1 MAC = 1, bias 1 per output where torch fuses it (addmm)",
        "matmul": "1 MAC = 1, addend 1 per output; baddbmm nothing",
        "attention": "nothing where the fused CPU kernel takes it; with a learned mask both products, 1 MAC = 1",
        "recurrent": "GRU, plain RNN, cells: gate products and biases; LSTM layers nothing",
    },
    counter=_count,
)
