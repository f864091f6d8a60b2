"""Parameters as torch's tools see them: those that modules register."""

from __future__ import annotations

from estimator.ir.graph import Graph
from estimator.ir.tensor import TensorRole


def registered_parameters(graph: Graph) -> int:
    """Elements of all registered parameters, each tensor once; all learned weights of a graph without modules.

    Packed weights of quantised modules are no parameters to torch, so its tools say 0 for them.
    """
    if not graph.modules:
        return graph.params
    names = {name for module in graph.modules for name in module.parameters}
    return sum(graph.tensors[name].numel for name in names if graph.tensors[name].role is TensorRole.PARAMETER)


def packed_note(graph: Graph) -> list[str]:
    """Say so where weights are packed away from the tools' sight."""
    hidden = graph.params - registered_parameters(graph)
    if not hidden:
        return []
    return [f"{hidden:,} packed (quantised) weights are no parameters to torch and so not counted by its tools"]
