"""Recompute what a device file states, from other things it states.

A rate that is not cores × rate × clock, a bandwidth that is not width × data rate, a sparse rate that is
not twice the dense one: each is a slip until the file explains it with `deviation`. The rates per core
and cycle below are of architectures, not of products, so one slip in a file cannot hide in them.

Sources: NVIDIA Ada whitepaper V2.02 and "Ampere Architecture In-Depth" (rates per SM of Volta, Turing,
Ampere, Ada), RTX Blackwell whitepaper appendix A, H100 whitepaper V1.04, ROCm microarchitecture pages
(rates per CU), as quoted in devices/sources/specifications.csv.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Final, TypeAlias

from estimator.catalogue.document import Document, KeyPath
from estimator.catalogue.facts import Node, Quantity
from estimator.errors import CatalogueError
from estimator.units import GIGA, MEGA

TOLERANCE: Final = 0.05
"""Rounding in datasheets stays below this; a GB/GiB slip is 7.4 %, a dense/sparse slip 100 %."""

_Rate: TypeAlias = tuple[str, str, str | None]
"""Engine, input type, accumulator."""

_VECTOR_64: Final[dict[_Rate, int]] = {("vector", "fp32", None): 128, ("vector", "fp16", None): 256}
_VECTOR_128: Final[dict[_Rate, int]] = {("vector", "fp32", None): 256, ("vector", "fp16", None): 256}
_TENSOR_1K: Final[dict[_Rate, int]] = {
    ("tensor", "fp16", "fp16"): 1024,
    ("tensor", "fp16", "fp32"): 1024,
    ("tensor", "bf16", "fp32"): 1024,
    ("tensor", "tf32", "fp32"): 512,
    ("tensor", "fp8", "fp16"): 2048,
    ("tensor", "fp8", "fp32"): 2048,
    ("tensor", "fp4", "fp32"): 4096,
    ("tensor", "int8", "int32"): 2048,
}
_TENSOR_2K: Final = {key: 2 * rate for key, rate in _TENSOR_1K.items()}
_TENSOR_4K: Final = {key: 4 * rate for key, rate in _TENSOR_1K.items()}

RATE_PER_CORE_CYCLE: Final[Mapping[str, Mapping[_Rate, int]]] = {
    "maxwell": {("vector", "fp32", None): 256, ("vector", "fp16", None): 512},
    "pascal": {("vector", "fp32", None): 256, ("vector", "fp16", None): 4, ("vector", "int8", "int32"): 1024},
    "pascal-gp100": _VECTOR_64,
    "pascal-gp10b": {("vector", "fp32", None): 256, ("vector", "fp16", None): 512},
    "volta": _VECTOR_64 | _TENSOR_1K | {("vector", "int8", "int32"): 512},
    "volta-xavier": _VECTOR_64 | _TENSOR_1K,
    "turing": _VECTOR_64 | _TENSOR_1K,
    "ampere": _VECTOR_128 | _TENSOR_1K,
    "ampere-ga100": {("vector", "fp32", None): 128, ("vector", "fp16", None): 512} | _TENSOR_2K,
    "ampere-orin": {("vector", "fp32", None): 256, ("vector", "fp16", None): 512} | _TENSOR_2K,
    "ada": _VECTOR_128 | _TENSOR_1K,
    "hopper": {("vector", "fp32", None): 256, ("vector", "fp16", None): 512} | _TENSOR_4K,
    "blackwell": _VECTOR_128 | _TENSOR_1K,
    "cdna1": {
        ("vector", "fp32", None): 128,
        ("tensor", "fp32", "fp32"): 256,
        ("tensor", "fp16", "fp32"): 1024,
        ("tensor", "bf16", "fp32"): 512,
        ("tensor", "int8", "int32"): 1024,
    },
    "cdna2": {
        ("vector", "fp32", None): 128,
        ("tensor", "fp32", "fp32"): 256,
        ("tensor", "fp16", "fp32"): 1024,
        ("tensor", "bf16", "fp32"): 1024,
        ("tensor", "int8", "int32"): 1024,
    },
    "cdna3": {
        ("vector", "fp32", None): 256,
        ("tensor", "tf32", "fp32"): 1024,
        ("tensor", "fp16", "fp32"): 2048,
        ("tensor", "bf16", "fp32"): 2048,
        ("tensor", "fp8", "fp32"): 4096,
        ("tensor", "int8", "int32"): 4096,
    },
}
"""FLOPs (or integer operations) per SM or CU and cycle, dense, at full rate."""

_HALVED_ON_GEFORCE: Final = frozenset({"fp16", "bf16", "fp8", "tf32"})
"""GeForce cards accumulate these in fp32 at half rate; fp4 and professional cards run at full rate."""

_PIN_RATE_GBIT: Final[Mapping[str, tuple[float, float]]] = {
    "GDDR5": (5.0, 9.1),
    "GDDR5X": (9.9, 12.1),
    "GDDR6": (9.9, 20.1),
    "GDDR6X": (18.9, 23.1),
    "GDDR7": (27.9, 32.1),
    "HBM2": (1.3, 2.5),
    "HBM2e": (2.3, 3.7),
    "HBM3": (4.7, 6.5),
    "HBM3e": (6.1, 9.6),
    "LPDDR4": (3.1, 4.3),
    "LPDDR4X": (3.1, 4.3),
    "LPDDR5": (4.2, 6.5),
}
"""Gigabit per second and pin that each kind of memory is made for (JEDEC ranges, as sold)."""

_DECIMAL_LOOKS_BINARY: Final = frozenset(
    multiple * 2**power for multiple in (1, 3, 5, 11) for power in range(9) if multiple * 2**power <= 512
)


_RATE_OF_PRECISION: Final = {"w8a16": "int8", "w4a16": "int8", "amp-fp16": "fp32", "amp-bf16": "fp32"}
"""The dtype whose rate a precision needs at least, where the names differ."""


def consistency_problems(document: Document) -> Iterator[CatalogueError]:
    """Everything in a valid document that contradicts something else in it.

    Parameters
    ----------
    document : Document
        One that the schema accepts.

    Yields
    ------
    CatalogueError
        With file and line, both numbers, and the arithmetic.
    """
    root = Node(document.root)
    for path, what, expected in _slips(root):
        yield CatalogueError(
            what,
            where=document.where(path),
            expected=expected,
            hint="correct the value, or say why in `deviation`",
        )


_Slip = tuple[KeyPath, str, str]


def _slips(root: Node) -> Iterator[_Slip]:
    yield from _capacity(root)
    yield from _bandwidth(root)
    for name, unit in root.children("units"):
        path: KeyPath = ("units", name)
        yield from _clock_order(unit, path)
        yield from _cpu_peaks(unit, path)
        yield from _gpu_peaks(unit, path, "GeForce" in unit.text("display_name"))
        yield from _npu_peaks(unit, path)
        yield from _sparse(unit, path)
        yield from _claimed(root, unit, name, path)
        yield from _cache_order(unit, path)
        yield from _runtime_ceilings(unit, path)


def _off(stated: float, computed: float) -> bool:
    return abs(stated / computed - 1) > TOLERANCE


def _capacity(root: Node) -> Iterator[_Slip]:
    memory = root.node("memory")
    decimal = memory.fact("capacity_gb")
    if decimal is not None and decimal.value in _DECIMAL_LOOKS_BINARY and "deviation" not in memory.values:
        yield (
            ("memory", "capacity_gb"),
            f"memory of {decimal.value:g} GB: DRAM of this size is made in GiB",
            f"capacity_gib: {decimal.value:g}",
        )
    whole, usable = memory.quantity("capacity"), memory.quantity("app_capacity")
    if whole is not None and usable is not None and usable.value > whole.value:
        yield ("memory", "app_capacity_mib"), "an application may use more memory than there is", "less"


def _bandwidth(root: Node) -> Iterator[_Slip]:
    memory = root.node("memory")
    stated = memory.quantity("bandwidth")
    if stated is None or "type" not in memory.values or "deviation" in memory.values:
        return
    kind = memory.node("type").text("value")
    path: KeyPath = ("memory", "bandwidth_gb_per_s")
    computed = bandwidth_of_type(kind)
    if computed is not None and _off(stated.value, computed):
        yield (
            path,
            f"bandwidth {stated.value / GIGA:g} GB/s is not that of {kind!r}",
            f"width x data rate = {computed / GIGA:g} GB/s",
        )
    bits = re.fullmatch(r"(\w+) (\d+)-bit", kind)
    if computed is None and bits and bits[1] in _PIN_RATE_GBIT:
        low, high = _PIN_RATE_GBIT[bits[1]]
        per_pin = stated.value * 8 / GIGA / int(bits[2])
        if not low <= per_pin <= high:
            yield (
                path,
                f"bandwidth {stated.value / GIGA:g} GB/s is {per_pin:.3g} Gbit/s per pin of {kind!r}",
                f"{low:g} to {high:g} Gbit/s per pin",
            )


def bandwidth_of_type(kind: str) -> float | None:
    """Width × data rate of a memory type such as ``LPDDR5-5500 4x16-bit`` or ``6x DDR4-2933``.

    Returns
    -------
    float or None
        Bytes per second; None when the text does not give both.
    """
    channels = re.match(r"(\d+)(?:x|ch) DDR\d-(\d+)", kind)
    if channels:
        return int(channels[1]) * int(channels[2]) * 8 * MEGA
    wide = re.match(r"LPDDR\w+-(\d+)(?: \([^)]*\))? (?:(\d+)x)?(\d+)-bit", kind)
    if wide:
        return int(wide[1]) * int(wide[2] or 1) * int(wide[3]) / 8 * MEGA
    return None


def _clock_order(unit: Node, path: KeyPath) -> Iterator[_Slip]:
    execution = unit.node("execution")
    order = ("base", "boost", "max")
    known = [(name, clock) for name in order if (clock := execution.quantity(f"{name}_clock")) is not None]
    for (low, slow), (high, fast) in pairwise(known):
        if slow.value > fast.value:
            yield (*path, "execution"), f"{low} clock is above {high} clock", f"{low} at most {high}"
    cores, clusters = execution.fact("core_count"), list(unit.nodes("clusters"))
    counts = [cluster.fact("core_count") for cluster in clusters]
    if cores is not None and counts and all(counts) and sum(c.value for c in counts if c) != cores.value:
        yield (*path, "clusters"), "the clusters' cores do not add up to core_count", f"{cores.value:g} cores"


def _cpu_peaks(unit: Node, path: KeyPath) -> Iterator[_Slip]:
    if unit.text("kind") != "cpu":
        return
    rates = {"fp32": "fp32_flops_per_cycle", "bf16": "bf16_flops_per_cycle"}
    rates |= {"fp16": "fp16_flops_per_cycle", "int8": "int8_ops_per_cycle"}
    for index, entry in enumerate(unit.nodes("compute")):
        dtype = entry.text("dtype")
        computed = _cpu_peak(unit, rates.get(dtype, ""))
        yield from _peak_slip(entry, (*path, "compute", index), computed, "cores x rate x clock")


def _cpu_peak(unit: Node, key: str) -> float | None:
    clusters = list(unit.nodes("clusters"))
    if clusters:
        parts = [_product(c.fact("core_count"), c.fact(key), c.quantity("clock")) for c in clusters]
        return None if None in parts else sum(part for part in parts if part is not None)
    execution = unit.node("execution")
    clock = execution.quantity("boost_clock") or execution.quantity("sustained_clock")
    return _product(execution.fact("core_count"), execution.fact(f"{key}_per_core"), clock)


def _gpu_peaks(unit: Node, path: KeyPath, is_geforce: bool) -> Iterator[_Slip]:
    table = RATE_PER_CORE_CYCLE.get(unit.text("architecture"))
    if table is None:
        return
    execution = unit.node("execution")
    cores = execution.fact("sm_count") or execution.fact("cu_count")
    clock = execution.quantity("boost_clock")
    for index, entry in enumerate(unit.nodes("compute")):
        key = (entry.text("engine"), entry.text("dtype"), entry.optional_text("accumulate"))
        rate: float | None = table.get(key)
        if rate is not None and is_geforce and key[2] == "fp32" and key[1] in _HALVED_ON_GEFORCE:
            rate /= 2
        computed = None if rate is None or not cores or not clock else cores.value * rate * clock.value
        yield from _peak_slip(entry, (*path, "compute", index), computed, f"cores x {rate:g} x clock" if rate else "")


def _npu_peaks(unit: Node, path: KeyPath) -> Iterator[_Slip]:
    execution = unit.node("execution")
    macs, clock = execution.fact("int8_macs_per_cycle"), execution.quantity("boost_clock")
    for index, entry in enumerate(unit.nodes("compute")):
        if entry.text("dtype") == "int8" and macs and clock:
            computed = 2 * macs.value * clock.value
            yield from _peak_slip(entry, (*path, "compute", index), computed, "2 x MACs per cycle x clock")


def _peak_slip(entry: Node, path: KeyPath, computed: float | None, how: str) -> Iterator[_Slip]:
    stated = entry.quantity("dense")
    if stated is None or computed is None or "deviation" in entry.values or not _off(stated.value, computed):
        return
    name = " ".join(str(entry.values[key]) for key in ("engine", "dtype", "accumulate") if key in entry.values)
    yield (
        path,
        f"{name} rate {stated.value / GIGA:.6g} G/s is {stated.value / computed:.3g} x what the parts give",
        f"{how} = {computed / GIGA:.6g} G/s",
    )


def _sparse(unit: Node, path: KeyPath) -> Iterator[_Slip]:
    for index, entry in enumerate(unit.nodes("compute")):
        dense, sparse = entry.quantity("dense"), entry.quantity("sparse")
        if dense and sparse and "deviation" not in entry.values and _off(sparse.value, 2 * dense.value):
            yield (
                (*path, "compute", index),
                f"sparse rate is {sparse.value / dense.value:.3g} x the dense rate",
                "2 x (2:4 structured sparsity)",
            )


def _claimed(root: Node, unit: Node, name: str, path: KeyPath) -> Iterator[_Slip]:
    """Find a cited ceiling that equals a claim for the whole chip: it is the claim, not a fact of the unit."""
    claims = [claim for claim in root.nodes("claims") if claim.optional_text("unit") == name]
    figures = {claim.values.get("tops") for claim in claims}
    for index, entry in enumerate(unit.nodes("compute")):
        fact = entry.node("dense_tops").values
        if fact and fact["value"] in figures and fact["value"] != "unknown":
            yield (
                (*path, "compute", index),
                f"the int8 rate is the {fact['value']} TOPS that are claimed for the whole chip",
                "value: unknown, with `assume` and `why`",
            )


def _cache_order(unit: Node, path: KeyPath) -> Iterator[_Slip]:
    cores = _first(unit.node("execution"), "sm_count", "cu_count", "core_count")
    caches = [
        (level.text("level"), size, "deviation" in level.values)
        for level in unit.nodes("memory")
        if level.text("level") in ("l3", "l2", "l1")
        and (size := level.quantity("size", cores.value if cores else None)) is not None
    ]
    for (outer, large, _), (inner, small, explained) in pairwise(caches):
        if small.value > large.value and not explained:
            yield (*path, "memory"), f"{inner} is larger than {outer}", "levels from the outermost inwards"
    execution = unit.node("execution")
    shared, both = execution.fact("shared_kib_per_core"), execution.fact("l1_kib_per_core")
    if shared is not None and both is not None and shared.value > both.value:
        yield (*path, "execution"), "shared memory is larger than L1 and shared memory together", "at most that"


def _runtime_ceilings(unit: Node, path: KeyPath) -> Iterator[_Slip]:
    """Find a precision that a runtime takes without a rate for it: nothing could be estimated in it."""
    rates = {entry.text("dtype") for entry in unit.nodes("compute") if entry.quantity("dense") is not None}
    for index, runtime in enumerate(unit.nodes("runtimes")):
        for precision in runtime.texts("precisions"):
            needed = _RATE_OF_PRECISION.get(precision, precision)
            emulated = needed == "bf16" and "fp32" in rates
            if needed not in rates and not emulated:
                yield (
                    (*path, "runtimes", index),
                    f"{runtime.text('name')} lists {precision}, for which the unit has no {needed} rate",
                    f"a {needed} entry under compute, or no {precision}",
                )


def _product(*facts: Quantity | None) -> float | None:
    product = 1.0
    for fact in facts:
        if fact is None:
            return None
        product *= fact.value
    return product


def _first(node: Node, *keys: str) -> Quantity | None:
    return next((fact for fact in map(node.fact, keys) if fact is not None), None)
