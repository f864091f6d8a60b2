"""The phrases that every written form of an estimate shares."""

from __future__ import annotations

from typing import Final

from estimator.dtypes import Precision
from estimator.result import Estimate, Provenance, ProvenanceKind
from estimator.units import MILLI, format_rate


def milliseconds(seconds: float) -> str:
    """Three significant digits in ms, e.g. ``0.0432``, ``4.61``, ``1320``; no unit."""
    return significant(seconds / MILLI)


def significant(value: float, digits: int = 3) -> str:
    """Print `digits` significant digits without an exponent where a person can still read it."""
    if value == 0:
        return "0"
    if not 1e-6 <= abs(value) < 1e9:
        return f"{value:.{digits - 1}e}"
    rounded = float(f"{value:.{digits}g}")
    whole_digits = len(str(int(abs(rounded)))) if abs(rounded) >= 1 else 0
    if whole_digits:
        return f"{rounded:.{max(0, digits - whole_digits)}f}"
    text = f"{rounded:.12f}".rstrip("0")
    leading_zeros = len(text) - len(text.lstrip("-0.")) - text.count("-") - 2
    return f"{rounded:.{leading_zeros + digits}f}"


def percent(fraction: float) -> str:
    """Print a fraction as ``34 %``, ``0.8 %`` below ten, ``< 0.1 %`` where that would be nought."""
    value = 100 * fraction
    if 0 < value < 0.05:
        return "< 0.1 %"
    if value >= 1000:
        return f"{significant(value)} %"
    return f"{value:.0f} %" if value >= 9.95 or value == 0 else f"{value:.1f} %"


_INTEGER_PRECISIONS: Final = (Precision.INT8, Precision.W8A16)


def operation_rate(flops_per_s: float, precision: str) -> str:
    """Print a rate in FLOP/s, or in OP/s where the operands are integers."""
    text = format_rate(flops_per_s)
    return text.replace("FLOP/s", "OP/s") if precision in _INTEGER_PRECISIONS else text


TELLING_RECORDS: Final = 10
"""The median error of fewer records is itself uncertain by more than half of it."""


def provenance_phrase(provenance: Provenance) -> str:
    """Say what the latency rests on, e.g. ``calibrated, 71 records, ±8.1 % held out``."""
    if provenance.kind is ProvenanceKind.DATASHEET:
        return "not calibrated: datasheet values only"
    plural = "" if provenance.records == 1 else "s"
    records = f", {provenance.records} record{plural}" if provenance.records else ""
    if provenance.kind is ProvenanceKind.FAMILY:
        return f"not calibrated; family fit{records}"
    error = provenance.heldout_median_ape
    if error is None:
        return f"calibrated{records}"
    if provenance.records < TELLING_RECORDS:
        return f"calibrated, only {provenance.records} record{plural}"
    return f"calibrated{records}, ±{percent(error)} held out"


def times_faster(estimate: Estimate, other_s: float) -> str:
    """How a simpler model compares with the estimate, e.g. ``1/90 of the estimate``."""
    if other_s <= 0:
        return ""
    ratio = estimate.latency.p50_s / other_s
    if ratio >= 1.05:
        return f"1/{significant(ratio, 2)} of the estimate"
    return f"{percent(other_s / estimate.latency.p50_s)} of the estimate" if estimate.latency.p50_s else ""
