"""What the time model knows of NPUs: streamed weights, lanes of channels, generations and sizes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from estimator.catalogue.loader import load_device
from estimator.dtypes import DType, Precision
from estimator.lowering.kernel import Gemm, Kernel, KernelClass, KernelTable
from estimator.timing.coefficients import generation, generation_context, log_size
from estimator.timing.features import kernel_features
from estimator.timing.roofline import ceilings_of, roofline_times
from tests.timing.coefficients import CEILINGS, product

NPU = replace(CEILINGS, channel_lanes=32, streams_weights=True, depthwise_in_lanes=True)


def depthwise(channels: int) -> Kernel:
    gemm = Gemm(channels, 16, 1, 9)
    macs = channels * 16 * 9
    return Kernel("d", KernelClass.CONV_DEPTHWISE, ("d",), DType.F32, macs, 0, 0, 0, gemm=gemm, taps=9, channels=1)


def times(kernel: Kernel, ceilings=NPU):
    return roofline_times(KernelTable.from_kernels([kernel]), ceilings)


def test_weights_are_no_part_of_a_kernels_memory_time_where_they_are_streamed():
    kernel = product(0, 100, n=32, weights=60)
    assert times(kernel).memory_s[0] == pytest.approx((100 - 60) / 10)
    assert times(kernel, CEILINGS).memory_s[0] == pytest.approx(100 / 10)
    features = kernel_features(KernelTable.from_kernels([kernel]), NPU)
    assert features.weight_s[0] == pytest.approx(60 / 10)


@pytest.mark.parametrize(("kept", "streamed"), [(0, 60 + 20), (40, 30 + 10), (80, 0), (100, 0)])
def test_weights_that_stay_on_chip_are_not_streamed(kept, streamed):
    """60 and 20 bytes over a link of 5 bytes per second, of which `kept` stay, evenly."""
    ceilings = replace(NPU, weight_bandwidth_bytes_per_s=5.0, kept_weight_bytes=kept)
    kernels = [product(0, 100, n=32, weights=60), product(0, 100, n=32, weights=20)]
    table = KernelTable.from_kernels(kernels)
    assert kernel_features(table, ceilings).weight_s.sum() == pytest.approx(streamed / 5)
    assert roofline_times(table, ceilings).memory_s[0] == pytest.approx((100 - 60) / 10)


def test_depthwise_convolutions_run_on_the_vector_unit():
    kernel = depthwise(64)
    assert times(kernel).compute_s[0] == pytest.approx(2 * 64 * 16 * 9 / 100)
    assert times(kernel, CEILINGS).compute_s[0] == pytest.approx(2 * 64 * 16 * 9 / 1000)


def test_the_width_of_a_depthwise_convolution_is_its_channels():
    table = KernelTable.from_kernels([depthwise(64)])
    np.testing.assert_array_equal(kernel_features(table, NPU).n, [64])
    np.testing.assert_array_equal(kernel_features(table, CEILINGS).n, [1])


def test_lanes_of_channels_lengthen_a_depthwise_reduction():
    table = KernelTable.from_kernels([depthwise(64)])
    np.testing.assert_array_equal(kernel_features(table, NPU).k, [9 * 32])
    np.testing.assert_array_equal(kernel_features(table, CEILINGS).k, [9])


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ("hexagon-v65", "v66"), ("hexagon-v66", "v66"), ("hexagon-v68", "v68"), ("hexagon-v69", "v68"),
        ("hexagon-v73", "v73"), ("hexagon-v79", "v73"), ("hexagon", "v73"), ("ethos-u55", "ethos-u55"),
    ],
)  # fmt: skip
def test_generations(architecture, expected):
    assert generation(architecture) == expected
    assert generation_context(architecture, Precision.INT8) == f"generation:{expected}:int8"


def test_size_is_relative_to_thirty_tops():
    _, unit = load_device("sa8295p/npu")
    rate = unit.ceiling("int8").flops_per_s
    assert log_size(unit) == pytest.approx(math.log(rate / 30e12))


def test_before_htp_little_of_the_advertised_rate_is_the_tensor_engines():
    _, unit = load_device("sd865/npu")
    ceilings = ceilings_of(unit, Precision.INT8)
    assert ceilings.product_flops_per_s == pytest.approx(0.08 * ceilings.rated_flops_per_s)
    assert ceilings.vector_flops_per_s == pytest.approx(ceilings.rated_flops_per_s / 16)
