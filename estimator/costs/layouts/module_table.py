"""fvcore's table (`flop_count_table`): parameters or shape, and flops, per module and parameter.

The same rows and the same rounding: three levels deep, modules that count nothing left out, a chain of only children
with equal numbers drawn together.

Source: fvcore/nn/print_model_statistics.py, release 0.1.5.
"""

from __future__ import annotations

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
    rows: list[tuple[str, str, str]] = []
    root, cells = _fast_forward("", statistics)
    rows.append((root or "model", cells.get(_PARAMS, ""), cells.get(_FLOPS, "")))
    root_prefix = f"{root}." if root else ""
    _fill(rows, statistics, 1, root_prefix, root_prefix)
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


def _children(name: str, statistics: dict[str, dict[str, int]]) -> list[str]:
    prefix = f"{name}." if name else ""
    depth = prefix.count(".")
    return [other for other in statistics if other and other.count(".") == depth and other.startswith(prefix)]


def _without_zeros(statistics: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """Drop names that count nothing and have nothing kept below them; children come before parents."""
    kept: dict[str, dict[str, int]] = {}

    def keep(name: str) -> None:
        has_kept_child = False
        for child in _children(name, statistics):
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


def _only_child(name: str, statistics: dict[str, Cells]) -> str | None:
    prefix = f"{name}." if name else ""
    depth = prefix.count(".")
    found = [other for other in statistics if other and other.count(".") == depth and other.startswith(prefix)]
    return found[0] if len(found) == 1 else None


def _fast_forward(name: str, statistics: dict[str, Cells]) -> tuple[str, Cells]:
    child = _only_child(name, statistics)
    if child is None:
        return name, statistics[name]
    above, below = statistics[name], statistics[child]
    if above.keys() != below.keys() or any(above[k] != below[k] and above[k] and below[k] for k in above):
        return name, above
    statistics[child] = {key: above[key] or below[key] for key in above}
    return _fast_forward(child, statistics)


def _fill(
    rows: list[tuple[str, str, str]], statistics: dict[str, Cells], level: int, prefix: str, root_prefix: str
) -> None:
    if level > _MAX_DEPTH:
        return
    depth = prefix.count(".")
    for name in list(statistics):
        if name and name.count(".") == depth and name.startswith(prefix):
            drawn, cells = _fast_forward(name, statistics)
            rows.append((drawn.removeprefix(root_prefix), cells.get(_PARAMS, ""), cells.get(_FLOPS, "")))
            _fill(rows, statistics, level + 1, f"{drawn}.", root_prefix)
