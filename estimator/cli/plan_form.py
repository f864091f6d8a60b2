"""A plan in the four output formats.

Here and not in `report`, because `report` and `planning` are neighbours that never import each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from estimator.planning.search import Candidate, Feasible, Plan, Rejected, Requirement
from estimator.report.csv_table import Cell, csv_text
from estimator.report.escaping import markdown_cell, printable, shorten
from estimator.report.json_document import SCHEMA_VERSION, Json, estimate_document, json_text
from estimator.report.markdown import markdown_table
from estimator.report.table import captured, text_console
from estimator.report.wording import milliseconds, significant
from estimator.report.wrapping import WIDTH
from estimator.units import format_bytes, ms_from_s

MAX_REJECTED_SHOWN: Final = 12
MAX_FEASIBLE_SHOWN: Final = 24
_HEADER: Final = ("model", "device", "precision", "batch", "latency", "p90", "memory", "items/s", "front")


def plan_screen(answer: Plan, *, colour: bool = False) -> str:
    """Write at most 100 columns: what is feasible, the Pareto front marked, and why the rest is not."""
    console = text_console(colour=colour)
    front = set(answer.pareto)
    count = len(answer.feasible) + len(answer.rejected)
    console.print(Text(f"{len(answer.feasible)} of {count} candidates are feasible", style="bold"))
    if answer.feasible:
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False)
        for name in _HEADER:
            right = name in _HEADER[3:8]
            table.add_column(
                name,
                justify="right" if right else "left",
                no_wrap=True,
                overflow="ellipsis",
                header_style="dim",
                min_width=len(name),
            )
        shown = _worth_showing(answer)
        for one in shown:
            table.add_row(*(Text(cell) for cell in _cells(one, one in front)))
        console.print()
        console.print(table)
        _print_hidden(console, len(answer.feasible) - len(shown))
    if answer.rejected:
        console.print()
        console.print(Text("not feasible", style="dim"))
    for rejected in answer.rejected[:MAX_REJECTED_SHOWN]:
        line = Text(printable(f"  {_described(rejected.candidate)}: {rejected.reason}"))
        line.truncate(WIDTH, overflow="ellipsis")
        console.print(line)
    _print_hidden(console, len(answer.rejected) - MAX_REJECTED_SHOWN)
    return captured(console)


def _worth_showing(answer: Plan) -> list[Feasible]:
    """Pick the Pareto front before the fastest of the others; fastest first."""
    front = set(answer.pareto)
    ranked = [*answer.pareto, *(one for one in answer.feasible if one not in front)][:MAX_FEASIBLE_SHOWN]
    return sorted(ranked, key=lambda one: one.estimate.latency.p50_s)


def _print_hidden(console: Console, count: int) -> None:
    if count > 0:
        console.print(Text(f"  and {count} more; --format csv lists all", style="dim"))


def plan_json(answer: Plan, requirement: Requirement) -> str:
    """Write ``feasible[]``, ``pareto[]`` (estimates without kernels) and ``rejected[]``."""
    limits: dict[str, Json] = {
        "max_latency_ms": None if requirement.max_latency_s is None else ms_from_s(requirement.max_latency_s),
        "max_memory_bytes": requirement.max_memory_bytes,
        "quantile": "p90" if requirement.pessimistic else "p50",
    }
    rejected: list[Json] = [
        {
            "model": one.candidate.model,
            "device": one.candidate.device,
            "precision": one.candidate.precision,
            "batch": one.candidate.batch,
            "reason": one.reason,
        }
        for one in answer.rejected
    ]
    return json_text(
        {
            "schema_version": SCHEMA_VERSION,
            "requirement": limits,
            "feasible": _documents(answer.feasible),
            "pareto": _documents(answer.pareto),
            "rejected": rejected,
        }
    )


def plan_csv(answer: Plan) -> str:
    """Write every candidate: feasible ones first, then the rejected with their reason."""
    header = ("outcome", "model", "device", "unit", "runtime", "precision", "batch", "latency_p50_ms", "latency_p90_ms",
              "peak_memory_bytes", "throughput_per_s", "reason")  # fmt: skip
    front = set(answer.pareto)
    rows: list[Sequence[Cell]] = [_feasible_row(one, one in front) for one in answer.feasible]
    rows += [_rejected_row(one) for one in answer.rejected]
    return csv_text(header, rows)


def plan_markdown(answer: Plan) -> str:
    """Write the feasible candidates as a table and the rejected as a list."""
    front = set(answer.pareto)
    rows = [tuple(markdown_cell(cell) for cell in _cells(one, one in front)) for one in answer.feasible]
    parts = [markdown_table(_HEADER, rows, "lllrrrrrl")] if rows else []
    parts += [f"- {markdown_cell(_described(r.candidate))}: {markdown_cell(r.reason)}" for r in answer.rejected]
    return "\n".join(parts)


def _documents(feasible: Sequence[Feasible]) -> list[Json]:
    return [
        estimate_document(one.estimate, with_kernels=False)
        | {"reference": one.candidate.model, "throughput_per_s": one.throughput_per_s}
        for one in feasible
    ]


def _cells(one: Feasible, on_front: bool) -> tuple[str, ...]:
    estimate = one.estimate
    return (
        shorten(printable(one.candidate.model), 20),
        shorten(printable(f"{estimate.device}/{estimate.unit}"), 22),
        printable(estimate.precision),
        str(estimate.batch),
        f"{milliseconds(estimate.latency.p50_s)} ms",
        f"{milliseconds(estimate.latency.p90_s)} ms",
        format_bytes(estimate.memory.peak_bytes),
        significant(one.throughput_per_s),
        "*" if on_front else "",
    )


def _described(candidate: Candidate) -> str:
    precision = candidate.precision or "default precision"
    return f"{candidate.model} on {candidate.device}, {precision}, batch {candidate.batch}"


def _feasible_row(one: Feasible, on_front: bool) -> tuple[Cell, ...]:
    estimate = one.estimate
    return (
        "pareto" if on_front else "feasible", one.candidate.model, estimate.device, estimate.unit, estimate.runtime,
        estimate.precision, estimate.batch, ms_from_s(estimate.latency.p50_s), ms_from_s(estimate.latency.p90_s),
        estimate.memory.peak_bytes, one.throughput_per_s, None,
    )  # fmt: skip


def _rejected_row(one: Rejected) -> tuple[Cell, ...]:
    candidate, made = one.candidate, one.estimate
    return (
        "rejected", candidate.model, candidate.device, made.unit if made else None, made.runtime if made else None,
        candidate.precision, candidate.batch, ms_from_s(made.latency.p50_s) if made else None,
        ms_from_s(made.latency.p90_s) if made else None, made.memory.peak_bytes if made else None, None, one.reason,
    )  # fmt: skip
