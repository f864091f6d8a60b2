"""Every cell of the collection sheet equals the YAML's value, and the YAML cites nothing that the sheet lacks."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from estimator.catalogue.document import read_document
from estimator.catalogue.location import devices_directory

Row = Mapping[str, str]
Fact = Mapping[str, Any]

SHEET_ID = {
    "rtx3090": "geforce_rtx_3090", "rtx4090": "geforce_rtx_4090", "rtx5090": "geforce_rtx_5090",
    "rtxpro6000-maxq": "rtx_pro_6000_blackwell_maxq", "p4": "tesla_p4", "p100": "tesla_p100_pcie_16gb",
    "v100-pcie-16gb": "tesla_v100_pcie_16gb", "v100-pcie-32gb": "tesla_v100_pcie_32gb",
    "v100-sxm2-16gb": "tesla_v100_sxm2_16gb", "v100-sxm2-32gb": "tesla_v100_sxm2_32gb", "t4": "tesla_t4",
    "a100-pcie-40gb": "a100_pcie_40gb", "a100-pcie-80gb": "a100_pcie_80gb", "a100-sxm-40gb": "a100_sxm4_40gb",
    "a100-sxm-80gb": "a100_sxm4_80gb", "l4": "l4", "l40s": "l40s", "a10": "a10", "h100-sxm": "h100_sxm5_80gb",
    "h100-pcie": "h100_pcie_80gb", "h200": "h200_sxm", "b200": "b200_hgx", "gtx1080ti": "geforce_gtx_1080_ti",
    "rtx2080ti": "geforce_rtx_2080_ti", "titan-x": "titan_x_pascal", "titan-xp": "titan_xp", "titan-rtx": "titan_rtx",
    "rtx2070": "geforce_rtx_2070", "p4000": "quadro_p4000", "rtx3060": "geforce_rtx_3060_12gb",
    "rtx4060": "geforce_rtx_4060", "mi100": "amd_mi100", "mi210": "amd_mi210", "mi250": "amd_mi250_per_gcd",
    "mi300x": "amd_mi300x", "jetson-nano": "jetson_nano", "jetson-tx2": "jetson_tx2",
    "jetson-xavier-nx": "jetson_xavier_nx", "jetson-agx-xavier": "jetson_agx_xavier",
    "jetson-orin-nano": "jetson_orin_nano_8gb", "jetson-orin-nano-super": "jetson_orin_nano_super",
    "jetson-orin-nx": "jetson_orin_nx_16gb", "jetson-agx-orin-32gb": "jetson_agx_orin_32gb",
    "jetson-agx-orin-64gb": "jetson_agx_orin_64gb", "i9-10940x": "intel_core_i9_10940x",
    "xeon-gold-6226": "intel_xeon_gold_6226", "xeon-gold-6240": "intel_xeon_gold_6240",
    "xeon-gold-6246": "intel_xeon_gold_6246", "xeon-silver-4114": "intel_xeon_silver_4114",
    "xeon-silver-4210r": "intel_xeon_silver_4210r", "i7-12700h": "intel_core_i7_12700h",
    "epyc-genoa": "amd_epyc_9xx4_genoa", "sd855": "qcom_snapdragon_855", "sd865": "qcom_snapdragon_865_qcs8250",
    "sd888": "qcom_snapdragon_888", "sd8gen1": "qcom_snapdragon_8gen1", "qcs8450": "qcom_qcs8450",
    "sd8gen2": "qcom_snapdragon_8gen2", "qcs8550": "qcom_qcs8550", "sd8gen3": "qcom_snapdragon_8gen3",
    "sd8elite": "qcom_snapdragon_8_elite", "sd8elite-gen5": "qcom_snapdragon_8_elite_gen5",
    "sd7gen4": "qcom_snapdragon_7gen4", "sdx-elite": "qcom_snapdragon_x_elite",
    "sdx2-elite": "qcom_snapdragon_x2_elite", "qcs6490": "qcom_qcs6490", "sa8295p": "qcom_sa8295p",
    "sa8255p": "qcom_sa8255p", "sa8775p": "qcom_sa8775p", "qcs9075": "qcom_qcs9075", "qcs8275": "qcom_qcs8275",
    "sa8650p": "qcom_sa8650p", "sa7255p": "qcom_sa7255p", "qcm6690": "qcom_qcm6690",
    "sd845": "qcom_snapdragon_845_pixel3", "sd835": "qcom_snapdragon_835_pixel2",
    "exynos8890": "samsung_exynos_8890_galaxy_s7", "exynos9610": "samsung_exynos_9610_galaxy_a50",
    "raspberry-pi-4": "raspberry_pi_4", "raspberry-pi-5": "raspberry_pi_5", "coral-edgetpu": "coral_edge_tpu",
    "myriad-x": "intel_myriad_x_ncs2",
    **{f"ethos-u55-{macs}": f"arm_ethos_u55_{macs}" for macs in (32, 64, 128, 256)},
    **{f"ethos-u65-{macs}": f"arm_ethos_u65_{macs}" for macs in (256, 512)},
    **{f"ethos-u85-{macs}": f"arm_ethos_u85_{macs}" for macs in (128, 256, 512, 1024, 2048)},
    "apple-m1": "apple_m1", "apple-m2": "apple_m2", "apple-m3": "apple_m3", "apple-m4": "apple_m4",
    "a14": "apple_a14", "a15": "apple_a15", "a16": "apple_a16", "a17": "apple_a17_pro",
    **{f"tpu-{version}": f"google_tpu_{version}" for version in ("v2", "v3", "v4", "v5e", "v5p", "v6e")},
    "inferentia2": "aws_inferentia2", "trainium1": "aws_trainium1", "trainium2": "aws_trainium2",
}  # fmt: skip

SHARED_SILICON = {
    "qcs8450": [("qcom_snapdragon_8gen1", "cpu")],
    "qcs8550": [("qcom_snapdragon_8gen2", "cpu"), ("qcom_snapdragon_8gen2", "gpu")],
    "v100-sxm2-16gb": [("tesla_v100_sxm2_32gb", "gpu")],
    "h200": [("h200_nvl", "gpu")],
    "mi250": [("amd_mi250_module", "gpu")],
}
"""Rows of another sheet entry that describe the same chip, as the sheet's own notes say."""

