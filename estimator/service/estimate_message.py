"""Write an estimate as a message, every field, floats unrounded. The inverse is `client.estimate_message`."""

from __future__ import annotations

from collections.abc import Sequence

from estimator.result import Estimate, KernelEstimate
from estimator.v1 import estimator_pb2 as pb


def estimate_to_message(estimate: Estimate) -> pb.Estimate:
    """Write an estimate; its counts fit 64 bits, which `answers` has checked."""
    provenance = estimate.provenance
    return pb.Estimate(
        model=estimate.model,
        device=estimate.device,
        device_name=estimate.device_name,
        unit=estimate.unit,
        runtime=estimate.runtime,
        precision=estimate.precision,
        layout=estimate.layout,
        batch=estimate.batch,
        latency=pb.Interval(p10_s=estimate.latency.p10_s, p50_s=estimate.latency.p50_s, p90_s=estimate.latency.p90_s),
        naive_latency_s=estimate.naive_latency_s,
        roofline_latency_s=estimate.roofline_latency_s,
        macs=estimate.macs,
        flops=estimate.flops,
        params=estimate.params,
        bytes_moved=estimate.bytes_moved,
        memory=pb.MemoryEstimate(
            weights_bytes=estimate.memory.weights_bytes,
            activation_bytes=estimate.memory.activation_bytes,
            workspace_bytes=estimate.memory.workspace_bytes,
            kv_cache_bytes=estimate.memory.kv_cache_bytes,
        ),
        memory_capacity_bytes=estimate.memory_capacity_bytes,
        bound_share=pb.BoundShare(
            compute=estimate.bound_share.compute,
            memory=estimate.bound_share.memory,
            overhead=estimate.bound_share.overhead,
        ),
        coverage=estimate.coverage,
        unsupported_ops=estimate.unsupported_ops,
        provenance=pb.Provenance(
            kind=f"PROVENANCE_KIND_{provenance.kind.name}",
            record_count=provenance.records,
            heldout_median_ape=provenance.heldout_median_ape,
            calibration=provenance.calibration,
        ),
        kernels=_kernels(estimate.kernels),
        peak_flops_per_s=estimate.peak_flops_per_s,
        peak_bandwidth_bytes_per_s=estimate.peak_bandwidth_bytes_per_s,
        warnings=estimate.warnings,
        assumptions=estimate.assumptions,
    )


def _kernels(kernels: Sequence[KernelEstimate]) -> list[pb.KernelEstimate]:
    return [
        pb.KernelEstimate(
            name=kernel.name,
            ops=kernel.ops,
            kernel_class=kernel.kernel_class,
            time_s=kernel.time_s,
            share=kernel.share,
            bound=f"BOUND_{kernel.bound.name}",
            flops=kernel.flops,
            bytes_moved=kernel.bytes_moved,
            intensity_flops_per_byte=kernel.intensity_flops_per_byte,
            utilisation=kernel.utilisation,
            scope=kernel.scope,
        )
        for kernel in kernels
    ]
