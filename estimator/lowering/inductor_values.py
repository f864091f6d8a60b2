"""Which values inductor writes to memory, and which it computes anew in every loop that reads them.

Inductor holds the result of a pointwise op as an expression and inlines it into what reads it. It stores ("realises")
one only where it must, because a library reads it, or where a heuristic says so: several readers of an expression of
more than four loads, more than eight loads, or a large expression. An expression that is not stored and has several
readers is computed by each of them, from what it loads. And autocast's pairs of casts cancel between ops that compute
in fp32 anyway, so that what is stored between a batch norm and a SiLU is fp32.

This is done to the graph: ops are copied to where they are computed, so that what fuses later is a matter of extents.

Sources are PyTorch 2.4 to 2.14: torch/_inductor/graph.py (run_node), torch/_inductor/ir.py (StorageBox.mark_reuse,
realize_hint, has_exceeded_max_reads), torch/_inductor/lowering.py (cat, max_pool2d, upsample),
torch/_inductor/fx_passes/joint_graph.py (pointless_convert), torch/_decomp/decompositions.py (pw_cast_for_opmath).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from estimator.catalogue.device import UnitKind
from estimator.dtypes import DType
from estimator.ir.graph import Graph, SpecBook
from estimator.ir.op import FunctionAttrs, Op, OpKind, PoolAttrs, ResizeAttrs
from estimator.ir.tensor import TensorSpec
from estimator.lowering.classify import FREE_KINDS, function_of
from estimator.lowering.patterns import (
    ELEMENTWISE_KINDS,
    PRODUCT_KINDS,
    REDUCTION_KINDS,
    computes_statistics,
    is_batch_norm,
)

READS_REUSED_MAX: Final = 4
"""Loads of an expression that several readers may each compute (config.realize_reads_threshold)."""
READS_MAX: Final = 8
"""Loads of any expression that is not stored (config.realize_acc_reads_threshold)."""
OPERATIONS_MAX: Final = 30
"""Operations of any expression that is not stored (config.realize_opcount_threshold)."""
POINTWISE_CONCAT_MAX: Final = 8
"""Inputs up to which a concatenation is one loop that picks its operand by position (config.max_pointwise_cat_inputs).
"""
UNROLLED_BELOW: Final = 8
HEAVY_FUNCTIONS: Final = frozenset({"exp", "sigmoid", "silu", "swish", "softplus", "mish"})
"""Functions made of exp or sigmoid, whose results a CPU stores for reuse (StorageBox.should_realize_on_reuse)."""
WINDOW_KINDS: Final = frozenset({OpKind.POOL, OpKind.RESIZE})
"""Loops that read several elements of their input, which is stored first if it takes more than one load."""
_MOVING_KINDS = frozenset({OpKind.COPY, OpKind.PAD, OpKind.GATHER, OpKind.EMBEDDING, OpKind.FILL})
_REDUCING_KINDS = REDUCTION_KINDS | {OpKind.NORM}
_RESIZE_READS: Mapping[str, int] = {"linear": 2, "bilinear": 4, "bicubic": 16, "trilinear": 8}
_WIDE_USES: Mapping[str, int] = {
    "silu": 2, "swish": 2, "gelu": 2, "gelu_tanh": 2, "hardswish": 2, "hardsigmoid": 1, "elu": 2, "selu": 2, "celu": 2,
    "leaky_relu": 2, "mish": 2, "softplus": 2,
}  # fmt: skip
"""Activations that are decomposed into ops on fp32, and how many of these read the input."""
_OPERATIONS: Mapping[str, int] = {
    "silu": 6, "swish": 6, "gelu": 9, "gelu_tanh": 14, "hardswish": 9, "hardsigmoid": 7, "elu": 8, "mish": 9,
}  # fmt: skip
_NORM_OPERATIONS: Final = 15
"""Of a batch norm: four loads, two differences, a root, a reciprocal, products, and what their constants take."""


def is_expression(op: Op, graph: SpecBook, kind: UnitKind) -> bool:
    """Whether inductor holds an op's result as an expression: a loop without a reduction or library call."""
    if computes_statistics(op, graph):
        return False
    if op.kind is OpKind.CONCAT:
        return kind is UnitKind.GPU and len(op.inputs) <= POINTWISE_CONCAT_MAX
    return (
        op.kind in ELEMENTWISE_KINDS
        or op.kind in _MOVING_KINDS
        or op.kind in WINDOW_KINDS
        or is_batch_norm(op)
        or is_unrolled(op, graph)
    )


def is_unrolled(op: Op, graph: SpecBook) -> bool:
    """Whether a reduction is over so few elements that it is spelled out (config.unroll_reductions_threshold)."""
    if op.kind is not OpKind.REDUCE:
        return False
    return graph.tensors[op.inputs[0]].numel < UNROLLED_BELOW * graph.tensors[op.outputs[0]].numel


@dataclass(frozen=True, slots=True)
class _Expression:
    """A value that is not stored.

    Attributes
    ----------
    op : Op
        What computes it.
    reads : frozenset
        Its loads.
    operations : int
        Of one element, roughly as inductor counts them.
    wide : bool
        It is computed in fp32 and rounded last.
    """

    op: Op
    reads: frozenset[Hashable]
    operations: int
    wide: bool


