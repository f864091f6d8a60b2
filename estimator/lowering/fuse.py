"""Apply a runtime's ordered rule list to a graph: which ops become one kernel.

Every op starts as a group of its own. Rules are tried in order; a rule looks at each producer →
consumer edge in execution order and merges the two groups when its predicates hold, the merged group
keeps at most one anchor (a product or a reduction), and no path leaves and re-enters the group.
What crosses a group's boundary is its traffic; what stays inside costs nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from estimator.costs.registry import is_costed
from estimator.ir.graph import Graph
from estimator.ir.op import Op, OpKind
from estimator.lowering.classify import FREE_KINDS, REORDERING_VIEWS, function_of
from estimator.lowering.constants import constant_results
from estimator.lowering.group import group_kernels
from estimator.lowering.kernel import KernelGraph
from estimator.lowering.known import Known, KnownGroup, OpFacts
from estimator.lowering.rule import RuntimeRules, Target


class Edges(NamedTuple):
    """Who writes and who reads what; kernel ops by index, each once."""

    producers: list[list[int]]  # of each kernel op
    readers: dict[str, list[int]]  # of each kernel op's results and their views
    writer: dict[str, int]  # likewise


class Lowering:
    """One graph being lowered; it is the context that the rules ask."""

    def __init__(self, graph: Graph, target: Target, known: Known) -> None:
        self.graph = graph
        self.target = target
        self.rules = known.rules
        self._known = known
        self._type_of = known.types.of(graph.tensors)
        self._root: dict[str, str] = {}
        self._folded = constant_results(graph) if self.rules.folds_constants else frozenset()
        self._not_own = set(self._folded)  # tensors of which `root` or `is_constant` says more than their specs
        self._roles: Mapping[str, Hashable] = {}
        kernel_ops: list[Op] = []
        facts: list[OpFacts] = []
        for op in graph.ops:
            if self._folded and op.outputs and self._folded.issuperset(op.outputs):
                continue
            fact = self._facts_of(op)
            if (
                fact.free
                or (op.kind in FREE_KINDS and not self.rules.materialises(op, self))
                or (op.kind is OpKind.COPY and self.rules.elides(op, self))
            ):
                if op.inputs:
                    self._root.update(dict.fromkeys(op.outputs, self.root(op.inputs[0])))
                    self._not_own.update(op.outputs)
            else:
                kernel_ops.append(op)
                facts.append(fact)
        self.kernel_ops = tuple(kernel_ops)
        self._roles = self.rules.roles(self)
        for index, op in enumerate(kernel_ops if self._roles else ()):
            if op.name in self._roles:
                facts[index] = self._facts_of(op, self._roles[op.name])
        self.facts = tuple(facts)
        self.group_of = list(range(len(kernel_ops)))
        self.members: dict[int, list[int]] = {i: [i] for i in self.group_of}  # ascending
        self.anchors = [int(fact.anchor) for fact in facts]  # of each group

    def _facts_of(self, op: Op, role: Hashable = None) -> OpFacts:
        known, type_of, inputs = self._known, self._type_of.__getitem__, op.inputs
        plain = self._not_own.isdisjoint(inputs) and (len(inputs) < 2 or len(set(inputs)) == len(inputs))
        key = (
            op.kind, known.number_of(op.attrs), op.in_place,
            tuple(map(type_of, inputs)), tuple(map(type_of, op.outputs)),
            None if plain else self._sharing(inputs),
            role,
        )  # fmt: skip
        facts = known.facts.get(key)
        if facts is None:
            facts = known.facts[key] = OpFacts.of(op, self, self.rules)
        return facts

    def _sharing(self, names: Sequence[str]) -> Hashable:
        """Tell what equality, `root` and `is_constant` say of an op's inputs."""
        roots = [self.root(name) for name in names]
        return (
            tuple(map(names.index, names)),
            tuple(map(roots.index, roots)),
            tuple([self._type_of[root] for root in roots]),
            tuple([root == name for root, name in zip(roots, names, strict=True)]),
            tuple(map(self.is_constant, names)),
        )

    def root(self, tensor: str) -> str:
        """Return the tensor whose storage `tensor` shares through metadata-only ops."""
        return self._root.get(tensor, tensor)

    def role(self, op: Op) -> Hashable:
        """Return what the runtime's `roles` say of `op`."""
        return self._roles.get(op.name)

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
    def _edges(self) -> Edges:
        views: dict[str, list[str]] = {}
        for view, root in self._root.items():
            views.setdefault(root, []).append(view)
        writer: dict[str, int] = {}
        readers: dict[str, list[int]] = {}
        producers: list[list[int]] = []
        for index, op in enumerate(self.kernel_ops):
            sources: list[int] = []
            for name in op.inputs:
                source = writer.get(name)
                if source is None:
                    continue
                if source not in sources:
                    sources.append(source)
                if index not in readers[name][-1:]:
                    readers[name].append(index)
            producers.append(sources)
            for name in op.outputs:
                writer[name] = index
                readers[name] = []
                for view in views.get(name, ()):
                    writer[view], readers[view] = index, readers[name]
        return Edges(producers, readers, writer)

    @cached_property
    def _kept_outputs(self) -> frozenset[str]:
        return frozenset(self.root(name) for name in self.graph.outputs)

    def use_count(self, op: Op) -> int:
        """How many kernel ops read `op`'s first output; graph outputs count as one more."""
        name = op.outputs[0]
        return len(self._edges.readers[name]) + (name in self._kept_outputs)

    def kernel_op_behind(self, tensor: str) -> Op | None:
        """Return the op that launches what computes `tensor`."""
        index = self._edges.writer.get(tensor)
        return None if index is None else self.kernel_ops[index]

    def kernel_readers(self, tensor: str) -> list[Op]:
        """Return the ops that launch something and read what another one computed as `tensor`."""
        return [self.kernel_ops[index] for index in self._edges.readers.get(tensor, ())]

    # -- merging ---------------------------------------------------------------------------------

    def fuse(self) -> None:
        """Apply all rules in order."""
        rules = self.rules.rules
        if not rules:
            return
        consumers: list[list[int]] = [[] for _ in rules]
        for index, facts in enumerate(self.facts):
            for position in facts.consumes:
                consumers[position].append(index)
        producers = self._edges.producers
        for position, rule in enumerate(rules):
            for consumer in consumers[position]:
                if rule.among is not None and not rule.among(self.kernel_ops[consumer], self):
                    continue
                for producer in producers[consumer]:
                    if not self.facts[producer].produces[position]:
                        continue
                    first, second = self.group_of[producer], self.group_of[consumer]
                    if first == second or (rule.single_use and self.use_count(self.kernel_ops[producer]) > 1):
                        continue
                    ops, last = self.kernel_ops, self.members[second][-1]
                    if rule.between is not None and not rule.between(ops[producer], ops[consumer], ops[last], self):
                        continue
                    self._merge(first, second, joins_anchors=rule.joins_anchors)

    def _merge(self, first: int, second: int, *, joins_anchors: bool) -> None:
        """Merge a group into that of one of its producers, unless it would have two anchors or be in a cycle."""
        if (self.anchors[first] + self.anchors[second] > 1 and not joins_anchors) or self._leads_around(first, second):
            return
        moved = self.members.pop(second)
        for i in moved:
            self.group_of[i] = first
        self.members[first] = sorted(self.members[first] + moved)
        self.anchors[first] += self.anchors[second]

    def _leads_around(self, first: int, second: int) -> bool:
        """Whether a path leads from a group to its consumer through other groups: merged, the two would be in a cycle.

        A group on such a path has a member behind the first one's first.
        """
        producers, members, group_of = self._edges.producers, self.members, self.group_of
        waiting = [group_of[p] for i in members[second] for p in producers[i] if group_of[p] != first]
        lowest, seen = members[first][0], {second}
        while waiting:
            group = waiting.pop()
            if group == first:
                return True
            if group not in seen and members[group][-1] >= lowest:
                seen.add(group)
                waiting += [group_of[p] for i in members[group] for p in producers[i]]
        return False

    # -- kernels ---------------------------------------------------------------------------------

    def groups(self) -> Iterator[tuple[list[Op], KnownGroup]]:
        """Yield the ops of each group and what they launch, in an executable order."""
        if len(self.members) == len(self.kernel_ops):  # nothing was merged
            for op, facts in zip(self.kernel_ops, self.facts, strict=True):
                yield [op], self._launched([op], (facts,), facts, op.outputs)
            return
        for members in self._in_execution_order():
            ops = [self.kernel_ops[i] for i in members]
            if len(ops) == 1:
                facts = self.facts[members[0]]
                yield ops, self._launched(ops, (facts,), facts, ops[0].outputs)
            else:
                leaving, all_facts = self._leaving(ops, members), tuple([self.facts[i] for i in members])
                yield ops, self._launched(ops, all_facts, (all_facts, self._wiring(ops, leaving)), leaving)

    def _launched(
        self, ops: list[Op], facts: tuple[OpFacts, ...], parts: Hashable, leaving: Collection[str]
    ) -> KnownGroup:
        """Return what a group launches; `parts` is all that decides it but for the ops around."""
        barred = self._barred(ops, facts) if self._conditional else ()
        key = (parts, barred) if barred else parts
        known = self._known.groups.get(key)
        if known is None:
            costs = [one.cost for one in facts]
            known = self._known.add_group(key, group_kernels(ops, costs, leaving, self, self.rules, barred))
        return known

    @cached_property
    def _conditional(self) -> bool:
        return any([facts.conditional for facts in self.facts])

    def _barred(self, ops: list[Op], facts: tuple[OpFacts, ...]) -> tuple[tuple[int, int], ...]:
        """Positions of ops and of expansions that would apply to them but for the ops around."""
        return tuple(
            (position, index)
            for position, (op, one) in enumerate(zip(ops, facts, strict=True))
            for index in one.conditional
            if (among := self.rules.expansions[index].among) is not None and not among(op, self)
        )

    def _wiring(self, ops: list[Op], leaving: Collection[str]) -> Hashable:
        """Tell which storages the ops of a group share, by where each comes first, and which results leave it."""
        root, first = self._root, dict[str, int]()
        names = [root.get(name, name) for op in ops for name in (*op.inputs, *op.outputs)]
        shared = [first.setdefault(name, position) for position, name in enumerate(names)]
        return tuple(shared), tuple([name in leaving for op in ops for name in op.outputs])

    def _leaving(self, ops: list[Op], members: list[int]) -> set[str]:
        """Results that ops outside the group read, or that the caller gets."""
        readers = self._edges.readers
        inside, kept = set(members), self._kept_outputs
        return {name for op in ops for name in op.outputs if name in kept or not inside.issuperset(readers[name])}

    def _in_execution_order(self) -> Iterator[list[int]]:
        """Yield groups so that each comes after those it reads from; by last op where that leaves a choice."""
        producers, group_of = self._edges.producers, self.group_of
        done: set[int] = set()
        for start in sorted(self.members, key=lambda g: self.members[g][-1]):
            stack = [start]
            while stack:
                group = stack[-1]
                if group in done:
                    stack.pop()
                    continue
                sources = {group_of[p] for i in self.members[group] for p in producers[i]} - {group}
                if not done.issuperset(sources):
                    stack.extend(sorted(sources - done, reverse=True))
                else:
                    done.add(stack.pop())
                    yield self.members[group]


