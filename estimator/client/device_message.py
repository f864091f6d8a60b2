"""Read a device from its message. The inverse is `service.device_message`; a property test joins them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

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
from estimator.dtypes import Precision
from estimator.v1 import device_pb2 as pb

BASIS_OF: Final[Mapping[int, Basis]] = {pb.Basis.Value(f"BASIS_{basis.name}"): basis for basis in Basis}
KIND_OF: Final[Mapping[int, UnitKind]] = {pb.UnitKind.Value(f"UNIT_KIND_{kind.name}"): kind for kind in UnitKind}


def device_from_message(m: pb.Device) -> Device:
    """Read a device."""
    return Device(
        id=m.id,
        display_name=m.display_name,
        vendor=m.vendor,
        aliases=tuple(m.aliases),
        units={unit.name: _unit(unit) for unit in m.units},
        default_unit=m.default_unit,
        release_year=m.release_year if m.HasField("release_year") else None,
        memory_capacity_bytes=m.memory_capacity_bytes if m.HasField("memory_capacity_bytes") else None,
        app_memory_bytes=m.app_memory_bytes if m.HasField("app_memory_bytes") else None,
        power_w=m.power_w if m.HasField("power_w") else None,
        claims=tuple(_claim(claim) for claim in m.claims),
        values=tuple(SourcedValue(v.path, v.value, BASIS_OF[v.basis], v.source, v.where) for v in m.values),
        host_link_bytes_per_s=m.host_link_bytes_per_s if m.HasField("host_link_bytes_per_s") else None,
        extends=m.extends if m.HasField("extends") else None,
    )


def _unit(m: pb.Unit) -> Unit:
    return Unit(
        name=m.name,
        kind=KIND_OF[m.kind],
        display_name=m.display_name,
        architecture=m.architecture,
        ceilings=tuple(_ceiling(c) for c in m.ceilings),
        memory=tuple(_level(level) for level in m.memory),
        runtimes=tuple(RuntimeSupport(r.name, tuple(Precision(p) for p in r.precisions)) for r in m.runtimes),
        core_count=m.core_count if m.HasField("core_count") else None,
        base_clock_hz=m.base_clock_hz if m.HasField("base_clock_hz") else None,
        boost_clock_hz=m.boost_clock_hz if m.HasField("boost_clock_hz") else None,
        sustained_clock_hz=m.sustained_clock_hz if m.HasField("sustained_clock_hz") else None,
        max_clock_hz=m.max_clock_hz if m.HasField("max_clock_hz") else None,
        vector_bits=m.vector_bits if m.HasField("vector_bits") else None,
        clusters=tuple(_cluster(c) for c in m.clusters),
        power_w=m.power_w if m.HasField("power_w") else None,
        assumptions=tuple(m.assumptions),
        fp32_flops_per_cycle_per_core=(
            m.fp32_flops_per_cycle_per_core if m.HasField("fp32_flops_per_cycle_per_core") else None
        ),
        launch_overhead_s=m.launch_overhead_s if m.HasField("launch_overhead_s") else None,
    )


def _ceiling(m: pb.Ceiling) -> Ceiling:
    accumulate = m.accumulate if m.HasField("accumulate") else None
    return Ceiling(m.engine, m.dtype, accumulate, m.flops_per_s, BASIS_OF[m.basis])


def _claim(m: pb.Claim) -> Claim:
    ops_per_s = m.ops_per_s if m.HasField("ops_per_s") else None
    return Claim(m.text, m.source, ops_per_s, m.unit if m.HasField("unit") else None)


def _level(m: pb.MemoryLevel) -> MemoryLevel:
    return MemoryLevel(
        level=m.level,
        bandwidth_bytes_per_s=m.bandwidth_bytes_per_s if m.HasField("bandwidth_bytes_per_s") else None,
        size_bytes=m.size_bytes if m.HasField("size_bytes") else None,
        basis=BASIS_OF[m.basis],
        keeps_weights=m.keeps_weights,
    )


def _cluster(m: pb.CoreCluster) -> CoreCluster:
    return CoreCluster(
        name=m.name,
        core_count=m.core_count,
        clock_hz=m.clock_hz,
        fp32_flops_per_cycle=m.fp32_flops_per_cycle if m.HasField("fp32_flops_per_cycle") else None,
        vector_bits=m.vector_bits if m.HasField("vector_bits") else None,
    )
