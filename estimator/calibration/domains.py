"""The domains that responses are fitted for: which records, which contexts, which priors. Data only.

A domain is one shared `Response`: a kind of unit, the runtimes that dispatch or compile alike, and (eager GPUs)
one memory layout. Its contexts say what may depart from the shared response: the device always, and where several
runtimes or precisions share one fit, those too. `timing.coefficients.response_candidates` names the same domains.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from estimator.calibration.objective import Priors
from estimator.calibration.records import Record
from estimator.catalogue.loader import load_device
from estimator.dtypes import Precision
from estimator.errors import CalibrationError
from estimator.lowering.kernel import KernelClass
from estimator.timing.coefficients import (
    HALF_PRECISIONS,
    SINGLE_KERNELS,
    SIZE_CONTEXT,
    generation_context,
    log_size,
)


class Context(StrEnum):
    """What a record may depart from the shared response by; the name of a context holds the record's own value.

    `timing.coefficients` applies contexts of runtime and precision to every device, and a device's own from its
    calibration file. A context of conditions (framework versions) only keeps versions apart within a fit.
    """

    DEVICE = "device"
    RUNTIME = "runtime"
    PRECISION = "precision"
    RUNTIME_PRECISION = "runtime:precision"
    DEVICE_RUNTIME = "device:runtime"
    GENERATION_PRECISION = "generation:precision"
    SIZE = "size"
    """A quantity: its offset applies in proportion to how much larger the unit is than a reference one."""
    CONDITIONS = "conditions"

    def of(self, record: Record) -> str:
        """Name of this record's context, as a response's file spells it."""
        match self:
            case Context.DEVICE:
                return device_context(record.device)
            case Context.RUNTIME:
                return f"runtime:{record.runtime}"
            case Context.PRECISION:
                return f"precision:{record.precision.value}"
            case Context.RUNTIME_PRECISION:
                return f"runtime:{record.runtime}:{record.precision.value}"
            case Context.DEVICE_RUNTIME:
                return device_runtime_context(record.device, record.runtime)
            case Context.GENERATION_PRECISION:
                _, unit = load_device(f"{record.device}/{record.unit}")
                return generation_context(unit.architecture, record.precision)
            case Context.SIZE:
                return SIZE_CONTEXT
            case Context.CONDITIONS:
                return f"conditions:{record.conditions}"

    def share(self, record: Record) -> float:
        """How much of the context's offset applies to this record."""
        if self is not Context.SIZE:
            return 1.0
        _, unit = load_device(f"{record.device}/{record.unit}")
        return log_size(unit)


def device_runtime_context(device: str, runtime: str) -> str:
    """Name of what a device departs by under one runtime only."""
    return f"on:{device}:{runtime}"


def device_context(device: str) -> str:
    """Name of a device's own context."""
    return f"device:{device}"


@dataclass(frozen=True, slots=True)
class Domain:
    """One shared response and the records that it is fitted on.

    Attributes
    ----------
    name : str
        Of the response, and of its file.
    unit : str
        Kind of unit: cpu, gpu or npu.
    layout : str
        ``nchw`` or ``nhwc``; "" takes every layout.
    precisions : tuple of Precision
        () takes every precision.
    conditions : str
        Text that a record's conditions must contain; "" takes all.
    max_latency_s : float or None
        Longer records are left out of the fit: they ran elsewhere than they say (a fallback to the CPU).
    contexts : tuple of Context
        The device's must be among them.
    epochs : int
        Passes over the records when the network is fitted.
    folds : int
        Parts that models, and families, are held out in.
    residual : tuple of float or None
        (length, noise) of the correction by networks of like composition; None for none.
    residual_only_on : str
        The one device that the correction holds for; "" where it carries over to others.
    like : tuple of (KernelClass, KernelClass)
        A class that no record has, and the one whose coefficients it takes because it does the same work.
    """

    name: str
    unit: str
    runtimes: tuple[str, ...]
    contexts: tuple[Context, ...]
    priors: Priors
    layout: str = ""
    precisions: tuple[Precision, ...] = ()
    conditions: str = ""
    max_latency_s: float | None = None
    epochs: int = 40
    folds: int = 8
    residual: tuple[float, float] | None = None
    residual_only_on: str = ""
    like: tuple[tuple[KernelClass, KernelClass], ...] = ()

    def contains(self, record: Record) -> bool:
        """Whether a record belongs to this domain's fit."""
        return (
            self.covers(record.unit, record.runtime, record.layout, record.precision)
            and self.conditions in record.conditions
            and (self.max_latency_s is None or record.latency_s <= self.max_latency_s)
        )

    def covers(self, unit: str, runtime: str, layout: str, precision: Precision) -> bool:
        """Whether what ran so is of this domain's kind, whether or not it takes part in the fit."""
        return (
            unit == self.unit
            and runtime in self.runtimes
            and self.layout in ("", layout)
            and (not self.precisions or precision in self.precisions)
        )

    def select(self, records: Iterable[Record]) -> tuple[Record, ...]:
        """Keep the records that belong here, in the given order."""
        return tuple(record for record in records if self.contains(record))

    def context_shares(self, record: Record) -> dict[str, float]:
        """Contexts that apply to a record, and how much of each."""
        return {context.of(record): context.share(record) for context in self.contexts}


_STREAMED = ((KernelClass.CAST_WEIGHT, 0.15), (KernelClass.MATVEC, 0.15))
"""A weight is cast, and multiplied by few rows, in one stream. Batches of hundreds show small casts alone, whose
launches look like bandwidth, and no such product."""
_GPU = Priors(
    network_weight=0.4, cache_exponent=1.0, launch_s=2.5e-6, overhead=0.1, held_memory_efficiency=_STREAMED,
    contexts=(("device", (0.3, 0.3, 0.05, 0.3, 0.1)),),
)  # fmt: skip
"""A kernel that waits for the one before it takes 2 to 3 µs to start and to drain on any GPU, which batches of hundreds
hide. Of one device, a launch offset also scales its host's, which no record shows."""
_GPU_EAGER = replace(_GPU, hidden=16)
_GPU_COMPILE = replace(_GPU, hidden=8, cache_exponent=1.5)
"""One GPU's records ask for less of a network, and for a cache that ends more sharply, than two GPUs' do (ADR 0011)."""
_GPU_KERNELS = Priors(
    hidden=0, cache_exponent=1.0, noise=0.1, fixed_s=3e-5, fits_under_floor=False, whitened_steps=400,
    records_per_model=50.0, contexts=(("device", (0.2, 0.2, 0.3, 0.5, 0.1)),),
)  # fmt: skip
"""Kernels of arbitrary extents differ by which variant a library picks: more noise than networks. One call alone takes
tens of microseconds on the host. Sustained clocks are assumed, so their floor must not hide what records say. Errors of
one kind of kernel are shared by hundreds of records."""
_LIKE_CLASSES = (
    (KernelClass.CONV_POINTWISE, KernelClass.MATMUL), (KernelClass.CONV_GROUPED, KernelClass.CONV_DENSE),
    (KernelClass.CONV_3D, KernelClass.CONV_DENSE), (KernelClass.CONV_TRANSPOSED, KernelClass.CONV_DENSE),
    (KernelClass.ATTENTION, KernelClass.BATCHED_MATMUL), (KernelClass.RECURRENT, KernelClass.MATMUL),
    (KernelClass.NORM, KernelClass.POINTWISE), (KernelClass.COPY, KernelClass.POINTWISE),
    (KernelClass.CAST, KernelClass.POINTWISE),
)  # fmt: skip
_CONVOLUTIONS = (
    KernelClass.CONV_DENSE, KernelClass.CONV_POINTWISE, KernelClass.CONV_GROUPED, KernelClass.CONV_DEPTHWISE,
    KernelClass.CONV_STEM,
)  # fmt: skip
_CPU = Priors(
    hidden=0, weight_cost_prior=0.5, launch_s=2e-5, launch_by_class=0.5,
    held_memory_efficiency=tuple((kernel_class, 0.3) for kernel_class in _CONVOLUTIONS),
)  # fmt: skip
"""At batch 1 activations stay in caches, so that records leave a convolution's draw on memory open: free, it came out
at a seventh of DRAM's bandwidth, and a ResNet-50 took longer per image the larger its batch."""
_MOBILE = Priors(
    hidden=0, noise=0.1, memory_efficiency_prior=0.5, half_extent=0.3, weight_cost=0.5, fits_under_floor=False,
    launch_s=5e-6, launch_by_class=0.5, fixed_s=2e-4, whitened_steps=400, records_per_model=3.0,
    contexts=(("device", (0.3, 0.3, 0.3, 0.3, 0.02)), ("precision", (0.3, 0.1, 0.3, 0.3, 0.2))),
)  # fmt: skip
"""A byte takes as long to move in any precision: records of few networks would give it what belongs to arithmetic."""
_NPU = Priors(
    hidden=0, noise=0.1, efficiency=0.5, compute_efficiency_prior=1.0, memory_efficiency_prior=4.0,
    tensor_efficiency=0.4, tensor_efficiency_prior=0.6,
    half_extent=0.5, half_extent_prior=16.0, weight_cost=0.2, weight_cost_prior=1.5,
    launch_s=3e-6, launch_by_class=0.5, memory_efficiency_priors=((KernelClass.TRANSPOSE, 0.1),),
    fixed_s=3e-4, scalar=1.0, records_per_model=3.0, whitened_steps=400, fits_under_floor=False,
    contexts=(
        ("device", (0.25, 0.15, 0.35, 0.4, 0.07)),
        ("size", (0.5, 0.3, 0.7, 0.7, 0.02)),
        ("runtime", (0.3, 0.3, 0.3, 0.3, 0.1)),
        ("precision", (0.6, 0.6, 0.6, 0.6, 0.15)),
        ("runtime:precision", (0.2, 0.2, 0.2, 0.3, 0.1)),
        ("generation:precision", (0.8, 0.3, 0.5, 0.3, 0.15)),
        ("generation:v66:int8", (0.8, 0.3, 0.5, 2.5, 0.15)),
    ),
)  # fmt: skip
"""Deviations are of natural logarithms. Products run below their ceiling and activations stay in local memory (4 ×
DRAM bandwidth) unless records say otherwise; what differs is weights, streamed once, and work per kernel. A permutation
of a tensor that is stored in blocks of channels moves single elements: a tenth of DRAM's bandwidth. HTPs start an
inference alike in every precision; a chip before HTP takes milliseconds."""
_MOBILE_GPU = Priors(hidden=0, launch_s=2e-5, fixed_s=5e-4, context_rate=1.0, context_class=0.02, efficiency=0.3)

