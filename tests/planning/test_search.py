from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.errors import UnsupportedCombinationError
from estimator.planning.search import (
    MAX_BATCH,
    Candidate,
    Feasible,
    Rejected,
    Requirement,
    assess,
    largest_batch,
    pareto_front,
    plan,
    shortfall,
)
from estimator.result import Estimate, Interval, MemoryEstimate
from tests.report.estimates import estimate


def made(
    *, p50_ms: float = 4, p90_ms: float | None = None, memory: int = 1000, capacity: int | None = None, batch: int = 1
) -> Estimate:
    return estimate(
        latency=Interval(p50_ms / 1e3, p50_ms / 1e3, (p90_ms or p50_ms) / 1e3),
        memory=MemoryEstimate(memory, 0, 0),
        memory_capacity_bytes=capacity,
        batch=batch,
    )


def feasible(name: str, *, p50_ms: float, memory: int, batch: int = 1, model: str = "m") -> Feasible:
    return Feasible(Candidate(model, name, None, batch), made(p50_ms=p50_ms, memory=memory, batch=batch))


def linear(candidate: Candidate) -> Estimate:
    """2 ms and 100 B of weights, and 1 ms and 10 B per item."""
    return made(p50_ms=2 + candidate.batch, memory=100 + 10 * candidate.batch, batch=candidate.batch)


ONE = Candidate("m", "sd865", None, 1)


@pytest.mark.parametrize(
    ("requirement", "part"),
    [
        (Requirement(max_latency_s=3.9e-3), "takes 4.00 ms (p50), more than 3.90 ms"),
        (Requirement(max_latency_s=5e-3, pessimistic=True), "takes 6.00 ms (p90), more than 5.00 ms"),
        (Requirement(max_memory_bytes=999), "needs 1.00 kB, more than 999 B"),
    ],
)
def test_a_shortfall_names_the_figure_and_the_limit(requirement: Requirement, part: str):
    assert shortfall(made(p50_ms=4, p90_ms=6, memory=1000), requirement) == part


def test_limits_are_inclusive():
    assert shortfall(made(p50_ms=4, memory=1000), Requirement(max_latency_s=4e-3, max_memory_bytes=1000)) is None


def test_what_the_device_has_is_a_limit_without_being_asked():
    assert shortfall(made(memory=3000, capacity=2000), Requirement()) == "needs 3.00 kB, the device has 2.00 kB"


def test_a_candidate_that_cannot_be_estimated_is_rejected_with_the_first_line_of_the_reason():
    def refuse(candidate: Candidate) -> Estimate:
        raise UnsupportedCombinationError("no int4 on sd865/npu", hint="try int8")

    assert assess(ONE, Requirement(), refuse) == Rejected(ONE, "no int4 on sd865/npu")


def test_a_plan_parts_the_candidates_and_puts_the_fastest_first():
    candidates = [replace(ONE, batch=batch) for batch in (3, 1, 9)]
    answer = plan(candidates, Requirement(max_latency_s=5e-3), linear)  # 2 + batch ≤ 5 ms
    assert [f.candidate.batch for f in answer.feasible] == [1, 3]
    assert [r.candidate.batch for r in answer.rejected] == [9]


def test_the_pareto_front_drops_what_another_beats_in_everything():
    fast, small, worse = (
        feasible("fast", p50_ms=1, memory=200),
        feasible("small", p50_ms=2, memory=100),
        feasible("worse", p50_ms=2, memory=200),
    )
    assert pareto_front([worse, small, fast]) == (fast, small)


def test_a_larger_batch_stays_on_the_front_for_its_throughput():
    single, many = feasible("d", p50_ms=2, memory=100), feasible("d", p50_ms=4, memory=200, batch=8)
    assert pareto_front([single, many]) == (single, many)  # 500 against 2000 items per second


def test_models_do_not_compete_with_one_another():
    light, heavy = feasible("d", p50_ms=1, memory=1, model="a"), feasible("d", p50_ms=9, memory=9, model="b")
    assert len(pareto_front([light, heavy])) == 2


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 3)), max_size=8))
def test_everything_off_the_front_is_beaten_by_something_on_it(sizes: list[tuple[int, int, int]]):
    all_of_them = [feasible(str(i), p50_ms=t, memory=m, batch=b) for i, (t, m, b) in enumerate(sizes)]
    front = pareto_front(all_of_them)
    assert bool(front) == bool(all_of_them)
    for one in set(all_of_them) - set(front):
        assert one not in pareto_front([one, *front])


@given(st.integers(min_value=1, max_value=MAX_BATCH))
def test_the_largest_batch_is_exactly_at_the_limit(batch: int):
    found = largest_batch(ONE, Requirement(max_memory_bytes=100 + 10 * batch), linear)
    assert found == replace(ONE, batch=batch)


def test_no_batch_at_all_is_none():
    assert largest_batch(ONE, Requirement(max_memory_bytes=109), linear) is None  # a batch of one needs 110
