"""An estimate as one self-contained HTML page: no script, no font, no request to anywhere.

Every text is escaped where it is inserted; names in a model file are not trusted. The page forbids
itself scripts and requests by a content security policy, should an escape ever be forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from string import Template
from typing import Final

from estimator.report.escaping import printable
from estimator.report.roofline_plot import BOUND_COLOURS, memory_svg, roofline_svg
from estimator.report.wording import milliseconds, operation_rate, percent, provenance_phrase, significant, times_faster
from estimator.result import Bound, Estimate, KernelEstimate
from estimator.units import format_bytes, format_count

_PAGE: Final = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
  :root { --ink: #1a202c; --soft: #596579; --line: #e2e8f0; --paper: #fff; --roof: #1a202c; --resident: #cbd5e0;
          --live: #63b3ed; --peak: #c05621; }
  @media (prefers-color-scheme: dark) {
    :root { --ink: #e2e8f0; --soft: #a0aec0; --line: #2d3748; --paper: #171923; --roof: #e2e8f0; --resident: #4a5568; }
  }
  body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem;
         margin: 2rem auto; padding: 0 1rem; }
  h1 { font-size: 1.5rem; margin: 0; overflow-wrap: anywhere; }
  h2 { font-size: 1.1rem; margin: 2.2rem 0 .4rem; }
  .run, .note { color: var(--soft); margin: .1rem 0; }
  .answer { display: flex; flex-wrap: wrap; gap: .4rem 3rem; margin: 1.4rem 0; }
  .answer b { display: block; font-size: 1.7rem; font-variant-numeric: tabular-nums; }
  .bar { display: flex; height: 1.3rem; border-radius: 4px; overflow: hidden; }
  .bar i { display: block; }
  .legend span { margin-right: 1.4rem; white-space: nowrap; }
  .legend i { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; margin-right: .35rem; }
  .warning { border-left: 4px solid #d69e2e; padding: .2rem .8rem; margin: .3rem 0; }
  table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
  .wide { overflow-x: auto; }
  th, td { text-align: left; padding: .2rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
  th { color: var(--soft); font-weight: 500; position: sticky; top: 0; background: var(--paper); }
  td.name { overflow-wrap: anywhere; max-width: 22rem; }
  .n { text-align: right; white-space: nowrap; }
  svg { width: 100%; height: auto; }
  .grid { stroke: var(--line); } .tick, .axis { fill: var(--soft); font-size: 11px; }
  .roof { fill: none; stroke: var(--roof); stroke-width: 2; } circle { fill-opacity: .55; }
  .resident { fill: var(--resident); } .live { fill: var(--live); } .peak { fill: var(--peak); }
</style>
</head>
<body>
<h1>$model</h1>
<p class="run">$run</p>
<div class="answer">$answer</div>
$bound
$warnings
<h2>Roofline</h2>
<p class="note">$roofline_note</p>
$roofline
<h2>Memory over time</h2>
<p class="note">$memory_note</p>
$memory
<h2>Kernels in execution order</h2>
<div class="wide">$kernels</div>
<h2>What this rests on</h2>
$basis
</body>
</html>
""")


def html_report(estimate: Estimate, timeline: Sequence[tuple[str, int]] = ()) -> str:
    """Write the page.

    Parameters
    ----------
    timeline : sequence of (str, int)
        Main op of each launch and the bytes alive while it runs, weights left out (`memory.peak.MemoryPlan`).

    Returns
    -------
    str
        HTML text, UTF-8 when written.
    """
    memory = estimate.memory
    return _PAGE.substitute(
        title=_text(f"{estimate.model} on {estimate.device_name}"),
        model=_text(estimate.model),
        run=_text(
            f"{estimate.device_name} ({estimate.device}/{estimate.unit}) · {estimate.runtime} · {estimate.precision} · "
            f"{estimate.layout} · batch {estimate.batch}"
        ),
        answer=_answer(estimate),
        bound=_bound_bar(estimate),
        warnings="".join(f'<p class="warning">{_text(warning)}</p>' for warning in estimate.warnings),
        roofline_note=_text(
            f"One dot per kernel, its area the share of the latency. Advertised roof: "
            f"{operation_rate(estimate.peak_flops_per_s, estimate.precision)}, "
            f"{format_bytes(estimate.peak_bandwidth_bytes_per_s)}/s. Below it: efficiency, overhead; above it: caches."
        ),
        roofline=roofline_svg(estimate),
        memory_note=_text(
            f"Peak {format_bytes(memory.peak_bytes)}: weights {format_bytes(memory.weights_bytes)}, activations "
            f"{format_bytes(memory.activation_bytes)}, workspace {format_bytes(memory.workspace_bytes)}"
            + (f", KV cache {format_bytes(memory.kv_cache_bytes)}" if memory.kv_cache_bytes else "")
            + ". Grey: what stays for the whole run."
        ),
        memory=memory_svg(timeline, _resident_bytes(estimate, timeline)) if timeline else "",
        kernels=_kernel_table(estimate.kernels),
        basis=_basis(estimate),
    )


