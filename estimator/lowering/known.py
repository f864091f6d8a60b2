"""What is worked out once for graphs of many equal ops: a cell's repeats, the candidates of a search.

An op's facts are kept by all that decides them: kind, attributes, the types of its tensors and of the storages they are
views of, and which of them are the same. Names decide nothing (`lowering.rule.OpContext`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from estimator.costs.opcost import OpCost
from estimator.costs.registry import cost_of_op
from estimator.ir.op import Attrs, Op
from estimator.ir.tensor import TensorSpec
from estimator.lowering.group import GroupKernels
from estimator.lowering.kernel import KernelRow, KernelTable, kernel_row
from estimator.lowering.rule import OpContext, RuntimeRules

T = TypeVar("T")
MOST_SPECS: Final = 20_000
"""Specs, or attributes, that are held at a time, some 4 MB; a batch whose networks share none forgets them."""


class OncePerSpec(Generic[T]):
    """A function of tensor specs, called once for each spec object: graphs of a search share most of theirs."""

    def __init__(self, function: Callable[[TensorSpec], T]) -> None:
        self._function = function
        self._results: dict[int, T] = {}  # by identity
        self._specs: list[TensorSpec] = []  # held, so that an identity stays one spec's

    def of(self, tensors: Mapping[str, TensorSpec]) -> dict[str, T]:
        """Return the result of every tensor, by name."""
        try:
            return self._by_name(tensors)
        except KeyError:
            self._add({id(spec): spec for spec in tensors.values()})
            return self._by_name(tensors)

    def one(self, spec: TensorSpec) -> T:
        """Return the result of a spec."""
        if id(spec) not in self._results:
            self._add({id(spec): spec})
        return self._results[id(spec)]

    def _add(self, specs: dict[int, TensorSpec]) -> None:
        """Work out what is not known of these; forget others that are too many."""
        new = {key: spec for key, spec in specs.items() if key not in self._results}
        if len(self._specs) + len(new) > MOST_SPECS:
            self._results.clear()
            self._specs.clear()
            new = specs
        self._specs += new.values()
        self._results.update(zip(new, map(self._function, new.values()), strict=True))

    def _by_name(self, tensors: Mapping[str, TensorSpec]) -> dict[str, T]:
        return dict(zip(tensors, map(self._results.__getitem__, map(id, tensors.values())), strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class OpFacts:
    """What a runtime's rules say of an op, wherever it stands.

    Attributes
    ----------
    cost : OpCost
        Nothing where it has no cost rule.
    free : bool
        The runtime launches nothing for it.
    produces : tuple of bool
        Whether it can be each fusion rule's producer.
    consumes : tuple of int
        Positions of the fusion rules whose consumer it can be.
    anchor : bool
        At most one such op per kernel.
    conditional : tuple of int
        Positions of expansions that apply if the ops around allow.
    """

    cost: OpCost
    free: bool
    anchor: bool
    produces: tuple[bool, ...]
    consumes: tuple[int, ...]
    conditional: tuple[int, ...]

    @classmethod
    def of(cls, op: Op, context: OpContext, rules: RuntimeRules) -> OpFacts:
        """Ask every rule."""
        return cls(
            cost=cost_of_op(op, context.graph) or OpCost(),
            free=rules.free(op, context),
            anchor=rules.anchor(op, context),
            produces=tuple(bool(op.outputs) and rule.producer(op, context) for rule in rules.rules),
            consumes=tuple(index for index, rule in enumerate(rules.rules) if rule.consumer(op, context)),
            conditional=tuple(
                index
                for index, expansion in enumerate(rules.expansions)
                if expansion.among is not None and expansion.applies(op, context)
            ),
        )


@dataclass(frozen=True, slots=True, eq=False)
class KnownGroup:
    """What equal groups launch, and the rows of the kernel table that this is."""

    kernels: GroupKernels
    rows: tuple[int, ...]


class Known:
    """Facts of the ops and groups that were met so far, under one runtime's rules on one target.

    It grows with the distinct ones, so that it is made for a graph, or for a number of them, and dropped.
    """

    def __init__(self, rules: RuntimeRules) -> None:
        self.rules = rules
        self.facts: dict[Hashable, OpFacts] = {}
        self.groups: dict[Hashable, KnownGroup] = {}
        self.types = OncePerSpec(self._type)
        self._types: dict[Hashable, int] = {}
        self._attrs: dict[int, tuple[Attrs, int]] = {}  # by identity
        self._numbers: dict[Attrs, int] = {}
        self._rows: dict[KernelRow, int] = {}

    def _type(self, spec: TensorSpec) -> int:
        key = (spec.shape, spec.dtype, spec.role, spec.quantised, spec.strides)
        return self._types.setdefault(key, len(self._types))

    def number_of(self, attrs: Attrs) -> int:
        """Return a number that equal attributes share."""
        known = self._attrs.get(id(attrs))
        if known is None:
            if len(self._attrs) == MOST_SPECS:
                self._attrs.clear()
            known = self._attrs[id(attrs)] = (attrs, self._numbers.setdefault(attrs, len(self._numbers)))
        return known[1]

    def add_group(self, key: Hashable, kernels: GroupKernels) -> KnownGroup:
        """Keep what the groups of a key launch."""
        rows = [self._rows.setdefault(kernel_row(kernel), len(self._rows)) for kernel in kernels.kernels]
        known = self.groups[key] = KnownGroup(kernels, tuple(rows))
        return known

    def __len__(self) -> int:
        """Count what is known: ops and groups."""
        return len(self.facts) + len(self.groups)

    def table(self) -> KernelTable:
        """All distinct kernels that were met."""
        return KernelTable.from_rows(list(self._rows))
