"""Which storages are alive at which step.

A *storage* is memory that one or more tensors share: a view, an identity and an in-place result live
in the storage of their op's input 0, so that a view keeps its base alive. A *step* is one kernel
launch. A storage is alive during the half-open interval ``[first_step, end_step)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from estimator.ir.graph import Graph
from estimator.ir.op import Op, OpKind
from estimator.ir.storage import ALIASING, activation_storages
from estimator.ir.tensor import TensorRole
from estimator.memory.executor import Executor, ExecutorModel

_POINTWISE = frozenset({OpKind.ACTIVATION, OpKind.UNARY, OpKind.BINARY, OpKind.TERNARY})


class Lifetime(NamedTuple):
    """One storage and when it is alive (a tuple: a search's batch makes millions).

    Attributes
    ----------
    storage : str
        The tensor that the storage was made for.
    first_step, end_step : int
        Half-open interval of steps; never empty.
    """

    storage: str
    size_bytes: int
    first_step: int
    end_step: int

    def overlaps(self, other: Lifetime) -> bool:
        """Whether both are alive at some step."""
        return self.first_step < other.end_step and other.first_step < self.end_step


@dataclass(frozen=True)
class Schedule:
    """The steps of a run.

    Attributes
    ----------
    ops : tuple of Op
        In execution order.
    steps : tuple of tuple of Op
        Ops of each launch, in execution order; ops that launch nothing are in no step.
    """

    ops: tuple[Op, ...]
    steps: tuple[tuple[Op, ...], ...]

    @cached_property
    def step_of(self) -> Mapping[str, int]:
        """Step of every op by name, also of those that launch nothing: they happen with the next launch."""
        step_of = {op.name: index for index, ops in enumerate(self.steps) for op in ops}
        following = len(self.steps) - 1
        for op in reversed(self.ops):
            following = step_of.setdefault(op.name, following)
        return step_of


def schedule(graph: Graph, fused: Sequence[Sequence[str]] | None = None) -> Schedule:
    """Cut a graph's ops into launches.

    Parameters
    ----------
    fused : sequence of sequence of str, optional
        Names of the ops of each kernel. An op named twice belongs to the first kernel that names it; an op that no
        kernel names is a step of its own, unless it only makes a view. None: every op is its own step.
    """
    kernel_of: dict[str, int] = {}
    for index, names in enumerate(fused or ()):
        for name in names:
            kernel_of.setdefault(name, index)
    steps: dict[int | str, list[Op]] = {}  # in order of their last ops
    for op in graph.ops:
        kernel = kernel_of.get(op.name)
        if kernel is not None:
            steps[kernel] = [*steps.pop(kernel, ()), op]
        elif op.in_place or op.kind not in ALIASING:
            steps[op.name] = [op]
    return Schedule(graph.ops, tuple([tuple(ops) for ops in steps.values()]))


def lifetimes(graph: Graph, plan: Schedule, model: ExecutorModel) -> tuple[Lifetime, ...]:
    """Alive intervals of all activations that are materialised, graph inputs included.

    Weights are left out. The caller holds graph inputs, and expects graph outputs, until the run ends. A tensor that
    never leaves its kernel (of several ops, and none of another kernel reads it) is not materialised.
    """
    end = max(1, len(plan.steps))
    storage_of = activation_storages(graph)
    first: dict[str, int] = dict.fromkeys(graph.inputs, 0)
    last: dict[str, int] = {}
    pinned = {storage for name in graph.outputs if (storage := storage_of.get(name))} | set(graph.inputs)
    escaped = set(pinned)
    for index, ops in enumerate(plan.steps):
        for op in ops:
            for name in op.inputs:
                if (storage := storage_of.get(name)) is not None:
                    last[storage] = index
            for name in op.outputs:
                if (storage := storage_of.get(name)) is not None:
                    first.setdefault(storage, index)
                    last[storage] = index
                    if len(ops) == 1:
                        escaped.add(storage)
    escaped.update([storage for storage, start in first.items() if last.get(storage, start) > start])
    last.update(dict.fromkeys(pinned & first.keys(), end - 1))
    if model.executor is Executor.EAGER:
        _hold_arguments(graph, plan, storage_of, last)
    if model.keeps_weight_casts:
        last.update(dict.fromkeys(_weight_casts(graph) & first.keys(), end - 1))
    tensors, unit_bytes = graph.tensors, model.alignment_bytes
    alive = {
        name: Lifetime(name, -(-tensors[name].size_bytes // unit_bytes) * unit_bytes, start, last[name] + 1)
        for name, start in first.items()
        if name in escaped
    }
    if model.reuses_inputs:
        _reuse_inputs(plan, storage_of, alive, pinned)
    return tuple(alive.values())


def _weight_casts(graph: Graph) -> set[str]:
    tensors = graph.tensors
    return {
        op.outputs[0]
        for op in graph.ops
        if op.kind is OpKind.CAST and tensors[op.inputs[0]].role is TensorRole.PARAMETER
    }


def _hold_arguments(graph: Graph, plan: Schedule, storage_of: Mapping[str, str], last: dict[str, int]) -> None:
    """Keep what a module call received until it returns: the interpreter's argument tuple owns it.

    Local variables that a ``forward`` keeps without need are not modelled: their names are not in the graph.
    """
    if not graph.module_calls:
        return
    producer_step = {name: plan.step_of[op.name] for op in graph.ops for name in op.outputs}
    for call in graph.module_calls:
        returned = max((producer_step.get(name, 0) for name in call.outputs), default=0)
        for name in call.inputs:
            storage = storage_of.get(name)
            if storage is not None and last.get(storage, returned) < returned:
                last[storage] = returned


def _reuse_inputs(plan: Schedule, storage_of: Mapping[str, str], alive: dict[str, Lifetime], pinned: set[str]) -> None:
    """Let a pointwise kernel write over an operand of the same size that dies with it."""
    moved: dict[str, str] = {}
    for index, ops in enumerate(plan.steps):
        if ops[0].kind not in _POINTWISE or any(op.kind not in _POINTWISE for op in ops):
            continue
        for result in [n for op in ops for n in op.outputs if n in alive]:
            for name in [n for op in ops for n in op.inputs]:
                storage = storage_of.get(name, name)
                storage = moved.get(storage, storage)
                operand, target = alive.get(storage), alive[result]
                if operand is None or storage in pinned or storage == result or operand.end_step != index + 1:
                    continue
                if operand.first_step < index and operand.size_bytes == target.size_bytes:
                    alive[storage] = operand._replace(end_step=target.end_step)
                    if result in pinned:
                        pinned.add(storage)
                    moved[result] = storage
                    del alive[result]
                    break