PATH_OF_CELL: Mapping[tuple[str, str], str] = {
    ("gpu", "arch_chip"): "execution.chip", ("gpu", "name"): "execution.chip", ("gpu", "config"): "execution.chip",
    ("gpu", "sm_count"): "execution.sm_count", ("gpu", "cu_count"): "execution.cu_count",
    ("gpu", "base_clock_mhz"): "execution.base_clock_mhz", ("gpu", "boost_clock_mhz"): "execution.boost_clock_mhz",
    ("gpu", "clock_mhz"): "execution.boost_clock_mhz", ("gpu", "caches"): "execution.caches",
    ("gpu", "onchip_memory"): "execution.caches", ("gpu", "shared_mem_per_sm"): "execution.shared_kib_per_core",
    ("gpu", "lds_per_cu"): "execution.shared_kib_per_core",
    ("gpu", "l1_plus_shared_per_sm"): "execution.l1_kib_per_core",
    ("gpu", "register_file_per_sm"): "execution.register_file_kib_per_core",
    ("gpu", "vgpr_file_per_cu"): "execution.register_file_kib_per_core|execution.register_file",
    ("gpu", "l2_hit_latency"): "execution.l2_hit_latency_cycles",
    ("gpu", "tf32_bf16_fp8_support"): "execution.hardware_precisions",
    ("gpu", "l2_size"): "memory[l2].size_mib", ("gpu", "mem_size"): "/memory.capacity_gib|/memory.capacity_gb",
    ("gpu", "mem_bandwidth"): "/memory.bandwidth_gb_per_s", ("gpu", "mem_type"): "/memory.type",
    ("gpu", "tdp"): "/power_w", ("gpu", "release_year"): "/release_year",
    ("gpu", "fp32_dense"): "compute[vector fp32].dense_tflops",
    ("gpu", "fp32_vector_dense"): "compute[vector fp32].dense_tflops",
    ("gpu", "fp16_vector_dense"): "compute[vector fp16].dense_tflops",
    ("gpu", "int8_dp4a_dense"): "compute[vector int8 int32].dense_tops",
    ("gpu", "int8_tensor_dense"): "compute[tensor int8 int32].dense_tops",
    ("gpu", "int8_matrix_dense"): "compute[tensor int8 int32].dense_tops",
    **{("gpu", f"{dtype}_tensor_acc{bits}_dense"): f"compute[tensor {dtype} fp{bits}].dense_tflops"
       for dtype in ("fp16", "bf16", "fp8", "fp4") for bits in (16, 32)},
    **{("gpu", f"{dtype}_matrix_dense"): f"compute[tensor {dtype} fp32].dense_tflops"
       for dtype in ("fp32", "tf32", "fp16", "bf16", "fp8")},
    ("gpu", "tf32_tensor_dense"): "compute[tensor tf32 fp32].dense_tflops",
    ("gpu", "fp32_peak"): "compute[vector fp32].dense_gflops",
    ("gpu", "fp16_peak"): "compute[vector fp16].dense_gflops",
    ("gpu", "int8_peak"): "compute[vector int8 int32].dense_gops",
    ("gpu", "fp32_packed_dense"): "measurements[fp32-packed-peak].tflops",
    ("gpu", "mem_bandwidth_measured"): "measurements[dram-bandwidth].gb_per_s",
    ("gpu", "mem_bandwidth_habitat"): "measurements[dram-bandwidth-habitat].gb_per_s",
    ("gpu", "mem_read_bandwidth_measured"): "measurements[dram-read-bandwidth].gb_per_s",
    **{("gpu", f"{dtype}_gemm_measured{suffix}"): f"measurements[{dtype}-gemm{suffix.replace('_', '-')}]."
       + ("tops" if dtype == "int8" else "tflops")
       for dtype in ("fp32", "tf32", "bf16", "fp16", "int8", "fp8", "nvfp4") for suffix in ("", "_sibling", "_400w")},
    ("cpu", "p_cores"): "execution.core_count|clusters[performance].core_count",
    ("cpu", "e_cores"): "clusters[efficiency].core_count", ("cpu", "cores"): "execution.core_count",
    ("cpu", "threads"): "execution.thread_count", ("cpu", "base_clock"): "execution.base_clock_ghz",
    ("cpu", "max_turbo_clock"): "execution.boost_clock_ghz",
    ("cpu", "p_core_max_turbo"): "clusters[performance].clock_ghz",
    ("cpu", "e_core_max_turbo"): "clusters[efficiency].clock_ghz",
    ("cpu", "sustained_allcore_avx512_clock"): "execution.sustained_clock_ghz",
    ("cpu", "sustained_allcore_clock"): "execution.sustained_clock_ghz",
    ("cpu", "clock_allcore"): "execution.sustained_clock_ghz", ("cpu", "vector_isa"): "execution.vector_isa",
    ("cpu", "avx512_fma_units_per_core"): "execution.avx512_fma_units_per_core",
    ("cpu", "fp32_flop_per_cycle_per_core"): "execution.fp32_flops_per_cycle_per_core",
    ("cpu", "bf16_flop_per_cycle_per_core"): "execution.bf16_flops_per_cycle_per_core",
    ("cpu", "int8_vnni_op_per_cycle_per_core"): "execution.int8_ops_per_cycle_per_core",
    ("cpu", "fp32_flop_per_cycle_p_core"): "clusters[performance].fp32_flops_per_cycle",
    ("cpu", "fp32_flop_per_cycle_e_core"): "clusters[efficiency].fp32_flops_per_cycle",
    ("cpu", "int8_vnni_op_per_cycle_p_core"): "clusters[performance].int8_ops_per_cycle",
    ("cpu", "int8_vnni_op_per_cycle_e_core"): "clusters[efficiency].int8_ops_per_cycle",
    ("cpu", "fp32_flop_per_cycle_prime"): "clusters[prime].fp32_flops_per_cycle",
    ("cpu", "fp32_flop_per_cycle_m1"): "clusters[big].fp32_flops_per_cycle",
    ("cpu", "fp32_peak_at_base"): "measurements[fp32-peak-at-base-clock].gflops",
    ("cpu", "fp32_peak_at_max_turbo"): "compute[vector fp32].dense_gflops",
    ("cpu", "fp32_peak"): "compute[vector fp32].dense_gflops",
    ("cpu", "fp16_peak"): "compute[vector fp16].dense_gflops",
    ("cpu", "int8_dot_peak"): "compute[vector int8 int32].dense_gops",
    ("cpu", "fp32_peak_prime_core"): "measurements[prime-core-fp32-peak].gflops",
    ("cpu", "fp32_peak_measured"): "measurements[fp32-peak].gflops",
    ("cpu", "fp16_peak_measured"): "measurements[fp16-peak].gflops",
    ("cpu", "int8_dot_peak_measured"): "measurements[int8-dot-peak].gops",
    ("cpu", "int8_sdot_peak_measured"): "measurements[int8-dot-peak].gops",
    ("cpu", "fp32_peak_at_1p8ghz"): "measurements[fp32-peak-at-1.8-ghz].gflops",
    ("cpu", "l3_size"): "memory[l3].size_mib", ("cpu", "slc"): "memory[slc].size_mib",
    ("cpu", "caches"): "execution.caches", ("cpu", "mem_channels_speed"): "/memory.type",
    ("cpu", "mem_types"): "/memory.type", ("cpu", "mem_type"): "/memory.type",
    ("cpu", "mem_bandwidth"): "/memory.bandwidth_gb_per_s", ("cpu", "tdp"): "/power_w",
    ("cpu", "max_turbo_power"): "/power_w", ("cpu", "release_year"): "/release_year",
    ("cpu", "chip_id"): "execution.chip",
    ("npu", "hexagon_arch"): "execution.chip", ("npu", "name"): "execution.chip",
    ("npu", "precisions"): "execution.hardware_precisions", ("npu", "clock"): "execution.boost_clock_mhz",
    ("npu", "cores"): "execution.core_count", ("npu", "shaves"): "execution.core_count",
    ("npu", "macs_per_cycle"): "execution.int8_macs_per_cycle",
    ("npu", "core_clock"): "execution.boost_clock_mhz", ("npu", "int8_peak"): "compute[tensor int8 int32].dense_tops",
    ("npu", "dla_int8_dense"): "compute[tensor int8 int32].dense_tops",
    ("npu", "fp16_peak"): "compute[tensor fp16 fp32].dense_tflops",
    ("npu", "dnn_peak"): "compute[tensor fp16 fp32].dense_tflops",
    ("npu", "bf16_peak"): "compute[tensor bf16 fp32].dense_tflops",
    ("npu", "fp8_peak"): "compute[tensor fp8 fp32].dense_tflops",
    ("npu", "fp32_peak"): "compute[tensor fp32 fp32].dense_tflops",
    ("npu", "vtcm_size"): "memory[vtcm].size_bytes", ("npu", "shram"): "memory[l1].size_bytes",
    **{("npu", f"onchip_{name}"): "memory[sram].size_bytes" for name in ("sram", "cmx", "vmem", "sbuf", "memory")},
    ("npu", "hbm_size"): "/memory.capacity_gib|/memory.capacity_gb",
    ("npu", "hbm_bandwidth"): "/memory.bandwidth_gb_per_s",
    ("npu", "mem"): "/memory.type", ("npu", "power"): "/power_w",
    ("npu", "sram_bandwidth"): "memory[sram].bandwidth_gb_per_s",
    ("npu", "ext_bandwidth"): "memory[dram].bandwidth_gb_per_s|memory[flash].bandwidth_gb_per_s",
    ("npu", "ext_latency"): "execution.external_latency",
}  # fmt: skip

