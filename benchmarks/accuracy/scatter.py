"""Predicted against measured, one small picture per domain: held-out models, families and the plain roofline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.accuracy.fit import HeldOutRow


def draw(title: str, rows: Sequence[HeldOutRow], path: Path) -> None:
    """Write a PNG of predictions by fits that did not see the model (left) or its family (right)."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(8.4, 4.0), sharex=True, sharey=True, layout="constrained")
    measured = np.array([row.measured_ms for row in rows])
    limits = np.array([measured.min() * 0.7, measured.max() * 1.4])
    for axis, kind in zip(axes, ("model", "family"), strict=True):
        predicted = np.array([row.predicted_ms[kind] or np.nan for row in rows])
        for device in sorted({row.device for row in rows}):
            own = np.array([row.device == device for row in rows])
            axis.plot(measured[own], predicted[own], ".", markersize=2.5, alpha=0.6, label=device, rasterized=True)
        axis.plot(limits, limits, color="0.3", linewidth=0.8)
        axis.fill_between(limits, limits * 0.9, limits * 1.1, color="0.85", zorder=0, linewidth=0)
        median = np.nanmedian(np.abs(predicted / measured - 1))
        axis.set_title(f"{kind} not seen: median error {100 * median:.1f} %", fontsize=9)
        axis.set(xscale="log", yscale="log", xlim=limits, ylim=limits, xlabel="measured, ms")
        axis.tick_params(labelsize=8)
    axes[0].set_ylabel("predicted, ms")
    axes[0].legend(fontsize=7, markerscale=3, frameon=False)
    figure.suptitle(f"{title} (band: ±10 %)", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
