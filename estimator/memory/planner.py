"""Offsets in one arena: greedy by size, each storage in the smallest gap that takes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from estimator.memory.liveness import Lifetime


@dataclass(frozen=True, slots=True)
class Allocation:
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
    steps = max((item.end_step for item in lifetimes), default=0)
    placed_at: list[list[int]] = [[] for _ in range(steps)]
    offsets = [0] * len(lifetimes)
    for index in order:
        item = lifetimes[index]
        span = range(item.first_step, item.end_step)
        if item.size_bytes:
            neighbours = {other for step in span for other in placed_at[step]}
            taken = sorted((offsets[other], offsets[other] + lifetimes[other].size_bytes) for other in neighbours)
            offsets[index] = _best_fit(taken, item.size_bytes)
            for step in span:
                placed_at[step].append(index)
    return tuple(Allocation(item, offset) for item, offset in zip(lifetimes, offsets, strict=True))


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
