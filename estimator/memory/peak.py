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
from estimator.memory.workspace import resident_workspace_bytes, workspace_bytes, workspace_rules


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
    model = executor_model(runtime)
    steps = schedule(graph, fused)
    alive = lifetimes(graph, steps, model)
    rules = workspace_rules(runtime, unit_kind, layout)
    scratch = [max((workspace_bytes(op, graph, rules) for op in ops), default=0) for ops in steps.steps]
    live = _live_bytes(alive, len(steps.steps))
    totals = [a + b for a, b in zip(live, scratch, strict=True)]
    peak = max(range(len(totals)), key=totals.__getitem__, default=None)
    activation, workspace = (live[peak], scratch[peak]) if peak is not None else (0, 0)
    allocations: tuple[Allocation, ...] = tuple(Allocation(item) for item in alive)
    if model.executor is Executor.ARENA:
        scratch_items = [Lifetime(f"workspace.{i}", s, i, i + 1) for i, s in enumerate(scratch) if s]
        everything = assign_offsets((*alive, *scratch_items))
        activation = arena_bytes(everything) - workspace
        allocations = everything
    inputs = set(graph.inputs)
    return MemoryPlan(
        weights_bytes=sum(t.size_bytes for t in graph.tensors.values() if t.is_weight),
        activation_bytes=activation,
        workspace_bytes=workspace + resident_workspace_bytes(graph, runtime, unit_kind),
        kv_cache_bytes=kv_cache_bytes,
        input_bytes=sum(item.size_bytes for item in alive if item.storage in inputs),
        working_set_bytes=totals[peak] if peak is not None else 0,
        timeline=_timeline(steps, totals),
        allocations=allocations,
        executor=model.executor,
    )


def _live_bytes(alive: Iterable[Lifetime], step_count: int) -> list[int]:
    change = [0] * (step_count + 2)
    for item in alive:
        change[item.first_step] += item.size_bytes
        change[item.end_step] -= item.size_bytes
    return list(accumulate(change[:step_count]))


def _timeline(steps: Schedule, totals: Sequence[int]) -> tuple[tuple[str, int], ...]:
    return tuple((ops[0].name, total) for ops, total in zip(steps.steps, totals, strict=True))
