from __future__ import annotations

from dataclasses import replace

import pytest

from estimator.catalogue.device import CoreCluster, UnitKind
from estimator.catalogue.loader import load_device
from estimator.dtypes import DType, Precision
from estimator.lowering.kernel import Gemm, Kernel, KernelClass, KernelTable
from estimator.timing.features import kernel_features
from estimator.timing.roofline import (
    CORE_BANDWIDTH_BYTES_PER_S,
    DVFS_EXPONENT,
    HELD_BOOST_W_PER_SM,
    HELD_CLOCKS,
    HOST_DISPATCH_S,
    MEMORY_W_PER_BYTE_PER_S,
    MIN_CHUNK,
    TENSOR_POWER_SHARE,
    Ceilings,
    ceilings_of,
    held_clock_fraction,
)
from estimator.timing.roofline import roofline_times as times_of

CEILINGS = Ceilings(
    product_flops_per_s=1000.0, rated_flops_per_s=1000.0, fastest_flops_per_s=1000.0, vector_flops_per_s=100.0,
    special_flops_per_s=100.0,
    bandwidth_bytes_per_s=10.0, core_count=1, cache_bytes=64.0,
)  # fmt: skip


def table(kernel_class: KernelClass, macs: int, other_flops: int, read: int, written: int) -> KernelTable:
    return KernelTable.from_kernels([Kernel("k", kernel_class, ("k",), DType.F32, macs, other_flops, read, written)])


def test_a_product_at_the_ridge_point_is_bound_by_both():
    bytes_moved = 40
    macs = bytes_moved * 1000 // 10 // 2  # intensity = peak ÷ bandwidth = 100 FLOP a byte
    times = times_of(table(KernelClass.MATMUL, macs, 0, 30, 10), CEILINGS)
    assert times.compute_s[0] == times.memory_s[0] == 40 / 10


def test_what_is_no_product_runs_at_the_vector_rate():
    times = times_of(table(KernelClass.POINTWISE, 0, 50, 4, 4), CEILINGS)
    assert times.compute_s[0] == 50 / 100


def test_the_roofline_is_the_longer_of_the_two():
    features = kernel_features(table(KernelClass.MATMUL, 500, 10, 5, 5), CEILINGS)
    assert features.roofline_s[0] == max(2 * 500 / 1000 + 10 / 100, 10 / 10)


def test_weights_that_are_streamed_beside_a_kernel_are_traffic_of_its_roofline():
    """10 bytes, 4 of them weights: 6 that the kernel waits for and 4 that come with it, at 10 a second."""
    gemm = Gemm(1, 4, 4, 4)
    kernel = Kernel("p", KernelClass.MATMUL, ("p",), DType.F32, 1, 0, 5, 5, weight_bytes=4, gemm=gemm, weight_passes=3)
    streams = replace(CEILINGS, streams_weights=True)
    assert kernel_features(KernelTable.from_kernels([kernel]), streams).roofline_s[0] == pytest.approx(10 / 10)


def test_a_board_with_a_quarter_of_the_power_per_core_holds_half_the_clock():
    _, unit = load_device("rtx4090")
    unit = replace(unit, sustained_clock_hz=None, core_count=100)
    starved = replace(unit, architecture="unheard-of", power_w=100 * HELD_BOOST_W_PER_SM / 4)
    assert held_clock_fraction(starved) == pytest.approx(4**-DVFS_EXPONENT)
    assert pytest.approx(0.5) == 4**-DVFS_EXPONENT


def test_a_known_architecture_is_compared_with_its_own_card_that_holds_its_clock():
    _, unit = load_device("rtx4090")
    assert held_clock_fraction(unit) == pytest.approx(1.0, rel=1e-3)
    memory_w = MEMORY_W_PER_BYTE_PER_S * 1008e9
    starved = replace(unit, power_w=memory_w + (450 - memory_w) / 4)
    assert held_clock_fraction(starved) == pytest.approx(0.5, rel=1e-3)


