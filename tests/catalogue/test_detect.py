"""The machine at hand: matched by name, else built from what the OS says."""

from __future__ import annotations

from pathlib import Path

import pytest

from estimator.catalogue.detect import Machine, detect_device, device_of_machine, read_machine, short_name
from estimator.catalogue.loader import load_device
from estimator.errors import UnknownDeviceError


def fake_root(tmp_path: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


CPUINFO = "".join(
    f"processor\t: {thread}\nmodel name\t: Acme X9 CPU @ 3.00GHz\ncpu MHz\t\t: 3000.000\nphysical id\t: 0\n"
    f"core id\t\t: {thread % 4}\nflags\t\t: fpu sse avx2 avx512f avx512_vnni\n\n"
    for thread in range(8)
)


def test_a_machine_is_read_from_the_files_of_its_os(tmp_path: Path):
    cache = "sys/devices/system/cpu/cpu{}/cache/index2/{}"
    files = {"proc/cpuinfo": CPUINFO, "proc/meminfo": "MemTotal:       16777216 kB\n"}
    for core in range(4):
        files |= {cache.format(core, "size"): "1024K", cache.format(core, "level"): "2"}
        files |= {cache.format(core, "shared_cpu_list"): f"{core},{core + 4}"}
    machine = read_machine(fake_root(tmp_path, files))
    assert (machine.core_count, machine.thread_count, machine.clock_hz) == (4, 8, 3.0e9)
    assert (machine.vector_bits, machine.has_int8_dot) == (512, True)
    assert machine.memory_bytes == 16 * 2**30
    assert machine.cache_bytes == (("l2", 4 * 2**20),)
    assert machine.gpu_names == ()


def test_a_gpu_is_named_by_its_driver_and_comes_before_the_processor(tmp_path: Path):
    information = "Model: \t\t NVIDIA GeForce RTX 4090\nIRQ:   \t\t 1\n"
    root = fake_root(tmp_path, {"proc/cpuinfo": CPUINFO, "proc/driver/nvidia/gpus/0000:01/information": information})
    assert device_of_machine(read_machine(root)).id == "rtx4090"


@pytest.mark.parametrize(
    ("names", "device_id"),
    [
        (("Intel(R) Core(TM) i9-10940X CPU @ 3.30GHz",), "i9-10940x"),
        (("12th Gen Intel(R) Core(TM) i7-12700H",), "i7-12700h"),
        (("Raspberry Pi 4 Model B Rev 1.4", "ARMv7 Processor rev 3"), "raspberry-pi-4"),
        (("Raspberry Pi 5 Model B Rev 1.0",), "raspberry-pi-5"),
        (("Apple M1",), "apple-m1"),
    ],
)
def test_a_processor_or_board_is_matched_by_name(names: tuple[str, ...], device_id: str):
    assert device_of_machine(Machine(cpu_names=names)).id == device_id


def test_a_processor_that_the_catalogue_lacks_is_built_with_its_assumptions():
    machine = Machine(cpu_names=("Acme X9 CPU @ 3.00GHz",), core_count=4, clock_hz=3.0e9, vector_bits=512)
    device = device_of_machine(machine)
    cpu = device.units["cpu"]
    assert device.id == "here"
    assert device.display_name == "Acme X9"
    assert cpu.ceiling("fp32").flops_per_s == 4 * 64 * 3.0e9  # cores × two 512-bit FMA × clock
    assert any("memory bandwidth" in sentence for sentence in cpu.assumptions)


@pytest.mark.parametrize(
    ("vendor", "family", "model", "architecture", "flops_per_cycle"),
    [
        ("AuthenticAMD", 26, 2, "zen5", 64),
        ("AuthenticAMD", 25, 17, "zen4", 32),  # 512-bit instructions in two halves
        ("AuthenticAMD", 25, 1, "zen3", 64),
        ("GenuineIntel", 6, 143, "sapphire-rapids", 64),
        ("GenuineIntel", 6, 9999, "", 64),
    ],
)
def test_cores_are_known_by_family_and_model(
    tmp_path: Path, vendor: str, family: int, model: int, architecture: str, flops_per_cycle: int
):
    named = CPUINFO.replace(
        "processor", f"vendor_id\t: {vendor}\ncpu family\t: {family}\nmodel\t\t: {model}\nprocessor"
    )
    machine = read_machine(fake_root(tmp_path, {"proc/cpuinfo": named}))
    assert machine.architecture == architecture
    assert device_of_machine(machine).units["cpu"].fp32_flops_per_cycle_per_core == flops_per_cycle


def test_a_gpu_that_the_catalogue_lacks_is_not_made_up():
    with pytest.raises(UnknownDeviceError, match="Quadro RTX 9999"):
        device_of_machine(Machine(gpu_names=("Quadro RTX 9999",), cpu_names=("Intel(R) Core(TM) i9-10940X",)))


def test_here_is_a_device_reference():
    device, unit = load_device("here")
    assert device.id == detect_device().id
    assert unit.ceilings


def test_marks_clock_and_revision_are_not_part_of_a_name():
    assert short_name("Intel(R) Xeon(R) Gold 6226 CPU @ 2.70GHz") == "Intel Xeon Gold 6226"
