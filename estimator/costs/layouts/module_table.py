"""fvcore's table (`flop_count_table`): parameters or shape, and flops, per module and parameter.

The same rows and the same rounding: three levels deep, modules that count nothing left out, a chain of only children
with equal numbers drawn together.

Source: fvcore/nn/print_model_statistics.py, release 0.1.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from estimator.costs.conventions.count import Count
from estimator.costs.layouts.rows import ancestors, owner_paths
from estimator.ir.graph import Graph
from estimator.ir.tensor import TensorRole

_MAX_DEPTH = 3
_PARAMS, _FLOPS = "#parameters or shape", "#flops"
Cells = dict[str, str]


def table(count: Count, graph: Graph) -> str:
    """Render the table in the ``pipe`` style of Markdown."""
    statistics = _formatted(_without_zeros(_gathered(count, graph)), graph)
    children = _children_of(statistics)
    rows: list[tuple[str, str, str]] = []
    root, cells = _fast_forward("", statistics, children)
    rows.append((root or "model", cells.get(_PARAMS, ""), cells.get(_FLOPS, "")))
    _fill(rows, statistics, children, 1, root, f"{root}." if root else "")
    header = ("module", _PARAMS, _FLOPS)
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(3)]
    # tabulate pads header cells by two more than the cells need
    widths = [max(width, len(name) + 2) for width, name in zip(widths, header, strict=True)]
    lines = [f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |" for row in rows]
    top = f"| {' | '.join(cell.ljust(width) for cell, width in zip(header, widths, strict=True))} |"
    rule = f"|{'|'.join(':' + '-' * (width + 1) for width in widths)}|"
    return "\n".join([top, rule, *lines])


def _gathered(count: Count, graph: Graph) -> dict[str, dict[str, int]]:
    """Parameters of every parameter and module name, then flops of every module, in fvcore's order."""
    statistics: dict[str, dict[str, int]] = {}
    seen: set[str] = set()
    for module in graph.modules:
        for name in module.parameters:
            tensor = graph.tensors[name]
            if name in seen or tensor.role is not TensorRole.PARAMETER:
                continue
            seen.add(name)
            for path in ancestors(name):
                entry = statistics.setdefault(path, {_PARAMS: 0})
                entry[_PARAMS] += tensor.numel
    for module in graph.modules or ():
        statistics.setdefault(module.path, {})[_FLOPS] = 0
    statistics.setdefault("", {}).setdefault(_FLOPS, 0)
    for layer, owner in zip(count.layers, owner_paths(count, graph), strict=True):
        for path in ancestors(owner):
            if _FLOPS in statistics.get(path, {}):
                statistics[path][_FLOPS] += layer.value
    return statistics


def _children_of(names: Iterable[str]) -> Mapping[str, list[str]]:
    """Names directly below each name, in their order."""
    children: dict[str, list[str]] = {}
    for name in names:
        if name:
            children.setdefault(name.rpartition(".")[0], []).append(name)
    return children


def _without_zeros(statistics: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """Drop names that count nothing and have nothing kept below them; children come before parents."""
    kept: dict[str, dict[str, int]] = {}
    children = _children_of(statistics)

    def keep(name: str) -> None:
        has_kept_child = False
        for child in children.get(name, ()):
            keep(child)
            has_kept_child |= child in kept
        if not name or has_kept_child or any(statistics[name].values()):
            kept[name] = statistics[name]

    keep("")
    return kept


def _formatted(statistics: dict[str, dict[str, int]], graph: Graph) -> dict[str, Cells]:
    called = {path for op in graph.ops for path in ancestors(op.scope)}
    shown: dict[str, Cells] = {}
    for name, values in statistics.items():
        cells = {key: size(value) for key, value in values.items()}
        if _FLOPS in cells and name not in called:
            cells[_FLOPS] = ""
        tensor = graph.tensors.get(name)
        if tensor is not None and tensor.role is TensorRole.PARAMETER:
            cells[_PARAMS] = str(tensor.shape)
        shown[name] = cells
    return shown


def size(value: int) -> str:
    """Shorten a number as fvcore does: ``4.112G``, ``0.148M``, ``9.408K``."""
    for limit, unit, suffix in (
        (1e14, 1e15, "P"), (1e11, 1e12, "T"), (1e8, 1e9, "G"), (1e5, 1e6, "M"), (1e2, 1e3, "K"),
    ):  # fmt: skip
        if value > limit:
            return f"{value / unit:.3f}".rstrip("0").rstrip(".") + suffix
    return str(value)


def _fast_forward(name: str, statistics: dict[str, Cells], children: Mapping[str, list[str]]) -> tuple[str, Cells]:
    """Go down a chain of only children that say the same, and draw them as one row."""
    below = children.get(name, [])
    if len(below) != 1:
        return name, statistics[name]
    above, only = statistics[name], statistics[below[0]]
    if above.keys() != only.keys() or any(above[k] != only[k] and above[k] and only[k] for k in above):
        return name, above
    statistics[below[0]] = {key: above[key] or only[key] for key in above}
    return _fast_forward(below[0], statistics, children)


def _fill(
    rows: list[tuple[str, str, str]], statistics: dict[str, Cells], children: Mapping[str, list[str]],
    level: int, parent: str, root_prefix: str,
) -> None:  # fmt: skip
    if level > _MAX_DEPTH:
        return
    for name in children.get(parent, ()):
        drawn, cells = _fast_forward(name, statistics, children)
        rows.append((drawn.removeprefix(root_prefix), cells.get(_PARAMS, ""), cells.get(_FLOPS, "")))
        _fill(rows, statistics, children, level + 1, drawn, root_prefix)
