"""Choose the layout of a count."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from estimator.costs.conventions.count import Count
from estimator.costs.layouts import layer_table, module_table, scope_view, stat_table
from estimator.ir.graph import Graph


class Per(StrEnum):
    """What one line of the plain table is."""

    LAYER = "layer"
    MODULE = "module"
    OP = "op"


def render(
    count: Count, graph: Graph, per: Per | None = None, *, duration_share: Mapping[str, float] | None = None
) -> str:
    """Show a count as text.

    Parameters
    ----------
    per : Per, optional
        A plain table with one line per layer, module or op; None for the tool's own layout.
    duration_share : mapping of module path to float, optional
        Share of the time in [0, 1], for torchstat's column; unknown without a device.

    Returns
    -------
    str
        Lines without a trailing newline.
    """
    if per is not None:
        return layer_table.table(count, graph, per.value)
    match count.convention:
        case "fvcore" if graph.modules:
            return module_table.table(count, graph)
        case "torchstat":
            return stat_table.table(graph, duration_share)
        case "thop" | "thop-0.0.23":
            return thop_pair(count)
        case "tf-profiler":
            return scope_view.views(count, graph)
        case _:
            return layer_table.table(count, graph, Per.LAYER.value)


def thop_pair(count: Count) -> str:
    """Print the two numbers of ``thop.profile``, as floats, and the same through ``clever_format``."""
    return (
        f"macs, params = ({float(count.total)}, {float(count.params)})\n"
        f"{clever_format(count.total)} {clever_format(count.params)}"
    )


def clever_format(number: int) -> str:
    """Shorten a number as thop's function of this name does: ``4.13G``, ``512.00B``."""
    for limit, suffix in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "K")):
        if number > limit:
            return f"{number / limit:.2f}{suffix}"
    return f"{number:.2f}B"
