"""Plain text columns: first column left, the others right, two spaces between."""

from __future__ import annotations

from collections.abc import Sequence

from estimator.ir.tensor import Shape


def columns(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1, gap: str = "  ") -> list[str]:
    """Lay out cells; the first `left` columns are left-aligned."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return [
        gap.join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, *rows)
    ]


def shortened(name: str, width: int) -> str:
    """Cut a long name in its middle, keeping its end, which tells siblings apart."""
    if len(name) <= width:
        return name
    head = width // 3
    return f"{name[:head]}…{name[len(name) - (width - head - 1) :]}"


def shape_text(shape: Shape) -> str:
    """``1×64×112×112``."""
    return "×".join(map(str, shape)) if shape else "-"
