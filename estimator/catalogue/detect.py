"""Name the machine at hand: match a catalogue entry, or build one from what the OS says.

An NVIDIA GPU is found through the driver's own files or its management library, so that no framework is
imported and no process started; the names are those of ``torch.cuda.get_device_name()``.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from estimator.catalogue.conversion import device_from_node
from estimator.catalogue.device import Device
from estimator.catalogue.document import Value
from estimator.catalogue.facts import Node
from estimator.catalogue.loader import device_ids, load_device
from estimator.errors import UnknownDeviceError
from estimator.units import GIB, KIB, MEGA, MIB

_BOARD_SUFFIX = re.compile(r"(?i)\s+(rev\s[\d.]+|developer kit.*|cpu @.*|processor|\d+-core.*|with radeon.*)$|\0")
_MARKS = re.compile(r"(?i)\((r|tm)\)")
_ASSUMED_CLOCK_GHZ: Final = 2.5
_ASSUMED_BANDWIDTH_GB_PER_S: Final = 40.0
_FLOPS_PER_CYCLE: Final[Mapping[int, int]] = {128: 16, 256: 32, 512: 64}
"""fp32 per core and cycle for two multiply-add units of each vector width (i9-10940X: 64, i7-12700H: 32)."""


_CORES: Final[Mapping[tuple[str, int], tuple[tuple[range, str], ...]]] = {
    ("AuthenticAMD", 23): ((range(0x30, 0x100), "zen2"),),
    ("AuthenticAMD", 25): (
        (range(0x10), "zen3"), (range(0x20, 0x60), "zen3"), (range(0x10, 0x20), "zen4"), (range(0x60, 0x100), "zen4"),
    ),
    ("AuthenticAMD", 26): ((range(0x100), "zen5"),),
    ("GenuineIntel", 6): (
        (range(85, 86), "cascade-lake"), (range(106, 109), "ice-lake"), (range(143, 144), "sapphire-rapids"),
        (range(207, 208), "sapphire-rapids"), (range(151, 155), "alder-lake"), (range(183, 192), "alder-lake"),
    ),
}  # fmt: skip
"""Cores by vendor, family and model as CPUID gives them (recalled, not checked against a source)."""
_HALF_WIDTH_AT_512: Final = frozenset({"zen4"})
"""Cores that run 512-bit instructions in two halves."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What the OS says about this computer; unknown is None.

    Attributes
    ----------
    gpu_names : tuple of str
        As CUDA names them, first device first.
    cpu_names : tuple of str
        Most telling first: board, then processor.
    architecture : str
        Of the processor's cores, as the catalogue names them; "" where it is none that is known.
    """

    gpu_names: tuple[str, ...] = ()
    cpu_names: tuple[str, ...] = ()
    architecture: str = ""
    core_count: int = 1
    thread_count: int = 1
    clock_hz: float | None = None
    vector_bits: int = 128
    has_int8_dot: bool = False
    cache_bytes: tuple[tuple[str, int], ...] = ()
    memory_bytes: int | None = None


def detect_device() -> Device:
    """Find this machine's device.

    Returns
    -------
    Device
        The catalogue's entry where one has the GPU's, board's or processor's name, else an entry built
        from the OS, whose id is ``here`` and whose assumptions say what was not found out.

    Raises
    ------
    UnknownDeviceError
        An NVIDIA GPU is present that the catalogue lacks: nothing can be built from its name alone.
    """
    return device_of_machine(read_machine())


def device_of_machine(machine: Machine) -> Device:
    """Match or build the device of a described machine; see `detect_device`."""
    for name in machine.gpu_names:
        try:
            return load_device(name)[0]
        except UnknownDeviceError:
            raise UnknownDeviceError(name, device_ids()) from None
    for name in machine.cpu_names:
        for spelling in (name, short_name(name)):
            try:
                return load_device(spelling)[0]
            except UnknownDeviceError:
                continue
    return device_from_node(Node(_built(machine)))


def short_name(name: str) -> str:
    """Strip a processor's or board's name of marks, clock and revision: ``Intel Core i9-10940X``."""
    return _BOARD_SUFFIX.sub("", _MARKS.sub("", name)).strip()


def read_machine(root: Path = Path("/")) -> Machine:
    """Read what the OS says, from the files below `root`."""
    info = _read(root / "proc/cpuinfo")
    fields: dict[str, str] = dict(re.findall(r"(?m)^([\w ]+?)\s*:\s*(.*)$", info))
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    threads = len(re.findall(r"(?m)^processor\s*:", info)) or os.cpu_count() or 1
    cores = len(set(re.findall(r"(?m)^physical id\s*:\s*(\d+)[\s\S]*?^core id\s*:\s*(\d+)", info))) or threads
    names = (_read(root / "proc/device-tree/model"), fields.get("model name", ""), _darwin_name(root))
    return Machine(
        gpu_names=_gpu_names(root),
        cpu_names=tuple(name.strip("\0 \n") for name in names if name.strip("\0 \n")),
        architecture=_architecture(fields),
        core_count=cores,
        thread_count=threads,
        clock_hz=_clock_hz(root, fields),
        vector_bits=512 if "avx512f" in flags else 256 if "avx2" in flags else 128,
        has_int8_dot=bool(flags & {"avx512_vnni", "avx_vnni", "asimddp"}),
        cache_bytes=_caches(root),
        memory_bytes=_memory_bytes(root),
    )


def _architecture(fields: Mapping[str, str]) -> str:
    family, model = fields.get("cpu family", ""), fields.get("model", "")
    if not (family.isdigit() and model.isdigit()):
        return ""
    known = _CORES.get((fields.get("vendor_id", ""), int(family)), ())
    return next((name for models, name in known if int(model) in models), "")


def _gpu_names(root: Path) -> tuple[str, ...]:
    texts = [_read(path) for path in sorted(root.glob("proc/driver/nvidia/gpus/*/information"))]
    names = tuple(match[1].strip() for text in texts if (match := re.search(r"(?m)^Model:\s*(.+)$", text)))
    return names or (_management_library_names() if root == Path("/") else ())


def _management_library_names() -> tuple[str, ...]:
    """Ask NVIDIA's management library, where the driver is there but /proc is not (containers, Windows)."""
    try:
        library = ctypes.CDLL("nvml.dll" if os.name == "nt" else "libnvidia-ml.so.1")
        if library.nvmlInit_v2() != 0:
            return ()
    except (OSError, AttributeError):
        return ()
    try:
        count = ctypes.c_uint()
        library.nvmlDeviceGetCount_v2(ctypes.byref(count))
        return tuple(filter(None, (_management_library_name(library, index) for index in range(count.value))))
    finally:
        library.nvmlShutdown()


