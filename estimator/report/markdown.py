"""An estimate as Markdown, for a pull request or a wiki."""

from __future__ import annotations

from collections.abc import Sequence

from estimator.report.escaping import markdown_cell
from estimator.report.grouping import group_kernels
from estimator.report.wording import milliseconds, operation_rate, percent, provenance_phrase, significant
from estimator.result import Estimate
from estimator.units import format_bytes, format_count


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> str:
    """Write a table; `align` has an ``l`` or ``r`` per column.

    Cells are taken as they are: escape what comes from a file with `escaping.markdown_cell`.
    """
    rule = [":--" if side == "l" else "--:" for side in align]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows)) + "\n"


def estimate_markdown(estimate: Estimate, *, top: int) -> str:
    """Write the summary and the `top` heaviest kernel groups."""
    title = (
        f"### {markdown_cell(estimate.model)} · batch {estimate.batch} · {markdown_cell(estimate.precision)} · "
        f"{markdown_cell(estimate.runtime)} · {markdown_cell(estimate.device_name)} "
        f"({markdown_cell(estimate.device)}/{markdown_cell(estimate.unit)})\n"
    )
    parts = [title, markdown_table(("", "value", "remark"), _summary_rows(estimate), "lrl")]
    groups = group_kernels(estimate.kernels)[:top]
    if groups:
        rows = [
            (
                markdown_cell(group.label),
                markdown_cell(group.place),
                group.bound.value,
                milliseconds(group.time_s),
                percent(group.share),
                "–" if group.intensity_flops_per_byte is None else significant(group.intensity_flops_per_byte),
                percent(group.utilisation),
            )
            for group in groups
        ]
        header = ("kernel", "first", "bound", "time (ms)", "share", "FLOP/B", "utilisation")
        parts.append(markdown_table(header, rows, "lllrrrr"))
    if estimate.warnings:
        parts.append("".join(f"- warning: {markdown_cell(warning)}\n" for warning in estimate.warnings))
    return "\n".join(parts)


def _summary_rows(estimate: Estimate) -> list[tuple[str, str, str]]:
    latency, memory, share = estimate.latency, estimate.memory, estimate.bound_share
    capacity = estimate.memory_capacity_bytes
    interval = f"{milliseconds(latency.p10_s)} … {milliseconds(latency.p90_s)} ms (p10 … p90)"
    parts = (
        f"weights {format_bytes(memory.weights_bytes)}, activations {format_bytes(memory.activation_bytes)}, "
        f"workspace {format_bytes(memory.workspace_bytes)}"
    )
    if memory.kv_cache_bytes:
        parts += f", KV cache {format_bytes(memory.kv_cache_bytes)}"
    if capacity:
        parts += f"; {percent(memory.peak_bytes / capacity)} of {format_bytes(capacity)}"
    return [
        (
            "**Latency**",
            f"**{milliseconds(latency.p50_s)} ms**",
            f"{interval}; {markdown_cell(provenance_phrase(estimate.provenance))}",
        ),
        (
            "Bound by",
            "",
            f"compute {percent(share.compute)}, memory {percent(share.memory)}, overhead {percent(share.overhead)}",
        ),
        (
            "FLOPs ÷ peak",
            f"{milliseconds(estimate.naive_latency_s)} ms",
            f"{operation_rate(estimate.peak_flops_per_s, estimate.precision)} advertised",
        ),
        ("Roofline", f"{milliseconds(estimate.roofline_latency_s)} ms", "spec ceilings, nothing fitted"),
        ("Peak memory", format_bytes(memory.peak_bytes), parts),
        (
            "Model",
            f"{format_count(estimate.macs)} MACs",
            f"{format_count(estimate.flops)} FLOPs, {format_count(estimate.params)} parameters",
        ),
        (
            "Coverage",
            percent(estimate.coverage),
            f"{len(estimate.kernels)} kernels"
            + "".join(f"; no rule for {markdown_cell(name)}" for name in estimate.unsupported_ops[:5]),
        ),
    ]
