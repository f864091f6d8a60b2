"""Plots as inline SVG: the roofline with every kernel on it, and memory over time.

Pure text, no plotting library: a page must open anywhere, offline, without a script.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from estimator.report.wording import operation_rate, percent, significant
from estimator.result import Bound, Estimate, KernelEstimate
from estimator.units import format_bytes, format_seconds

WIDTH: Final = 860
HEIGHT: Final = 380
_SMALLEST, _LARGEST = 1e-9, 1e24
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 28, 14, 42
BOUND_COLOURS: Final = {Bound.COMPUTE: "#2f855a", Bound.MEMORY: "#2b6cb0", Bound.OVERHEAD: "#c05621"}


@dataclass(frozen=True, slots=True)
class LogAxis:
    """A decade axis from `low` to `high`, both powers of ten, mapped to pixels."""

    low: float
    high: float
    start_px: float
    end_px: float

    @classmethod
    def around(cls, values: Sequence[float], start_px: float, end_px: float) -> LogAxis:
        """Choose whole decades around the values; what no hardware reaches does not stretch the axis."""
        positive = [value for value in values if _SMALLEST <= value <= _LARGEST] or [1.0]
        low = math.floor(math.log10(min(positive)))
        high = math.ceil(math.log10(max(positive)))
        return cls(10.0**low, 10.0 ** max(high, low + 1), start_px, end_px)

    def pixel(self, value: float) -> float:
        """Where a value lies; values outside are clamped to the ends."""
        clamped = min(max(value, self.low), self.high)
        position = math.log10(clamped / self.low) / math.log10(self.high / self.low)
        return self.start_px + position * (self.end_px - self.start_px)

    @property
    def ticks(self) -> tuple[float, ...]:
        """Powers of ten, at most about ten of them."""
        low, high = round(math.log10(self.low)), round(math.log10(self.high))
        step = max(1, (high - low) // 8)
        return tuple(10.0**exponent for exponent in range(low, high + 1, step))


def roofline_svg(estimate: Estimate) -> str:
    """Draw attained rate over intensity, one dot per kernel, area by share of the latency.

    The roof is the advertised peak and bandwidth; a dot below it shows what efficiency and overhead cost.
    """
    points = [(kernel, attained_flops_per_s(kernel)) for kernel in estimate.kernels if _is_drawable(kernel)]
    peak, bandwidth = estimate.peak_flops_per_s, estimate.peak_bandwidth_bytes_per_s
    ridge = peak / bandwidth if bandwidth else 1.0
    intensities = [kernel.intensity_flops_per_byte or 0.0 for kernel, _ in points]
    x = LogAxis.around([*intensities, ridge / 3, ridge * 3], _LEFT, WIDTH - _RIGHT)
    y = LogAxis.around([*(rate for _, rate in points), peak, peak / 10], HEIGHT - _BOTTOM, _TOP)
    start = max(x.low, y.low / bandwidth) if bandwidth else x.low
    roof = [(start, min(peak, start * bandwidth)), (ridge, peak), (x.high, peak)]
    path = " ".join(f"{x.pixel(i):.1f},{y.pixel(rate):.1f}" for i, rate in roof)
    parts = [_svg_open("Roofline: attained rate over arithmetic intensity")]
    parts += [_vertical_tick(x.pixel(tick), significant(tick, 1)) for tick in x.ticks]
    parts += [_horizontal_tick(y.pixel(tick), operation_rate(tick, estimate.precision)) for tick in y.ticks]
    parts.append(f'<polyline class="roof" points="{path}"/>')
    parts += [_dot(kernel, rate, x, y) for kernel, rate in points]
    parts.append(
        f'<text class="axis" x="{WIDTH - _RIGHT}" y="{HEIGHT - 6}" text-anchor="end">FLOP per byte moved</text>'
    )
    return "".join([*parts, "</svg>"])


def attained_flops_per_s(kernel: KernelEstimate) -> float:
    """FLOPs ÷ time."""
    return kernel.flops / kernel.time_s if kernel.time_s else 0.0


def _is_drawable(kernel: KernelEstimate) -> bool:
    return bool(kernel.flops and kernel.time_s and kernel.intensity_flops_per_byte)


def _dot(kernel: KernelEstimate, rate: float, x: LogAxis, y: LogAxis) -> str:
    intensity = kernel.intensity_flops_per_byte or 0.0
    radius = 2.5 + 14 * math.sqrt(min(1.0, kernel.share))
    title = (
        f"{kernel.name} ({kernel.kernel_class}): {format_seconds(kernel.time_s)}, {percent(kernel.share)}, "
        f"{kernel.bound.value}-bound"
    )
    return (
        f'<circle cx="{x.pixel(intensity):.1f}" cy="{y.pixel(rate):.1f}" r="{radius:.1f}" '
        f'fill="{BOUND_COLOURS[kernel.bound]}"><title>{escape(title)}</title></circle>'
    )


def memory_svg(timeline: Sequence[tuple[str, int]], base_bytes: int) -> str:
    """Draw live bytes step by step, on top of what stays for the whole run.

    Parameters
    ----------
    timeline : sequence of (str, int)
        Main op of each launch and the bytes alive while it runs, weights left out.
    base_bytes : int
        Weights, KV cache and resident workspace.
    """
    top_bytes = max([live for _, live in timeline], default=0) + base_bytes or 1
    axis_top = _round_up(top_bytes)

    def y(size: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _BOTTOM - _TOP) * size / axis_top

    step = (WIDTH - _LEFT - _RIGHT) / max(1, len(timeline))
    parts = [_svg_open("Memory while the network runs")]
    parts += [_horizontal_tick(y(axis_top * i / 4), format_bytes(axis_top * i / 4, 2)) for i in range(5)]
    peak = max((live for _, live in timeline), default=0)
    for index, (name, live) in enumerate(timeline):
        title = escape(f"{name}: {format_bytes(base_bytes + live)}")
        css = "peak" if live == peak else "live"
        parts.append(
            f'<rect class="{css}" x="{_LEFT + index * step:.2f}" y="{y(base_bytes + live):.1f}" '
            f'width="{max(0.4, step * 0.92):.2f}" height="{y(base_bytes) - y(base_bytes + live):.1f}">'
            f"<title>{title}</title></rect>"
        )
    base = y(base_bytes)
    parts.append(
        f'<rect class="resident" x="{_LEFT}" y="{base:.1f}" width="{WIDTH - _LEFT - _RIGHT}" '
        f'height="{y(0) - base:.1f}"><title>resident: {escape(format_bytes(base_bytes))}</title></rect>'
    )
    parts.append(f'<text class="axis" x="{WIDTH - _RIGHT}" y="{HEIGHT - 10}" text-anchor="end">kernels in order</text>')
    return "".join([*parts, "</svg>"])


def _round_up(value: float) -> float:
    scale = 10.0 ** math.floor(math.log10(value))
    return next(scale * step for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10.01) if scale * step >= value)


def _svg_open(label: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">'


def _vertical_tick(x_px: float, label: str) -> str:
    return (
        f'<line class="grid" x1="{x_px:.1f}" x2="{x_px:.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/>'
        f'<text class="tick" x="{x_px:.1f}" y="{HEIGHT - _BOTTOM + 16}" text-anchor="middle">{escape(label)}</text>'
    )


def _horizontal_tick(y_px: float, label: str) -> str:
    return (
        f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y_px:.1f}" y2="{y_px:.1f}"/>'
        f'<text class="tick" x="{_LEFT - 6}" y="{y_px + 4:.1f}" text-anchor="end">{escape(label)}</text>'
    )
