"""Which fitted coefficients an estimate uses, and what that makes it: calibrated, family or datasheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from estimator.catalogue.calibration import Calibration, ContextOffset, Response, Spread
from estimator.catalogue.device import Device, Unit, UnitKind
from estimator.dtypes import Precision
from estimator.timing.response import combined_offset
from estimator.timing.roofline import ceilings_of, is_like_measured_kernels

RANKS: Final = {"datasheet": 0, "family": 1, "calibrated": 2}

DATASHEET_SPREAD: Final = Spread(log_p10=-0.45, log_p90=0.45, median_ape=0.25, records=0)
"""Assumed where a response has no held-out spread of that provenance: a factor of 1.57 either way."""


@dataclass(frozen=True, slots=True)
class Coefficients:
    """A response and the offsets that apply, with what they rest on."""

    response: Response
    offset: ContextOffset
    kind: str
    spread: Spread
    records: int
    calibration: str
    note: str = ""


HALF_PRECISIONS: Final = (Precision.AMP_FP16, Precision.AMP_BF16, Precision.FP16, Precision.BF16)
"""What the responses of eager GPUs by layout hold for."""
SINGLE_KERNELS: Final = "gpu-torch-eager-fp32"
"""The response that knows single kernels alone: CUDA cores' products in fp32, of which no network is on record."""

_KERNELS_NOTE: Final = {SINGLE_KERNELS: "fp32 on GPUs is known from single kernels; no network was measured"}
_ONE_DEVICE_NOTE: Final = {
    "gpu-torch-compile": "compiled code is known from one GPU (RTX 4090): how its loops scale to another is assumed",
}
"""Of a device that has no records of its own."""


def response_candidates(unit: Unit, runtime: str, layout: str, precision: Precision) -> tuple[tuple[str, bool], ...]:
    """Shared responses to try in order, each with whether it was fitted for this runtime.

    A runtime without records borrows from the nearest one that compiles or dispatches alike.
    """
    kind = unit.kind
    if kind is UnitKind.NPU:
        return (("npu", unit.architecture.startswith("hexagon")),)
    if kind is UnitKind.CPU:
        mobile = unit.vector_bits is not None and unit.vector_bits <= 128
        if mobile:
            return (("cpu-mobile", runtime in ("onnxruntime", "tflite")),)
        return (("cpu-torch-compile", runtime == "torch-compile"),)
    if unit.ceiling("fp16", engine="tensor") is None and runtime in ("tflite", "qnn", "qnn_dlc"):
        return (("gpu-mobile", True), ("gpu-torch-compile", False))
    by_runtime = (
        (f"gpu-torch-eager-{layout}", True)
        if runtime == "torch-eager"
        else ("gpu-torch-compile", runtime == "torch-compile")
    )
    if is_like_measured_kernels(unit, precision):
        return ((SINGLE_KERNELS, runtime == "torch-eager"), by_runtime)
    return (by_runtime,)


def choose_coefficients(
    device: Device,
    unit: Unit,
    runtime: str,
    precision: Precision,
    layout: str,
    *,
    responses: Callable[[str], Response],
    available: Sequence[str],
    calibration: Calibration | None,
    limit: str = "calibrated",
) -> Coefficients:
    """Pick the best coefficients no better than `limit`.

    Parameters
    ----------
    responses, available
        Loader and names of the shared responses.
    calibration : Calibration or None
        The device's own, if there is one.
    limit : {"calibrated", "family", "datasheet"}
        ``family`` ignores the device's own records, ``datasheet`` all fits of its runtime.
    """
    if calibration is not None and RANKS[limit] >= RANKS["calibrated"] and _covers(calibration, precision):
        response = responses(_response_name(calibration, unit, runtime, layout, precision))
        offset = combined_offset(
            (*_shared_offsets(response, unit, runtime, precision), calibration.offset), len(response.class_names)
        )
        return Coefficients(
            _on_device(response, device), offset, "calibrated", calibration.spread, calibration.sample_count,
            f"{calibration.device}/{calibration.unit}/{calibration.runtime}", _KERNELS_NOTE.get(response.name, ""),
        )  # fmt: skip
    name, exact = next(
        (c for c in response_candidates(unit, runtime, layout, precision) if c[0] in available), ("", False)
    )
    if not name:
        raise LookupError(f"no response for {unit.kind.value} {runtime}")
    response = responses(name)
    exact = exact and _is_on_record(device, unit, name, precision)
    kind = "family" if exact and RANKS[limit] >= RANKS["family"] else "datasheet"
    offset = combined_offset(_shared_offsets(response, unit, runtime, precision), len(response.class_names))
    spread = _beyond_records(response.spreads.get(kind, DATASHEET_SPREAD), unit, precision)
    records = response.records if kind == "family" else 0
    borrowed = f"no records of {runtime} in {precision.value} on this kind of unit: coefficients of {name} are used"
    untried = _UNTRIED_NOTE.format(unit.architecture) if unit.architecture in RATES_WITHOUT_RECORDS else ""
    known = _KERNELS_NOTE.get(name, _ONE_DEVICE_NOTE.get(name, ""))
    notes = (known if exact else borrowed, untried)
    note = "; ".join(filter(None, notes))
    return Coefficients(_on_device(response, device), offset, kind, spread, records, name, note)


def _is_on_record(device: Device, unit: Unit, name: str, precision: Precision) -> bool:
    """Whether records of this response are of the same software on like hardware, in a like precision.

    GPUs' are of CUDA under half precision (and its autocast), of single fp32 kernels, and of Adreno; CPUs' compiled
    code is of fp32.
    """
    if name == "gpu-mobile":
        return unit.architecture.startswith("adreno")
    if unit.kind is UnitKind.GPU:
        return device.vendor == "NVIDIA" and (precision in HALF_PRECISIONS or name == SINGLE_KERNELS)
    return name != "cpu-torch-compile" or precision is Precision.FP32


