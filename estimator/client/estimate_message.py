"""Read an estimate from its message. The inverse is `service.estimate_message`; a property test joins them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from estimator.result import (
    Bound,
    BoundShare,
    Estimate,
    Interval,
    KernelEstimate,
    MemoryEstimate,
    Provenance,
    ProvenanceKind,
)
from estimator.v1 import estimator_pb2 as pb

BOUND_OF: Final[Mapping[int, Bound]] = {pb.Bound.Value(f"BOUND_{bound.name}"): bound for bound in Bound}
PROVENANCE_OF: Final[Mapping[int, ProvenanceKind]] = {
    pb.ProvenanceKind.Value(f"PROVENANCE_KIND_{kind.name}"): kind for kind in ProvenanceKind
}


def estimate_from_message(message: pb.Estimate) -> Estimate:
    """Read an estimate."""
    return Estimate(
        model=message.model,
        device=message.device,
        device_name=message.device_name,
        unit=message.unit,
        runtime=message.runtime,
        precision=message.precision,
        layout=message.layout,
        batch=message.batch,
        latency=Interval(message.latency.p10_s, message.latency.p50_s, message.latency.p90_s),
        naive_latency_s=message.naive_latency_s,
        roofline_latency_s=message.roofline_latency_s,
        macs=message.macs,
        flops=message.flops,
        params=message.params,
        bytes_moved=message.bytes_moved,
        memory=MemoryEstimate(
            weights_bytes=message.memory.weights_bytes,
            activation_bytes=message.memory.activation_bytes,
            workspace_bytes=message.memory.workspace_bytes,
            kv_cache_bytes=message.memory.kv_cache_bytes,
        ),
        memory_capacity_bytes=message.memory_capacity_bytes if message.HasField("memory_capacity_bytes") else None,
        bound_share=BoundShare(message.bound_share.compute, message.bound_share.memory, message.bound_share.overhead),
        coverage=message.coverage,
        unsupported_ops=tuple(message.unsupported_ops),
        provenance=_provenance(message.provenance),
        kernels=tuple(_kernel(kernel) for kernel in message.kernels),
        peak_flops_per_s=message.peak_flops_per_s,
        peak_bandwidth_bytes_per_s=message.peak_bandwidth_bytes_per_s,
        warnings=tuple(message.warnings),
        assumptions=tuple(message.assumptions),
    )


def _provenance(message: pb.Provenance) -> Provenance:
    return Provenance(
        kind=PROVENANCE_OF[message.kind],
        records=message.record_count,
        heldout_median_ape=message.heldout_median_ape if message.HasField("heldout_median_ape") else None,
        calibration=message.calibration,
    )


def _kernel(message: pb.KernelEstimate) -> KernelEstimate:
    has_intensity = message.HasField("intensity_flops_per_byte")
    return KernelEstimate(
        name=message.name,
        ops=tuple(message.ops),
        kernel_class=message.kernel_class,
        time_s=message.time_s,
        share=message.share,
        bound=BOUND_OF[message.bound],
        flops=message.flops,
        bytes_moved=message.bytes_moved,
        intensity_flops_per_byte=message.intensity_flops_per_byte if has_intensity else None,
        utilisation=message.utilisation,
        scope=message.scope,
    )
