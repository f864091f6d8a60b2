"""Write a device as a message, every fact of it."""

from __future__ import annotations

from estimator.catalogue.device import Basis, CoreCluster, Device, RuntimeSupport, Unit
from estimator.v1 import device_pb2 as pb


def summary_to_message(device: Device) -> pb.DeviceSummary:
    """Write what a list of devices shows of one."""
    return pb.DeviceSummary(
        id=device.id,
        display_name=device.display_name,
        vendor=device.vendor,
        aliases=device.aliases,
        units=[
            pb.UnitSummary(name=unit.name, kind=_kind(unit), runtimes=[_runtime(r) for r in unit.runtimes])
            for unit in device.units.values()
        ],
        default_unit=device.default_unit,
        release_year=device.release_year,
    )


def device_to_message(device: Device) -> pb.Device:
    """Write a whole device."""
    return pb.Device(
        id=device.id,
        display_name=device.display_name,
        vendor=device.vendor,
        aliases=device.aliases,
        units=[_unit(unit) for unit in device.units.values()],
        default_unit=device.default_unit,
        release_year=device.release_year,
        memory_capacity_bytes=device.memory_capacity_bytes,
        app_memory_bytes=device.app_memory_bytes,
        power_w=device.power_w,
        claims=[
            pb.Claim(text=claim.text, source=claim.source, ops_per_s=claim.ops_per_s, unit=claim.unit)
            for claim in device.claims
        ],
        values=[
            pb.SourcedValue(path=v.path, value=v.value, basis=_basis(v.basis), source=v.source, where=v.where)
            for v in device.values
        ],
        extends=device.extends,
        host_link_bytes_per_s=device.host_link_bytes_per_s,
    )


def _unit(unit: Unit) -> pb.Unit:
    return pb.Unit(
        name=unit.name,
        kind=_kind(unit),
        display_name=unit.display_name,
        architecture=unit.architecture,
        ceilings=[
            pb.Ceiling(
                engine=c.engine,
                dtype=c.dtype,
                accumulate=c.accumulate,
                flops_per_s=c.flops_per_s,
                basis=_basis(c.basis),
            )
            for c in unit.ceilings
        ],
        memory=[
            pb.MemoryLevel(
                level=m.level,
                bandwidth_bytes_per_s=m.bandwidth_bytes_per_s,
                size_bytes=m.size_bytes,
                basis=_basis(m.basis),
                keeps_weights=m.keeps_weights,
            )
            for m in unit.memory
        ],
        runtimes=[_runtime(r) for r in unit.runtimes],
        core_count=unit.core_count,
        base_clock_hz=unit.base_clock_hz,
        boost_clock_hz=unit.boost_clock_hz,
        sustained_clock_hz=unit.sustained_clock_hz,
        max_clock_hz=unit.max_clock_hz,
        vector_bits=unit.vector_bits,
        clusters=[_cluster(c) for c in unit.clusters],
        power_w=unit.power_w,
        assumptions=unit.assumptions,
        fp32_flops_per_cycle_per_core=unit.fp32_flops_per_cycle_per_core,
        launch_overhead_s=unit.launch_overhead_s,
    )


def _cluster(cluster: CoreCluster) -> pb.CoreCluster:
    return pb.CoreCluster(
        name=cluster.name,
        core_count=cluster.core_count,
        clock_hz=cluster.clock_hz,
        fp32_flops_per_cycle=cluster.fp32_flops_per_cycle,
        vector_bits=cluster.vector_bits,
    )


def _runtime(runtime: RuntimeSupport) -> pb.RuntimeSupport:
    return pb.RuntimeSupport(name=runtime.name, precisions=[str(p) for p in runtime.precisions])


def _kind(unit: Unit) -> str:
    return f"UNIT_KIND_{unit.kind.name}"


def _basis(basis: Basis) -> str:
    return f"BASIS_{basis.name}"
