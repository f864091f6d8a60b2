"""ptflops 0.7.5, `backend="aten"`: mm, addmm, bmm and convolution as dispatched on a CPU; 1 MAC = 1, bias counted.

Source: ptflops/aten_engine.py and aten_ops.py, release 0.7.5.
"""

from __future__ import annotations

from estimator.costs.conventions.aten_name import aten_name, qualified
from estimator.costs.conventions.contiguity import Contiguity
from estimator.costs.conventions.count import Convention, Count, LayerCount
from estimator.costs.conventions.missed import note_missed_macs
from estimator.costs.conventions.op_class import class_of_op
from estimator.costs.convolution import conv_macs
from estimator.costs.matmul import contracted_extent, einsum_steps
from estimator.costs.recurrent import rnn_cells, sequence_steps
from estimator.costs.registry import Tensors, is_free
from estimator.ir.graph import Graph
from estimator.ir.op import Op, OpKind, RnnAttrs

Work = tuple[int, int]
"""(macs, bias)."""


def _work(op: Op, inputs: Tensors, outputs: Tensors, contiguity: Contiguity) -> Work | None:
    """Count what the CPU dispatches for an op; None where that has no rule."""
    out = outputs[0] if outputs else None
    if out is None:
        return None
    if op.kind is OpKind.CONV:
        return conv_macs(op, inputs, outputs), out.numel if len(inputs) > 2 else 0
    if op.kind is OpKind.LINEAR:
        # addmm takes the bias in; a strided input of rank 3 or more goes through matmul and a separate add
        fused = len(inputs) > 2 and (len(inputs[0].shape) == 2 or contiguity.of(op.inputs[0]))
        return out.numel * inputs[1].shape[-1], out.numel if fused else 0
    if op.kind is OpKind.MATMUL:
        if aten_name(op) in ("mv", "dot", "addmv", "baddbmm") or min(len(t.shape) for t in inputs[:2]) < 2:
            return None
        return out.numel * contracted_extent(inputs, outputs), out.numel if len(inputs) > 2 else 0
    if op.kind is OpKind.EINSUM:
        return sum(step.extent for step in einsum_steps(op, [t.shape for t in inputs]) if step.summed), 0
    if op.kind is OpKind.RNN and isinstance(op.attrs, RnnAttrs) and op.attrs.cell != "lstm":
        return _recurrent(op.attrs, inputs)
    return None


def _recurrent(attrs: RnnAttrs, inputs: Tensors) -> Work:
    """Products and both biases of every gate; LSTMs never come here, they are one opaque CPU call."""
    steps = sequence_steps(attrs, inputs)
    cells = rnn_cells(attrs, inputs[0].shape[-1])
    macs = sum(cell.gates * attrs.hidden_size * (cell.input_size + cell.state_size) for cell in cells)
    bias = sum(2 * cell.gates * attrs.hidden_size for cell in cells) if attrs.has_bias else 0
    return steps * macs, steps * bias


def _count(convention: Convention, graph: Graph) -> Count:
    layers: list[LayerCount] = []
    unsupported: dict[str, int] = {}
    contiguity = Contiguity(graph)
    for op in graph.ops:
        outputs = graph.outputs_of(op)
        work = _work(op, graph.inputs_of(op), outputs, contiguity)
        if work is not None:
            layers.append(
                convention.layer(
                    op.name, qualified(op).replace("::", "."), class_of_op(op), macs=work[0], bias=work[1],
                    output_shape=outputs[0].shape, ops=(op.name,),
                )
            )  # fmt: skip
        elif not is_free(op.kind):
            unsupported[op.source or str(op.kind)] = unsupported.get(op.source or str(op.kind), 0) + 1
    return note_missed_macs(convention.total(layers, params=graph.params, unsupported=unsupported), graph)


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
