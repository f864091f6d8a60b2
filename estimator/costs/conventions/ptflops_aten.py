"""ptflops 0.7.5, `backend="aten"`: mm, addmm, bmm and convolution as dispatched on a CPU; 1 MAC = 1, bias counted.

Source: ptflops/aten_engine.py and aten_ops.py, release 0.7.5.
"""

from __future__ import annotations

from estimator.costs.conventions.aten_name import aten_name
from estimator.costs.conventions.contiguity import Contiguity
from estimator.costs.conventions.count import Convention, Count
from estimator.costs.conventions.op_walk import Work, count_ops
from estimator.costs.convolution import conv_macs
from estimator.costs.matmul import contracted_extent, einsum_steps
from estimator.costs.recurrent import rnn_cells, sequence_steps
from estimator.costs.registry import Tensors
from estimator.ir.graph import Graph
from estimator.ir.op import Op, OpKind, RnnAttrs

_NOT_COUNTED = frozenset({"mv", "dot", "addmv", "baddbmm"})


def _work(op: Op, inputs: Tensors, outputs: Tensors, contiguity: Contiguity) -> Work | None:
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
    if op.kind is OpKind.EINSUM:
        return Work(sum(step.extent for step in einsum_steps(op, [t.shape for t in inputs]) if step.summed))
    if op.kind is OpKind.RNN and isinstance(op.attrs, RnnAttrs) and op.attrs.cell != "lstm":
        return _recurrent(op.attrs, inputs)
    return None


def _recurrent(attrs: RnnAttrs, inputs: Tensors) -> Work:
    """Products and both biases of every gate; LSTMs never come here, they are one opaque CPU call."""
    steps = sequence_steps(attrs, inputs)
    cells = rnn_cells(attrs, inputs[0].shape[-1])
    macs = sum(cell.gates * attrs.hidden_size * (cell.input_size + cell.state_size) for cell in cells)
    bias = sum(2 * cell.gates * attrs.hidden_size for cell in cells) if attrs.has_bias else 0
    return Work(steps * macs, bias=steps * bias)


def _count(convention: Convention, graph: Graph) -> Count:
    contiguity = Contiguity(graph)

    def rule(op: Op, inputs: Tensors, outputs: Tensors) -> Work | None:
        return _work(op, inputs, outputs, contiguity)

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
        "recurrent": "GRU and plain RNN: gate products and biases; LSTM nothing",
    },
    counter=_count,
)
