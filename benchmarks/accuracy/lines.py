"""The lines of the accuracy report: one per device, unit, runtime, layout and precision."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from benchmarks.accuracy.coverage import cover
from benchmarks.accuracy.fit import HeldOutRow
from estimator.calibration.predict import Prediction
from estimator.calibration.records import Record
from estimator.calibration.score import Score, score


@dataclass(frozen=True)
class LineKey:
    """What a line is about; sorts as the report lists it."""

    device: str
    unit: str
    runtime: str
    layout: str
    precision: str

    @property
    def label(self) -> str:
        """As printed, and as the reference names it."""
        layout = f" {self.layout}" if self.layout else ""
        return f"{self.device}/{self.unit} {self.runtime}{layout} {self.precision}"


@dataclass(frozen=True)
class Line:
    """Figures of one line.

    Attributes
    ----------
    records : int
        Of the whole line; `sampled` were scored as shipped, `held_out_count` took part in a fit.
    inside_model, inside_family : float or None
        Share of measurements inside p10 … p90 of predictions without their model or family; see `coverage`.
    """

    key: LineKey
    records: int
    held_out_count: int
    without_model: Score
    without_family: Score
    without_device: Score
    sampled: int
    shipped: Score
    roofline: Score
    naive: Score
    inside_model: float | None = None
    inside_family: float | None = None

    def document(self) -> dict[str, object]:
        """Plain values for the reference file; five digits, so that it reads as a diff."""
        return {
            "records": self.records,
            "held_out_count": self.held_out_count,
            "sampled": self.sampled,
            "inside_model": None if self.inside_model is None else round(self.inside_model, 4),
            "inside_family": None if self.inside_family is None else round(self.inside_family, 4),
            **{
                name: {k: None if v is None else round(v, 5) for k, v in asdict(getattr(self, name)).items()}
                for name in SCORES
            },
        }


SCORES = ("without_model", "without_family", "without_device", "shipped", "roofline", "naive")


def record_key(record: Record) -> LineKey:
    return LineKey(record.device, record.unit, record.runtime, record.layout, record.precision.value)


def row_key(row: HeldOutRow) -> LineKey:
    return LineKey(row.device, row.unit, row.runtime, row.layout, row.precision)


def sample_each_line(records: Sequence[Record], count: int | None) -> tuple[Record, ...]:
    """Draw up to `count` records of every line, always the same; None takes all."""
    by_line: dict[LineKey, list[Record]] = {}
    for record in records:
        by_line.setdefault(record_key(record), []).append(record)
    chosen: list[Record] = []
    for members in by_line.values():
        few = count is None or len(members) <= count
        chosen += members if few else random.Random(0).sample(members, count or 0)
    return tuple(chosen)


def make_lines(
    records: Sequence[Record], held_out: Sequence[HeldOutRow], predictions: Sequence[Prediction]
) -> tuple[Line, ...]:
    """Bring together what is known of every line that has records."""
    empty = Score()
    lines: dict[LineKey, Line] = {}
    for record in records:
        key = record_key(record)
        line = lines.get(key) or Line(key, 0, 0, empty, empty, empty, 0, empty, empty, empty)
        lines[key] = replace(line, records=line.records + 1)
    for key, rows in _grouped(held_out, row_key).items():
        if key in lines:
            scores = {f"without_{kind}": _held_out_score(rows, kind) for kind in ("model", "family", "device")}
            lines[key] = replace(lines[key], held_out_count=len(rows), **scores)
    for key, covered in _grouped(cover(held_out), lambda c: row_key(c.row)).items():
        if key in lines:
            lines[key] = replace(
                lines[key],
                inside_model=float(np.mean([c.without_model for c in covered])),
                inside_family=float(np.mean([c.without_family for c in covered])),
            )
    for key, members in _grouped(predictions, lambda p: record_key(p.record)).items():
        measured = np.array([p.record.latency_s for p in members])
        lines[key] = replace(
            lines[key],
            sampled=len(members),
            shipped=score(np.array([p.latency.p50_s for p in members]), measured),
            roofline=score(np.array([p.roofline_s for p in members]), measured),
            naive=score(np.array([p.naive_s for p in members]), measured),
        )
    return tuple(lines[key] for key in sorted(lines, key=_order))


def _order(key: LineKey) -> tuple[int, str, str, str, str]:
    return ("gpu", "cpu", "npu").index(key.unit), key.device, key.runtime, key.layout, key.precision


def _held_out_score(rows: Sequence[HeldOutRow], kind: str) -> Score:
    pairs = [(value, row.measured_ms) for row in rows if (value := row.predicted_ms[kind]) is not None]
    return score(np.array([p for p, _ in pairs]), np.array([m for _, m in pairs]))


def _grouped(items, key):  # type: ignore[no-untyped-def]  # generic over rows and predictions
    groups: dict[LineKey, list] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups
