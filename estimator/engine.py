"""The composition root: Graph × Device → Estimate. Reads like a table of contents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from estimator.catalogue.calibration import Calibration, Spread
from estimator.catalogue.calibration_file import find_calibration, load_calibration, load_response, response_names
from estimator.catalogue.device import Device, Unit, UnitKind
from estimator.costs.registry import GraphCost, graph_cost, is_costed
from estimator.dtypes import Precision
from estimator.errors import (
    BadOptionError,
    EstimatorError,
    GraphError,
    UnknownRuntimeError,
    UnsupportedCombinationError,
    UnsupportedOpError,
)
from estimator.ir.graph import Graph
from estimator.lowering.fuse import lower, lower_to_rows
from estimator.lowering.kernel import Kernel, KernelGraph, KernelTable
from estimator.lowering.known import Known
from estimator.lowering.precision import AUTOCAST_TO, Retyping, apply_precision, stored_precision
from estimator.lowering.rule import Target
from estimator.lowering.runtimes import runtime_rules
from estimator.memory.peak import MemoryPlan, peak_bytes, plan_memory
from estimator.result import (
    Bound,
    BoundShare,
    Estimate,
    EstimateColumns,
    Interval,
    KernelEstimate,
    MemoryEstimate,
    Provenance,
    ProvenanceKind,
)
from estimator.timing.coefficients import Coefficients, choose_coefficients
from estimator.timing.features import KernelFeatures, kernel_features
from estimator.timing.latency import Latency, Launches, interval, time_network, time_networks
from estimator.timing.response import KernelTimes
from estimator.timing.roofline import Ceilings, ceilings_of, spilled_share

LAYOUTS = ("nchw", "nhwc")
SOURCES = ("calibrated", "family", "datasheet")


@dataclass(frozen=True, slots=True)
class EstimateOptions:
    """How to run and what to rely on.

    Attributes
    ----------
    runtime, precision, layout : None takes the unit's default (and nchw).
    strict : bool
        Fail on operators without a cost rule.
    source : {"calibrated", "family", "datasheet"} or None
        Best provenance allowed; None allows all.
    calibrations : tuple of Path
        The user's own calibration files; the first that fits wins over the catalogue's.
    """

    runtime: str | None = None
    precision: Precision | None = None
    layout: str | None = None
    strict: bool = False
    source: str | None = None
    calibrations: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class ResolvedTarget:
    """Options with every default filled in and checked against the device.

    Attributes
    ----------
    torch_version : tuple of int or None
        Of the PyTorch whose time is meant, where a record says it; None for a current one.
    """

    runtime: str
    precision: Precision
    layout: str
    source: str
    torch_version: tuple[int, int] | None = None


def estimate(graph: Graph, device: Device, unit: Unit, options: EstimateOptions | None = None) -> Estimate:
    """Estimate latency and memory of one forward pass.

    Parameters
    ----------
    graph : Graph
        As imported, in its own dtypes.

    Returns
    -------
    Estimate
        Base SI, with per-kernel times, interval, provenance and warnings.

    Raises
    ------
    UnknownRuntimeError, UnsupportedCombinationError, BadOptionError
        The options do not fit the device.
    UnsupportedOpError
        `options.strict` and an operator without a rule.
    MissingCeilingError
        The device lists no rate for this precision.
    """
    options = options or EstimateOptions()
    place = place_at(site_of(device, unit, options), options.calibrations)
    cost = graph_cost(graph)
    if options.strict and cost.unsupported:
        raise UnsupportedOpError(cost.unsupported)
    run = as_run(graph, unit.kind, place.target)
    lowered = _lower_run(run, unit.kind, place.target)
    features = kernel_features(KernelTable.from_kernels(lowered.kernels), place.ceilings)
    latency = time_network(features, place.coefficients)
    fused = [kernel.ops for kernel in lowered.kernels]
    plan = plan_memory(run, fused=fused, runtime=place.target.runtime, unit_kind=unit.kind, layout=place.target.layout)
    unused = _unfitting(device, unit, place.target, options.calibrations)
    return _assemble(graph, place, cost, lowered, features, latency, plan, unused)


@dataclass(frozen=True, slots=True)
class Site:
    """Where and how networks run, resolved: facts alone, nothing fitted."""

    device: Device
    unit: Unit
    target: ResolvedTarget
    ceilings: Ceilings


@dataclass(frozen=True, slots=True)
class Place(Site):
    """A site with the coefficients that an estimate there uses."""

    coefficients: Coefficients


def site_of(device: Device, unit: Unit, options: EstimateOptions) -> Site:
    """Resolve where and how something runs.

    Raises
    ------
    UnknownRuntimeError, UnsupportedCombinationError, BadOptionError, MissingCeilingError
        As `estimate`.
    """
    target = resolve_target(device, unit, options)
    return Site(device, unit, target, ceilings_of(unit, target.precision, target.runtime))


def place_at(site: Site, calibrations: Sequence[Path] = ()) -> Place:
    """Add the coefficients that the site's target allows; the user's own `calibrations` come first."""
    coefficients = coefficients_for(site.device, site.unit, site.target, calibrations)
    return Place(site.device, site.unit, site.target, site.ceilings, coefficients)


NETWORKS_AT_ONCE: Final = 128
"""Timed in one call: their similarities to some 2,000 measured networks take 2 MB, their launches' features 12 MB."""
MOST_KNOWN: Final = 50_000
"""Distinct ops and groups of ops, a kilobyte each, that a batch remembers before it starts anew."""
MAX_BYTES: Final = 2**63 - 1
"""What a column can hold."""