DOMAINS: Final[tuple[Domain, ...]] = (
    Domain(
        "gpu-torch-eager-nchw", "gpu", ("torch-eager",), (Context.DEVICE,), _GPU_EAGER,
        layout="nchw", precisions=HALF_PRECISIONS, residual=(0.3, 0.05),
    ),
    Domain(
        "gpu-torch-eager-nhwc", "gpu", ("torch-eager",), (Context.DEVICE,), _GPU_EAGER,
        layout="nhwc", precisions=HALF_PRECISIONS, residual=(0.3, 0.05),
    ),
    Domain(
        SINGLE_KERNELS, "gpu", ("torch-eager",), (Context.DEVICE,), _GPU_KERNELS,
        precisions=(Precision.FP32,), like=_LIKE_CLASSES,
    ),
    Domain("gpu-torch-compile", "gpu", ("torch-compile",), (Context.DEVICE,), _GPU_COMPILE, residual=(0.3, 0.05)),
    Domain(
        "cpu-torch-compile", "cpu", ("torch-compile",), (Context.DEVICE,), _CPU, residual=(0.4, 0.05),
        residual_only_on="i9-10940x",
    ),
    Domain(
        "npu", "npu", ("tflite", "qnn", "qnn_dlc", "onnxruntime"),
        (
            Context.DEVICE, Context.RUNTIME, Context.PRECISION, Context.RUNTIME_PRECISION,
            Context.GENERATION_PRECISION, Context.SIZE,
        ),
        _NPU, max_latency_s=0.150, folds=22, residual=(0.8, 1.0),
    ),
    Domain("cpu-mobile", "cpu", ("tflite", "onnxruntime"), (Context.DEVICE, Context.PRECISION), _MOBILE, folds=22),
    Domain("gpu-mobile", "gpu", ("tflite",), (Context.DEVICE,), _MOBILE_GPU),
)  # fmt: skip
"""Priors are tuned by held-out error alone (docs/adr/0007-time-model.md)."""


def domain(name: str, domains: Sequence[Domain] = DOMAINS) -> Domain:
    """Find a domain by name.

    Raises
    ------
    CalibrationError
        No such domain.
    """
    for one in domains:
        if one.name == name:
            return one
    raise CalibrationError(f"unknown domain {name!r}", expected=", ".join(one.name for one in domains))