RATE_DEVIATION: Final = 0.1
"""Of a GPU's time, per factor of e of its tensor rate per core beyond that of cards with records (assumed: how a tile
fills a faster core is no fit, and two readings of it were a factor of 1.2 to 1.9 apart on a B200, eight times)."""
_P90_DEVIATIONS: Final = 1.2816


def _beyond_records(spread: Spread, unit: Unit, precision: Precision) -> Spread:
    """Widen the interval of a GPU whose cores do more per cycle, in this precision, than those that were measured."""
    more = _P90_DEVIATIONS * RATE_DEVIATION * math.log(ceilings_of(unit, precision).core_rate)
    return replace(spread, log_p10=-math.hypot(spread.log_p10, more), log_p90=math.hypot(spread.log_p90, more))


def _on_device(response: Response, device: Device) -> Response:
    """Drop what networks departed by on some other device alone."""
    return response if response.residual is None else replace(response, residual=response.residual.on(device.id))


def _response_name(calibration: Calibration, unit: Unit, runtime: str, layout: str, precision: Precision) -> str:
    """Prefer the layout's own response where the offset was fitted with it too."""
    candidates = (name for name, _ in response_candidates(unit, runtime, layout, precision))
    return next((name for name in candidates if name in calibration.other_responses), calibration.response)


def _covers(calibration: Calibration, precision: Precision) -> bool:
    return not calibration.precisions or precision.value in calibration.precisions


def generation_context(architecture: str, precision: Precision) -> str:
    """Name of the context that units of one hardware generation share in one precision; see `generation`."""
    return f"generation:{generation(architecture)}:{precision.value}"


def generation(architecture: str) -> str:
    """Hexagon generations that run a precision at like ratios to what is advertised.

    ``v66``: vector unit and tensor accelerator, before HTP. ``v68``: HTP with fp16 at a fraction of the int8 rate
    (v68, v69). ``v73``: all later ones, and those whose version nobody published, which are new parts.
    """
    family, _, version = architecture.partition("-v")
    if family != "hexagon":
        return architecture
    number = int(version) if version.isdigit() else LATEST_GENERATION
    return "v66" if number < 68 else "v68" if number < LATEST_GENERATION else "v73"


LATEST_GENERATION: Final = 73
SIZE_CONTEXT: Final = "size"
REFERENCE_OPS_PER_S: Final = 30e12


MOST_LOG_SIZE: Final = 1.0
"""The chips that slopes were fitted on lie between −0.92 and 0.73 (12 and 62 TOPS); little beyond is a guess."""


def log_size(unit: Unit) -> float:
    """How much larger an NPU is than one of 30 TOPS: natural log of its 8-bit rates' ratio; 0 where none is known.

    Advertised rates are upper bounds. How far kernels, launches and fixed costs follow them is fitted: the offset
    of the context ``size`` is a slope, which ends where no chip was measured.
    """
    in_8_bits = (("int8", 1), ("fp8", 1), ("bf16", 2), ("fp16", 2))
    rates = (factor * rate.flops_per_s for dtype, factor in in_8_bits if (rate := unit.ceiling(dtype)) is not None)
    ops_per_s = next(rates, REFERENCE_OPS_PER_S)
    return max(-MOST_LOG_SIZE, min(MOST_LOG_SIZE, math.log(ops_per_s / REFERENCE_OPS_PER_S)))


RATES_WITHOUT_RECORDS: Final[Mapping[str, float]] = {"blackwell": 0.9, "blackwell-gb100": 0.9}
"""By GPU architecture without records: what both rates attain of what the coefficients of its predecessors promise.

Rooflines with class efficiencies fitted on an RTX 3090 and 4090 were 8 to 12 % too fast on an RTX 5090 and 18 to 25 %
on a Max-Q (docs/adr/0007-time-model.md, "What rests on no record")."""


_UNTRIED_NOTE: Final = (
    "no network was measured on {}: its rates are assumed below what its predecessors' records promise"
)


def _untried_rates(unit: Unit, class_count: int) -> ContextOffset:
    """Offset of an architecture that no record is of; zero for others."""
    log_rate = math.log(RATES_WITHOUT_RECORDS.get(unit.architecture, 1.0))
    return ContextOffset(log_rate, log_rate, 0.0, 0.0, np.zeros(class_count))


def _as_measured(unit: Unit, runtime: str, precision: Precision) -> Precision:
    """Return the precision whose departures, beyond its rate, those of another kind of unit are like.

    NPUs' were measured on Hexagons, whose native type is int8: so is, on another make, what its runtime lists first.
    CPUs compute halves as they do fp32, with more lanes if they have them.
    """
    if unit.kind is UnitKind.NPU and not unit.architecture.startswith("hexagon"):
        native = next((r.precisions[0] for r in unit.runtimes if r.name == runtime), None)
        return Precision.INT8 if precision is native else precision
    half = precision in (Precision.FP16, Precision.BF16)
    return Precision.FP32 if unit.kind is UnitKind.CPU and half else precision


def _shared_offsets(response: Response, unit: Unit, runtime: str, precision: Precision) -> tuple[ContextOffset, ...]:
    precision = _as_measured(unit, runtime, precision)
    names = (
        f"runtime:{runtime}",
        f"precision:{precision.value}",
        f"runtime:{runtime}:{precision.value}",
        generation_context(unit.architecture, precision),
    )
    size = response.contexts.get(SIZE_CONTEXT)
    return (
        *(response.contexts[name] for name in names if name in response.contexts),
        *(() if size is None else (size.scaled(log_size(unit)),)),
        _untried_rates(unit, len(response.class_names)),
    )
