"""Offsets in one arena: greedy by size, each storage in the smallest gap that takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from estimator.memory.liveness import Lifetime


class Allocation(NamedTuple):
    """One storage's place.

    Attributes
    ----------
    offset_bytes : int or None
        From the start of the arena; None where a dynamic allocator decides at run time.
    """

    lifetime: Lifetime
    offset_bytes: int | None = None


def assign_offsets(lifetimes: Sequence[Lifetime]) -> tuple[Allocation, ...]:
    """Give every storage an offset such that storages alive together never overlap.

    Parameters
    ----------
    lifetimes : sequence of Lifetime
        Sizes are taken as they are; round them up beforehand where alignment matters.

    Returns
    -------
    tuple of Allocation
        In the order of `lifetimes`.

    Notes
    -----
    Storages are placed by falling size (ties: by first step, then as given), each into the smallest gap between the
    placed storages alive with it, else on top of them. Deterministic; not optimal, which is NP-hard.
    Source: Pisarchyk and Lee (2020), "Efficient Memory Management for Deep Neural Net Inference", arXiv:2001.03288,
    algorithm 2; TensorFlow Lite's ``arena_planner.cc`` orders the same way.
    """
    order = sorted(range(len(lifetimes)), key=lambda i: (-lifetimes[i].size_bytes, lifetimes[i].first_step, i))
    placed_at: list[list[int]] = [[] for _ in range(max([item.end_step for item in lifetimes], default=0))]
    offsets = [0] * len(lifetimes)
    ends = [0] * len(lifetimes)
    for index in order:
        _, size_bytes, first_step, end_step = lifetimes[index]
        if not size_bytes:
            continue
        span = placed_at[first_step:end_step]
        neighbours = set().union(*span)
        start = _best_fit(sorted([(offsets[other], ends[other]) for other in neighbours]), size_bytes)
        offsets[index], ends[index] = start, start + size_bytes
        for placed in span:
            placed.append(index)
    return tuple(map(Allocation, lifetimes, offsets))


def _best_fit(taken: Sequence[tuple[int, int]], size_bytes: int) -> int:
    """Offset of the smallest gap of at least `size_bytes` below the top of `taken`, else the top."""
    best: tuple[int, int] | None = None
    top = 0
    for start, end in taken:
        gap = start - top
        if gap >= size_bytes and (best is None or gap < best[0]):
            best = (gap, top)
        top = max(top, end)
    return top if best is None else best[1]


def arena_bytes(allocations: Sequence[Allocation]) -> int:
    """Size of the arena that holds all allocations."""
    return max((a.offset_bytes + a.lifetime.size_bytes for a in allocations if a.offset_bytes is not None), default=0)
