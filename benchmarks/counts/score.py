"""Print each tool's total beside the convention's, for every reference model.

Run as ``python -m benchmarks.counts.score``.
"""

from __future__ import annotations

import csv
import logging
from pathlib import Path

from benchmarks.counts.reference_models import model_names, reference_graph
from estimator.costs.conventions import count

TOTALS = Path(__file__).with_name("reference_totals.csv")
TOOL_OF = {
    "fvcore": "fvcore", "thop": "thop", "ptflops": "ptflops_pytorch", "ptflops-aten": "ptflops_aten",
    "deepspeed": "deepspeed", "torch": "fcm_meta",
}  # fmt: skip


def reference_totals() -> dict[tuple[str, str], dict[str, int | None]]:
    """(model, tool) -> flops, macs, params; None where the tool does not say, no entry where it failed."""
    with TOTALS.open(newline="", encoding="utf-8") as stream:
        return {
            (row["model"], row["tool"]): {k: int(row[k]) if row[k] else None for k in ("flops", "macs", "params")}
            for row in csv.DictReader(stream)
            if row["flops"]
        }


def main() -> None:
    """Record every model and compare."""
    logging.disable(logging.WARNING)
    references = reference_totals()
    wrong = 0
    for model in model_names():
        graph = reference_graph(model)
        for convention, tool in TOOL_OF.items():
            reference = references.get((model, tool))
            if reference is None:
                continue
            made = count(graph, convention)
            equal = made.total == reference["flops"] and made.params == reference["params"]
            wrong += not equal
            verdict = "equal" if equal else f"{made.total - (reference['flops'] or 0):+,}"
            print(f"{model:<20} {convention:<13} {reference['flops']:>18,} {made.total:>18,}  {verdict}")
    print(f"{wrong} differ")


if __name__ == "__main__":
    main()
