"""The cost of one training step: forward, backward and optimiser.

A gradient is needed where a learned parameter lies upstream and a graph output downstream. Every product then comes
back once per operand that needs a gradient. The forward pass is that of training: batch norms compute their
statistics, dropout draws a mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from estimator.costs.normalisation import has_stored_statistics
from estimator.costs.opcost import OpCost
from estimator.costs.recurrent import rnn_backward_macs
from estimator.costs.registry import Tensors, cost_of_op
from estimator.ir.graph import Graph
from estimator.ir.op import FunctionAttrs, NormAttrs, Op, OpKind, RnnAttrs
from estimator.ir.tensor import TensorRole

_PRODUCTS = frozenset(
    {OpKind.CONV, OpKind.DEFORM_CONV, OpKind.LINEAR, OpKind.MATMUL, OpKind.EINSUM, OpKind.ATTENTION, OpKind.RNN}
)
_BATCH_STATISTICS_FLOPS = 5
"""Training-mode batch norm beyond inference: mean, subtract, square, variance, running averages."""
_DROPOUT_FLOPS = 2
"""Draw and multiply."""
_BACKWARD_PER_ELEMENT = {
    OpKind.SOFTMAX: 4,       # y · (g − Σ g·y)
    OpKind.ACTIVATION: 2,    # derivative from the saved value, times g
    OpKind.UNARY: 2,
    OpKind.TERNARY: 1,
    OpKind.NORM: 8,          # two reductions, then a combination of three terms
    OpKind.RESIZE: 1,
    OpKind.GRID_SAMPLE: 8,
    OpKind.POOL: 1,
    OpKind.ADAPTIVE_POOL: 1,
    OpKind.REDUCE: 1,
    OpKind.CUMULATIVE: 1,
    OpKind.ROI_ALIGN: 8,
    OpKind.EMBEDDING: 1,     # scatter-add of rows
    OpKind.GATHER: 1,
}  # fmt: skip
"""FLOPs per element of the larger of input and output, besides products; an estimate, not a definition."""
_LINEAR_BINARY = frozenset({"add", "sub", "rsub"})


class Optimiser(StrEnum):
    """Update rules, by their usual names."""

    SGD = "sgd"
    MOMENTUM = "momentum"
    ADAMW = "adamw"


_UPDATE_FLOPS = {Optimiser.SGD: 2, Optimiser.MOMENTUM: 4, Optimiser.ADAMW: 15}
"""Per parameter. AdamW: first moment 3, second 4, bias corrections 2, root, ε, division, step 4, decay 2."""
_STATE_WORDS = {Optimiser.SGD: 0, Optimiser.MOMENTUM: 1, Optimiser.ADAMW: 2}
"""Values kept per parameter between steps; each is read and written once."""


@dataclass(frozen=True, slots=True)
class OpTraining:
    """One op's forward and backward; the gradients it makes are named by operand."""

    forward: OpCost
    backward: OpCost
    gradients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrainingCost:
    """One step.

    Attributes
    ----------
    per_op : tuple of OpTraining or None
        Parallel to `Graph.ops`; None where there is no rule.
    saved_bytes : int
        Activations that the backward pass reads and so must outlive the forward pass.
    """

    forward: OpCost
    backward: OpCost
    optimiser: OpCost
    per_op: tuple[OpTraining | None, ...]
    saved_bytes: int

    @property
    def total(self) -> OpCost:
        """Forward, backward and optimiser together."""
        return self.forward + self.backward + self.optimiser


def training_cost(graph: Graph, optimiser: Optimiser = Optimiser.ADAMW) -> TrainingCost:
    """Cost one training step of a graph.

    Parameters
    ----------
    graph : Graph
        As recorded for inference; structure that exists in training only (auxiliary heads) is not in it.

    Returns
    -------
    TrainingCost
        MACs of all products exactly; other backward FLOPs by the per-element figures above. Loss not included.
    """
    differentiable = gradient_tensors(graph)
    per_op: list[OpTraining | None] = []
    forward = backward = OpCost()
    saved: dict[str, int] = {}
    for op in graph.ops:
        step = _op_training(op, graph, differentiable)
        per_op.append(step)
        if step is not None:
            forward, backward = forward + step.forward, backward + step.backward
        if step is not None and step.gradients and op.kind not in (OpKind.VIEW, OpKind.IDENTITY):
            saved.update((t.name, t.size_bytes) for t in graph.inputs_of(op) if not t.is_weight)
    return TrainingCost(
        forward, backward, optimiser_cost(graph, optimiser), tuple(per_op), saved_bytes=sum(saved.values())
    )


def gradient_tensors(graph: Graph) -> frozenset[str]:
    """Tensors for which a backward pass makes a gradient: downstream of a parameter and upstream of an output."""
    downstream = {t.name for t in graph.tensors.values() if t.role is TensorRole.PARAMETER and t.dtype.is_float}
    for op in graph.ops:
        stops = isinstance(op.attrs, FunctionAttrs) and op.attrs.function == "detach"
        if not stops and any(name in downstream for name in op.inputs):
            downstream.update(name for name in op.outputs if graph.tensors[name].dtype.is_float)
    upstream = set(graph.outputs)
    for op in reversed(graph.ops):
        if any(name in upstream and name in downstream for name in op.outputs):
            upstream.update(op.inputs)
    return frozenset(downstream & upstream)