def test_six_picojoules_a_bit_are_48_watts_at_a_terabyte_per_second():
    assert pytest.approx(48.0) == 1e12 * MEMORY_W_PER_BYTE_PER_S


def test_tensor_units_of_twice_the_rate_take_their_share_of_the_power():
    _, unit = load_device("rtx4090")
    doubled = replace(unit, ceilings=tuple(replace(c, flops_per_s=2 * c.flops_per_s) for c in unit.ceilings))
    assert held_clock_fraction(doubled) == pytest.approx((1 + TENSOR_POWER_SHARE) ** -DVFS_EXPONENT, rel=1e-3)


def test_a_card_exceeds_its_rated_clock_only_as_far_as_a_maximum_is_stated():
    _, unit = load_device("rtx4090")
    held = HELD_CLOCKS["ada"].clock_hz
    tensor = tuple(replace(c, flops_per_s=c.flops_per_s / 1.2) for c in unit.ceilings)
    slow = replace(unit, boost_clock_hz=held / 1.2, ceilings=tensor)
    assert held_clock_fraction(replace(slow, max_clock_hz=None)) == 1.0
    assert held_clock_fraction(replace(slow, max_clock_hz=held / 1.1)) == pytest.approx(1.2 / 1.1)
    assert held_clock_fraction(replace(slow, max_clock_hz=2 * held)) == pytest.approx(1.2, rel=1e-3)


def test_a_core_that_does_four_times_as_much_per_cycle_has_that_core_rate():
    _, unit = load_device("rtx4090")
    assert ceilings_of(unit, Precision.FP16).core_rate == pytest.approx(1.0, rel=1e-3)
    faster = replace(unit, ceilings=tuple(replace(c, flops_per_s=4 * c.flops_per_s) for c in unit.ceilings))
    assert ceilings_of(faster, Precision.FP16).core_rate == pytest.approx(4.0, rel=1e-3)
    assert ceilings_of(load_device("i9-10940x")[1], Precision.FP32).core_rate == 1.0


def test_a_published_sustained_clock_is_taken_as_it_is():
    _, unit = load_device("rtx4090")
    assert held_clock_fraction(replace(unit, sustained_clock_hz=1.5e9, boost_clock_hz=2.0e9)) == 0.75


def test_equal_chunks_on_a_hybrid_cpu_wait_for_the_slow_cores():
    _, unit = load_device("i7-12700h")
    hybrid = replace(
        unit,
        sustained_clock_hz=None,
        clusters=(CoreCluster("fast", 2, 4e9, 32.0), CoreCluster("slow", 2, 2e9, 16.0)),
    )
    rated = ceilings_of(hybrid, Precision.FP32).rated_flops_per_s
    share = (4 * 2e9 * 16) / (2 * 4e9 * 32 + 2 * 2e9 * 16)  # n · slowest ÷ sum
    assert ceilings_of(hybrid, Precision.FP32).product_flops_per_s == pytest.approx(rated * share)


def test_only_a_stated_maximum_clock_lifts_the_fastest_rate_above_the_rated_one():
    _, unit = load_device("rtx4090")
    plain = ceilings_of(replace(unit, max_clock_hz=None), Precision.FP16)
    assert plain.fastest_flops_per_s == pytest.approx(plain.rated_flops_per_s, rel=1e-3)
    faster = replace(unit, boost_clock_hz=2.0e9, max_clock_hz=2.5e9)
    assert ceilings_of(faster, Precision.FP16).fastest_flops_per_s == pytest.approx(
        plain.rated_flops_per_s * 1.25, rel=1e-3
    )


def test_a_board_short_of_power_reaches_no_clock_that_it_cannot_feed():
    _, unit = load_device("rtx4090")
    memory_w = MEMORY_W_PER_BYTE_PER_S * 1008e9
    starved = ceilings_of(replace(unit, max_clock_hz=None, power_w=memory_w + (450 - memory_w) / 4), Precision.FP16)
    assert starved.fastest_flops_per_s == pytest.approx(starved.rated_flops_per_s / 2, rel=1e-3)


