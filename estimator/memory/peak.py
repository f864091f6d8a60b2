"""Peak memory of one run: weights + activations + workspace + KV cache."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from estimator.catalogue.device import UnitKind
from estimator.ir.graph import Graph
from estimator.memory.executor import Executor, executor_model
from estimator.memory.liveness import Lifetime, Schedule, lifetimes, schedule
from estimator.memory.planner import Allocation, arena_bytes, assign_offsets
from estimator.memory.workspace import resident_workspace_bytes, scratch_bytes, workspace_rules


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Where the memory of a run goes.

    Attributes
    ----------
    weights_bytes : int
        Parameters, buffers and constants, each once, in the graph's dtypes.
    activation_bytes : int
        Graph inputs and intermediate tensors at the peak step; under an arena, what the arena adds to its workspace.
    workspace_bytes : int
        Scratch at the peak step, and what libraries keep resident.
    kv_cache_bytes : int
        Key/value cache beside the graph's own tensors.
    input_bytes : int
        The part of `activation_bytes` that the caller owns.
    working_set_bytes : int
        Largest live bytes (activations + workspace) at one step; what no plan can go below.
    timeline : tuple of (str, int)
        Main op of each launch and the live bytes while it runs, workspace included.
    allocations : tuple of Allocation
        All materialised activations; with offsets where the runtime plans an arena.
    """

    weights_bytes: int
    activation_bytes: int
    workspace_bytes: int
    kv_cache_bytes: int
    input_bytes: int
    working_set_bytes: int
    timeline: tuple[tuple[str, int], ...]
    allocations: tuple[Allocation, ...]
    executor: Executor

    @property
    def peak_bytes(self) -> int:
        """Weights + activations + workspace + KV cache."""
        return self.weights_bytes + self.activation_bytes + self.workspace_bytes + self.kv_cache_bytes

    @property
    def peak_step(self) -> str:
        """Name of the launch at which most is alive; "" for an empty graph."""
        return max(self.timeline, key=lambda entry: entry[1], default=("", 0))[0]


def plan_memory(
    graph: Graph,
    *,
    fused: Sequence[Sequence[str]] | None = None,
    runtime: str = "torch-export",
    unit_kind: UnitKind = UnitKind.CPU,
    layout: str = "nchw",
    kv_cache_bytes: int = 0,
) -> MemoryPlan:
    """Plan the memory of one forward pass.

    Parameters
    ----------
    graph : Graph
        In the dtypes it runs in (`lowering.precision.apply_precision`): they decide every size.
    fused : sequence of sequence of str, optional
        Op names of each kernel, as `Kernel.ops`; tensors internal to a kernel are never materialised.
    runtime : str
        Decides when storages are freed (`memory.executor`) and which scratch kernels need (`memory.workspace`).
    layout : str
        ``nchw`` or ``nhwc``: whether convolutions must convert.
    kv_cache_bytes : int
        Cache kept beside the graph's tensors (`memory.kv_cache`); 0 where the graph's inputs already hold it.

    Returns
    -------
    MemoryPlan
        Bytes requested from the allocator. Not modelled: the framework's own code and context, memory that a caching
        allocator reserves but has not handed out, fragmentation of a dynamic allocator.

    Notes
    -----
    peak = weights + max over steps (Σ alive storages + workspace) + KV cache. Source: docs/model/memory.md.
    """
    run = _run(graph, fused, runtime, unit_kind, layout)
    inputs = set(graph.inputs)
    return MemoryPlan(
        weights_bytes=_weights_bytes(graph),
        activation_bytes=run.activation_bytes,
        workspace_bytes=run.workspace_bytes + resident_workspace_bytes(graph, runtime, unit_kind),
        kv_cache_bytes=kv_cache_bytes,
        input_bytes=sum(item.size_bytes for item in run.alive if item.storage in inputs),
        working_set_bytes=max(run.totals, default=0),
        timeline=tuple((ops[0].name, total) for ops, total in zip(run.schedule.steps, run.totals, strict=True)),
        allocations=run.arena or tuple(map(Allocation, run.alive)),
        executor=executor_model(runtime).executor,
    )


def peak_bytes(graph: Graph, *, fused: Sequence[Sequence[str]], runtime: str, unit_kind: UnitKind, layout: str) -> int:
    """Return `MemoryPlan.peak_bytes` of `plan_memory` alone."""
    run = _run(graph, fused, runtime, unit_kind, layout)
    resident = resident_workspace_bytes(graph, runtime, unit_kind)
    return _weights_bytes(graph) + run.activation_bytes + run.workspace_bytes + resident


@dataclass(frozen=True, slots=True)
class _Run:
    """A run, step by step; `totals` are live bytes and scratch of each, `arena` is () without one."""

    schedule: Schedule
    alive: tuple[Lifetime, ...]
    totals: list[int]
    activation_bytes: int
    workspace_bytes: int
    arena: tuple[Allocation, ...] = ()


def _run(graph: Graph, fused: Sequence[Sequence[str]] | None, runtime: str, unit_kind: UnitKind, layout: str) -> _Run:
    model = executor_model(runtime)
    steps = schedule(graph, fused)
    alive = lifetimes(graph, steps, model)
    scratch = scratch_bytes(steps.steps, graph, workspace_rules(runtime, unit_kind, layout))
    live = _live_bytes(alive, len(steps.steps))
    totals = [a + b for a, b in zip(live, scratch, strict=True)]
    peak = totals.index(max(totals)) if totals else None
    activation, workspace = (live[peak], scratch[peak]) if peak is not None else (0, 0)
    if model.executor is not Executor.ARENA:
        return _Run(steps, alive, totals, activation, workspace)
    scratch_items = [Lifetime(f"workspace.{i}", size, i, i + 1) for i, size in enumerate(scratch) if size]
    arena = assign_offsets((*alive, *scratch_items))
    return _Run(steps, alive, totals, arena_bytes(arena) - workspace, workspace, arena)


def _weights_bytes(graph: Graph) -> int:
    return sum([tensor.size_bytes for tensor in graph.tensors.values() if tensor.is_weight])


def _live_bytes(alive: Iterable[Lifetime], step_count: int) -> list[int]:
    change = [0] * (step_count + 2)
    for item in alive:
        change[item.first_step] += item.size_bytes
        change[item.end_step] -= item.size_bytes
    return list(accumulate(change[:step_count]))
