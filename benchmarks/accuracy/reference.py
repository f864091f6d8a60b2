"""Compare the accuracy with a committed reference; a line that got worse is named with both figures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.accuracy.lines import SCORES, Line

REFERENCE = Path(__file__).parent / "reference.json"
CHECKED = ("without_model", "without_family", "without_device", "shipped")
FIGURES = {"median_ape": (0.003, 0.05), "p90_ape": (0.01, 0.10)}
"""Figure: (points, share of the reference) that it may lose before it counts as worse. Both are far above the noise
of a refit, which is deterministic, and above what another torch or timm release changes in traced graphs."""


def write_reference(lines: Sequence[Line], path: Path = REFERENCE) -> None:
    document = {line.key.label: line.document() for line in lines}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def worsened(lines: Sequence[Line], path: Path = REFERENCE) -> Iterator[str]:
    """Say which figures are worse than in the reference, or missing."""
    reference = json.loads(path.read_text(encoding="utf-8"))
    now = {line.key.label: line.document() for line in lines}
    for label, before in reference.items():
        if label not in now:
            yield f"{label}: has no records any more"
            continue
        for kind in CHECKED:
            yield from _worse(label, kind, before[kind], now[label][kind])


def _worse(label: str, kind: str, before: dict[str, float | None], after: object) -> Iterator[str]:
    assert isinstance(after, dict)
    assert kind in SCORES
    for figure, (points, share) in FIGURES.items():
        old, new = before[figure], after[figure]
        if old is None:
            continue
        if new is None:
            yield f"{label}: {kind} {figure} was {100 * old:.1f} %, is missing"
        elif new > old + max(points, share * old):
            yield f"{label}: {kind} {figure} was {100 * old:.1f} %, is {100 * new:.1f} %"
