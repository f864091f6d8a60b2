"""The screen a person reads: answer first, then why, then detail; at most 100 columns."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from estimator.report.escaping import printable, shorten
from estimator.report.grouping import KernelGroup, group_kernels
from estimator.report.wording import (
    milliseconds,
    operation_rate,
    percent,
    provenance_phrase,
    significant,
    times_faster,
)
from estimator.report.wrapping import WIDTH
from estimator.result import Bound, Estimate
from estimator.units import KILO, MEGA, format_bytes, format_count

DEFAULT_TOP: Final = 8

_LABEL: Final = "dim"
_ANSWER: Final = "bold"
_BOUND_STYLE: Final = {Bound.COMPUTE: "green", Bound.MEMORY: "cyan", Bound.OVERHEAD: "yellow"}
_BOUND_LABEL: Final = {Bound.COMPUTE: "compute", Bound.MEMORY: "memory", Bound.OVERHEAD: "fixed overhead"}
_TELLING_SHARE: Final = 0.01
"""Below this, a share of the latency is printed without its time."""
_DETAIL_COLUMN: Final = 30
_REMARK_COLUMN: Final = 59
_PLACE_WIDTH: Final = 26


def estimate_screen(estimate: Estimate, *, top: int = DEFAULT_TOP, colour: bool = False) -> str:
    """Write an estimate for a terminal.

    Parameters
    ----------
    top : int
        How many kernel groups to list; 0 for none.
    colour : bool
        Add terminal colours; the text is the same without.

    Returns
    -------
    str
        Lines of at most 100 columns. Warnings are not part of it.
    """
    console = text_console(colour=colour)
    console.print(_header(estimate))
    console.print()
    for line in _summary(estimate):
        line.truncate(WIDTH, overflow="ellipsis")
        console.print(line)
    if top and estimate.kernels:
        console.print()
        console.print(_kernel_table(estimate, top))
    return captured(console)


def text_console(*, colour: bool, width: int = WIDTH) -> Console:
    """Make a console that writes into memory and looks at no terminal and no environment variable."""
    return Console(
        file=io.StringIO(),
        width=width,
        color_system="standard" if colour else None,
        force_terminal=colour,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
        legacy_windows=False,
        _environ={},
    )


def captured(console: Console) -> str:
    """Take what was printed, without the padding that tables leave at line ends."""
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def _header(estimate: Estimate) -> Text:
    rest = f" · batch {estimate.batch} · {estimate.precision} · {estimate.runtime}"
    device = f" · {estimate.device_name} ({estimate.device}/{estimate.unit})"
    rest = printable(rest + device)
    line = Text()
    line.append(shorten(printable(estimate.model), max(24, WIDTH - Text(rest).cell_len)), style=_ANSWER)
    line.append(rest)
    line.truncate(WIDTH, overflow="ellipsis")
    return line


def _row(label: str, answer: str, *rest: tuple[str, int]) -> Text:
    """One line: label, answer, then texts at given columns."""
    line = Text()
    line.append(f"  {label:<14}", style=_LABEL)
    line.append(answer, style=_ANSWER)
    for text, column in rest:
        line.append(" " * max(2, column - line.cell_len) + text)
    return line


def _summary(estimate: Estimate) -> list[Text]:
    latency = estimate.latency
    interval = f"{milliseconds(latency.p10_s)} … {milliseconds(latency.p90_s)} (p10 … p90)"
    naive, roofline = estimate.naive_latency_s, estimate.roofline_latency_s
    return [
        _row(
            "Latency",
            f"{milliseconds(latency.p50_s)} ms",
            (interval, _DETAIL_COLUMN),
            (printable(provenance_phrase(estimate.provenance)), _REMARK_COLUMN),
        ),
        _bound_line(estimate),
        _row(
            "FLOPs ÷ peak",
            f"{milliseconds(naive)} ms",
            (times_faster(estimate, naive), _DETAIL_COLUMN),
            (f"{operation_rate(estimate.peak_flops_per_s, estimate.precision)} advertised", _REMARK_COLUMN),
        ),
        _row(
            "Roofline",
            f"{milliseconds(roofline)} ms",
            (times_faster(estimate, roofline), _DETAIL_COLUMN),
            ("spec ceilings, nothing fitted", _REMARK_COLUMN),
        ),
        _attained_line(estimate),
        _memory_line(estimate),
        _row(
            "Model",
            f"{format_count(estimate.macs)} MACs",
            (f"{format_count(estimate.flops)} FLOPs", _DETAIL_COLUMN),
            (f"{format_count(estimate.params)} parameters", _DETAIL_COLUMN + 14),
            (f"{format_bytes(estimate.bytes_moved)} moved", _REMARK_COLUMN),
        ),
        _coverage_line(estimate),
    ]


def _bound_line(estimate: Estimate) -> Text:
    """Shares of the latency, with their times where they tell something: of the largest, as many as fit."""
    share = estimate.bound_share
    shares = {Bound.COMPUTE: share.compute, Bound.MEMORY: share.memory, Bound.OVERHEAD: share.overhead}
    timed = [bound for bound in sorted(shares, key=lambda bound: -shares[bound]) if shares[bound] >= _TELLING_SHARE]
    line = _shares_line(shares, timed, estimate.latency.p50_s)
    while line.cell_len > WIDTH and timed:
        timed.pop()
        line = _shares_line(shares, timed, estimate.latency.p50_s)
    return line


def _shares_line(shares: Mapping[Bound, float], timed: Sequence[Bound], total_s: float) -> Text:
    line = Text()
    line.append(f"  {'Bound by':<14}", style=_LABEL)
    for bound, share in shares.items():
        time = f"{milliseconds(share * total_s)} ms " if bound in timed else ""
        line.append(f"{_BOUND_LABEL[bound]} {time}", style=_BOUND_STYLE[bound])
        line.append(f"({percent(share)})   ")
    line.rstrip()
    return line


def _attained_line(estimate: Estimate) -> Text:
    time_s = estimate.latency.p50_s
    attained = estimate.flops / time_s if time_s else 0.0
    share = attained / estimate.peak_flops_per_s if estimate.peak_flops_per_s else 0.0
    intensity = estimate.flops / estimate.bytes_moved if estimate.bytes_moved else 0.0
    ridge = (
        estimate.peak_flops_per_s / estimate.peak_bandwidth_bytes_per_s if estimate.peak_bandwidth_bytes_per_s else 0
    )
    return _row(
        "Attained",
        operation_rate(attained, estimate.precision),
        (f"{percent(share)} of peak", _DETAIL_COLUMN),
        (f"{significant(intensity)} FLOP/B, ridge point {significant(ridge)}", _REMARK_COLUMN),
    )


def _memory_line(estimate: Estimate) -> Text:
    memory = estimate.memory
    parts = [("weights", memory.weights_bytes), ("activations", memory.activation_bytes)]
    parts.append(("workspace", memory.workspace_bytes))
    if memory.kv_cache_bytes:
        parts.append(("KV cache", memory.kv_cache_bytes))
    scale, unit = (MEGA, "MB") if memory.peak_bytes >= MEGA else (KILO, "kB")
    text = "  ".join(f"{name} {significant(size / scale)}" for name, size in parts)
    line = _row("Peak memory", format_bytes(memory.peak_bytes), (f"{text} {unit}", _DETAIL_COLUMN))
    capacity = estimate.memory_capacity_bytes
    if capacity:
        share = memory.peak_bytes / capacity
        style = "bold red" if share > 1 else ""
        line.append("  ")
        line.append(f"{percent(share)} of {format_bytes(capacity)}", style=style)
    return line


def _coverage_line(estimate: Estimate) -> Text:
    covered = f"{percent(estimate.coverage)} of operators"
    if estimate.coverage < 1 and percent(estimate.coverage) == "100 %":
        covered = "just under 100 % of operators"
    count = len(estimate.kernels)
    line = _row("Coverage", covered, (f"{count} kernel{'s' if count != 1 else ''}", _DETAIL_COLUMN + 14))
    if estimate.unsupported_ops:
        names = ", ".join(printable(name) for name in dict.fromkeys(estimate.unsupported_ops))
        line.append("  without a rule: ", style="red")
        line.append(names)
    return line


def _kernel_table(estimate: Estimate, top: int) -> Table:
    groups = group_kernels(estimate.kernels)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("  kernel", min_width=21, no_wrap=True, overflow="ellipsis", header_style=_LABEL)
    table.add_column("first", min_width=20, no_wrap=True, overflow="ellipsis", header_style=_LABEL)
    for name in ("time", "share", "bound", "FLOP/B", "utilisation"):
        justify: JustifyMethod = "left" if name == "bound" else "right"
        table.add_column(name, justify=justify, no_wrap=True, min_width=len(name), header_style=_LABEL)
    for group in groups[:top]:
        table.add_row(*_kernel_cells(group))
    hidden = groups[top:]
    if hidden:
        count, share = sum(g.count for g in hidden), sum(g.share for g in hidden)
        time = f"{milliseconds(sum(g.time_s for g in hidden))} ms"
        table.add_row(f"  {count} more", "--top N shows more", time, percent(share), "", "", "", style=_LABEL)
    return table


def _kernel_cells(group: KernelGroup) -> tuple[str | Text, ...]:
    intensity = group.intensity_flops_per_byte
    return (
        Text(shorten("  " + printable(group.label), 24)),
        Text(shorten(printable(group.place), _PLACE_WIDTH)),
        f"{milliseconds(group.time_s)} ms",
        percent(group.share),
        Text(group.bound.value, style=_BOUND_STYLE[group.bound]),
        "–" if intensity is None else significant(intensity),
        percent(group.utilisation),
    )
