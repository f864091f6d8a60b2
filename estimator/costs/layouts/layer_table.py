"""The plain table: what each layer counts for."""

from __future__ import annotations

from estimator.costs.conventions.count import Count
from estimator.costs.layouts.rows import Row, rows_of
from estimator.costs.layouts.text_columns import columns, shape_text, shortened
from estimator.ir.graph import Graph

_NAME_WIDTH = 32
_NARROWEST_NAME = 18
_TYPE_WIDTH = 16
_SCREEN_WIDTH = 100


def table(count: Count, graph: Graph, per: str) -> str:
    """Render a header line with the totals, then one line per layer, module or op that counts for something.

    Names are shortened until the lines fit a screen of 100 columns.
    """
    rows = [row for row in rows_of(count, graph, per) if row.value or row.macs or (row.params and per != "op")]
    header = ("", "type", "output", "params", "MACs", count.quantity, "share")
    cells = [_cells(row, count.total) for row in rows]
    lines = columns(header, cells, left=2)
    excess = len(lines[0]) - _SCREEN_WIDTH
    if excess > 0:
        width = max(_NARROWEST_NAME, max(len(name) for name, *_ in cells) - excess)
        lines = columns(header, [(shortened(name, width), *rest) for name, *rest in cells], left=2)
    return "\n".join([*heading(count, graph), "", *lines])


def heading(count: Count, graph: Graph) -> list[str]:
    """Two lines: the model and convention, and the totals."""
    return [
        f"{graph.name} · {count.convention}",
        f"{count.quantity} {count.total:,}   MACs {count.macs:,}   params {count.params:,}",
    ]


def _cells(row: Row, total: int) -> tuple[str, ...]:
    indent = "  " * min(row.depth, 6)
    name = row.name.rpartition(".")[2] if row.depth else row.name
    return (
        shortened(indent + name, _NAME_WIDTH),
        shortened(row.type_name, _TYPE_WIDTH),
        shape_text(row.output_shape),
        f"{row.params:,}" if row.params else "-",
        f"{row.macs:,}" if row.macs else "-",
        f"{row.value:,}",
        f"{100 * row.value / total:.1f} %" if total else "-",
    )