def _resident_bytes(estimate: Estimate, timeline: Sequence[tuple[str, int]]) -> int:
    """Bytes that stay for the whole run: what the peak has beyond its busiest step."""
    busiest = max(live for _, live in timeline)
    return max(estimate.memory.weights_bytes, estimate.memory.peak_bytes - busiest)


def _text(text: str) -> str:
    return escape(printable(text))


def _figure(label: str, value: str, remark: str) -> str:
    return f'<div>{_text(label)}<b>{_text(value)}</b><span class="note">{_text(remark)}</span></div>'


def _answer(estimate: Estimate) -> str:
    latency, capacity = estimate.latency, estimate.memory_capacity_bytes
    peak = estimate.memory.peak_bytes
    return "".join(
        (
            _figure(
                "Latency",
                f"{milliseconds(latency.p50_s)} ms",
                f"{milliseconds(latency.p10_s)} … {milliseconds(latency.p90_s)} ms (p10 … p90)",
            ),
            _figure(
                "FLOPs ÷ peak",
                f"{milliseconds(estimate.naive_latency_s)} ms",
                times_faster(estimate, estimate.naive_latency_s),
            ),
            _figure(
                "Spec roofline",
                f"{milliseconds(estimate.roofline_latency_s)} ms",
                times_faster(estimate, estimate.roofline_latency_s),
            ),
            _figure(
                "Peak memory",
                format_bytes(peak),
                f"{percent(peak / capacity)} of {format_bytes(capacity)}" if capacity else "",
            ),
        )
    )


def _bound_bar(estimate: Estimate) -> str:
    share = estimate.bound_share
    parts = (
        (Bound.COMPUTE, "compute-bound", share.compute),
        (Bound.MEMORY, "memory-bound", share.memory),
        (Bound.OVERHEAD, "fixed overhead", share.overhead),
    )
    bars = "".join(f'<i style="width:{100 * f:.2f}%;background:{BOUND_COLOURS[b]}"></i>' for b, _, f in parts)
    legend = "".join(
        f'<span><i style="background:{BOUND_COLOURS[bound]}"></i>{label} '
        f"{milliseconds(fraction * estimate.latency.p50_s)} ms ({percent(fraction)})</span>"
        for bound, label, fraction in parts
    )
    return f'<div class="bar">{bars}</div><p class="legend">{legend}</p>'


def _kernel_table(kernels: Sequence[KernelEstimate]) -> str:
    head = "".join(
        f'<th class="{"n" if numeric else ""}">{name}</th>'
        for name, numeric in (
            ("#", True), ("kernel", False), ("class", False), ("bound", False), ("time (ms)", True), ("share", True),
            ("FLOPs", True), ("bytes", True), ("FLOP/B", True), ("utilisation", True),
        )
    )  # fmt: skip
    rows = "".join(f"<tr>{_kernel_cells(index, kernel)}</tr>" for index, kernel in enumerate(kernels))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _kernel_cells(index: int, kernel: KernelEstimate) -> str:
    intensity = kernel.intensity_flops_per_byte
    ops = f' title="{_text(" + ".join(kernel.ops))}"' if kernel.ops else ""
    texts = (
        f'<td class="n">{index}</td><td class="name"{ops}>{_text(kernel.name)}</td>'
        f"<td>{_text(kernel.kernel_class)}</td><td>{kernel.bound.value}</td>"
    )
    numbers = (
        milliseconds(kernel.time_s),
        percent(kernel.share),
        format_count(kernel.flops),
        format_bytes(kernel.bytes_moved),
        "–" if intensity is None else significant(intensity),
        percent(kernel.utilisation),
    )
    return texts + "".join(f'<td class="n">{_text(number)}</td>' for number in numbers)


def _basis(estimate: Estimate) -> str:
    covered = f"{percent(estimate.coverage)} of operators have a cost rule"
    if estimate.unsupported_ops:
        covered += f"; without one: {', '.join(dict.fromkeys(estimate.unsupported_ops))}"
    lines = [
        f"Latency: {provenance_phrase(estimate.provenance)}"
        + (f" ({estimate.provenance.calibration})" if estimate.provenance.calibration else ""),
        f"Model: {format_count(estimate.macs)} MACs, {format_count(estimate.flops)} FLOPs, "
        f"{format_count(estimate.params)} parameters, {format_bytes(estimate.bytes_moved)} moved",
        f"Coverage: {covered}",
        *(f"Assumed: {assumption}" for assumption in estimate.assumptions),
    ]
    return "<ul>" + "".join(f"<li>{_text(line)}</li>" for line in lines) + "</ul>"
