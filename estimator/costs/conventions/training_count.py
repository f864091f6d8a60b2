"""A training step under the conventions that have one: the native count and torch's counter."""

from __future__ import annotations

from dataclasses import replace

from estimator.costs.conventions.aten_name import display_name
from estimator.costs.conventions.count import Convention, Count, LayerCount
from estimator.costs.conventions.op_class import class_of_op
from estimator.costs.conventions.registry import convention_of
from estimator.costs.conventions.torch_counter import counted_macs
from estimator.costs.opcost import OpCost
from estimator.costs.training import Optimiser, backward_macs, training_cost
from estimator.errors import BadOptionError
from estimator.ir.graph import Graph
from estimator.ir.op import ConvAttrs, Op, OpKind

_WITH_TRAINING = ("native", "torch")


def count_training(graph: Graph, convention: str = "native", optimiser: Optimiser = Optimiser.ADAMW) -> Count:
    """Count one training step.

    Layers are named ``NAME (forward)``, ``NAME (backward)`` and ``optimiser``. torch's counter sees products only, so
    it has nothing for the optimiser.

    Raises
    ------
    UnknownConventionError
        No convention has this name.
    BadOptionError
        The convention's tool does not count a backward pass.
    """
    chosen = convention_of(convention)
    if convention not in _WITH_TRAINING:
        raise BadOptionError(
            f"{chosen.tool} counts a forward pass only",
            where=f"--mode train --convention {convention}",
            expected=f"--convention {' or '.join(_WITH_TRAINING)}",
        )
    return _native(chosen, graph, optimiser) if convention == "native" else _torch(chosen, graph)


def _native(convention: Convention, graph: Graph, optimiser: Optimiser) -> Count:
    cost = training_cost(graph, optimiser)
    layers: list[LayerCount] = []
    unsupported: dict[str, int] = {}
    for op, step in zip(graph.ops, cost.per_op, strict=True):
        if step is None:
            unsupported[op.source or str(op.kind)] = unsupported.get(op.source or str(op.kind), 0) + 1
            continue
        layers += [
            _layer(convention, graph, op, part, phase)
            for part, phase in ((step.forward, "forward"), (step.backward, "backward"))
            if part.flops
        ]
    layers.append(
        convention.layer(
            "optimiser", optimiser.value, "optimiser", other=cost.optimiser.other_flops, params=graph.params
        )
    )
    moved = cost.total.bytes_moved
    notes = [
        "backward FLOPs outside products are estimates per element; MACs are exact",
        f"bytes moved: forward {cost.forward.bytes_moved:,}, backward {cost.backward.bytes_moved:,}, "
        f"optimiser {cost.optimiser.bytes_moved:,}, together {moved:,}",
        f"activations kept for the backward pass: {cost.saved_bytes:,} bytes",
    ]
    return convention.total(layers, params=graph.params, unsupported=unsupported, notes=notes)


def _torch(convention: Convention, graph: Graph) -> Count:
    """Count what `FlopCounterMode` shows around forward and backward on meta tensors."""
    steps = training_cost(graph).per_op
    layers: list[LayerCount] = []
    grouped = False
    for op, step in zip(graph.ops, steps, strict=True):
        inputs, outputs = graph.inputs_of(op), graph.outputs_of(op)
        macs = counted_macs(op, inputs, outputs) if outputs else None
        if macs is None or step is None:
            continue
        layers.append(_layer(convention, graph, op, OpCost(macs=macs), "forward"))
        back = backward_macs(op, macs, inputs, step.gradients) if step.gradients else 0
        if op.kind is OpKind.CONV and isinstance(op.attrs, ConvAttrs) and op.attrs.groups > 1:
            extra = macs * (op.attrs.groups - 1) if op.inputs[1] in step.gradients else 0
            grouped |= extra > 0
            back += extra
        if back:
            layers.append(_layer(convention, graph, op, OpCost(macs=back), "backward"))
    notes = ["products only: no elementwise backward, no optimiser"]
    if grouped:
        notes.append("torch counts the weight gradient of a grouped convolution as if it were dense, `groups` times it")
    count = convention.total(layers, params=graph.params, notes=notes)
    return replace(count, unsupported=convention.count(graph).unsupported)


def _layer(convention: Convention, graph: Graph, op: Op, cost: OpCost, phase: str) -> LayerCount:
    return convention.layer(
        f"{op.name} ({phase})",
        display_name(op),
        class_of_op(op),
        macs=cost.macs,
        other=cost.other_flops,
        params=cost.params if phase == "forward" else 0,
        output_shape=graph.tensors[op.outputs[0]].shape,
        ops=(op.name,),
    )
