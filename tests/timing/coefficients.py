"""Makers for tests of timing: ceilings in round numbers, kernels, and a response that fits nothing."""

from __future__ import annotations

import math

import numpy as np

from estimator.catalogue.calibration import ContextOffset, Response
from estimator.dtypes import DType
from estimator.lowering.kernel import CLASS_INDEX, Gemm, Kernel, KernelClass, KernelTable
from estimator.timing.features import FEATURE_NAMES, KernelFeatures, kernel_features
from estimator.timing.roofline import Ceilings

CLASSES = len(CLASS_INDEX)
LAUNCH_S, FIXED_S = 0.25, 0.5
CEILINGS = Ceilings(
    product_flops_per_s=1000.0, rated_flops_per_s=1000.0, fastest_flops_per_s=1250.0, vector_flops_per_s=100.0,
    special_flops_per_s=100.0,
    bandwidth_bytes_per_s=10.0, core_count=4, cache_bytes=2.0**20,
)  # fmt: skip


def product(macs: int, moved: int, *, m: int = 128, n: int = 128, k: int = 128, weights: int = 0) -> Kernel:
    gemm = Gemm(1, m, n, k)
    return Kernel("p", KernelClass.MATMUL, ("p",), DType.F32, macs, 0, moved, 0, weights, gemm, channels=8)


def features_of(*kernels: Kernel) -> KernelFeatures:
    return kernel_features(KernelTable.from_kernels(kernels), CEILINGS)


def ideal_response() -> Response:
    """All efficiencies 1, no saturation, no cache gain, no network."""
    unchanged, none = np.zeros(CLASSES), np.full(CLASSES, -80.0)
    return Response(
        "ideal", tuple(c.value for c in CLASS_INDEX), FEATURE_NAMES, unchanged, unchanged, none, none, none,
        math.log(LAUNCH_S), unchanged, math.log(FIXED_S), cache_gain=0.0, unaligned_cost=0.0, wave_exponent=0.0,
        network=None,
    )  # fmt: skip


def no_offset() -> ContextOffset:
    return ContextOffset(0.0, 0.0, 0.0, 0.0, np.zeros(CLASSES))