def estimate_columns(
    graphs: Iterable[Graph | EstimatorError], device: Device, unit: Unit, options: EstimateOptions | None = None
) -> EstimateColumns:
    """Estimate latency and peak memory of many networks: the numbers of `estimate`, without the report around them.

    Parameters
    ----------
    graphs : iterable of Graph or EstimatorError
        Taken one by one: whoever must stop between two networks stops here. An error stands for a network that could
        not be read, and is its failure.

    Returns
    -------
    EstimateColumns
        What `estimate` would raise for a network is its entry of `failures`.
    """
    options = options or EstimateOptions()
    networks: _Networks | EstimatorError
    try:
        networks = _Networks(place_at(site_of(device, unit, options), options.calibrations), strict=options.strict)
    except EstimatorError as error:
        networks = error
    failures: dict[int, EstimatorError] = {}
    count = 0
    for index, graph in enumerate(graphs):
        count += 1
        if isinstance(graph, EstimatorError):
            failures[index] = graph
        elif isinstance(networks, EstimatorError):
            failures[index] = networks
        else:
            try:
                networks.add(graph)
            except EstimatorError as error:
                failures[index] = error
    quantiles, peak_bytes = np.full((3, count), np.nan), np.zeros(count, dtype=np.int64)
    if isinstance(networks, _Networks):
        answered = np.array([index not in failures for index in range(count)], dtype=bool)
        quantiles[:, answered], peak_bytes[answered] = networks.quantiles_s(), networks.peak_bytes
    p10_s, p50_s, p90_s = quantiles
    return EstimateColumns(p10_s, p50_s, p90_s, peak_bytes, failures)


