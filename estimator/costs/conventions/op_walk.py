"""The loop of every tool that counts operators rather than modules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from estimator.costs.conventions.aten_name import qualified
from estimator.costs.conventions.count import Convention, Count, LayerCount
from estimator.costs.conventions.missed import note_missed_macs
from estimator.costs.conventions.op_class import class_of_op
from estimator.costs.conventions.registered import packed_note, registered_parameters
from estimator.costs.registry import Tensors, is_free
from estimator.ir.graph import Graph
from estimator.ir.op import Op

_OPAQUE_NAMESPACES = ("quantized.",)
"""Operators on packed integer weights: no counting tool has a rule for any of them."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a tool counts for one op: multiply-accumulates, bias additions, and the rest."""

    macs: int = 0
    other: int = 0
    bias: int = 0


OpRule = Callable[[Op, Tensors, Tensors], Work | None]
"""(op, inputs, outputs) -> work, None if the tool has no rule for this op."""


def count_ops(
    convention: Convention,
    graph: Graph,
    rule_of: Callable[[Op], OpRule | None],
    *,
    skipped: Callable[[Op], bool] = lambda op: False,
    notes: Iterable[str] = (),
) -> Count:
    """Count a graph op by op.

    Parameters
    ----------
    rule_of : callable
        The tool's rule for an op.
    skipped : callable
        Ops that the tool leaves out on purpose and does not list as unsupported.
    """
    layers: list[LayerCount] = []
    unsupported: dict[str, int] = {}
    for op in graph.ops:
        if not op.outputs:
            continue
        rule = None if op.source.startswith(_OPAQUE_NAMESPACES) else rule_of(op)
        outputs = graph.outputs_of(op)
        work = rule(op, graph.inputs_of(op), outputs) if rule else None
        if work is not None:
            layers.append(op_layer(convention, op, work, outputs))
        elif not is_free(op.kind) and not skipped(op):
            name = qualified(op)
            unsupported[name] = unsupported.get(name, 0) + 1
    count = convention.total(
        layers,
        params=registered_parameters(graph),
        unsupported=unsupported,
        notes=(*notes, *packed_note(graph)),
    )
    return note_missed_macs(count, graph)


def op_layer(convention: Convention, op: Op, work: Work, outputs: Tensors, prefix: str = "") -> LayerCount:
    """Make the layer of one op."""
    return convention.layer(
        op.name,
        prefix + qualified(op),
        class_of_op(op),
        macs=work.macs,
        other=work.other,
        bias=work.bias,
        output_shape=outputs[0].shape,
        ops=(op.name,),
    )


def einsum_path_flops(equation: str, inputs: Tensors) -> float:
    """Read the optimised FLOP count in numpy's einsum path report, with the four digits it prints."""
    import numpy as np  # only here: einsum is rare, and importing the conventions stays light

    operands = [np.broadcast_to(np.zeros(()), t.shape) for t in inputs]
    report = str(np.einsum_path(equation, *operands, optimize="optimal")[1])
    line = next(line for line in report.split("\n") if "optimized flop" in line.lower())
    return float(line.split(":")[-1])
