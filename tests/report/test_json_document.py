import json
import math

import pytest
from hypothesis import given

from estimator.report.json_document import estimate_document, estimate_from_json, estimate_json
from estimator.result import Estimate
from tests.report.estimates import estimate, estimates, kernel

PROMISED = {
    "model", "device", "unit", "runtime", "precision", "batch", "latency_ms", "naive_latency_ms",
    "roofline_latency_ms", "macs", "flops", "params", "memory", "bound_share", "coverage", "provenance", "kernels",
    "warnings", "assumptions", "schema_version",
}  # fmt: skip
PROMISED_OF_A_KERNEL = {
    "name", "ops", "class", "latency_us", "share", "bound", "flops", "bytes", "intensity", "utilisation",
}  # fmt: skip


def durations(made: Estimate) -> list[float]:
    interval = made.latency
    times = [interval.p10_s, interval.p50_s, interval.p90_s, made.naive_latency_s, made.roofline_latency_s]
    return times + [k.time_s for k in made.kernels]


def without_durations(made: Estimate) -> dict[str, object]:
    document = estimate_document(made)
    for key in ("latency_ms", "naive_latency_ms", "roofline_latency_ms"):
        del document[key]
    kernels = document["kernels"]
    assert isinstance(kernels, list)
    document["kernels"] = [{k: v for k, v in kernel.items() if k != "latency_us"} for kernel in kernels]
    return document


def test_every_promised_field_is_there():
    document = estimate_document(estimate())
    assert document.keys() >= PROMISED
    assert document["latency_ms"].keys() == {"p10", "p50", "p90"}
    assert document["memory"].keys() >= {"peak_bytes", "weights_bytes", "activation_bytes", "workspace_bytes"}
    assert document["bound_share"].keys() == {"compute", "memory", "overhead"}
    assert document["provenance"].keys() >= {"kind", "records", "heldout_median_ape"}
    assert document["kernels"][0].keys() >= PROMISED_OF_A_KERNEL


def test_a_second_is_a_thousand_milliseconds_and_a_millisecond_a_thousand_microseconds():
    document = estimate_document(estimate(naive_latency_s=2.0, kernels=(kernel(time_s=0.003),)))
    assert document["naive_latency_ms"] == 2.0 * 1000
    assert document["kernels"][0]["latency_us"] == pytest.approx(3 * 1000)


def test_peak_memory_is_the_sum_of_its_parts():
    memory = estimate_document(estimate())["memory"]
    parts = ("weights_bytes", "activation_bytes", "workspace_bytes", "kv_cache_bytes")
    assert memory["peak_bytes"] == sum(memory[part] for part in parts)


def test_a_row_of_a_comparison_leaves_the_kernels_out():
    assert "kernels" not in estimate_document(estimate(), with_kernels=False)


@given(estimates())
def test_reading_back_loses_nothing_but_the_last_bits_of_a_duration(made: Estimate):
    again = estimate_from_json(estimate_json(made))
    assert without_durations(again) == without_durations(made)
    for before, after in zip(durations(made), durations(again), strict=True):
        assert abs(after - before) <= 2 * math.ulp(before)


@given(estimates())
def test_the_text_is_plain_ascii_json_without_nan(made: Estimate):
    text = estimate_json(made)
    assert text.isascii()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"schema_version": 2}', '{"schema_version": 1}', '{"schema_version": 1, "latency_ms": 3}'],
)
def test_another_document_is_refused(text: str):
    with pytest.raises(ValueError):  # noqa: PT011 - the type is the promise; pydantic words the message
        estimate_from_json(text)


def test_a_field_of_a_wrong_type_is_refused():
    document = json.loads(estimate_json(estimate())) | {"macs": "many"}
    with pytest.raises(ValueError, match="macs"):
        estimate_from_json(json.dumps(document))
