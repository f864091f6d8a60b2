"""Storages that are alive together never overlap in the arena, and the arena wastes little."""

from hypothesis import given
from hypothesis import strategies as st

from estimator.memory.liveness import Lifetime
from estimator.memory.planner import arena_bytes, assign_offsets

LIFETIMES = st.lists(
    st.tuples(st.integers(0, 9), st.integers(1, 6), st.integers(0, 50)).map(
        lambda t: Lifetime("t", t[2], t[0], t[0] + t[1])
    ),
    max_size=24,
)


def working_set(lifetimes: list[Lifetime]) -> int:
    end = max((x.end_step for x in lifetimes), default=0)
    return max((sum(x.size_bytes for x in lifetimes if x.first_step <= t < x.end_step) for t in range(end)), default=0)


@given(LIFETIMES)
def test_live_storages_never_overlap(lifetimes):
    placed = assign_offsets(lifetimes)
    assert [a.lifetime for a in placed] == lifetimes
    for i, a in enumerate(placed):
        for b in placed[:i]:
            apart = (
                a.offset_bytes + a.lifetime.size_bytes <= b.offset_bytes
                or b.offset_bytes + b.lifetime.size_bytes <= a.offset_bytes
            )
            assert apart or not a.lifetime.overlaps(b.lifetime)


@given(LIFETIMES)
def test_the_arena_lies_between_the_working_set_and_the_sum(lifetimes):
    arena = arena_bytes(assign_offsets(lifetimes))
    assert working_set(lifetimes) <= arena <= sum(x.size_bytes for x in lifetimes)


@given(LIFETIMES)
def test_the_plan_is_deterministic(lifetimes):
    assert assign_offsets(lifetimes) == assign_offsets(lifetimes)


def test_two_storages_one_after_the_other_share_their_place():
    placed = assign_offsets([Lifetime("a", 8, 0, 2), Lifetime("b", 8, 2, 4)])
    assert [a.offset_bytes for a in placed] == [0, 0]


def test_the_smallest_gap_that_fits_is_taken():
    kept = [Lifetime("kept", size, 0, 4) for size in (100, 80, 60)]
    freed = [Lifetime("freed", 90, 0, 2), Lifetime("freed", 70, 0, 2)]
    late = Lifetime("late", 55, 2, 4)
    *_, larger_gap, smaller_gap, placed = assign_offsets([*kept, *freed, late])
    assert (larger_gap.offset_bytes, smaller_gap.offset_bytes) == (100, 100 + 90 + 80)
    assert placed.offset_bytes == smaller_gap.offset_bytes


def test_nothing_needs_no_arena():
    assert arena_bytes(assign_offsets([])) == 0