class _Networks:
    """Networks on their way through one place: lowered one by one, timed together."""

    def __init__(self, place: Place, *, strict: bool) -> None:
        self._place = place
        self._strict = strict
        self._target = _lowering_target(place.unit.kind, place.target)
        self._retyping = _retyping(place.unit.kind, place.target)
        self._known = Known(runtime_rules(place.target.runtime))
        self._untimed: list[list[int]] = []  # rows of what is known
        self._timed = [np.zeros((3, 0))]
        self.peak_bytes: list[int] = []

    def add(self, graph: Graph) -> None:
        """Lower a network and plan its memory.

        Raises
        ------
        UnsupportedOpError
            `strict`, and an operator has no rule.
        GraphError
            Its memory does not fit a column.
        """
        if self._strict and not all(is_costed(op.kind) for op in graph.ops):
            raise UnsupportedOpError(graph_cost(graph).unsupported)
        target, kind = self._place.target, self._place.unit.kind
        run = as_run(graph, kind, target, self._retyping)
        lowered = lower_to_rows(run, self._target, self._known)
        peak = peak_bytes(run, fused=lowered.fused, runtime=target.runtime, unit_kind=kind, layout=target.layout)
        if peak > MAX_BYTES:
            raise GraphError(f"a count of {graph.name!r} does not fit 64 bits", expected="a network that exists")
        self._untimed.append(lowered.rows)
        self.peak_bytes.append(peak)
        if len(self._untimed) == NETWORKS_AT_ONCE:
            self._time()

    def quantiles_s(self) -> NDArray[np.float64]:
        """Return p10, p50 and p90 of all networks [3, network]."""
        if self._untimed:
            self._time()
        return np.concatenate(self._timed, axis=1)

    def _time(self) -> None:
        """Time what is untimed; a kernel that several networks launch is timed once."""
        launches = Launches.of_many(self._untimed)
        table, ceilings = self._known.table(), self._place.ceilings
        spilled, which = np.unique(
            spilled_share(launches.sums(table.weight_bytes[launches.row]), ceilings), return_inverse=True
        )
        pairs, row = np.unique(launches.row * len(spilled) + which[launches.network], return_inverse=True)
        features = kernel_features(table.taken(pairs // len(spilled)), ceilings, spilled[pairs % len(spilled)])
        latencies = time_networks(features, replace(launches, row=row), self._place.coefficients)
        self._timed.append(np.stack(latencies.interval()))
        self._untimed = []
        if len(self._known) > MOST_KNOWN:
            self._known = Known(self._known.rules)


def resolve_target(device: Device, unit: Unit, options: EstimateOptions) -> ResolvedTarget:
    """Fill in defaults and check that device, runtime and precision go together."""
    supported = {r.name: r for r in unit.runtimes}
    name = options.runtime or unit.default_runtime.name
    runtime_rules(name)
    if name not in supported:
        raise UnsupportedCombinationError(
            f"runtime {name!r} does not exist on {device.id}/{unit.name}", expected=", ".join(supported)
        )
    precisions = supported[name].precisions
    precision = options.precision or precisions[0]
    if precision not in precisions:
        raise UnsupportedCombinationError(
            f"precision {precision.value!r} does not exist on {device.id}/{unit.name} with {name}",
            expected=", ".join(p.value for p in precisions),
        )
    layout = options.layout or "nchw"
    if layout not in LAYOUTS:
        raise BadOptionError(f"unknown layout {layout!r} (--layout)", expected=" or ".join(LAYOUTS))
    source = options.source or "calibrated"
    if source not in SOURCES:
        raise BadOptionError(f"unknown source {source!r} (--from)", expected=", ".join(SOURCES))
    return ResolvedTarget(name, precision, layout, source)


def lower_for(graph: Graph, kind: UnitKind, target: ResolvedTarget) -> KernelGraph:
    """Give the graph the precision's dtypes and the runtime's kernels."""
    return _lower_run(as_run(graph, kind, target), kind, target)


def as_run(graph: Graph, kind: UnitKind, target: ResolvedTarget, retyping: Retyping | None = None) -> Graph:
    """Return the graph that the runtime carries out: in the precision's dtypes, with the ops that it makes of others.

    Parameters
    ----------
    retyping : Retyping, optional
        That of the target; shared by graphs that share specs.
    """
    typed = apply_precision(graph, target.precision, retyping or _retyping(kind, target))
    return runtime_rules(target.runtime).rewrite(typed, _lowering_target(kind, target))


def _retyping(kind: UnitKind, target: ResolvedTarget) -> Retyping:
    activations = runtime_rules(target.runtime).activations_in(_lowering_target(kind, target))
    return Retyping(target.precision, activations)


def _lower_run(run: Graph, kind: UnitKind, target: ResolvedTarget) -> KernelGraph:
    return lower(run, runtime_rules(target.runtime), _lowering_target(kind, target))


def _lowering_target(kind: UnitKind, target: ResolvedTarget) -> Target:
    return Target(kind, target.precision, target.layout, target.torch_version)


def coefficients_for(device: Device, unit: Unit, target: ResolvedTarget, own: Sequence[Path] = ()) -> Coefficients:
    """Choose coefficients: the user's files, then the catalogue's, then the shared response."""
    try:
        return choose_coefficients(
            device, unit, target.runtime, target.precision, target.layout,
            responses=load_response,
            available=response_names(),
            calibration=_calibration(device, unit, target, own),
            limit=target.source,
        )  # fmt: skip
    except LookupError as error:
        raise UnknownRuntimeError(target.runtime, tuple(r.name for r in unit.runtimes)) from error


def interval_around(latency_s: float, spread: Spread) -> Interval:
    """Put the spread of held-out residuals around an estimate; the interval always contains it."""
    return Interval(*map(float, interval(latency_s, spread.log_p10, spread.log_p90)))


def _calibration(device: Device, unit: Unit, target: ResolvedTarget, own: Sequence[Path]) -> Calibration | None:
    fitting = (one for one in map(load_calibration, own) if fits(one, device, unit, target))
    return next(fitting, None) or find_calibration(device.id, unit.name, target.runtime, target.layout)


def fits(calibration: Calibration, device: Device, unit: Unit, target: ResolvedTarget) -> bool:
    """Whether a calibration is one of this device, unit and runtime."""
    return (calibration.device, calibration.unit, calibration.runtime) == (device.id, unit.name, target.runtime)


def _unfitting(device: Device, unit: Unit, target: ResolvedTarget, own: Sequence[Path]) -> tuple[str, ...]:
    """Say what each of the user's files is for, where none of them fits."""
    calibrations = {path: load_calibration(path) for path in own}
    if any(fits(calibration, device, unit, target) for calibration in calibrations.values()):
        return ()
    asked = f"{device.id}/{unit.name} {target.runtime}"
    return tuple(
        f"{path} is for {one.target}, not {asked}, and is not used: --device and --runtime choose"
        for path, one in calibrations.items()
    )


def _assemble(
    graph: Graph, place: Place, cost: GraphCost, lowered: KernelGraph, features: KernelFeatures, latency: Latency,
    plan: MemoryPlan, unused: tuple[str, ...],
) -> Estimate:  # fmt: skip
    device, unit, target = place.device, place.unit, place.target
    ceilings, coefficients = place.ceilings, place.coefficients
    times, latency_s = latency.kernels, latency.latency_s
    kernels = tuple(
        _kernel_estimate(kernel, index, latency_s, features, times) for index, kernel in enumerate(lowered.kernels)
    )
    memory = MemoryEstimate(plan.weights_bytes, plan.activation_bytes, plan.workspace_bytes, plan.kv_cache_bytes)
    capacity = device.app_memory_bytes or device.memory_capacity_bytes
    return Estimate(
        model=graph.name,
        device=device.id,
        device_name=device.display_name,
        unit=unit.name,
        runtime=target.runtime,
        precision=target.precision.value,
        layout=target.layout,
        batch=graph.batch,
        latency=interval_around(latency_s, latency.spread),
        naive_latency_s=cost.total.flops / ceilings.rated_flops_per_s,
        roofline_latency_s=float(features.roofline_s.sum()),
        macs=cost.total.macs,
        flops=cost.total.flops,
        params=graph.params,
        bytes_moved=sum(kernel.bytes_moved for kernel in lowered.kernels),
        memory=memory,
        memory_capacity_bytes=capacity,
        bound_share=_bound_share(times, latency_s),
        coverage=cost.coverage,
        unsupported_ops=cost.unsupported,
        provenance=Provenance(
            ProvenanceKind(coefficients.kind),
            coefficients.records,
            coefficients.spread.median_ape if coefficients.spread.records else None,
            coefficients.calibration,
        ),
        kernels=kernels,
        peak_flops_per_s=ceilings.rated_flops_per_s,
        peak_bandwidth_bytes_per_s=ceilings.bandwidth_bytes_per_s,
        warnings=(*_warnings(graph, target, cost, memory, capacity, coefficients, latency), *unused),
        assumptions=unit.assumptions,
    )


def _kernel_estimate(
    kernel: Kernel, index: int, latency_s: float, features: KernelFeatures, times: KernelTimes
) -> KernelEstimate:
    time_s = float(times.body_s[index] + times.overhead_s[index])
    roofline_s = float(features.roofline_s[index])
    if times.overhead_s[index] > times.body_s[index]:
        bound = Bound.OVERHEAD
    else:
        bound = Bound.COMPUTE if times.compute_bound[index] else Bound.MEMORY
    return KernelEstimate(
        name=kernel.name,
        ops=kernel.ops,
        kernel_class=kernel.kernel_class.value,
        time_s=time_s,
        share=time_s / latency_s if latency_s else 0.0,
        bound=bound,
        flops=kernel.flops,
        bytes_moved=kernel.bytes_moved,
        intensity_flops_per_byte=kernel.flops / kernel.bytes_moved if kernel.bytes_moved else None,
        utilisation=roofline_s / time_s if time_s else 0.0,
        scope=kernel.scope,
    )


def _bound_share(times: KernelTimes, latency_s: float) -> BoundShare:
    """Split latency by what bounds it; the fixed cost per inference is overhead."""
    if latency_s <= 0:
        return BoundShare(0.0, 0.0, 1.0)
    compute = float(times.body_s[times.compute_bound].sum()) / latency_s
    memory = float(times.body_s[~times.compute_bound].sum()) / latency_s
    return BoundShare(compute, memory, max(0.0, 1.0 - compute - memory))


WAITS_FOR_HOST: Final = (
    "the device waits for its host, whose time per launch is assumed (a fast desktop CPU, if the device's file says "
    "nothing; no graph capture); a larger batch costs little more"
)


FAST_NORMS: Final = (
    "timm's norms are taken to run in half precision, as its benchmark has them (--fast-norm); without, PyTorch casts "
    "them to fp32, which takes longer: timm:NAME?norms=fp32"
)


def _warnings(
    graph: Graph,
    target: ResolvedTarget,
    cost: GraphCost,
    memory: MemoryEstimate,
    capacity: int | None,
    coefficients: Coefficients,
    latency: Latency,
) -> tuple[str, ...]:
    warnings = list(graph.notes)
    if cost.unsupported:
        warnings.append(
            f"no cost rule for {', '.join(cost.unsupported[:6])}: their time is missing; --strict makes this an error"
        )
    stored = stored_precision(graph)
    if stored.has_integer_weights and stored is not target.precision:
        warnings.append(
            f"the file's weights are {stored.value} and stay so, its arithmetic is taken to run in "
            f"{target.precision.value}: --precision {stored.value}, where there is one, runs it as it was made"
        )
    if capacity is not None and memory.peak_bytes > capacity:
        warnings.append("peak memory exceeds the device's memory: a smaller --batch or --precision would fit")
    if coefficients.note:
        warnings.append(coefficients.note)
    if target.precision in AUTOCAST_TO and any(getattr(op.attrs, "keeps_low_precision", False) for op in graph.ops):
        warnings.append(FAST_NORMS)
    if latency.waits_for_host:
        warnings.append(WAITS_FOR_HOST)
    return tuple(warnings)
