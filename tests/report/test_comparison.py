import csv
import io
import json

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from estimator.report.comparison import (
    ComparedDevice,
    comparison_csv,
    comparison_json,
    comparison_markdown,
    comparison_screen,
)
from estimator.report.json_document import estimate_document
from estimator.result import Estimate, Interval
from tests.report.estimates import estimate, estimates

SLOW = ComparedDevice("slow", estimate(device="slow", latency=Interval(7e-3, 8e-3, 9e-3)))
FAST = ComparedDevice("fast/gpu", estimate(device="fast", unit="gpu", latency=Interval(1e-3, 2e-3, 3e-3)))
BROKEN = ComparedDevice("tiny", None, "no int8 on this unit\n  next  --precision fp32")


def test_the_screen_lists_the_fastest_first_and_says_why_a_device_has_no_estimate():
    lines = comparison_screen("m", [SLOW, BROKEN, FAST]).splitlines()
    assert [line.split()[0] for line in lines[3:]] == ["fast/gpu", "slow/npu", "tiny"]
    assert lines[-1] == "tiny  no int8 on this unit"


@given(st.text(), st.lists(estimates(), max_size=2), st.text())
def test_no_line_is_wider_than_a_hundred_columns(model: str, made: list[Estimate], reason: str):
    rows = [ComparedDevice(e.device, e) for e in made] + [ComparedDevice("x", None, reason)]
    assert max(cell_len(line) for line in comparison_screen(model, rows).splitlines()) <= 100


def test_json_rows_keep_the_order_asked_for_and_are_estimates_without_kernels():
    document = json.loads(comparison_json("m", [SLOW, BROKEN]))
    assert document["model"] == "m"
    assert document["rows"][0] == estimate_document(SLOW.estimate, with_kernels=False)
    assert document["rows"][1] == {"device": "tiny", "error": BROKEN.reason}


def test_csv_rows_keep_the_order_asked_for():
    slow, broken = csv.DictReader(io.StringIO(comparison_csv("m", [SLOW, BROKEN])))
    assert (slow["device"], float(slow["latency_p50_ms"])) == ("slow", 8e-3 * 1e3)
    assert (broken["device"], broken["latency_p50_ms"], broken["error"]) == (
        "tiny",
        "",
        "no int8 on this unit; next --precision fp32",
    )


def test_markdown_has_one_row_per_device():
    assert comparison_markdown("m", [SLOW, BROKEN, FAST]).count("\n| ") == 2 + 3  # header, rule, devices
