"""Strict models of a device file: the YAML speaks datasheet units, one unit in every name.

A `Fact` is a value with its evidence. What a basis needs:

========== ===================================================================================
datasheet  `source` and `where`: the vendor's own document (the default)
secondary  `source` and `where`: somebody quotes or tabulates it
measured   `record` or `source`: who measured it
derived    `from`: the arithmetic, from values that are cited
assumed    `why`: nobody published it, or the source could not be checked
unknown    nothing, and `value: unknown`; `assume` with `why` says what stands in for it
========== ===================================================================================
"""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Basis = Literal["datasheet", "secondary", "measured", "derived", "assumed", "unknown"]
Text = Annotated[str, Field(min_length=1, max_length=600)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=60)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
PositiveInt = Annotated[int, Field(gt=0, le=10**15)]
Precision = Literal["fp32", "tf32", "fp16", "bf16", "amp-fp16", "amp-bf16", "int8", "w8a16", "w4a16"]

_EVIDENCE: dict[str, tuple[tuple[str, ...], ...]] = {
    "datasheet": (("source",), ("where",)),
    "secondary": (("source",), ("where",)),
    "measured": (("record", "source"),),
    "derived": (("from",),),
    "assumed": (("why",),),
    "unknown": (),
}


class Strict(BaseModel):
    """No unknown keys, no coercion, no mutation."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True, defer_build=True)


class Evidence(Strict):
    """Where something is known from."""

    basis: Basis = "datasheet"
    source: Name | None = Field(None, description="Key of `sources`.")
    where: Text | None = Field(None, description="Page, table or record in the source.")
    record: Text | None = Field(None, description="Measured record behind a measured value.")
    from_: Text | None = Field(None, alias="from", description="Arithmetic behind a derived value.")
    why: Text | None = Field(None, description="Reason for an assumed value or stand-in.")
    note: Text | None = Field(None, description="Conflicts and traps, for the reader.")

    @model_validator(mode="after")
    def _has_evidence(self) -> Self:
        for alternatives in _EVIDENCE[self.basis]:
            if not any(getattr(self, "from_" if key == "from" else key) for key in alternatives):
                raise ValueError(f"basis {self.basis} needs `{'` or `'.join(alternatives)}`")
        return self


class Fact(Evidence):
    """A value with its evidence; subclasses say which kind of value."""

    @model_validator(mode="after")
    def _unknown_is_said_once(self) -> Self:
        value: object = getattr(self, "value")  # noqa: B009 - declared by each subclass
        if (value == "unknown") != (self.basis == "unknown"):
            raise ValueError("`value: unknown` and `basis: unknown` go together")
        if getattr(self, "assume", None) is not None and (value != "unknown" or not self.why):
            raise ValueError("`assume` stands in for an unknown value and needs `why`")
        return self


class Number(Fact):
    """A positive quantity; its unit is in the key that holds it."""

    value: Positive | Literal["unknown"]
    assume: Positive | None = Field(None, description="What stands in for an unknown value.")


class Count(Fact):
    """A positive whole number."""

    value: PositiveInt | Literal["unknown"]
    assume: PositiveInt | None = Field(None, description="What stands in for an unknown value.")


class Label(Fact):
    """A fact in words."""

    value: Text


class Kept(Fact):
    """What stays in a memory level from one inference to the next."""

    value: Literal["weights"]


class Quantified(Strict):
    """A model whose quantities may be given in one of several units."""

    def _at_most_one(self, *keys: str) -> None:
        given = [key for key in keys if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"give one of `{'`, `'.join(given)}`")

    def _exactly_one(self, *keys: str) -> None:
        self._at_most_one(*keys)
        if all(getattr(self, key) is None for key in keys):
            raise ValueError(f"one of `{'`, `'.join(keys)}` is needed")


class Execution(Quantified):
    """Cores, clocks and what is near them."""

    chip: Label | None = None
    sm_count: Count | None = Field(None, description="NVIDIA streaming multiprocessors.")
    cu_count: Count | None = Field(None, description="AMD compute units.")
    core_count: Count | None = Field(None, description="CPU, GPU or NPU cores.")
    thread_count: Count | None = None
    base_clock_mhz: Number | None = None
    base_clock_ghz: Number | None = None
    boost_clock_mhz: Number | None = Field(None, description="Rated boost: what the ceilings are stated at.")
    boost_clock_ghz: Number | None = None
    sustained_clock_mhz: Number | None = Field(None, description="Held by all cores under load.")
    sustained_clock_ghz: Number | None = None
    max_clock_mhz: Number | None = Field(None, description="Reached above the rated boost.")
    max_clock_ghz: Number | None = None
    vector_isa: Label | None = None
    vector_bits: Count | None = None
    avx512_fma_units_per_core: Count | None = None
    fp32_flops_per_cycle_per_core: Number | None = None
    bf16_flops_per_cycle_per_core: Number | None = None
    int8_ops_per_cycle_per_core: Number | None = None
    int8_macs_per_cycle: Count | None = None
    caches: Label | None = Field(None, description="Caches in the source's words; levels are under `memory`.")
    l1_kib_per_core: Number | None = Field(None, description="L1 data cache; on a GPU, L1 and shared memory.")
    shared_kib_per_core: Number | None = Field(None, description="Shared memory or LDS, the most a kernel may use.")
    register_file_kib_per_core: Number | None = None
    register_file: Label | None = None
    l2_hit_latency_cycles: Number | None = None
    external_latency: Label | None = None
    hardware_precisions: Label | None = None

    @model_validator(mode="after")
    def _one_unit_each(self) -> Self:
        self._at_most_one("sm_count", "cu_count", "core_count")
        for clock in ("base", "boost", "sustained", "max"):
            self._at_most_one(f"{clock}_clock_mhz", f"{clock}_clock_ghz")
        return self


class Cluster(Strict):
    """Identical CPU cores."""

    name: Name
    core: Name = Field(description="Core design, e.g. cortex-a77.")
    core_count: Count
    clock_ghz: Number = Field(description="Highest clock of the cluster.")
    fp32_flops_per_cycle: Number | None = None
    fp16_flops_per_cycle: Number | None = None
    int8_ops_per_cycle: Number | None = None
    vector_bits: Count | None = None


class Ceiling(Quantified):
    """A dense rate of one engine for one input type, at the rated boost clock; 1 MAC = 2 FLOPs."""

    engine: Literal["tensor", "vector"]
    dtype: Literal["fp64", "fp32", "tf32", "fp16", "bf16", "fp8", "fp4", "int16", "int8", "int4"]
    accumulate: Literal["fp32", "fp16", "int32"] | None = None
    dense_tflops: Number | None = None
    dense_gflops: Number | None = None
    dense_tops: Number | None = None
    dense_gops: Number | None = None
    sparse_tflops: Number | None = Field(None, description="With 2:4 structured sparsity; never used as a ceiling.")
    sparse_tops: Number | None = None
    deviation: Text | None = Field(None, description="Why the rate is not cores x rate x boost clock.")

    @model_validator(mode="after")
    def _one_rate(self) -> Self:
        if self.dtype.startswith("int"):
            self._exactly_one("dense_tops", "dense_gops")
        else:
            self._exactly_one("dense_tflops", "dense_gflops")
        self._at_most_one("sparse_tflops", "sparse_tops")
        return self


class Level(Quantified):
    """A memory level; outermost (dram) first."""

    level: Literal["dram", "flash", "slc", "l4", "l3", "l2", "l1", "vtcm", "sram"]
    bandwidth_gb_per_s: Number | None = None
    size_gib: Number | None = None
    size_mib: Number | None = None
    size_kib: Number | None = None
    size_bytes: Count | None = None
    size_mib_per_core: Number | None = None
    size_kib_per_core: Number | None = None
    keeps: Kept | None = Field(None, description="Weights that fit are loaded once, not for every inference.")
    deviation: Text | None = None

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        self._at_most_one("size_gib", "size_mib", "size_kib", "size_bytes", "size_mib_per_core", "size_kib_per_core")
        return self


class Runtime(Evidence):
    """A runtime that exists on the unit; its first precision is its default."""

    name: Name
    precisions: list[Precision] = Field(min_length=1)

    @model_validator(mode="after")
    def _no_repeats(self) -> Self:
        if len(set(self.precisions)) != len(self.precisions):
            raise ValueError("a precision is listed twice")
        return self


class Measurement(Quantified):
    """Something measured by others: for the reader and for tests, never a ceiling."""

    quantity: Name
    conditions: Text | None = None
    tflops: Number | None = None
    tops: Number | None = None
    gflops: Number | None = None
    gops: Number | None = None
    gb_per_s: Number | None = None

    @model_validator(mode="after")
    def _one_value(self) -> Self:
        self._exactly_one("tflops", "tops", "gflops", "gops", "gb_per_s")
        return self


class Overhead(Strict):
    """Fixed costs, when somebody published or measured them."""

    launch_us: Number | None = None


class Unit(Strict):
    """A processing unit: what one estimate runs on."""

    kind: Literal["cpu", "gpu", "npu"]
    display_name: Text
    architecture: Name
    execution: Execution | None = None
    clusters: list[Cluster] = []
    compute: list[Ceiling] = Field(min_length=1)
    memory: list[Level] = []
    overhead: Overhead | None = None
    runtimes: list[Runtime] = Field(min_length=1)
    measurements: list[Measurement] = []

    @model_validator(mode="after")
    def _no_repeats(self) -> Self:
        _refuse_repeats("ceiling", [(c.engine, c.dtype, c.accumulate) for c in self.compute])
        _refuse_repeats("memory level", [m.level for m in self.memory])
        _refuse_repeats("runtime", [r.name for r in self.runtimes])
        _refuse_repeats("cluster", [c.name for c in self.clusters])
        return self


class SharedMemory(Quantified):
    """Main memory, seen by every unit of the device."""

    type: Label | None = None
    capacity_gb: Number | None = Field(None, description="Where the source means 10**9 bytes.")
    capacity_gib: Number | None = Field(None, description="DRAM is made in GiB; sheets print them as GB.")
    app_capacity_mib: Number | None = Field(None, description="What one application may use, if known.")
    bandwidth_gb_per_s: Number | None = None
    deviation: Text | None = None

    @model_validator(mode="after")
    def _one_capacity(self) -> Self:
        self._at_most_one("capacity_gb", "capacity_gib")
        return self


class Link(Strict):
    """A connection to a host or to other devices."""

    name: Text
    bandwidth_gb_per_s: Number | None = None


class Claim(Evidence):
    """What a vendor or the press says of the whole product; kept apart from facts."""

    text: Text
    tops: Positive | None = Field(None, description="The figure, where the claim is one rate.")
    unit: Name | None = Field(None, description="The unit that the claim is usually read for.")


class Source(Strict):
    """A document."""

    title: Text
    publisher: Text | None = None
    url: Annotated[str, Field(pattern=r"^https://", max_length=300)] | None = None
    revision: Text | None = None
    accessed: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None


class DeviceFile(Strict):
    """One product."""

    schema_version: Literal[1]
    id: Name
    display_name: Text
    vendor: Text
    aliases: list[Text] = []
    extends: Text | None = Field(None, description="A user's variant: the device it changes.")
    release_year: Count | None = None
    default_unit: Name
    memory: SharedMemory | None = None
    power_w: Number | None = Field(None, description="TDP, board power or module power.")
    host_link: Link | None = None
    interconnect: Link | None = None
    claims: list[Claim] = []
    units: dict[Name, Unit] = Field(min_length=1)
    sources: dict[Name, Source] = {}


def _refuse_repeats(noun: str, keys: list[Any]) -> None:
    for index, key in enumerate(keys):
        if key in keys[:index]:
            raise ValueError(f"{noun} {key!r} is listed twice")


def json_schema_text() -> str:
    """JSON Schema of a device file, for editors; published as ``docs/device.schema.json``."""
    schema = DeviceFile.model_json_schema(by_alias=True)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Device file"}
    return json.dumps({**head, **{key: value for key, value in schema.items() if key != "title"}}, indent=1) + "\n"


if __name__ == "__main__":
    sys.stdout.write(json_schema_text())