FOUR_CORES = replace(CEILINGS, core_count=4, bandwidth_bytes_per_s=2 * CORE_BANDWIDTH_BYTES_PER_S)


def loop(elements: int, outer_extent: int = 0) -> KernelTable:
    kernel = Kernel("k", KernelClass.POINTWISE, ("k",), DType.F32, 0, 100, 56, 0)
    return KernelTable.from_kernels([replace(kernel, elements=elements, outer_extent=outer_extent)])


def test_a_loop_of_less_than_a_chunk_per_thread_runs_on_one_core():
    short, long = (times_of(loop(n), FOUR_CORES) for n in (4 * MIN_CHUNK - 1, 4 * MIN_CHUNK))
    assert short.compute_s[0] == 4 * long.compute_s[0] == 4 * 100 / 100
    assert short.memory_s[0] == 2 * long.memory_s[0]


def test_that_core_is_a_fast_one():
    hybrid = replace(FOUR_CORES, fast_core_ratio=2.0)
    assert times_of(loop(100), hybrid).compute_s[0] == 4 / 2 * 100 / 100


def test_five_outer_iterations_on_four_cores_take_as_long_as_eight():
    assert times_of(loop(1_000_000, 5), FOUR_CORES).compute_s[0] == pytest.approx(8 / 5 * 100 / 100)


def test_two_outer_iterations_keep_two_of_four_cores_busy():
    assert times_of(loop(1_000_000, 2), FOUR_CORES).compute_s[0] == 2 * 100 / 100


def test_special_functions_run_at_the_vector_rate():
    special = replace(Kernel("k", KernelClass.POINTWISE, ("k",), DType.F32, 0, 10, 4, 4), special_flops=40)
    assert times_of(KernelTable.from_kernels([special]), CEILINGS).compute_s[0] == 50 / 100
    slower = replace(CEILINGS, special_flops_per_s=25.0)
    assert times_of(KernelTable.from_kernels([special]), slower).compute_s[0] == 50 / 25
    assert times_of(KernelTable.from_kernels([replace(special, special_flops=0)]), slower).compute_s[0] == 10 / 100


def test_functions_in_loops_run_at_the_mean_of_both_rates_by_which_gpus_differ():
    """RTX 3090 ÷ RTX 4090: 35.58 ÷ 82.58 of vector rate, 936.2 ÷ 1008 of bandwidth."""
    known, other = (ceilings_of(load_device(device)[1], Precision.AMP_FP16) for device in ("rtx4090", "rtx3090"))
    assert known.special_flops_per_s == pytest.approx(known.vector_flops_per_s, rel=1e-3)
    ratio = other.special_flops_per_s / known.special_flops_per_s
    assert ratio == pytest.approx((35.58 / 82.58 * 936.2 / 1008) ** 0.5, rel=1e-3)


def test_wide_vectors_hold_the_base_clock():
    _, unit = load_device("i9-10940x")
    assert (unit.vector_bits, unit.sustained_clock_hz) == (512, None)
    assert held_clock_fraction(unit) == pytest.approx(3.3 / 4.6)
    assert held_clock_fraction(replace(unit, vector_bits=256)) == 1.0


def convolution(**extents: int) -> KernelTable:
    kernel = Kernel("k", KernelClass.CONV_DENSE, ("k",), DType.F32, 900, 0, 1, 1, taps=9)
    return KernelTable.from_kernels([replace(kernel, **extents)])


def test_winograd_does_sixteen_of_thirty_six_multiplications():
    winograd = replace(CEILINGS, uses_winograd=True)
    assert times_of(convolution(), winograd).compute_s[0] == pytest.approx(2 * 900 * 16 / 36 / 1000)
    for kept in (convolution(stride=2), convolution(taps=25)):
        assert times_of(kept, winograd).compute_s[0] == times_of(kept, CEILINGS).compute_s[0]


