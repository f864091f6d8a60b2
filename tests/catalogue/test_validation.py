"""Seeded faults in a real file: each is caught, at its line, with what was expected."""

from __future__ import annotations

import pytest

from estimator.catalogue.consistency import bandwidth_of_type, consistency_problems
from estimator.catalogue.document import Document, parse_document
from estimator.catalogue.location import devices_directory
from estimator.catalogue.schema import json_schema_text
from estimator.catalogue.validation import document_problems, validate_document
from estimator.errors import CatalogueError
from estimator.units import GIGA


def seeded(device_id: str, old: str, new: str) -> tuple[Document, int]:
    """A catalogue file with one change, and the line of the change."""
    text = (devices_directory() / f"{device_id}.yaml").read_text(encoding="utf-8")
    assert old in text
    line = text[: text.index(old)].count("\n") + 1
    return parse_document(text.replace(old, new, 1), f"{device_id}.yaml"), line


def line_of(error: CatalogueError) -> int:
    return int(error.where.rpartition(":")[2])


@pytest.mark.parametrize(
    ("device_id", "old", "new", "what"),
    [
        ("rtx3090", "sm_count: {value: 82, basis", "sm_cuont: {value: 82, basis", "unknown key 'sm_cuont'"),
        ("rtx3090", "  bandwidth_gb_per_s:", "  bandwidth_gbps:", "unknown key 'bandwidth_gbps'"),
        ("rtx3090", "power_w: {value: 350, basis", "power: {value: 350, basis", "unknown key 'power'"),
        ("rtx3090", "sm_count: {value: 82", "sm_count: {value: 82.5", "is not accepted"),
        ("rtx3090", "sm_count: {value: 82", 'sm_count: {value: "82"', "is not accepted"),
        ("rtx3090", "sm_count: {value: 82", "sm_count: {value: -82", "is not accepted"),
        ("rtx3090", "sm_count: {value: 82, basis: secondary, source: tpu, where: entry geforce-rtx-3090.c3622}",
         "sm_count: {value: 82}", "basis datasheet needs `source`"),
        ("rtx3090", "sm_count: {value: 82, basis: secondary, source: tpu, where: entry geforce-rtx-3090.c3622}",
         "sm_count: 82", "is not accepted"),
        ("rtx3090", "sm_count: {value: 82, basis: secondary, source: tpu",
         "sm_count: {value: 82, basis: secondary, source: nobody", "source 'nobody' is not defined"),
        ("sd865", "value: unknown\n          assume: 15", "value: 15\n          assume: 15", "go together"),
        ("sd865", 'basis: assumed, why: "recalled, not checked against a source"}',
         "basis: assumed}", "basis assumed needs `why`"),
        ("sd865", "default_unit: npu", "default_unit: dsp", "default_unit 'dsp' is not a unit of the file"),
        ("sd865", "precisions: [int8, w8a16]", "precisions: [int8, int8]", "a precision is listed twice"),
        ("i9-10940x", "size_mib_per_core: {value: 1,", "size_mib_per_core: {value: 0,", "is not accepted"),
        ("i9-10940x", "dense_gops: {value: 16486.4,", "dense_gflops: {value: 16486.4,", "one of `dense_tops`"),
    ],
)  # fmt: skip
def test_the_schema_refuses_a_seeded_fault_at_its_line(device_id: str, old: str, new: str, what: str):
    document, line = seeded(device_id, old, new)
    problems = list(document_problems(document))
    assert any(what in problem.what and abs(line_of(problem) - line) <= 3 for problem in problems), problems
    with pytest.raises(CatalogueError):
        validate_document(document)


@pytest.mark.parametrize(
    ("device_id", "old", "new", "what"),
    [
        # the sparse headline as the dense rate: 142 instead of 71
        ("rtx3090", "value: 71\n", "value: 142\n", "tensor fp16 fp32 rate 142000 G/s is 2 x"),
        ("a100-pcie-40gb", "value: 624\n", "value: 312\n", "sparse rate is 1 x the dense rate"),
        # GeForce halves fp32 accumulation; a professional card's rate is a slip there
        ("rtx4090", "value: 165.2\n", "value: 330.3\n", "is 2 x what the parts give"),
        # GiB as GB: 24 GiB of GDDR6X, 68.2 of 63.6 GB/s
        ("rtx3090", "capacity_gib:", "capacity_gb:", "DRAM of this size is made in GiB"),
        ("sd8gen3", "value: 76.8", "value: 71.5", "is not that of"),
        # an L4 with an H100's bandwidth
        ("l4", "value: 300", "value: 3350", "140 Gbit/s per pin"),
        # one AVX-512 unit, not two
        ("xeon-silver-4114", "fp32_flops_per_cycle_per_core:\n        value: 32",
         "fp32_flops_per_cycle_per_core:\n        value: 64", "is 0.5 x"),
        # what is claimed for the whole chip as the NPU's own rate
        ("sd865", "value: unknown\n          assume: 15\n          basis: unknown\n          why:",
         "value: 15\n          basis: derived\n          from: x\n          note:", "claimed for the whole chip"),
        ("i9-10940x", "base_clock_ghz: {value: 3.3", "base_clock_ghz: {value: 33", "base clock is above boost"),
        ("ethos-u55-128", "value: 128\n", "value: 256\n", "is 0.5 x"),
        ("p4", "precisions: [fp32, fp16, int8]", "precisions: [fp32, tf32]", "no tf32 rate"),
        ("sd865", "size_mib: {value: 4,", "size_mib: {value: 1,", "l2 is larger than l3"),
        ("t4", "app_capacity_mib: {value: 15079", "app_capacity_mib: {value: 25079", "more memory than there is"),
    ],
)  # fmt: skip
def test_a_value_that_contradicts_another_is_caught(device_id: str, old: str, new: str, what: str):
    document, _ = seeded(device_id, old, new)
    problems = list(consistency_problems(document))
    assert any(what in problem.what for problem in problems), problems
    assert all(problem.where.startswith(f"{device_id}.yaml:") for problem in problems)


def test_a_deviation_that_is_explained_is_accepted():
    document, _ = seeded("rtx3090", "value: 71\n", "value: 142\n")
    assert list(consistency_problems(document))
    text = document.text.replace(
        "        accumulate: fp32\n        dense_tflops:\n          value: 142",
        "        accumulate: fp32\n        deviation: a reason\n        dense_tflops:\n          value: 142",
    )
    assert not list(consistency_problems(parse_document(text, "rtx3090.yaml")))


@pytest.mark.parametrize(
    ("kind", "gb_per_s"),
    [
        ("LPDDR5-5500 4x16-bit (or LPDDR4X-4266)", 5500 * 4 * 16 / 8 / 1000),
        ("LPDDR4-3200 32-bit", 3200 * 32 / 8 / 1000),
        ("6x DDR4-2933", 6 * 2933 * 8 / 1000),
        ("2ch DDR5-4800 / DDR4-3200", 2 * 4800 * 8 / 1000),
    ],
)
def test_bandwidth_is_width_times_data_rate(kind: str, gb_per_s: float):
    assert bandwidth_of_type(kind) == pytest.approx(gb_per_s * GIGA)


def test_a_memory_type_without_a_data_rate_gives_no_bandwidth():
    assert bandwidth_of_type("GDDR6X 384-bit") is None


def test_the_published_json_schema_is_current():
    published = devices_directory().parent / "docs/device.schema.json"
    if not published.is_file():
        pytest.skip("an installed package has no docs")
    assert published.read_text(encoding="utf-8") == json_schema_text()
