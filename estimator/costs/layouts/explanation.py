"""Why two conventions differ, as text."""

from __future__ import annotations

import textwrap

from estimator.costs.conventions.explain import Explanation
from estimator.costs.layouts.text_columns import columns

_WIDTH = 100


def explanation_text(explanation: Explanation, model: str) -> str:
    """Render the totals, one line per reason with what each convention counts there, and the remainder."""
    first, second = explanation.first, explanation.second
    table = columns(
        ("reason", first.convention, second.convention, "difference"),
        [
            *((row.reason, f"{row.first:,}", f"{row.second:,}", f"{row.difference:+,}") for row in explanation.rows),
            ("remainder", "", "", f"{explanation.remainder:,}"),
            ("total", f"{first.total:,}", f"{second.total:,}", f"{second.total - first.total:+,}"),
        ],
    )
    lines = [
        f"{model} · {first.convention} ({first.quantity}) against {second.convention} ({second.quantity})",
        "",
        *table,
    ]
    if explanation.rows:
        lines += ["", "what each counts"]
    for row in explanation.rows:
        lines.append(f"  {row.reason}")
        for name, rule in ((first.convention, row.first_rule), (second.convention, row.second_rule)):
            lines += textwrap.wrap(
                rule, _WIDTH, initial_indent=f"    {name:<13}", subsequent_indent=" " * 17, break_on_hyphens=False
            )
    return "\n".join(lines)
