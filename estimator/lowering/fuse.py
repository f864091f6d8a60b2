"""Apply a runtime's ordered rule list to a graph: which ops become one kernel.

Every op starts as a group of its own. Rules are tried in order; a rule looks at each producer →
consumer edge in execution order and merges the two groups when its predicates hold, the merged group
keeps at most one anchor (a product or a reduction), and no path leaves and re-enters the group.
What crosses a group's boundary is its traffic; what stays inside costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final

from estimator.catalogue.device import UnitKind
from estimator.costs.opcost import OpCost
from estimator.costs.registry import cost_of_op
from estimator.dtypes import DType, Precision
from estimator.ir.graph import Graph
from estimator.ir.op import Op, OpKind
from estimator.lowering.classify import (
    FREE_KINDS,
    REORDERING_VIEWS,
    function_of,
    gemm_of,
    kernel_class,
    launches_of,
    window_of,
)
from estimator.lowering.constants import constant_results
from estimator.lowering.kernel import Gemm, Kernel, KernelClass, KernelGraph


@dataclass(frozen=True, slots=True)
class Target:
    """What a lowering may know of where it runs."""

    unit_kind: UnitKind
    precision: Precision
    layout: str


OpPredicate = Callable[[Op, "Lowering"], bool]


@dataclass(frozen=True, slots=True)
class FusionRule:
    """Merge a consumer's kernel into its producer's.

    Attributes
    ----------
    single_use : bool
        Only when nothing else reads the producer's result.
    why, source : str
        The reason and where the runtime documents or implements it.
    """

    name: str
    producer: OpPredicate
    consumer: OpPredicate
    why: str
    source: str
    single_use: bool = False


@dataclass(frozen=True, slots=True)
class Expansion:
    """Launches that a runtime adds around a kernel (bias adds, layout conversions), or runs instead of it.

    Attributes
    ----------
    replaces : bool
        The kernels stand for the whole op: its own kernel is dropped.
    """

    name: str
    applies: OpPredicate
    kernels: Callable[[Op, Lowering, Kernel], Iterable[Kernel]]
    why: str
    source: str
    replaces: bool = False


@dataclass(frozen=True, slots=True)
class RuntimeRules:
    """A runtime as data.

    Attributes
    ----------
    free : predicate
        Ops that launch nothing on this runtime, beyond metadata-only ones.
    anchor : predicate
        At most one such op per kernel (a product or a reduction).
    materialises : predicate
        Metadata-only ops that this runtime runs all the same: its tensors have no strides.
    folds_constants : bool
        Ops that depend on weights and literals alone run when the graph is compiled.
    refine : function
        What the runtime's generated code adds to a kernel of these ops.
    """

    name: str
    rules: tuple[FusionRule, ...]
    expansions: tuple[Expansion, ...] = ()
    anchor: OpPredicate = lambda op, lowering: False
    free: OpPredicate = lambda op, lowering: False
    materialises: OpPredicate = lambda op, lowering: False
    folds_constants: bool = False
    refine: Callable[[Kernel, Sequence[Op], Lowering], Kernel] = lambda kernel, ops, lowering: kernel


class Lowering:
    """One graph being lowered; predicates may ask it about tensors and their producers."""

    def __init__(self, graph: Graph, target: Target, rules: RuntimeRules) -> None:
        self.graph = graph
        self.target = target
        self.rules = rules
        self._root: dict[str, str] = {}
        self._free: set[str] = set()
        self._folded = constant_results(graph) if rules.folds_constants else frozenset()
        for op in graph.ops:
            if op.outputs and self._folded.issuperset(op.outputs):
                self._free.add(op.name)
            elif (op.kind in FREE_KINDS and not rules.materialises(op, self)) or rules.free(op, self):
                self._free.add(op.name)
                if op.inputs:
                    for name in op.outputs:
                        self._root[name] = self.root(op.inputs[0])
        self.kernel_ops = tuple(op for op in graph.ops if op.name not in self._free)
        self.position = {op.name: i for i, op in enumerate(self.kernel_ops)}
        self.group_of = list(range(len(self.kernel_ops)))
        self.members: dict[int, list[int]] = {i: [i] for i in range(len(self.kernel_ops))}

    def root(self, tensor: str) -> str:
        """Return the tensor whose storage `tensor` shares through metadata-only ops."""
        return self._root.get(tensor, tensor)

    @cached_property
    def _graph_producers(self) -> dict[str, Op]:
        return {name: op for op in self.graph.ops for name in op.outputs}

    @cached_property
    def _graph_readers(self) -> dict[str, list[Op]]:
        readers: dict[str, list[Op]] = {}
        for op in self.graph.ops:
            for name in dict.fromkeys(op.inputs):
                readers.setdefault(name, []).append(op)
        return readers

    def producer_in_graph(self, tensor: str) -> Op | None:
        """Return the op that computes `tensor`, through reshapes and identities."""
        op = self._graph_producers.get(tensor)
        while op is not None and op.kind in FREE_KINDS and op.inputs and function_of(op) not in REORDERING_VIEWS:
            op = self._graph_producers.get(op.inputs[0])
        return op

    def readers_in_graph(self, tensor: str) -> list[Op]:
        """Return the ops that use `tensor`, through reshapes and identities."""
        found: list[Op] = []
        for op in self._graph_readers.get(tensor, ()):
            passes = op.kind in FREE_KINDS and op.outputs and function_of(op) not in REORDERING_VIEWS
            found.extend(self.readers_in_graph(op.outputs[0]) if passes else (op,))
        return found

    @cached_property
    def knows_strides(self) -> bool:
        """Whether the graph's source records strides, so that a tensor without any is in row-major order."""
        return any(tensor.strides is not None for tensor in self.graph.tensors.values())

    @cached_property
    def stores_channels_last(self) -> bool:
        """Whether the source's own tensors are [n, *s, c], as TFLite's and TensorFlow's are."""
        return any(getattr(op.attrs, "channels_last", False) for op in self.graph.ops)

    def is_constant(self, tensor: str) -> bool:
        """Whether the compiled graph holds `tensor` as a literal: a weight, or folded from weights."""
        root = self.root(tensor)
        return root in self._folded or self.graph.tensors[root].is_weight

    @cached_property
    def producer_index(self) -> dict[str, int]:
        """Index of the kernel op that writes each root tensor."""
        return {name: i for i, op in enumerate(self.kernel_ops) for name in op.outputs}

    @cached_property
    def reader_indices(self) -> dict[str, list[int]]:
        """Indices of the kernel ops that read each root tensor."""
        readers: dict[str, list[int]] = {}
        for i, op in enumerate(self.kernel_ops):
            for name in dict.fromkeys(self.root(n) for n in op.inputs):
                readers.setdefault(name, []).append(i)
        return readers

    @cached_property
    def _predecessors(self) -> list[tuple[int, ...]]:
        return [
            tuple(
                dict.fromkeys(
                    self.producer_index[r] for r in (self.root(n) for n in op.inputs) if r in self.producer_index
                )
            )
            for op in self.kernel_ops
        ]

    @cached_property
    def _kept_outputs(self) -> frozenset[str]:
        return frozenset(self.root(name) for name in self.graph.outputs)

    def producer(self, tensor: str) -> Op | None:
        """Return the kernel op behind `tensor`, through views."""
        index = self.producer_index.get(self.root(tensor))
        return None if index is None else self.kernel_ops[index]

    def use_count(self, op: Op) -> int:
        """How many kernel ops read `op`'s first output; graph outputs count as one more."""
        root = self.root(op.outputs[0])
        return len(self.reader_indices.get(root, ())) + (root in self._kept_outputs)

    def group_ops(self, op: Op) -> list[Op]:
        """All ops of the kernel that `op` is in."""
        return [self.kernel_ops[i] for i in self.members[self.group_of[self.position[op.name]]]]

    # -- merging ---------------------------------------------------------------------------------

    def fuse(self) -> None:
        """Apply all rules in order."""
        for rule in self.rules.rules:
            for consumer_index, consumer in enumerate(self.kernel_ops):
                if not rule.consumer(consumer, self):
                    continue
                for producer_index in self._predecessors[consumer_index]:
                    producer = self.kernel_ops[producer_index]
                    if self.group_of[producer_index] == self.group_of[consumer_index]:
                        continue
                    if not rule.producer(producer, self) or (rule.single_use and self.use_count(producer) > 1):
                        continue
                    self._merge(self.group_of[producer_index], self.group_of[consumer_index])

    def _merge(self, first: int, second: int) -> None:
        merged = self.members[first] + self.members[second]
        anchors = sum(self.rules.anchor(self.kernel_ops[i], self) for i in merged)
        if anchors > 1 or self._re_enters(merged):
            return
        for i in self.members.pop(second):
            self.group_of[i] = first
        self.members[first] = sorted(merged)

    def _re_enters(self, merged: list[int]) -> bool:
        """Whether a path leaves the merged group and comes back, which would be a cycle of kernels."""
        inside, lowest = set(merged), min(merged)
        seen: set[int] = set()
        stack = [p for i in merged for p in self._predecessors[i] if p not in inside]
        while stack:
            index = stack.pop()
            if index in inside:
                return True
            if index in seen or (index < lowest and max(self.members[self.group_of[index]]) < lowest):
                continue
            for member in self.members[self.group_of[index]]:
                seen.add(member)
                stack.extend(self._predecessors[member])
        return False

    # -- kernels ---------------------------------------------------------------------------------

    def kernels(self) -> KernelGraph:
        """Build the kernels, in an executable order."""
        uncovered: list[str] = []
        kernels: list[Kernel] = []
        for members in self._in_execution_order():
            ops = [self.kernel_ops[i] for i in members]
            kernel = self._kernel(ops, uncovered)
            main = next((op for op in ops if op.name == kernel.name), ops[0])
            kernels.append(kernel)
            for expansion in self.rules.expansions:
                if expansion.applies(main, self):
                    if expansion.replaces:
                        kernels.pop()
                    kernels.extend(expansion.kernels(main, self, kernel))
        tensors = self.graph.tensors
        return KernelGraph(
            self.graph.name,
            self.rules.name,
            tuple(kernels),
            tuple(uncovered),
            sum(tensors[n].size_bytes for n in self.graph.inputs),
            sum(tensors[n].size_bytes for n in self.graph.outputs),
        )

    def _in_execution_order(self) -> Iterator[list[int]]:
        """Yield groups so that each comes after those it reads from; by last op where that leaves a choice."""
        done: set[int] = set()
        for start in sorted(self.members, key=lambda g: max(self.members[g])):
            stack = [start]
            while stack:
                group = stack[-1]
                if group in done:
                    stack.pop()
                    continue
                waiting = (
                    {self.group_of[p] for i in self.members[group] for p in self._predecessors[i]} - done - {group}
                )
                if waiting:
                    stack.extend(sorted(waiting, reverse=True))
                else:
                    done.add(stack.pop())
                    yield self.members[group]

    def _kernel(self, ops: list[Op], uncovered: list[str]) -> Kernel:
        total = OpCost()
        costs: list[OpCost] = []
        for op in ops:
            cost = cost_of_op(op, self.graph)
            if cost is None:
                uncovered.append(op.name)
                cost = OpCost()
            costs.append(cost)
            total = total + cost
        main = ops[max(range(len(ops)), key=lambda i: (_priority(ops[i].kind), costs[i].flops, -i))]
        read, weights, strided = self._bytes_read(ops)
        written = self._bytes_written(ops)
        taps, stride = window_of(main)
        main_class = kernel_class(main, self.graph)
        if len(ops) > 1 and main_class in _POINTWISE_LIKE:
            main_class = _merged_class({kernel_class(op, self.graph) for op in ops})
        gemm = gemm_of(main, self.graph) if total.macs else Gemm()
        if main_class is KernelClass.MATMUL and self.target.unit_kind is UnitKind.GPU and gemm.m < FEW_ROWS:
            main_class = KernelClass.MATVEC
        kernel = Kernel(
            name=main.name,
            kernel_class=main_class,
            ops=tuple(op.name for op in ops),
            dtype=self._compute_dtype(main),
            macs=total.macs,
            other_flops=total.other_flops,
            bytes_read=read,
            bytes_written=written,
            weight_bytes=weights,
            gemm=gemm,
            taps=taps,
            stride=stride,
            channels=self._channels(main),
            launches=launches_of(main, self.graph),
            strided=strided,
            fused_ops=len(ops) - 1,
            scope=main.scope,
        )
        return self.rules.refine(kernel, ops, self)

    def _compute_dtype(self, op: Op) -> DType:
        for name in (*op.inputs, *op.outputs):
            dtype = self.graph.tensors[name].dtype
            if dtype.is_float or dtype in (DType.I8, DType.U8, DType.I16, DType.I4):
                return dtype
        return DType.F32

    def _channels(self, op: Op) -> int:
        if op.kind is OpKind.CONV:
            return self.graph.tensors[op.inputs[1]].shape[1]
        names = op.inputs or op.outputs
        shape = self.graph.tensors[names[0]].shape if names else ()
        return shape[-1] if shape else 1

    def _bytes_read(self, ops: list[Op]) -> tuple[int, int, bool]:
        """(bytes read from outside, of which weights, whether any of it is permuted)."""
        inside = {name for op in ops for name in op.outputs}
        sizes: dict[str, int] = {}
        weights, strided = 0, False
        for op in ops:
            for position, name in enumerate(op.inputs):
                root = self.root(name)
                if root in inside:
                    continue
                tensor, base = self.graph.tensors[name], self.graph.tensors[root]
                size = (
                    min(tensor.size_bytes, base.size_bytes)
                    if tensor.dtype.bits == base.dtype.bits
                    else tensor.size_bytes
                )
                if op.kind in _READ_IN_PART and position == 0:
                    size = min(size, sum(self.graph.tensors[o].size_bytes for o in op.outputs))
                if size > sizes.get(root, 0):
                    weights += (size - sizes.get(root, 0)) * self.is_constant(root)
                    sizes[root] = size
                strided = strided or _is_permuted(tensor.strides, tensor.shape)
        return sum(sizes.values()), weights, strided

    def _bytes_written(self, ops: list[Op]) -> int:
        indices = {self.position[op.name] for op in ops}
        written = 0
        for op in ops:
            for name in op.outputs:
                readers = self.reader_indices.get(name, ())
                if (
                    name in self._kept_outputs
                    or any(i not in indices for i in readers)
                    or (not readers and len(ops) == 1)
                ):
                    written += self.graph.tensors[name].size_bytes
        return written


