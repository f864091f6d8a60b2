import csv
import io
import json

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from estimator.cli.plan_form import (
    MAX_FEASIBLE_SHOWN,
    MAX_REJECTED_SHOWN,
    plan_csv,
    plan_json,
    plan_markdown,
    plan_screen,
)
from estimator.planning.search import Candidate, Feasible, Plan, Rejected, Requirement
from estimator.result import Estimate, Interval
from tests.report.estimates import estimate, estimates

FRONT = Feasible(Candidate("m", "sd865", None, 1), estimate())
BEATEN = Feasible(Candidate("m", "old", None, 1), estimate(device="old"))
MISSED = Rejected(Candidate("m", "coral-edgetpu", "fp32", 1), "no fp32 on coral-edgetpu")
ANSWER = Plan((FRONT, BEATEN), (FRONT,), (MISSED,))


def test_the_screen_marks_the_front_and_gives_the_reasons():
    lines = plan_screen(ANSWER).splitlines()
    assert lines[0] == "2 of 3 candidates are feasible"
    assert [line.endswith("*") for line in lines[3:5]] == [True, False]
    assert lines[-1] == "  m on coral-edgetpu, fp32, batch 1: no fp32 on coral-edgetpu"


def test_a_long_list_of_reasons_is_cut_and_says_so():
    lines = plan_screen(Plan((), (), (MISSED,) * (MAX_REJECTED_SHOWN + 5))).splitlines()
    assert lines[-1] == "  and 5 more; --format csv lists all"


def test_a_long_list_keeps_the_front_though_others_are_faster():
    others = tuple(
        Feasible(Candidate("m", f"d{i}", None, 1), estimate(device=f"d{i}", latency=Interval(1e-3, 1e-3, 1e-3)))
        for i in range(MAX_FEASIBLE_SHOWN + 5)
    )
    screen = plan_screen(Plan((*others, FRONT), (FRONT,), ()))
    assert "sd865/npu" in screen
    assert screen.splitlines()[-1] == "  and 6 more; --format csv lists all"  # 24 + 5 + 1 candidates, 24 shown


@given(st.lists(estimates(), max_size=3), st.text())
def test_no_line_is_wider_than_a_hundred_columns(made: list[Estimate], reason: str):
    feasible = tuple(Feasible(Candidate("m", "d", None, 1), one) for one in made)
    screen = plan_screen(Plan(feasible, feasible[:1], (Rejected(Candidate("m", "d", None, 1), reason),)))
    assert max(cell_len(line) for line in screen.splitlines()) <= 100


def test_json_carries_limits_feasible_front_and_reasons():
    document = json.loads(plan_json(ANSWER, Requirement(max_latency_s=0.033)))
    assert document["requirement"]["max_latency_ms"] == 33.0
    assert [row["device"] for row in document["feasible"]] == ["sd865", "old"]
    assert [row["device"] for row in document["pareto"]] == ["sd865"]
    assert document["rejected"][0]["reason"] == MISSED.reason
    assert document["feasible"][0]["throughput_per_s"] == 1 / 4e-3  # batch of one in 4 ms


def test_csv_has_one_row_per_candidate():
    rows = list(csv.DictReader(io.StringIO(plan_csv(ANSWER))))
    assert [row["outcome"] for row in rows] == ["pareto", "feasible", "rejected"]


def test_markdown_lists_what_was_rejected():
    assert r"- m on coral-edgetpu, fp32, batch 1: no fp32 on coral-edgetpu" in plan_markdown(ANSWER)
