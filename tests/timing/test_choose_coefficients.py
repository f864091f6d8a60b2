"""Which coefficients an estimate gets, and what is said of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from estimator.catalogue.calibration import Residual
from estimator.catalogue.calibration_file import load_response, response_names
from estimator.catalogue.loader import load_device
from estimator.dtypes import Precision
from estimator.timing.coefficients import (
    MOST_LOG_SIZE,
    RATES_WITHOUT_RECORDS,
    SINGLE_KERNELS,
    Coefficients,
    choose_coefficients,
    log_size,
)


def family(reference: str, runtime: str, precision: Precision) -> Coefficients:
    device, unit = load_device(reference)
    return choose_coefficients(
        device, unit, runtime, precision, "nchw",
        responses=load_response, available=response_names(), calibration=None,
    )  # fmt: skip


def test_an_architecture_without_records_is_taken_to_fall_short_and_says_so():
    known, untried = (family(name, "torch-eager", Precision.AMP_FP16) for name in ("rtx4090", "rtx5090"))
    assert (known.offset.compute, known.offset.memory, known.note) == (0.0, 0.0, "")
    assert np.exp([untried.offset.compute, untried.offset.memory]) == pytest.approx(RATES_WITHOUT_RECORDS["blackwell"])
    assert "no network was measured on blackwell" in untried.note


def test_fp32_on_a_gpu_rests_on_single_kernels_and_says_so():
    fp32, half = (family("rtx4090", "torch-eager", precision) for precision in (Precision.FP32, Precision.FP16))
    assert (fp32.calibration, half.calibration) == (SINGLE_KERNELS, "gpu-torch-eager-nchw")
    assert "single kernels" in fp32.note
    assert not half.note


def test_what_networks_do_on_one_cpu_is_no_news_about_another():
    own, other = (
        family(name, "torch-compile", Precision.FP32).response.residual for name in ("i9-10940x", "i7-12700h")
    )
    assert own is not None
    assert other is not None
    assert own.weights.any()
    assert not other.weights.any()
    np.testing.assert_array_equal(own.anchors, other.anchors)


def test_a_correction_of_no_device_holds_everywhere():
    everywhere = Residual(np.ones((2, 3)), np.ones(2), 0.4)
    assert everywhere.on("anything") is everywhere
    assert not replace(everywhere, only_on="a").on("b").weights.any()


@pytest.mark.parametrize(
    ("reference", "runtime", "precision", "kind"),
    [
        ("h100-sxm", "torch-eager", Precision.BF16, "family"),
        ("h100-sxm", "torch-eager", Precision.TF32, "datasheet"),
        ("mi300x", "torch-eager", Precision.BF16, "datasheet"),
        ("h100-sxm", "torch-compile", Precision.FP32, "datasheet"),
        ("epyc-genoa", "torch-compile", Precision.FP32, "family"),
        ("epyc-genoa", "torch-compile", Precision.BF16, "datasheet"),
    ],
)
def test_a_family_is_of_the_same_software_on_like_hardware_in_a_like_precision(reference, runtime, precision, kind):
    """Records are of CUDA in half precision, and of compiled CPU code in fp32."""
    chosen = family(reference, runtime, precision)
    assert chosen.kind == kind
    assert bool(chosen.note) == (kind == "datasheet")


@pytest.mark.parametrize(
    ("reference", "least"), [("ethos-u55-32/high-end-embedded", -MOST_LOG_SIZE), ("trainium2", MOST_LOG_SIZE)]
)
def test_a_slope_over_size_ends_where_no_chip_was_measured(reference, least):
    assert log_size(load_device(reference)[1]) == least


def test_another_make_of_npu_runs_its_native_precision_as_a_hexagon_runs_int8():
    """Core ML lists fp16 first on Apple's; its rate says the rest."""
    half, bytes_ = (family("a14/npu", "coreml", precision).offset for precision in (Precision.FP16, Precision.INT8))
    np.testing.assert_array_equal(half.vector(), bytes_.vector())


def test_the_more_a_core_exceeds_those_with_records_the_wider_the_interval():
    measured, half, eighth = (
        family(d, "torch-eager", Precision.FP16).spread for d in ("l40s", "a100-pcie-40gb", "b200")
    )
    assert measured.log_p90 < half.log_p90 < eighth.log_p90
    assert measured.log_p10 > half.log_p10 > eighth.log_p10


def test_cuda_cores_are_alike_whatever_tensor_cores_do():
    plain, tensor = (family(name, "torch-eager", Precision.FP32).spread for name in ("rtx3060", "b200"))
    assert plain == tensor


def test_every_reason_for_doubt_is_said():
    note = family("rtx5090", "tensorrt", Precision.FP16).note
    assert "no records of tensorrt" in note
    assert "no network was measured on blackwell" in note


def test_half_precision_on_a_cpu_departs_as_fp32_does():
    fp32, *halves = (
        family("raspberry-pi-5", "onnxruntime", p) for p in (Precision.FP32, Precision.FP16, Precision.BF16)
    )
    assert all(half.offset.memory == fp32.offset.memory for half in halves)


def test_compiled_code_on_a_gpu_without_records_says_that_one_gpu_is_known():
    compiled, eager = (family("rtx3090", runtime, Precision.AMP_FP16) for runtime in ("torch-compile", "torch-eager"))
    assert "compiled code is known from one GPU" in compiled.note
    assert eager.note == ""