FEW_ROWS: Final = 64
"""Rows of half a tile: with fewer, a product on any GPU takes as long as its weight takes to read. No network on record
has a batch as small."""
_READ_IN_PART = frozenset({OpKind.EMBEDDING, OpKind.GATHER, OpKind.VIEW, OpKind.COPY})
"""Ops that read no more of their first operand than they write."""
_PRIORITY = {
    OpKind.CONV: 5, OpKind.DEFORM_CONV: 5, OpKind.LINEAR: 5, OpKind.MATMUL: 5, OpKind.EINSUM: 5,
    OpKind.ATTENTION: 6, OpKind.RNN: 6, OpKind.SOFTMAX: 4, OpKind.REDUCE: 3, OpKind.ADAPTIVE_POOL: 3,
    OpKind.POOL: 2, OpKind.RESIZE: 2, OpKind.CONCAT: 1, OpKind.COPY: 1, OpKind.GATHER: 1,
}  # fmt: skip
_POINTWISE_LIKE = frozenset(
    {KernelClass.POINTWISE, KernelClass.NORM, KernelClass.CAST, KernelClass.COPY, KernelClass.TRANSPOSE,
     KernelClass.CONCAT, KernelClass.CAST_WEIGHT, KernelClass.GATHER}
)  # fmt: skip


