"""Figures as the accuracy pages print them."""

from __future__ import annotations


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


def signed(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:+.1f} %".replace("-", "−")
