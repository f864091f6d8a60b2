"""What a runtime's rule list is written in, and what its rules may see.

Most rules look at one op: its kind and attributes, its tensors, and the storages that these are views of (`OpContext`).
Such an answer is the same wherever an equal op stands, so that it is asked once for each distinct op. The few that look
at other ops say so in their type (`GraphContext`). What takes a walk through the graph is looked for once and is then a
role that an op has, as it has a kind (`RuntimeRules.roles`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from estimator.catalogue.device import UnitKind
from estimator.dtypes import DType, Precision
from estimator.ir.graph import Graph, SpecBook
from estimator.ir.op import Op
from estimator.lowering.kernel import Kernel, KernelClass, passing_kernel


@dataclass(frozen=True, slots=True)
class Target:
    """What a lowering may know of where it runs.

    Attributes
    ----------
    torch_version : tuple of int or None
        Of the PyTorch that runs it, major and minor; None for a current one.
    """

    unit_kind: UnitKind
    precision: Precision
    layout: str
    torch_version: tuple[int, int] | None = None


class OpContext(Protocol):
    """What a rule may ask about the tensors of an op; equal ops have equal answers.

    Names stand for tensors: which of them are the same may matter, what they are called must not.
    """

    @property
    def graph(self) -> SpecBook:
        """Specs of the op's tensors."""

    @property
    def target(self) -> Target:
        """Where the graph will run."""

    def root(self, tensor: str) -> str:
        """Return the tensor whose storage `tensor` shares through metadata-only ops."""

    def is_constant(self, tensor: str) -> bool:
        """Whether the compiled graph holds `tensor` as a literal: a weight, or folded from weights."""

    def role(self, op: Op) -> Hashable:
        """Return what the runtime's `roles` say of `op`, if anything; ops in different roles are not equal."""


class GraphContext(OpContext, Protocol):
    """What a rule may ask about the ops around."""

    @property
    def knows_strides(self) -> bool:
        """Whether the graph's source records strides, so that a tensor without any is in row-major order."""

    @property
    def stores_channels_last(self) -> bool:
        """Whether the source's own tensors are [n, *s, c], as TFLite's and TensorFlow's are."""

    def producer_in_graph(self, tensor: str) -> Op | None:
        """Return the op that computes `tensor`, through reshapes and identities."""

    def readers_in_graph(self, tensor: str) -> list[Op]:
        """Return the ops that use `tensor`, through reshapes and identities."""


class KernelContext(GraphContext, Protocol):
    """What may be asked once it is known which ops launch something."""

    @property
    def kernel_ops(self) -> Sequence[Op]:
        """All that launch something, in order."""

    def kernel_op_behind(self, tensor: str) -> Op | None:
        """Return the op that launches what computes `tensor`."""

    def kernel_readers(self, tensor: str) -> list[Op]:
        """Return the ops that launch something and read what another one computed as `tensor`."""

    def use_count(self, op: Op) -> int:
        """How many of them read `op`'s first output; graph outputs count as one more."""


OpPredicate = Callable[[Op, OpContext], bool]
EdgePredicate = Callable[[Op, Op, Op, KernelContext], bool]
GraphPredicate = Callable[[Op, GraphContext], bool]
KernelPredicate = Callable[[Op, KernelContext], bool]


@dataclass(frozen=True, slots=True)
class FusionRule:
    """Merge a consumer's kernel into its producer's.

    Attributes
    ----------
    single_use : bool
        Only when nothing else reads the producer's result.
    among : predicate
        What must hold of the ops around the consumer, too.
    between : predicate
        What must hold of the producer, the consumer and the last op of its kernel together.
    joins_anchors : bool
        The kernel may have several anchors.
    why, source : str
        The reason and where the runtime documents or implements it.
    """

    name: str
    producer: OpPredicate
    consumer: OpPredicate
    why: str
    source: str
    single_use: bool = False
    among: KernelPredicate | None = None
    between: EdgePredicate | None = None
    joins_anchors: bool = False


@dataclass(frozen=True, slots=True)
class Expansion:
    """Launches that a runtime adds around a kernel (bias adds, layout conversions), or runs instead of it.

    Attributes
    ----------
    replaces : bool
        The kernels stand for the whole op: its own kernel is dropped.
    among : predicate
        What must hold of the ops around, too.
    """

    name: str
    applies: OpPredicate
    kernels: Callable[[Op, OpContext, Kernel], Iterable[Kernel]]
    why: str
    source: str
    replaces: bool = False
    among: GraphPredicate | None = None


def passes_input(
    name: str, kernel_class: KernelClass, *, in_loop: bool = False
) -> Callable[[Op, OpContext, Kernel], Iterable[Kernel]]:
    """Make the `kernels` of an expansion that reads an op's first input and writes it in another order.

    Parameters
    ----------
    in_loop : bool
        In generated code, whose loops are timed by their elements.
    """

    def kernels(op: Op, context: OpContext, kernel: Kernel) -> Iterable[Kernel]:
        x = context.graph.tensors[op.inputs[0]]
        yield passing_kernel(kernel, name, kernel_class, x.size_bytes, elements=x.numel if in_loop else 0)

    return kernels


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
    elides : predicate
        Copies that this runtime does not run: their elements are in order already.
    roles : function
        What ops are to those around them, by name, where that takes a walk through the graph; without names in it.
    folds_constants : bool
        Ops that depend on weights and literals alone run when the graph is compiled.
    refine : function
        What the runtime's generated code adds to a kernel of these ops.
    activations_in : function
        Type that activations are computed in where the runtime only simulates a precision.
    rewrite : function
        What the runtime makes of a graph, in the dtypes it runs in, before anything is fused.
    """

    name: str
    rules: tuple[FusionRule, ...]
    expansions: tuple[Expansion, ...] = ()
    anchor: OpPredicate = lambda op, context: False
    free: OpPredicate = lambda op, context: False
    materialises: GraphPredicate = lambda op, context: False
    elides: GraphPredicate = lambda op, context: False
    roles: Callable[[KernelContext], Mapping[str, Hashable]] = lambda context: {}
    folds_constants: bool = False
    refine: Callable[[Kernel, Sequence[Op], OpContext], Kernel] = lambda kernel, ops, context: kernel
    activations_in: Callable[[Target], DType | None] = lambda target: None
    rewrite: Callable[[Graph, Target], Graph] = lambda graph, target: graph
