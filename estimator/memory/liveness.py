"""Which storages are alive at which step.

A *storage* is memory that one or more tensors share: a view, an identity and an in-place result live
in the storage of their op's input 0, so that a view keeps its base alive. A *step* is one kernel
launch. A storage is alive during the half-open interval ``[first_step, end_step)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from estimator.ir.graph import Graph
from estimator.ir.op import Op, OpKind
from estimator.ir.storage import ALIASING, storage_of
from estimator.ir.tensor import TensorRole
from estimator.memory.executor import Executor, ExecutorModel

_POINTWISE = frozenset({OpKind.ACTIVATION, OpKind.UNARY, OpKind.BINARY, OpKind.TERNARY})


@dataclass(frozen=True, slots=True)
class Lifetime:
    """One storage and when it is alive.

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


@dataclass(frozen=True, slots=True)
class Schedule:
    """The steps of a run.

    Attributes
    ----------
    steps : tuple of tuple of Op
        Ops of each launch, in execution order; ops that launch nothing are in no step.
    step_of : mapping of op name to step
        Of every op, also those that launch nothing: they happen with the next launch.
    """

    steps: tuple[tuple[Op, ...], ...]
    step_of: Mapping[str, int]


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
    position = {op.name: i for i, op in enumerate(graph.ops)}
    last: dict[int, int] = {}
    for name, kernel in kernel_of.items():
        if name in position:
            last[kernel] = max(last.get(kernel, 0), position[name])
    members: dict[int, list[Op]] = {}
    for i, op in enumerate(graph.ops):
        kernel_index = kernel_of.get(op.name)
        if kernel_index is not None:
            members.setdefault(last[kernel_index], []).append(op)
        elif op.in_place or op.kind not in ALIASING:
            members.setdefault(i, []).append(op)
    steps = tuple(tuple(members[key]) for key in sorted(members))
    step_of = {op.name: index for index, ops in enumerate(steps) for op in ops}
    following = len(steps) - 1
    for op in reversed(graph.ops):
        following = step_of.setdefault(op.name, following)
    return Schedule(steps, step_of)


def lifetimes(graph: Graph, plan: Schedule, model: ExecutorModel) -> tuple[Lifetime, ...]:
    """Alive intervals of all activations that are materialised, graph inputs included.

    Weights are left out. The caller holds graph inputs, and expects graph outputs, until the run ends. A tensor that
    never leaves its kernel is not materialised.
    """
    step_count = max(1, len(plan.steps))
    owner = storage_of(graph)
    first: dict[str, int] = dict.fromkeys(graph.inputs, 0)
    last: dict[str, int] = {}
    for index, ops in enumerate(plan.steps):
        for op in ops:
            for name in op.inputs:
                last[owner.get(name, name)] = index
            for name in op.outputs:
                storage = owner.get(name, name)
                first.setdefault(storage, index)
                last[storage] = index
    pinned = {owner.get(name, name) for name in graph.outputs} | set(graph.inputs)
    last.update(dict.fromkeys(pinned & first.keys(), step_count - 1))
    escaped = _escaping(plan, owner) | pinned
    if model.executor is Executor.EAGER:
        _hold_arguments(graph, plan, owner, last)
    if model.keeps_weight_casts:
        last.update(dict.fromkeys(_weight_casts(graph) & first.keys(), step_count - 1))
    tensors = graph.tensors
    alive = {
        name: Lifetime(name, _rounded(tensors[name].size_bytes, model.alignment_bytes), start, last[name] + 1)
        for name, start in first.items()
        if name in escaped and not tensors[name].is_weight
    }
    if model.reuses_inputs:
        _reuse_inputs(plan, owner, alive, pinned)
    return tuple(alive.values())


def _rounded(size_bytes: int, alignment_bytes: int) -> int:
    return -(-size_bytes // alignment_bytes) * alignment_bytes


def _escaping(plan: Schedule, owner: Mapping[str, str]) -> set[str]:
    """Storages that live outside a kernel: read by another than their writer's, or written by a kernel of one op."""
    writer: dict[str, int] = {}
    escaped: set[str] = set()
    for index, ops in enumerate(plan.steps):
        alone = len(ops) == 1
        for op in ops:
            for name in op.inputs:
                storage = owner.get(name, name)
                if writer.get(storage, index) != index:
                    escaped.add(storage)
            for name in op.outputs:
                storage = owner.get(name, name)
                writer.setdefault(storage, index)
                if alone:
                    escaped.add(storage)
    return escaped


def _weight_casts(graph: Graph) -> set[str]:
    tensors = graph.tensors
    return {
        op.outputs[0]
        for op in graph.ops
        if op.kind is OpKind.CAST and tensors[op.inputs[0]].role is TensorRole.PARAMETER
    }


def _hold_arguments(graph: Graph, plan: Schedule, owner: Mapping[str, str], last: dict[str, int]) -> None:
    """Keep what a module call received until it returns: the interpreter's argument tuple owns it.

    Local variables that a ``forward`` keeps without need are not modelled: their names are not in the graph.
    """
    producer_step = {name: plan.step_of[op.name] for op in graph.ops for name in op.outputs}
    for call in graph.module_calls:
        returned = max((producer_step.get(name, 0) for name in call.outputs), default=0)
        for name in call.inputs:
            storage = owner.get(name, name)
            if last.get(storage, returned) < returned:
                last[storage] = returned


def _reuse_inputs(plan: Schedule, owner: Mapping[str, str], alive: dict[str, Lifetime], pinned: set[str]) -> None:
    """Let a pointwise kernel write over an operand of the same size that dies with it."""
    moved: dict[str, str] = {}
    for index, ops in enumerate(plan.steps):
        if any(op.kind not in _POINTWISE for op in ops):
            continue
        for result in [n for op in ops for n in op.outputs if n in alive]:
            for name in [n for op in ops for n in op.inputs]:
                storage = owner.get(name, name)
                storage = moved.get(storage, storage)
                operand, target = alive.get(storage), alive[result]
                if operand is None or storage in pinned or storage == result or operand.end_step != index + 1:
                    continue
                if operand.first_step < index and operand.size_bytes == target.size_bytes:
                    alive[storage] = replace(operand, end_step=target.end_step)
                    if result in pinned:
                        pinned.add(storage)
                    moved[result] = storage
                    del alive[result]
                    break