def optimiser_cost(graph: Graph, optimiser: Optimiser) -> OpCost:
    """Update every float parameter once: reads weight, gradient and state, writes weight and state."""
    weights = [t for t in graph.tensors.values() if t.role is TensorRole.PARAMETER and t.dtype.is_float]
    count, size = sum(t.numel for t in weights), sum(t.size_bytes for t in weights)
    state = _STATE_WORDS[optimiser]
    return OpCost(
        other_flops=count * _UPDATE_FLOPS[optimiser], bytes_read=size * (2 + state), bytes_written=size * (1 + state)
    )


def _op_training(op: Op, graph: Graph, differentiable: frozenset[str]) -> OpTraining | None:
    inference = cost_of_op(op, graph)
    if inference is None:
        return None
    inputs, outputs = graph.inputs_of(op), graph.outputs_of(op)
    forward = _training_forward(op, inputs, outputs, inference)
    makes = any(name in differentiable for name in op.outputs)
    gradients = tuple(dict.fromkeys(n for n in op.inputs if n in differentiable)) if makes else ()
    if not gradients:
        return OpTraining(forward, OpCost(), ())
    return OpTraining(forward, _backward(op, inputs, outputs, forward, gradients), gradients)


def _training_forward(op: Op, inputs: Tensors, outputs: Tensors, inference: OpCost) -> OpCost:
    """Add to the inference cost what only training does."""
    if op.kind is OpKind.NORM and isinstance(op.attrs, NormAttrs) and op.attrs.function == "batch":
        if has_stored_statistics(op, inputs):
            return inference + OpCost(other_flops=inputs[0].numel * _BATCH_STATISTICS_FLOPS)
    elif op.kind is OpKind.IDENTITY and isinstance(op.attrs, FunctionAttrs) and "dropout" in op.attrs.function:
        out = outputs[0]
        mask_bytes = out.numel
        return OpCost(
            other_flops=out.numel * _DROPOUT_FLOPS,
            bytes_read=out.size_bytes,
            bytes_written=out.size_bytes + mask_bytes,
        )
    return inference


def _backward(op: Op, inputs: Tensors, outputs: Tensors, forward: OpCost, gradients: tuple[str, ...]) -> OpCost:
    """Gradients of an op's operands: reads the result's gradient and the operands, writes one gradient each."""
    if op.kind in (OpKind.VIEW, OpKind.SHAPE) or (op.kind is OpKind.IDENTITY and not forward.bytes_written):
        return OpCost()
    made = [t for t in inputs if t.name in gradients]
    read = sum(t.size_bytes for t in outputs)
    if op.kind not in (OpKind.CONCAT, OpKind.COPY, OpKind.PAD) and not _is_linear_sum(op):
        read += sum(t.size_bytes for t in {t.name: t for t in inputs}.values())
    return OpCost(
        macs=backward_macs(op, forward.macs, inputs, gradients),
        other_flops=_backward_other(op, inputs, outputs, gradients),
        bytes_read=read,
        bytes_written=sum(t.size_bytes for t in {t.name: t for t in made}.values()),
    )


def backward_macs(op: Op, forward_macs: int, inputs: Tensors, gradients: tuple[str, ...]) -> int:
    """Forward MACs once per multiplied operand that needs a gradient; attention has three for two products."""
    if op.kind not in _PRODUCTS:
        return 0
    if op.kind is OpKind.ATTENTION:
        q, k, v = inputs[:3]
        share = forward_macs // (q.shape[-1] + v.shape[-1])  # scores
        needs_scores = q.name in gradients or k.name in gradients
        wanted = (q.name in gradients) * q.shape[-1] + (k.name in gradients) * q.shape[-1]
        return share * (wanted + (v.name in gradients) * v.shape[-1] + needs_scores * v.shape[-1])
    if op.kind is OpKind.RNN and isinstance(op.attrs, RnnAttrs):
        return rnn_backward_macs(op.attrs, inputs, gradients)
    operands = inputs if op.kind is OpKind.EINSUM else inputs[:2]
    return forward_macs * sum(t.name in gradients for t in operands)


def _is_linear_sum(op: Op) -> bool:
    return op.kind is OpKind.BINARY and isinstance(op.attrs, FunctionAttrs) and op.attrs.function in _LINEAR_BINARY


def _backward_other(op: Op, inputs: Tensors, outputs: Tensors, gradients: tuple[str, ...]) -> int:
    result = sum(t.numel for t in outputs)
    if op.kind in _PRODUCTS:
        biases = inputs[2:] if op.kind in (OpKind.CONV, OpKind.LINEAR, OpKind.MATMUL) else ()
        return result * sum(t.name in gradients for t in biases)  # a bias gradient sums over everything else
    if op.kind is OpKind.BINARY:
        summed = sum(t.name in gradients and t.numel < result for t in inputs)  # broadcast operands sum back
        scaled = 0 if _is_linear_sum(op) else len(gradients)
        return result * (summed + scaled)
    if op.kind is OpKind.IDENTITY:
        return result
    return max(result, inputs[0].numel if inputs else 0) * _BACKWARD_PER_ELEMENT.get(op.kind, 0)
