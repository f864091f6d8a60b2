"""Which devices, precisions and batch sizes meet a latency and a memory limit.

A `Candidate` is one way to run a model; each is estimated and either meets the `Requirement` or is
rejected with the reason. Of those that meet it, the Pareto front keeps the ones that no other beats in
latency, memory and throughput at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from estimator.errors import EstimatorError
from estimator.result import Estimate
from estimator.units import format_bytes, format_seconds

MAX_BATCH: Final = 4096
"""Where the search for the largest batch ends."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """What must hold.

    Attributes
    ----------
    max_latency_s : float or None
        Limit for the whole batch; None for no limit.
    max_memory_bytes : int or None
        Limit of peak memory. What the device has limits it in any case.
    pessimistic : bool
        Hold the p90 of the latency, not its p50, against the limit.
    """

    max_latency_s: float | None = None
    max_memory_bytes: int | None = None
    pessimistic: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to run a model; `precision` None is the unit's own."""

    model: str
    device: str
    precision: str | None
    batch: int


@dataclass(frozen=True, slots=True)
class Feasible:
    """A candidate that meets the requirement, and its estimate."""

    candidate: Candidate
    estimate: Estimate

    @property
    def throughput_per_s(self) -> float:
        """Items per second: batch ÷ median latency."""
        return self.estimate.batch / self.estimate.latency.p50_s if self.estimate.latency.p50_s else 0.0


@dataclass(frozen=True, slots=True)
class Rejected:
    """A candidate that does not, and why; `estimate` is None where none could be made."""

    candidate: Candidate
    reason: str
    estimate: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer to a search.

    Attributes
    ----------
    feasible : tuple of Feasible
        Fastest first.
    pareto : tuple of Feasible
        Per model, those that no other beats in latency, memory and throughput at once; fastest first.
    rejected : tuple of Rejected
        In the order asked for.
    """

    feasible: tuple[Feasible, ...]
    pareto: tuple[Feasible, ...]
    rejected: tuple[Rejected, ...]


EstimateCandidate = Callable[[Candidate], Estimate]


def plan(candidates: Iterable[Candidate], requirement: Requirement, estimate: EstimateCandidate) -> Plan:
    """Try every candidate.

    Parameters
    ----------
    estimate : callable
        Makes a candidate's estimate; an `EstimatorError` rejects the candidate with its first line as the reason.
    """
    feasible: list[Feasible] = []
    rejected: list[Rejected] = []
    for candidate in candidates:
        outcome = assess(candidate, requirement, estimate)
        if isinstance(outcome, Feasible):
            feasible.append(outcome)
        else:
            rejected.append(outcome)
    feasible.sort(key=_latency)
    return Plan(tuple(feasible), pareto_front(feasible), tuple(rejected))


def assess(candidate: Candidate, requirement: Requirement, estimate: EstimateCandidate) -> Feasible | Rejected:
    """Estimate one candidate and hold it against the requirement."""
    try:
        made = estimate(candidate)
    except EstimatorError as error:
        return Rejected(candidate, error.first_line)
    reason = shortfall(made, requirement)
    return Feasible(candidate, made) if reason is None else Rejected(candidate, reason, made)


def shortfall(estimate: Estimate, requirement: Requirement) -> str | None:
    """Say why an estimate misses the requirement; None when it meets it."""
    needed, capacity = estimate.memory.peak_bytes, estimate.memory_capacity_bytes
    if capacity is not None and needed > capacity:
        return f"needs {format_bytes(needed)}, the device has {format_bytes(capacity)}"
    if requirement.max_memory_bytes is not None and needed > requirement.max_memory_bytes:
        return f"needs {format_bytes(needed)}, more than {format_bytes(requirement.max_memory_bytes)}"
    latency_s = estimate.latency.p90_s if requirement.pessimistic else estimate.latency.p50_s
    if requirement.max_latency_s is not None and latency_s > requirement.max_latency_s:
        quantile = "p90" if requirement.pessimistic else "p50"
        return f"takes {format_seconds(latency_s)} ({quantile}), more than {format_seconds(requirement.max_latency_s)}"
    return None


def largest_batch(candidate: Candidate, requirement: Requirement, estimate: EstimateCandidate) -> Candidate | None:
    """Find the largest batch that meets the requirement, by doubling and then halving the gap.

    Latency and memory grow with the batch, so the feasible batches are 1 … n.

    Returns
    -------
    Candidate or None
        The candidate at that batch, at most `MAX_BATCH`; None when even a batch of one is too much.
    """

    def meets(batch: int) -> bool:
        return isinstance(assess(_with_batch(candidate, batch), requirement, estimate), Feasible)

    if not meets(1):
        return None
    good, bad = 1, 2
    while bad <= MAX_BATCH and meets(bad):
        good, bad = bad, 2 * bad
    if bad > MAX_BATCH:
        return _with_batch(candidate, good)
    while bad - good > 1:
        middle = (good + bad) // 2
        if meets(middle):
            good = middle
        else:
            bad = middle
    return _with_batch(candidate, good)


def pareto_front(feasible: Sequence[Feasible]) -> tuple[Feasible, ...]:
    """Keep, per model, those that no other beats in latency, memory and throughput at once; fastest first."""
    front = [one for one in feasible if not any(_beats(other, one) for other in feasible)]
    return tuple(sorted(front, key=_latency))


def _beats(one: Feasible, other: Feasible) -> bool:
    if one.candidate.model != other.candidate.model:
        return False
    better_or_equal = (
        _latency(one) <= _latency(other),
        one.estimate.memory.peak_bytes <= other.estimate.memory.peak_bytes,
        one.throughput_per_s >= other.throughput_per_s,
    )
    better = (
        _latency(one) < _latency(other),
        one.estimate.memory.peak_bytes < other.estimate.memory.peak_bytes,
        one.throughput_per_s > other.throughput_per_s,
    )
    return all(better_or_equal) and any(better)


def _latency(one: Feasible) -> float:
    return one.estimate.latency.p50_s


def _with_batch(candidate: Candidate, batch: int) -> Candidate:
    return Candidate(candidate.model, candidate.device, candidate.precision, batch)