SUFFIX_OF_UNIT = {
    "TFLOPS": "_tflops", "GFLOPS": "_gflops",
    "TOPS": "_tops", "GOPS": "_gops", "GB/s": "_gb_per_s", "GB/s/socket": "_gb_per_s", "MHz": "_mhz", "GHz": "_ghz",
    "KiB": "_kib", "KiB/core": "_kib", "MiB": "_mib", "MiB/core": "_mib", "bytes": "_bytes",
    "GiB": "_gib", "W": "_w", "cycles": "_cycles",
}  # fmt: skip
"""Ending of the YAML key for a unit of the sheet; the rest are counts, words, or GB that mean GiB."""

CLAIM_FIELDS = frozenset({"total_int8", "total_int8_sparse", "total_peak", "ane_peak", "sparse_peak"})
BASIS = {"datasheet": "datasheet", "secondary": "secondary", "derived": "derived", "recalled": "assumed"}


@cache
def sheet() -> Mapping[tuple[str, str], list[Row]]:
    rows: dict[tuple[str, str], list[Row]] = {}
    with (devices_directory() / "sources/specifications.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rows.setdefault((row["device_id"], row["unit"]), []).append(row)
    return rows


OTHER_VALUE = {
    ("v100-sxm2-16gb", "mem_size"): 16,  # the sheet refers to the 32 GB part for everything but this
    ("epyc-genoa", "l3_size"): 384,  # 32 MiB per die of 8 cores; the note says 384 on 96 cores
}
WHOLE_MODULE = {"amd_mi250_module"}
"""Two devices in one package: claims of the file, whose facts are of one."""
NOT_THIS_PART = {("v100-sxm2-16gb", "release_year")}


def rows_of(device_id: str) -> list[tuple[Row, str | None]]:
    """Rows of a device with the YAML unit that holds them; None where every unit does (Ethos)."""
    keys = [(SHEET_ID[device_id], unit) for unit in ("cpu", "gpu", "npu")] + SHARED_SILICON.get(device_id, [])
    rows: list[tuple[Row, str | None]] = []
    for key in keys:
        rows += [(row, None if device_id.startswith("ethos") else key[1]) for row in sheet().get(key, [])]
    if device_id.startswith("ethos"):
        prefix = f"arm_ethos_syscfg_{device_id.split('-')[1]}_"
        for name, unit in sheet():
            if name.startswith(prefix):
                rows += [(row, name.removeprefix(prefix).replace("_", "-")) for row in sheet()[name, unit]]
    return rows


@cache
def device(device_id: str) -> Mapping[str, Any]:
    return read_document(devices_directory() / f"{device_id}.yaml").root


@cache
def facts(device_id: str) -> Mapping[str, Fact]:
    return dict(walk(device(device_id), ""))


def walk(value: Any, path: str) -> Iterator[tuple[str, Fact]]:
    if isinstance(value, Mapping) and "value" in value:
        yield path, value
    elif isinstance(value, Mapping):
        for key, below in value.items():
            yield from walk(below, f"{path}.{key}" if path else key)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            if isinstance(item, Mapping):
                keys = ("name", "level", "quantity", "engine", "dtype", "accumulate")
                yield from walk(item, f"{path}[{' '.join(str(item[key]) for key in keys if key in item)}]")


def is_number(text: str) -> bool:
    return re.fullmatch(r"~?\d+(\.\d+)?", text) is not None


def fact_paths(device_id: str, row: Row, unit: str | None) -> list[str]:
    """Paths in the YAML at which a cell stands, by the table above."""
    field = row["field"]
    if row["device_id"] in WHOLE_MODULE:
        return []
    clocked = re.fullmatch(r"int8_peak_at_(\d+)mhz", field)
    rule = "compute[tensor int8 int32].dense_tops" if clocked else PATH_OF_CELL.get((row["unit"], field))
    found = []
    for alternative in (rule or "").split("|"):
        for name in [unit] if unit else device(device_id)["units"]:
            path = alternative[1:] if alternative.startswith("/") else f"units.{name}.{alternative}"
            clock = facts(device_id).get(f"units.{name}.execution.boost_clock_mhz", {}).get("value")
            if path in facts(device_id) and (not clocked or clock == int(clocked[1])):
                found.append(path)
    return found


def claims(device_id: str) -> Sequence[Mapping[str, Any]]:
    result = device(device_id).get("claims", [])
    assert isinstance(result, Sequence)
    return result  # type: ignore[return-value]


def check_cell(device_id: str, row: Row, path: str) -> None:
    fact = facts(device_id)[path]
    if row["value"] == "unknown":
        assert fact["value"] == "unknown"
        return
    if row["value"] == "none":  # "no int8 speed-up": what stands in is assumed
        assert fact["basis"] == "assumed"
        return
    assert fact.get("basis", "datasheet") == BASIS[row["basis"]]
    if is_number(row["value"]):
        assert fact["value"] == OTHER_VALUE.get((device_id, row["field"]), float(row["value"].lstrip("~")))
        key = "_" + path.rpartition(".")[2]
        assert key.removesuffix("_per_core").endswith(
            SUFFIX_OF_UNIT.get(row["unit_of_value"], "").removesuffix("_per_core")
        )
    elif isinstance(fact["value"], str):
        assert fact["value"].startswith(row["value"])
    else:
        assert f"{fact['value']:g}" in row["value"]


@pytest.mark.parametrize("device_id", SHEET_ID)
def test_every_cell_of_the_sheet_equals_the_yaml(device_id: str):
    missing = []
    for row, unit in rows_of(device_id):
        if (device_id, row["field"]) in NOT_THIS_PART:
            continue
        paths = fact_paths(device_id, row, unit)
        claimed = [claim for claim in claims(device_id) if claim["text"].startswith(row["value"])]
        if paths and not (claimed and row["value"] != "unknown" and facts(device_id)[paths[0]]["value"] == "unknown"):
            for path in paths:
                check_cell(device_id, row, path)
        elif claimed:
            assert claimed[0].get("basis", "datasheet") == BASIS[row["basis"]]
        elif not stands_elsewhere(device_id, row):
            missing.append(f"{row['unit']}.{row['field']} = {row['value']}")
    assert not missing


def stands_elsewhere(device_id: str, row: Row) -> bool:
    """Cells in words, whose numbers stand at several places, and cells that say that something is not there."""
    if row["value"] in ("none", "unknown"):
        return True
    numbers = {float(number) for number in re.findall(r"\d+(?:\.\d+)?", row["value"])}
    match row["field"]:
        case "cores_clocks":
            cores = [(path, fact) for path, fact in facts(device_id).items() if re.search(r"clusters\[.*\]\.c", path)]
            cited = [fact for path, fact in cores if path.endswith(("core_count", "clock_ghz"))]
            return all(fact["value"] == "unknown" or fact["value"] in numbers for fact in cited) and bool(cited)
        case "host_link":
            link = device(device_id)["host_link"]
            return isinstance(link, Mapping) and link["name"] == row["value"]
        case "l1d_size" | "l2_size":
            values = [fact["value"] for path, fact in facts(device_id).items() if "l1_kib" in path or "[l2]" in path]
            words = facts(device_id).get("units.cpu.execution.caches", {"value": ""})["value"]
            return bool(numbers & set(values)) or row["value"] in words
        case "same_as" | "see":
            return device_id in SHARED_SILICON
        case "allcore_turbo_non_avx512":
            return row["value"] in facts(device_id)["units.cpu.execution.sustained_clock_ghz"]["note"]
        case _:
            return False


@pytest.mark.parametrize("device_id", SHEET_ID)
def test_the_yaml_cites_no_value_that_the_sheet_lacks(device_id: str):
    known = {path for row, unit in rows_of(device_id) for path in fact_paths(device_id, row, unit)}
    texts = " ".join(f"{row['value']} {row['note']}" for row, _ in rows_of(device_id) if row["basis"] in BASIS)
    cited = {
        path: fact
        for path, fact in facts(device_id).items()
        if fact.get("basis", "datasheet") in ("datasheet", "secondary") and path not in known
    }
    for path, fact in cited.items():
        if re.search(r"clusters\[.*(flops|ops)_per_cycle$", path):
            assert fact["value"] in core_rates(device_id, path)
        elif not isinstance(fact["value"], str):
            # a number out of a cell in words, or out of a note: "sparse 624", "15,079 MiB usable"
            assert f"{fact['value']:g}" in texts.replace(",", "")


def core_rates(device_id: str, path: str) -> set[float]:
    """What the sheet says of the cluster's core design."""
    unit, cluster = re.fullmatch(r"units\.(\w+)\.clusters\[([^\]]+)\]\..*", path).groups()  # type: ignore[union-attr]
    units = device(device_id)["units"]
    assert isinstance(units, Mapping)
    core = next(item["core"] for item in units[unit]["clusters"] if item["name"] == cluster)  # type: ignore[index,call-overload]
    design = "arm_core_" + core.replace("cortex-", "").replace("oryon-1", "oryon1")
    field = path.rpartition(".")[2].replace("flops", "flop").replace("ops_per", "op_per")
    return {float(row["value"]) for row in sheet()[design, "cpu"] if row["field"] == field and is_number(row["value"])}


def test_no_recalled_cell_is_cited_anywhere():
    for device_id in SHEET_ID:
        for row, unit in rows_of(device_id):
            if row["basis"] != "recalled":
                continue
            for path in fact_paths(device_id, row, unit):
                fact = facts(device_id)[path]
                assert fact["basis"] in ("assumed", "unknown"), (device_id, path)
                assert "source" not in fact, (device_id, path)


def test_every_sheet_entry_is_a_device_or_a_core_design():
    used = set(SHEET_ID.values()) | {name for rows in SHARED_SILICON.values() for name, _ in rows}
    rest = {name for name, _ in sheet()} - used
    assert {name for name in rest if not re.match(r"arm_(core|mali|ethos_syscfg)_", name)} == set()


def test_every_device_file_is_compared():
    assert {path.stem for path in devices_directory().glob("*.yaml")} == set(SHEET_ID)
    assert len(SHEET_ID) >= 60


def test_the_sheet_is_beside_the_files():
    assert Path(devices_directory() / "sources/README.md").is_file()