def _priority(kind: OpKind) -> int:
    return _PRIORITY.get(kind, 0)


def _merged_class(classes: set[KernelClass]) -> KernelClass:
    """Class of a fused chain without a product or reduction: its least regular access decides."""
    for candidate in (KernelClass.GATHER, KernelClass.TRANSPOSE, KernelClass.CONCAT):
        if candidate in classes:
            return candidate
    return KernelClass.POINTWISE


def _is_permuted(strides: tuple[int, ...] | None, shape: tuple[int, ...]) -> bool:
    """Whether strides reorder the axes (rather than only skip or broadcast); channels-last is an order of its own."""
    if strides is None or channels_last(strides, shape):
        return False
    ordered = [s for s, n in zip(strides, shape, strict=True) if n > 1 and s > 0]
    return any(a < b for a, b in pairwise(ordered))


def channels_last(strides: tuple[int, ...] | None, shape: tuple[int, ...]) -> bool:
    """Whether a [n, c, *spatial] tensor is stored with channels innermost."""
    return strides is not None and len(shape) >= 4 and strides[1] == 1 and math.prod(shape[2:]) > 1


def lower(graph: Graph, rules: RuntimeRules, target: Target) -> KernelGraph:
    """Lower `graph` (dtypes already those of the precision) for one runtime.

    Parameters
    ----------
    graph : Graph
        After `lowering.precision.apply_precision`.

    Returns
    -------
    KernelGraph
        Kernels in an executable order; ops without a cost rule are in `uncovered`.
    """
    lowering = Lowering(graph, target, rules)
    lowering.fuse()
    return lowering.kernels()
