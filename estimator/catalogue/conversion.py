"""Turn a validated device document into a frozen `Device` in base SI."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from estimator.catalogue.device import (
    Basis,
    Ceiling,
    Claim,
    CoreCluster,
    Device,
    MemoryLevel,
    RuntimeSupport,
    SourcedValue,
    Unit,
    UnitKind,
)
from estimator.catalogue.facts import Node, Quantity, assumption_sentences, sourced_values
from estimator.dtypes import Precision
from estimator.units import TERA


def device_from_node(root: Node) -> Device:
    """Build a device.

    Parameters
    ----------
    root : Node
        Root of a document that the schema accepts.

    Raises
    ------
    KeyError, TypeError, ValueError
        The document was not validated and is wrong.
    """
    values = sourced_values(root)
    memory = root.node("memory")
    capacity = memory.quantity("capacity")
    return Device(
        id=root.text("id"),
        display_name=root.text("display_name"),
        vendor=root.text("vendor"),
        aliases=root.texts("aliases"),
        units={name: _unit(name, unit, root, values) for name, unit in root.children("units")},
        default_unit=root.text("default_unit"),
        release_year=_whole(root.fact("release_year")),
        memory_capacity_bytes=_whole(capacity),
        app_memory_bytes=_whole(memory.quantity("app_capacity")),
        power_w=_value(root.quantity("power")),
        claims=tuple(_claim(claim, root.node("sources")) for claim in root.nodes("claims")),
        values=values,
        host_link_bytes_per_s=_value(root.node("host_link").quantity("bandwidth")),
        extends=root.optional_text("extends"),
    )


def _unit(name: str, node: Node, root: Node, values: Sequence[SourcedValue]) -> Unit:
    execution = node.node("execution")
    clusters = tuple(_cluster(cluster) for cluster in node.nodes("clusters"))
    cores = _whole(_first(execution, "sm_count", "cu_count", "core_count"))
    if cores is None and clusters:
        cores = sum(cluster.core_count for cluster in clusters)
    clock = partial(_clock, execution)
    boost_hz = clock("boost") or max((cluster.clock_hz for cluster in clusters), default=None)
    return Unit(
        name=name,
        kind=UnitKind(node.text("kind")),
        display_name=node.text("display_name"),
        architecture=node.text("architecture"),
        ceilings=tuple(ceiling for entry in node.nodes("compute") for ceiling in _ceilings(entry)),
        memory=_memory(node, root.node("memory"), cores),
        runtimes=tuple(_runtime(runtime) for runtime in node.nodes("runtimes")),
        core_count=cores,
        base_clock_hz=clock("base"),
        boost_clock_hz=boost_hz,
        sustained_clock_hz=clock("sustained"),
        max_clock_hz=clock("max"),
        vector_bits=_whole(execution.fact("vector_bits")),
        clusters=clusters,
        power_w=_value(root.quantity("power")),
        assumptions=assumption_sentences(values, name),
        fp32_flops_per_cycle_per_core=_value(execution.fact("fp32_flops_per_cycle_per_core")),
        launch_overhead_s=_value(node.node("overhead").quantity("launch")),
    )


def _cluster(node: Node) -> CoreCluster:
    count, clock = node.fact("core_count"), node.quantity("clock")
    if count is None or clock is None:
        raise ValueError(f"cluster {node.text('name')} has no core count or clock")
    return CoreCluster(
        name=node.text("name"),
        core_count=int(count.value),
        clock_hz=clock.value,
        fp32_flops_per_cycle=_value(node.fact("fp32_flops_per_cycle")),
        vector_bits=_whole(node.fact("vector_bits")),
    )


def _ceilings(node: Node) -> tuple[Ceiling, ...]:
    """One ceiling, or none when the rate is unknown and nothing stands in for it."""
    rate = node.quantity("dense")
    if rate is None:
        return ()
    return (Ceiling(node.text("engine"), node.text("dtype"), node.optional_text("accumulate"), rate.value, rate.basis),)


def _memory(unit: Node, shared: Node, cores: int | None) -> tuple[MemoryLevel, ...]:
    """Levels of a unit, outermost first; the device's main memory comes before the unit's own levels."""
    own = tuple(_level(level, cores) for level in unit.nodes("memory"))
    if any(level.level == "dram" for level in own):
        return own
    bandwidth, capacity = shared.quantity("bandwidth"), shared.quantity("capacity")
    if bandwidth is None and capacity is None:
        return own
    basis = (bandwidth or capacity or Quantity(0, Basis.UNKNOWN)).basis
    return (MemoryLevel("dram", _value(bandwidth), _whole(capacity), basis), *own)


def _level(node: Node, cores: int | None) -> MemoryLevel:
    bandwidth, size = node.quantity("bandwidth"), node.quantity("size", cores)
    basis = (bandwidth or size or Quantity(0, Basis.UNKNOWN)).basis
    keeps = node.node("keeps").optional_text("value") == "weights"
    return MemoryLevel(node.text("level"), _value(bandwidth), _whole(size), basis, keeps)


def _runtime(node: Node) -> RuntimeSupport:
    return RuntimeSupport(node.text("name"), tuple(Precision(item) for item in node.texts("precisions")))


def _claim(node: Node, sources: Node) -> Claim:
    source = node.optional_text("source")
    title = sources.node(source).text("title") if source else node.optional_text("why") or ""
    tops = node.values.get("tops")
    rate = tops * TERA if isinstance(tops, (int, float)) else None
    return Claim(node.text("text"), title, rate, node.optional_text("unit"))


def _clock(execution: Node, which: str) -> float | None:
    return _value(execution.quantity(f"{which}_clock"))


def _first(node: Node, *keys: str) -> Quantity | None:
    return next((fact for fact in map(node.fact, keys) if fact is not None), None)


def _value(quantity: Quantity | None) -> float | None:
    return None if quantity is None else float(quantity.value)


def _whole(quantity: Quantity | None) -> int | None:
    return None if quantity is None else round(quantity.value)
