"""A count at the granularity asked for: per layer, per module or per op."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from estimator.costs.conventions.count import Count, LayerCount
from estimator.ir.graph import Graph
from estimator.ir.tensor import Shape, TensorRole


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what a layer, module or op counts for. `depth` is its level in the module tree, 0 otherwise."""

    name: str
    type_name: str
    output_shape: Shape
    params: int
    macs: int
    flops: int
    value: int
    depth: int = 0


def rows_of(count: Count, graph: Graph, per: str) -> tuple[Row, ...]:
    """Rows in execution order (layer, op) or in tree order (module).

    Parameters
    ----------
    per : str
        ``op``: as counted, one row per op, or per module for tools that hook modules. ``layer``: what ran in one leaf
        module is one row. ``module``: every module with what ran in it and below it; rows overlap.
    """
    if per == "module" and graph.modules:
        return _module_rows(count, graph)
    if per == "layer" and graph.modules:
        return _layer_rows(count, graph)
    return tuple(_row(layer) for layer in count.layers)


def _row(layer: LayerCount) -> Row:
    return Row(layer.name, layer.type_name, layer.output_shape, layer.params, layer.macs, layer.flops, layer.value)


def owner_paths(count: Count, graph: Graph) -> list[str]:
    """Find the module that each layer of a count ran in, parallel to `Count.layers`."""
    scope_of = {op.name: op.scope for op in graph.ops}
    paths = {module.path for module in graph.modules}
    return [
        layer.name if layer.name in paths else scope_of.get(layer.ops[0], "") if layer.ops else ""
        for layer in count.layers
    ]


def _layer_rows(count: Count, graph: Graph) -> tuple[Row, ...]:
    parents = {module.path.rpartition(".")[0] for module in graph.modules if module.path}
    type_of = {module.path: module.type_name.rpartition(".")[2] for module in graph.modules}
    params = parameters_below(graph)
    grouped: dict[str, list[LayerCount]] = {}
    for layer, path in zip(count.layers, owner_paths(count, graph), strict=True):
        leaf = path in type_of and path not in parents
        grouped.setdefault(path if leaf else layer.name, []).append(layer)
    rows = []
    for name, layers in grouped.items():
        known = name in type_of and name not in parents
        rows.append(
            Row(
                name or graph.name,
                type_of[name] if known else layers[0].type_name,
                layers[-1].output_shape,
                params.get(name, 0) if known else sum(layer.params for layer in layers),
                *_sums(layers),
            )
        )
    return tuple(rows)


def _module_rows(count: Count, graph: Graph) -> tuple[Row, ...]:
    below: dict[str, list[LayerCount]] = {module.path: [] for module in graph.modules}
    for layer, path in zip(count.layers, owner_paths(count, graph), strict=True):
        for ancestor in ancestors(path):
            if ancestor in below:
                below[ancestor].append(layer)
    params = parameters_below(graph)
    shapes = {c.path: graph.tensors[c.outputs[0]].shape for c in graph.module_calls if c.outputs}
    return tuple(
        Row(
            module.path or graph.name,
            module.type_name.rpartition(".")[2],
            shapes.get(module.path, ()),
            params.get(module.path, 0),
            *_sums(below[module.path]),
            depth=module.path.count(".") + 1 if module.path else 0,
        )
        for module in graph.modules
    )


def _sums(layers: Iterable[LayerCount]) -> tuple[int, int, int]:
    layers = list(layers)
    return sum(x.macs for x in layers), sum(x.flops for x in layers), sum(x.value for x in layers)


def ancestors(path: str) -> list[str]:
    """List a module path and all paths above it, the root "" first."""
    parts = path.split(".") if path else []
    return [".".join(parts[:i]) for i in range(len(parts) + 1)]


def parameters_below(graph: Graph) -> dict[str, int]:
    """Learned parameters of every module and what is below it; a shared tensor counts where it is first owned."""
    totals: dict[str, int] = {}
    seen: set[str] = set()
    for module in graph.modules:
        own = 0
        for name in module.parameters:
            tensor = graph.tensors[name]
            if name not in seen and tensor.role is TensorRole.PARAMETER:
                own += tensor.numel
            seen.add(name)
        for path in ancestors(module.path):
            totals[path] = totals.get(path, 0) + own
    return totals
