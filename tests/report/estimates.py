"""Estimates made by hand or drawn at random, for tests of how they are written."""

from __future__ import annotations

from hypothesis import strategies as st

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


def kernel(
    name: str = "conv1",
    *,
    kernel_class: str = "conv_dense",
    time_s: float = 1e-3,
    share: float = 0.25,
    **changes: object,
) -> KernelEstimate:
    """1 MFLOP over 10 kB in a millisecond."""
    fields: dict[str, object] = {
        "ops": (name, f"{name}.relu"),
        "bound": Bound.COMPUTE,
        "flops": 1_000_000,
        "bytes_moved": 10_000,
        "intensity_flops_per_byte": 100.0,
        "utilisation": 0.41,
        "scope": "",
    }
    return KernelEstimate(name=name, kernel_class=kernel_class, time_s=time_s, share=share, **(fields | changes))  # type: ignore[arg-type]


def estimate(**changes: object) -> Estimate:
    """4 ms, a quarter of it overhead, two identical convolutions and a pooling."""
    fields: dict[str, object] = {
        "model": "torchvision:mobilenet_v2",
        "device": "sd865",
        "device_name": "Qualcomm Snapdragon 865",
        "unit": "npu",
        "runtime": "tflite",
        "precision": "int8",
        "layout": "nhwc",
        "batch": 1,
        "latency": Interval(p10_s=3.6e-3, p50_s=4e-3, p90_s=4.5e-3),
        "naive_latency_s": 4e-5,
        "roofline_latency_s": 2e-4,
        "macs": 300_000_000,
        "flops": 620_000_000,
        "params": 3_504_872,
        "bytes_moved": 20_000_000,
        "memory": MemoryEstimate(weights_bytes=3_500_000, activation_bytes=2_400_000, workspace_bytes=100_000),
        "memory_capacity_bytes": 8_000_000_000,
        "bound_share": BoundShare(compute=0.25, memory=0.5, overhead=0.25),
        "coverage": 1.0,
        "unsupported_ops": (),
        "provenance": Provenance(ProvenanceKind.CALIBRATED, 71, 0.081, "sd865/tflite"),
        "kernels": (
            kernel("features.0"),
            kernel("features.1", time_s=1.5e-3, share=0.375),
            kernel("pool", kernel_class="reduce", time_s=5e-4, share=0.125, bound=Bound.MEMORY),
        ),
        "peak_flops_per_s": 15e12,
        "peak_bandwidth_bytes_per_s": 44e9,
        "warnings": (),
        "assumptions": (),
    }
    return Estimate(**(fields | changes))  # type: ignore[arg-type]


_name = st.text(max_size=60)
_count = st.integers(min_value=0, max_value=10**15)
_fraction = st.floats(min_value=0, max_value=1)
_seconds = st.floats(min_value=1e-9, max_value=1e4)


@st.composite
def kernels(draw: st.DrawFn) -> KernelEstimate:
    """Draw a kernel with any name at all."""
    return KernelEstimate(
        name=draw(_name),
        ops=tuple(draw(st.lists(_name, max_size=3))),
        kernel_class=draw(_name),
        time_s=draw(_seconds),
        share=draw(_fraction),
        bound=draw(st.sampled_from(Bound)),
        flops=draw(_count),
        bytes_moved=draw(_count),
        intensity_flops_per_byte=draw(st.none() | st.floats(min_value=0, max_value=1e12)),
        utilisation=draw(st.floats(min_value=0, max_value=10)),
        scope=draw(_name),
    )


@st.composite
def estimates(draw: st.DrawFn) -> Estimate:
    """Draw an estimate with extreme magnitudes and hostile names."""
    p10, p50, p90 = sorted(draw(st.tuples(_seconds, _seconds, _seconds)))
    return Estimate(
        model=draw(_name),
        device=draw(_name),
        device_name=draw(_name),
        unit=draw(_name),
        runtime=draw(_name),
        precision=draw(st.sampled_from(["fp32", "int8", "amp-bf16"])),
        layout=draw(st.sampled_from(["nchw", "nhwc"])),
        batch=draw(st.integers(min_value=1, max_value=10**6)),
        latency=Interval(p10, p50, p90),
        naive_latency_s=draw(_seconds),
        roofline_latency_s=draw(_seconds),
        macs=draw(_count),
        flops=draw(_count),
        params=draw(_count),
        bytes_moved=draw(_count),
        memory=MemoryEstimate(draw(_count), draw(_count), draw(_count), draw(_count)),
        memory_capacity_bytes=draw(st.none() | st.integers(min_value=1, max_value=10**13)),
        bound_share=BoundShare(draw(_fraction), draw(_fraction), draw(_fraction)),
        coverage=draw(_fraction),
        unsupported_ops=tuple(draw(st.lists(_name, max_size=3))),
        provenance=Provenance(
            draw(st.sampled_from(ProvenanceKind)),
            draw(st.integers(min_value=0, max_value=10**6)),
            draw(st.none() | st.floats(min_value=0, max_value=20)),
            draw(_name),
        ),
        kernels=tuple(draw(st.lists(kernels(), max_size=5))),
        peak_flops_per_s=draw(st.floats(min_value=1e6, max_value=1e16)),
        peak_bandwidth_bytes_per_s=draw(st.floats(min_value=1e6, max_value=1e14)),
        warnings=tuple(draw(st.lists(_name, max_size=2))),
        assumptions=tuple(draw(st.lists(_name, max_size=2))),
    )