@dataclass(frozen=True, slots=True)
class LoweredRows:
    """A graph lowered to rows of the kernel table of what is known.

    Attributes
    ----------
    rows : list of int
        Rows of `Known.table`, in order of launch.
    fused : list of tuple of str
        Names of the ops of each group that launches something.
    """

    rows: list[int]
    fused: list[tuple[str, ...]]


def lower_to_rows(graph: Graph, target: Target, known: Known) -> LoweredRows:
    """Lower one of many graphs, as `lower` does, to what a batch needs.

    Parameters
    ----------
    known : Known
        Shared by graphs that are lowered with the same rules for the same target.
    """
    rows: list[int] = []
    fused: list[tuple[str, ...]] = []
    for ops, group in _lowered(graph, target, known).groups():
        rows += group.rows
        if group.rows:
            fused.append(tuple([op.name for op in ops]))
    return LoweredRows(rows, fused)


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
    groups = list(_lowered(graph, target, Known(rules)).groups())
    return KernelGraph(
        graph.name,
        rules.name,
        kernels=tuple([kernel for ops, group in groups for kernel in group.kernels.named(ops)]),
        uncovered=tuple([op.name for ops, _ in groups for op in ops if not is_costed(op.kind)]),
        input_bytes=sum(graph.tensors[n].size_bytes for n in graph.inputs),
        output_bytes=sum(graph.tensors[n].size_bytes for n in graph.outputs),
    )


def _lowered(graph: Graph, target: Target, known: Known) -> Lowering:
    lowering = Lowering(graph, target, known)
    lowering.fuse()
    return lowering
