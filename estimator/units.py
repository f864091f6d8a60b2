"""Unit conversion and formatting: the only file with powers of ten.

Everything inside the package is base SI (seconds, bytes, hertz, FLOP/s, bytes/s).
GB is 10⁹ bytes, GiB is 2³⁰ bytes; "GB" is never 2³⁰.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, overload

if TYPE_CHECKING:  # prefixes are needed before numpy is
    import numpy as np
    from numpy.typing import NDArray

KILO: Final = 1e3
MEGA: Final = 1e6
GIGA: Final = 1e9
TERA: Final = 1e12
MILLI: Final = 1e-3
MICRO: Final = 1e-6
NANO: Final = 1e-9
KIB: Final = 1024
MIB: Final = 1024**2
GIB: Final = 1024**3


def ms_from_s(seconds: float) -> float:
    """Milliseconds from seconds."""
    return seconds / MILLI


@overload
def us_from_s(seconds: float) -> float: ...
@overload
def us_from_s(seconds: NDArray[np.float64]) -> NDArray[np.float64]: ...
def us_from_s(seconds: float | NDArray[np.float64]) -> float | NDArray[np.float64]:
    """Microseconds from seconds."""
    return seconds / MICRO


def s_from_ms(milliseconds: float) -> float:
    """Seconds from milliseconds."""
    return milliseconds * MILLI


def _scaled(value: float, steps: tuple[tuple[float, str], ...], digits: int) -> str:
    for factor, suffix in steps:
        if abs(value) >= factor * (1 - 0.5 * 10**-digits):
            return f"{_significant(value / factor, digits)} {suffix}"
    factor, suffix = steps[-1]
    return f"{_significant(value / factor, digits)} {suffix}"


def _significant(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    whole_digits = len(str(int(abs(float(f"{value:.{digits}g}")))))
    return f"{value:.{max(0, digits - whole_digits)}f}"


def format_seconds(seconds: float, digits: int = 3) -> str:
    """Print a duration in s, ms, µs or ns with `digits` significant digits."""
    return _scaled(seconds, ((1.0, "s"), (MILLI, "ms"), (MICRO, "µs"), (NANO, "ns")), digits)


def format_bytes(size_bytes: float, digits: int = 3) -> str:
    """Print a size in decimal units (GB, MB, kB, B)."""
    return _scaled(size_bytes, ((GIGA, "GB"), (MEGA, "MB"), (KILO, "kB"), (1.0, "B")), digits)


def format_count(count: float, digits: int = 3) -> str:
    """Print a count with G, M, k suffixes."""
    return _scaled(count, ((TERA, "T"), (GIGA, "G"), (MEGA, "M"), (KILO, "k"), (1.0, "")), digits).rstrip()


def format_rate(flops_per_s: float, digits: int = 3) -> str:
    """Print a compute rate in TFLOP/s, GFLOP/s or MFLOP/s."""
    steps = ((TERA, "TFLOP/s"), (GIGA, "GFLOP/s"), (MEGA, "MFLOP/s"), (1.0, "FLOP/s"))
    return _scaled(flops_per_s, steps, digits)