def _management_library_name(library: ctypes.CDLL, index: int) -> str:
    handle, text = ctypes.c_void_p(), ctypes.create_string_buffer(96)
    if library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)) != 0:
        return ""
    return text.value.decode() if library.nvmlDeviceGetName(handle, text, 96) == 0 else ""


def _darwin_name(root: Path) -> str:
    if root != Path("/") or platform.system() != "Darwin":
        return ""
    try:
        text, size = ctypes.create_string_buffer(128), ctypes.c_size_t(128)
        ctypes.CDLL("libc.dylib").sysctlbyname(b"machdep.cpu.brand_string", text, ctypes.byref(size), None, 0)
        return text.value.decode()
    except (OSError, AttributeError):
        return ""


def _clock_hz(root: Path, fields: Mapping[str, str]) -> float | None:
    khz = _read(root / "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq").strip()
    if khz.isdigit():
        return int(khz) * 1000.0
    mhz = fields.get("cpu MHz", "")
    return float(mhz) * MEGA if re.fullmatch(r"\d+(\.\d+)?", mhz) else None


def _caches(root: Path) -> tuple[tuple[str, int], ...]:
    """L3 and L2 of the whole machine: one size per distinct set of CPUs that share it."""
    totals: dict[str, dict[str, int]] = {}
    for index in root.glob("sys/devices/system/cpu/cpu[0-9]*/cache/index*"):
        size = re.fullmatch(r"(\d+)([KM])", _read(index / "size").strip())
        if size and (level := f"l{_read(index / 'level').strip()}") in ("l2", "l3"):
            shared = _read(index / "shared_cpu_list").strip()
            totals.setdefault(level, {})[shared] = int(size[1]) * (KIB if size[2] == "K" else MIB)
    return tuple((level, sum(totals[level].values())) for level in ("l3", "l2") if level in totals)