@pytest.mark.parametrize(
    ("device", "precision", "expected"),
    [("v100-pcie-32gb", Precision.FP32, True), ("v100-pcie-32gb", Precision.AMP_FP16, False),
     ("i9-10940x", Precision.FP32, False), ("jetson-nano", Precision.FP32, False)],
)  # fmt: skip
def test_winograd_is_taken_where_its_kernels_were_measured(device, precision, expected):
    assert ceilings_of(load_device(device)[1], precision).uses_winograd is expected


@pytest.mark.parametrize(
    ("channels", "in_tiles"), [(8, 8), (16, 16), (24, 32), (40, 64), (64, 64), (72, 96), (112, 128)]
)
def test_groups_are_multiplied_in_whole_tiles_of_input_and_output_channels(channels, in_tiles):
    gemm = Gemm(batch=10, m=49, n=channels, k=9 * channels)
    kernel = Kernel(
        "g", KernelClass.CONV_GROUPED, ("g",), DType.F16, 900, 0, 1, 1, gemm=gemm, taps=9, channels=channels
    )
    table = KernelTable.from_kernels([kernel])
    whole_s = 2 * 900 / 1000
    assert times_of(table, replace(CEILINGS, tiles_groups=True)).compute_s[0] == pytest.approx(
        whole_s * (in_tiles / channels) ** 2
    )
    assert times_of(table, CEILINGS).compute_s[0] == pytest.approx(whole_s)


@pytest.mark.parametrize(
    ("device", "precision", "expected"),
    [("rtx4090", Precision.AMP_FP16, True), ("rtx4090", Precision.FP32, False), ("sd865/gpu", Precision.INT8, False)],
)
def test_only_tensor_cores_take_groups_in_tiles(device, precision, expected):
    assert ceilings_of(load_device(device)[1], precision).tiles_groups is expected


def test_halves_are_computed_in_fp32_where_that_is_faster():
    """A GTX 1080 Ti's fp16 rate is 1/64 of its fp32 one."""
    _, unit = load_device("gtx1080ti")
    fp32, fp16 = (ceilings_of(unit, precision) for precision in (Precision.FP32, Precision.FP16))
    assert fp16.product_flops_per_s == fp32.product_flops_per_s
    assert fp16.vector_flops_per_s == fp32.vector_flops_per_s


def test_a_depthwise_convolution_gains_nothing_from_tensor_cores():
    gemm = Gemm(64, 3136, 1, 9)
    kernel = Kernel("d", KernelClass.CONV_DEPTHWISE, ("d",), DType.F16, 64 * 3136 * 9, 0, 1, 1, gemm=gemm, taps=9)
    depthwise = KernelTable.from_kernels([kernel])
    _, unit = load_device("h100-sxm")
    ceilings = ceilings_of(unit, Precision.FP16)
    (seconds,) = times_of(depthwise, ceilings).compute_s
    assert seconds == pytest.approx(2 * 64 * 3136 * 9 / ceilings.vector_flops_per_s)
    assert kernel_features(depthwise, ceilings).fill_growth[0] == 1.0 < ceilings.core_rate


def test_only_a_gpu_has_a_host_that_dispatches():
    for reference, runtime in (("rtx4090", "torch-eager"), ("rtx4090", "tensorrt"), ("i9-10940x", "torch-eager")):
        _, unit = load_device(reference)
        waits = unit.kind is UnitKind.GPU and runtime in HOST_DISPATCH_S
        assert (ceilings_of(unit, Precision.FP32, runtime).dispatch_s > 0) is waits


def test_a_device_file_says_how_long_its_host_takes():
    """Twice PyTorch's 15 µs: twice ONNX Runtime's 10 µs too."""
    slow = replace(load_device("rtx4090")[1], launch_overhead_s=30e-6)
    eager, onnxruntime = (ceilings_of(slow, Precision.FP16, name) for name in ("torch-eager", "onnxruntime"))
    assert eager.dispatch_s == pytest.approx(30e-6)
    assert onnxruntime.dispatch_s == pytest.approx(20e-6)
