"""TensorFlow's profiler, scope view: names as a tree, ``name (self/total flops)``, largest first.

Float operations: nodes that count for nothing are left out and their children move up. Parameters: every scope of
every variable, with its shape.

Source: tensorflow/core/profiler/internal/tfprof_scope.cc and tfprof_utils.cc (FormatNumber).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from estimator.costs.conventions.count import Count
from estimator.costs.conventions.tf_profiler import variables
from estimator.ir.graph import Graph
from estimator.ir.tensor import Shape

_ROOT = "_TFProfRoot"


@dataclass(slots=True)
class _Node:
    """A name in the tree, while it is built."""

    name: str
    own: int = 0
    total: int = 0
    shape: Shape | None = None
    children: dict[str, _Node] = field(default_factory=dict)


def views(count: Count, graph: Graph) -> str:
    """Render both views: float operations, then parameters."""
    return "\n".join(
        ["node name | # float_ops", *float_ops_lines(count), "", "node name | # parameters", *parameter_lines(graph)]
    )


def float_ops_lines(count: Count) -> list[str]:
    """Lines of the float-operations view."""
    root = _tree((layer.name, layer.value, None) for layer in count.layers if layer.value)
    lines = [f"{_ROOT} (--/{number(root.total)} flops)"]
    _walk(root, 1, "flops", lines, hide_empty=True)
    return lines


def parameter_lines(graph: Graph) -> list[str]:
    """Lines of the parameters view."""
    root = _tree((name, math.prod(shape), shape) for name, shape in variables(graph))
    lines = [f"{_ROOT} (--/{number(root.total)} params)"]
    _walk(root, 1, "params", lines, hide_empty=False)
    return lines


def _tree(entries: Iterable[tuple[str, int, Shape | None]]) -> _Node:
    root = _Node(_ROOT)
    for name, own, shape in entries:
        node = root
        node.total += own
        parts = name.split("/")
        for i, part in enumerate(parts):
            node = node.children.setdefault(part, _Node("/".join(parts[: i + 1])))
            node.total += own
        node.own += own
        node.shape = shape
    return root


def _walk(node: _Node, depth: int, unit: str, lines: list[str], *, hide_empty: bool) -> None:
    for child in _visible(node, hide_empty):
        own = number(child.own) if child.own or child.shape is not None else "--"
        shape = f"{'x'.join(map(str, child.shape))}, " if child.shape else ""
        lines.append(f"{'  ' * depth}{child.name} ({shape}{own}/{number(child.total)} {unit})")
        _walk(child, depth + 1, unit, lines, hide_empty=hide_empty)


def _visible(node: _Node, hide_empty: bool) -> list[_Node]:
    """Children to show: those that count for nothing themselves give way to their own children."""
    found: list[_Node] = []
    for child in node.children.values():
        found += _visible(child, hide_empty) if hide_empty and not child.own else [child]
    return sorted(found, key=lambda child: (-child.total, child.name))


def number(value: int) -> str:
    """Shorten a number as the profiler does: ``16.03b``, ``2.39m``, ``16.38k``, ``864``."""
    for limit, suffix in ((10**9, "b"), (10**6, "m"), (10**3, "k")):
        if value >= limit:
            return f"{value / limit:.2f}{suffix}"
    return str(value)
