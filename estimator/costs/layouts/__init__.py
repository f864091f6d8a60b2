"""How a count is shown: each tool's own layout where it has one, else a plain table. Pure text, no I/O."""

from estimator.costs.layouts.render import Per, render
from estimator.costs.layouts.rows import Row, rows_of

__all__ = ["Per", "Row", "render", "rows_of"]