def as_inductor_stores(graph: Graph, kind: UnitKind) -> Graph:
    """Return `graph` with every op where inductor computes it, once for each loop that does.

    Parameters
    ----------
    graph : Graph
        In the dtypes it runs in.
    kind : UnitKind
        Of the unit that code is generated for: concatenations are loops on GPUs alone, and what takes an exp is
        computed once on CPUs.
    """
    walk = _Walk(graph, kind)
    for op in graph.ops:
        walk.visit(op)
    for name in graph.outputs:
        walk.store(name)
    return replace(graph, tensors=walk.tensors, ops=walk.named())


class _Walk:
    """Walks the ops in execution order, with the expressions that are not stored yet."""

    def __init__(self, graph: Graph, kind: UnitKind) -> None:
        self.graph = graph
        self.kind = kind
        self.tensors: dict[str, TensorSpec] = dict(graph.tensors)
        self.ops: list[Op] = []
        self._expressions: dict[str, _Expression] = {}
        self._outputs = frozenset(graph.outputs)
        self._copied: dict[str, int] = {}

    def visit(self, op: Op) -> None:
        """Keep an op as an expression, or append it after what it reads."""
        if op.kind in FREE_KINDS:
            self._view(op)
        elif is_expression(op, self.graph, self.kind):
            self._pointwise(op)
        elif op.kind is OpKind.CONCAT:
            self._concat(op)
        elif op.kind in PRODUCT_KINDS:
            self._product(op)
        else:
            self._append(op, stores_inputs=op.kind not in _REDUCING_KINDS)

    # -- kinds -----------------------------------------------------------------------------------

    def _view(self, op: Op) -> None:
        source = self._expression(op.inputs[0]) if op.inputs else None
        if source is None:
            self._append(op, stores_inputs=True)
            return
        for position, out in enumerate(op.outputs):
            name = op.name if len(op.outputs) == 1 else f"{op.name}.{position}"
            view = replace(source, op=replace(op, name=name, outputs=(out,)), wide=False)
            self._expressions[out] = view
            self._reconsider(out, view)

    def _product(self, op: Op) -> None:
        """Append a library call; a convolution's bias is added after it."""
        if op.kind is not OpKind.CONV or len(op.inputs) < 3:
            self._append(op, stores_inputs=True)
            return
        out = self.tensors[op.outputs[0]]
        product = replace(out, name=f"{out.name}.product")
        self.tensors[product.name] = product
        self._append(replace(op, inputs=op.inputs[:2], outputs=(product.name,)), stores_inputs=True)
        inputs, attrs = (product.name, op.inputs[2]), FunctionAttrs("add")
        self._pointwise(Op(f"{op.name}.bias", OpKind.BINARY, inputs, op.outputs, attrs, scope=op.scope))

    def _concat(self, op: Op) -> None:
        """Append a concatenation into whose slices the operands are written one by one."""
        for name in op.inputs:
            if len(self._readers(name)) > 1:
                self.store(name)
        self._append(op, stores_inputs=False)

    def _pointwise(self, op: Op) -> None:
        """Keep an op as an expression, unless a heuristic has it stored."""
        if op.kind in WINDOW_KINDS:
            for name in op.inputs:
                source = self._expression(name)
                if source is not None and len(source.reads) > 1:
                    self.store(name)
        reads: set[Hashable] = set()
        operations = _operations(op)
        for position, name in enumerate(op.inputs):
            source = self._expression(name)
            taps = 1 if position else self._taps(op)
            one = source.reads if source else {name}
            reads.update((load, tap) for load in one for tap in range(taps)) if taps > 1 else reads.update(one)
            operations += taps * (source.operations if source else 1)
        expression = _Expression(op, frozenset(reads), operations, _is_wide(op))
        for name in op.outputs:
            self._expressions[name] = expression
        if len(op.outputs) == 1:
            self._reconsider(op.outputs[0], expression)
        else:
            for name in op.outputs:
                self.store(name)

    def _taps(self, op: Op) -> int:
        """How many elements of its first input an op reads for each of its results."""
        if isinstance(op.attrs, PoolAttrs):
            return math.prod(op.attrs.kernel)
        if isinstance(op.attrs, ResizeAttrs):
            return _RESIZE_READS.get(op.attrs.mode, 1)
        if op.kind is OpKind.REDUCE:
            return max(1, self.tensors[op.inputs[0]].numel // max(1, self.tensors[op.outputs[0]].numel))
        return 1

    def _reconsider(self, name: str, expression: _Expression) -> None:
        """Store an expression if a heuristic asks for it: with its readers known, in the type that they read."""
        if self._is_stored_unrounded(name, expression):
            spec = self.tensors[name]
            if spec.dtype in (DType.F16, DType.BF16):
                self.tensors[name] = spec.in_dtype(DType.F32)
            self.store(name)
        elif self._is_heavy_and_reused(name, expression) or self._is_stored(name, expression):
            self.store(name)

    def _is_stored_unrounded(self, name: str, expression: _Expression) -> bool:
        """Whether several ops on fp32, into which its readers are decomposed, share an expression of many loads."""
        if len(expression.reads) <= READS_REUSED_MAX or name in self._outputs:
            return False
        uses = [wide_uses(reader) for reader in self._readers(name)]
        if expression.wide:  # what others read is its rounded value, one more use
            return any(uses) and sum(uses) + (0 in uses) > 1
        return len(uses) == 1 and sum(uses) > 1

    def _is_heavy_and_reused(self, name: str, expression: _Expression) -> bool:
        """Whether a CPU would evaluate a function that takes long for several readers, or for each of many elements."""
        if self.kind is not UnitKind.CPU or function_of(expression.op) not in HEAVY_FUNCTIONS:
            return False
        readers, size = self._readers(name), self.tensors[name].numel
        broadcast = any(r.kind in ELEMENTWISE_KINDS and self.tensors[r.outputs[0]].numel > size for r in readers)
        return broadcast or len(readers) + (name in self._outputs) > 1

    def _is_stored(self, name: str, expression: _Expression) -> bool:
        """Whether an expression is too large for one reader, or for several."""
        loads, leaves, readers = len(expression.reads), name in self._outputs, self._readers(name)
        if len(readers) + leaves > 1:
            for_library = loads > 1 and any(reader.kind in PRODUCT_KINDS for reader in readers)
            if loads > READS_REUSED_MAX or leaves or for_library:
                return True
        exceeds = loads > READS_MAX or expression.operations > OPERATIONS_MAX
        return exceeds and expression.op.kind not in FREE_KINDS

    # -- emission --------------------------------------------------------------------------------

    def store(self, name: str) -> None:
        """Append what computes a value, which is in memory from then on."""
        expression = self._expressions.pop(name, None)
        if expression is None:
            return
        op = expression.op
        if op.kind in FREE_KINDS:
            self.store(op.inputs[0])
            self.ops.append(op)
        else:
            self.ops.append(self._reading_copies(op, {}))

    def _append(self, op: Op, *, stores_inputs: bool) -> None:
        if stores_inputs:
            for name in op.inputs:
                self.store(name)
            self.ops.append(op)
        else:
            self.ops.append(self._reading_copies(op, {}))

    def _reading_copies(self, op: Op, copies: dict[str, str]) -> Op:
        """Append what an op's expressions take, for it alone, and return it with these as inputs."""
        inputs = tuple([self._copy(name, copies) for name in op.inputs])
        return op if inputs == op.inputs else replace(op, inputs=inputs)

    def _copy(self, name: str, copies: dict[str, str]) -> str:
        expression = self._expression(name)
        if expression is None:
            return name
        if name not in copies:
            op = self._reading_copies(expression.op, copies)
            times = self._copied[name] = self._copied.get(name, 0) + 1
            copies[name] = _copy_name(name, times)
            self.tensors[copies[name]] = replace(self.tensors[name], name=copies[name])
            self.ops.append(replace(op, name=_copy_name(op.name, times), outputs=(copies[name],)))
        return copies[name]

    def named(self) -> tuple[Op, ...]:
        """Return the ops, with its own name for the only copy of a value that is not stored."""
        stored = {name for op in self.ops for name in op.outputs}
        only = (name for name, times in self._copied.items() if times == 1 and name not in stored)
        own = {_copy_name(name, 1): name for name in only}
        return tuple([_renamed(op, own) for op in self.ops])

    def _expression(self, name: str) -> _Expression | None:
        """Return what computes a value that is not stored; a view of what has been stored by now is appended."""
        expression = self._expressions.get(name)
        if (
            expression is not None
            and expression.op.kind in FREE_KINDS
            and not self._expression(expression.op.inputs[0])
        ):
            self.store(name)
            return None
        return expression

    # -- readers ---------------------------------------------------------------------------------

    def _readers(self, name: str) -> tuple[Op, ...]:
        return self.graph.consumers_of.get(name, ())


def _copy_name(name: str, times: int) -> str:
    return f"{name}.copy.{times}"


def _renamed(op: Op, own: Mapping[str, str]) -> Op:
    inputs = tuple([own.get(name, name) for name in op.inputs])
    if op.outputs and op.outputs[0] in own:
        name = op.name.removesuffix(_copy_name("", 1))
        return replace(op, name=name, inputs=inputs, outputs=(own[op.outputs[0]],))
    return op if inputs == op.inputs else replace(op, inputs=inputs)


def _is_wide(op: Op) -> bool:
    """Whether an op computes in fp32 and rounds its result."""
    return is_batch_norm(op) or function_of(op) in _WIDE_USES


def wide_uses(op: Op) -> int:
    """How many of the fp32 ops that an op is decomposed into read its input; 0 if it reads it as it is."""
    if op.kind is OpKind.NORM:
        return 1 if is_batch_norm(op) else 2
    if op.kind is OpKind.SOFTMAX:
        return 2
    return _WIDE_USES.get(function_of(op), 0)


def _operations(op: Op) -> int:
    if is_batch_norm(op):
        return _NORM_OPERATIONS
    return _OPERATIONS.get(function_of(op), 1)