def _memory_bytes(root: Path) -> int | None:
    match = re.search(r"(?m)^MemTotal:\s*(\d+) kB", _read(root / "proc/meminfo"))
    return int(match[1]) * KIB if match else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _built(machine: Machine) -> Mapping[str, Value]:
    """Write a device document of a processor that the catalogue lacks."""
    name = short_name(machine.cpu_names[0]) if machine.cpu_names else "this machine"
    ghz = round(machine.clock_hz / (1000 * MEGA), 3) if machine.clock_hz else _ASSUMED_CLOCK_GHZ
    clock = _seen(ghz, "the OS") if machine.clock_hz else _assumed(ghz, "the OS states no clock")
    width_bits = min(machine.vector_bits, 256) if machine.architecture in _HALF_WIDTH_AT_512 else machine.vector_bits
    fp32 = machine.core_count * _FLOPS_PER_CYCLE[width_bits] * ghz
    int8 = fp32 * (4 if machine.has_int8_dot else 1)
    rate_why = f"two {width_bits}-bit multiply-add units per core, at that clock"
    memory: dict[str, Value] = {
        "bandwidth_gb_per_s": _assumed(_ASSUMED_BANDWIDTH_GB_PER_S, "the OS does not state it; two channels of DDR4")
    }
    if machine.memory_bytes:
        memory["capacity_gib"] = _seen(round(machine.memory_bytes / GIB, 3), "/proc/meminfo")
    levels: list[Value] = [
        {"level": level, "size_kib": _seen(size / KIB, "/sys/devices/system/cpu")}
        for level, size in machine.cache_bytes
    ]
    runtimes: list[Value] = [
        {"name": runtime, "precisions": precisions, "basis": "assumed", "why": "exists for every desktop processor"}
        for runtime, precisions in (
            ("torch-compile", ["fp32", "bf16"]),
            ("torch-eager", ["fp32", "bf16"]),
            ("onnxruntime", ["fp32", "int8"]),
            ("tflite", ["fp32", "int8"]),
        )
    ]
    unit: dict[str, Value] = {
        "kind": "cpu",
        "display_name": name,
        "architecture": machine.architecture or platform.machine().lower() or "unknown",
        "execution": {
            "core_count": _seen(machine.core_count, "the OS"),
            "thread_count": _seen(machine.thread_count, "the OS"),
            "boost_clock_ghz": clock,
            "vector_bits": _seen(machine.vector_bits, "the OS"),
            "fp32_flops_per_cycle_per_core": _assumed(_FLOPS_PER_CYCLE[width_bits], rate_why),
        },
        "compute": [
            {"engine": "vector", "dtype": "fp32", "dense_gflops": _assumed(fp32, rate_why)},
            {"engine": "vector", "dtype": "int8", "dense_gops": _assumed(int8, rate_why)},
        ],
        "memory": levels,
        "runtimes": runtimes,
    }
    return {
        "schema_version": 1,
        "id": "here",
        "display_name": name,
        "vendor": "unknown",
        "default_unit": "cpu",
        "memory": memory,
        "units": {"cpu": unit},
    }


def _seen(value: float, record: str) -> Mapping[str, Value]:
    return {"value": value, "basis": "measured", "record": record}


def _assumed(value: float, why: str) -> Mapping[str, Value]:
    return {"value": value, "basis": "assumed", "why": why}
