"""What people call a device finds it, and what it finds is in base SI."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from estimator.catalogue.device import Basis, Device, UnitKind
from estimator.catalogue.loader import device_ids, list_devices, load_device
from estimator.catalogue.location import devices_directory
from estimator.dtypes import Precision
from estimator.errors import CatalogueError, UnknownDeviceError

DEVICES = list_devices()


@pytest.mark.parametrize(
    ("reference", "device_id", "unit"),
    [
        ("sd865", "sd865", "npu"),
        ("sd865/cpu", "sd865", "cpu"),
        ("SD865/GPU", "sd865", "gpu"),
        ("Snapdragon 865", "sd865", "npu"),
        ("snapdragon_865/npu", "sd865", "npu"),
        ("qcs8250", "sd865", "npu"),
        ("rb5", "sd865", "npu"),
        ("NVIDIA A100-PCIE-40GB", "a100-pcie-40gb", "gpu"),
        ("NVIDIA A100-SXM4-80GB", "a100-sxm-80gb", "gpu"),
        ("NVIDIA GeForce RTX 3090", "rtx3090", "gpu"),
        ("NVIDIA GeForce GTX 1080 Ti", "gtx1080ti", "gpu"),
        ("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", "rtxpro6000-maxq", "gpu"),
        ("Tesla T4", "t4", "gpu"),
        ("Tesla P100-PCIE-16GB", "p100", "gpu"),
        ("Tesla V100-PCIE-16GB", "v100-pcie-16gb", "gpu"),
        ("Tesla P4", "p4", "gpu"),
        ("NVIDIA H100 80GB HBM3", "h100-sxm", "gpu"),
        ("1080ti", "gtx1080ti", "gpu"),
        ("pixel3", "sd845", "cpu"),
        ("raspi4", "raspberry-pi-4", "cpu"),
        ("gold_6226", "xeon-gold-6226", "cpu"),
        ("samsung_a50", "exynos9610", "cpu"),
        ("i9-10940x", "i9-10940x", "cpu"),
        ("Intel(R) Core(TM) i9-10940X CPU @ 3.30GHz", "i9-10940x", "cpu"),
        ("ethos-u55-128/deep-embedded", "ethos-u55-128", "deep-embedded"),
        ("ethos-u55-128/npu", "ethos-u55-128", "high-end-embedded"),
    ],
)
def test_a_name_finds_its_device_and_unit(reference: str, device_id: str, unit: str):
    device, found = load_device(reference)
    assert (device.id, found.name) == (device_id, unit)


def test_every_id_alias_and_display_name_finds_its_own_device():
    for device in DEVICES:
        for name in (device.id, device.display_name, *device.aliases):
            assert load_device(name)[0].id == device.id


def test_a_product_with_two_versions_has_no_default_version():
    with pytest.raises(UnknownDeviceError) as caught:
        load_device("a100-sxm")
    assert "a100-sxm-40gb" in str(caught.value)
    assert "a100-sxm-80gb" in str(caught.value)


@pytest.mark.parametrize("reference", ["", "/", "/npu", "sd865/dsp", "../devices/sd865", "nowhere", "a" * 5000, "\0"])
def test_a_name_of_nothing_is_an_unknown_device(reference: str):
    with pytest.raises(UnknownDeviceError):
        load_device(reference)


def test_a_file_is_loaded_by_its_path_with_an_optional_unit():
    path = devices_directory() / "sd865.yaml"
    assert load_device(str(path))[1].name == "npu"
    assert load_device(f"{path}/cpu")[1].name == "cpu"
    with pytest.raises(UnknownDeviceError, match="no such file"):
        load_device("absent.yaml")


def test_units_are_converted_once_to_base_si():
    device, gpu = load_device("rtx3090")
    assert gpu.boost_clock_hz == 1695e6
    assert gpu.ceiling("fp16", accumulate="fp32").flops_per_s == 71e12
    assert gpu.ceiling("fp16").flops_per_s == 142e12
    assert gpu.memory_level("l2").size_bytes == 6 * 2**20
    assert gpu.dram_bandwidth_bytes_per_s == 936.2e9
    assert device.memory_capacity_bytes == 24 * 2**30
    assert (device.power_w, device.release_year, gpu.core_count) == (350, 2020, 82)


def test_a_cache_per_core_counts_once_per_core():
    _, cpu = load_device("i9-10940x")
    assert cpu.memory_level("l2").size_bytes == 14 * 1 * 2**20
    assert cpu.memory_level("l3").size_bytes == 19.25 * 2**20
    assert cpu.boost_clock_hz == 4.6e9


def test_clusters_of_a_phone_add_up():
    _, cpu = load_device("sd865/cpu")
    assert cpu.core_count == 1 + 3 + 4
    assert [cluster.clock_hz for cluster in cpu.clusters] == [2.84e9, 2.42e9, 1.8e9]
    computed = sum(c.core_count * c.fp32_flops_per_cycle * c.clock_hz for c in cpu.clusters)
    assert cpu.ceiling("fp32").flops_per_s == pytest.approx(computed, rel=1e-3)


def test_main_memory_is_seen_by_every_unit():
    device, _ = load_device("sd865")
    assert {unit.dram_bandwidth_bytes_per_s for unit in device.units.values()} == {44e9}


def test_an_unknown_rate_is_stood_in_for_and_the_estimate_can_say_so():
    device, npu = load_device("sd865/npu")
    assert npu.ceiling("int8").flops_per_s == 15e12
    assert npu.ceiling("int8").basis is Basis.ASSUMED
    assert any(sentence.startswith("tensor int8 rate unknown, taken as 15 TOP/s") for sentence in npu.assumptions)
    assert [claim.ops_per_s for claim in device.claims] == [15e12]


def test_the_contract_defaults():
    for reference, runtime, precision in [
        ("sd865/npu", "tflite", Precision.INT8),
        ("sd865/gpu", "tflite", Precision.FP16),
        ("rtx4090", "torch-eager", Precision.FP32),
        ("i9-10940x", "torch-compile", Precision.FP32),
    ]:
        default = load_device(reference)[1].default_runtime
        assert (default.name, default.precisions[0]) == (runtime, precision)


RECORDED = """
i9-10940x cpu torch-compile fp32
rtx3090 gpu torch-eager amp-fp16
rtx4090 gpu torch-eager amp-fp16
rtx4090 gpu torch-compile amp-fp16
rtx5090 gpu torch-compile amp-fp16
qcs6490 cpu onnxruntime fp32 int8 w8a16
qcs6490 gpu tflite int8
qcs6490 npu qnn int8 w8a16
qcs6490 npu qnn_dlc int8 w8a16
qcs6490 npu tflite int8
qcs8450 npu qnn fp16 int8 w8a16
qcs8450 npu qnn_dlc fp16 int8 w8a16
qcs8450 npu tflite fp16 int8
qcs8550 npu onnxruntime fp16 int8 w8a16
qcs8550 npu qnn fp16 int8 w8a16
qcs8550 npu qnn_dlc fp16 int8 w8a16
qcs8550 npu tflite fp16 int8
sa8295p npu qnn fp16 int8 w8a16
sa8295p npu qnn_dlc fp16 int8 w8a16
sa8295p npu tflite fp16 int8
sd865 cpu onnxruntime int8 w8a16
sd865 gpu tflite int8
sd865 npu tflite int8
sd8gen3 npu onnxruntime fp16 int8 w8a16
sd8gen3 npu qnn fp16 int8 w8a16
sd8gen3 npu qnn_dlc fp16 int8 w8a16
sd8gen3 npu tflite fp16 int8
"""


@pytest.mark.parametrize("line", RECORDED.split("\n")[1:-1])
def test_every_recorded_combination_is_accepted(line: str):
    device_id, unit_name, runtime, *precisions = line.split()
    _, unit = load_device(f"{device_id}/{unit_name}")
    listed = {support.name: support.precisions for support in unit.runtimes}
    assert set(precisions) <= {str(precision) for precision in listed[runtime]}


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.id)
def test_every_unit_can_be_estimated(device: Device):
    for unit in device.units.values():
        assert unit.ceilings
        assert all(ceiling.flops_per_s > 0 for ceiling in unit.ceilings)
        assert unit.dram_bandwidth_bytes_per_s > 0
        assert unit.runtimes
        if unit.kind is UnitKind.CPU:
            assert unit.core_count
            assert unit.boost_clock_hz or unit.sustained_clock_hz
    assert device.default_unit in device.units


def test_the_catalogue_is_sorted_and_complete():
    assert tuple(device.id for device in DEVICES) == device_ids() == tuple(sorted(device_ids()))
    assert len(DEVICES) >= 60


def test_loading_a_device_imports_no_schema_and_no_framework():
    code = (
        "import sys; from estimator.catalogue.loader import load_device; load_device('sd865');"
        "print(sorted({'pydantic', 'torch', 'numpy', 'onnx'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_a_broken_catalogue_file_is_reported_by_the_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    text = (devices_directory() / "t4.yaml").read_text(encoding="utf-8")
    (tmp_path / "t4-broken.yaml").write_text(text.replace("id: t4", "id: t4-broken").replace("kind: gpu", "kind: gpuu"))
    monkeypatch.setattr("estimator.catalogue.loader.devices_directory", lambda: tmp_path)
    with pytest.raises(CatalogueError, match="'gpuu' is not accepted") as caught:
        load_device("t4-broken")
    assert caught.value.where.startswith("devices/t4-broken.yaml:")
