"""Invariants of a graph, checked once at the door.

Everything behind the door (costs, lowering, timing, memory) may rely on them: names resolve, order is executable,
attributes belong to their kind, and the axes that a kind names exist. Whether an operator computes what its framework
says is not checked here; front-ends take their shapes from the framework itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from estimator.errors import GraphError
from estimator.ir.graph import Graph
from estimator.ir.op import (
    ATTRS_OF,
    AxisAttrs,
    ConvAttrs,
    EinsumAttrs,
    NormAttrs,
    Op,
    OpKind,
    PoolAttrs,
    ReduceAttrs,
    RnnAttrs,
    SoftmaxAttrs,
)
from estimator.ir.tensor import TensorRole, TensorSpec

MAX_ELEMENTS = 2**62
"""A tensor beyond this is a typing slip or an attack, never a model."""
MAX_RANK = 64
MAX_RNN_LAYERS = 1024
"""Layers are unrolled one by one."""
RNN_CELLS = ("lstm", "gru", "rnn_tanh", "rnn_relu")

_LEAST_INPUTS = {
    OpKind.CONV: 2, OpKind.DEFORM_CONV: 3, OpKind.LINEAR: 2, OpKind.MATMUL: 2, OpKind.EINSUM: 1, OpKind.ATTENTION: 3,
    OpKind.RNN: 3, OpKind.EMBEDDING: 2, OpKind.GRID_SAMPLE: 2, OpKind.ROI_ALIGN: 2, OpKind.NMS: 1,
    OpKind.FILL: 0, OpKind.SHAPE: 0, OpKind.CONTROL: 0, OpKind.UNKNOWN: 0, OpKind.SCATTER: 1, OpKind.TERNARY: 1,
}  # fmt: skip
"""Inputs a kind cannot do without; every kind not listed needs one."""
_MAY_LACK_OUTPUTS = frozenset({OpKind.CONTROL, OpKind.UNKNOWN, OpKind.SHAPE})

Specs = tuple[TensorSpec, ...]


def validate(graph: Graph) -> Graph:
    """Check a graph and return it.

    Raises
    ------
    GraphError
        Names the op and the tensor that break an invariant, and what was expected.
    """
    _check_tensors(graph.tensors)
    _check_ends(graph)
    _check_ops(graph)
    _check_modules(graph)
    return graph


def _fail(what: str, *, where: str, expected: str = "") -> GraphError:
    return GraphError(what, where=where, expected=expected, hint="the front-end or the document that made this graph")


def _check_tensors(tensors: Mapping[str, TensorSpec]) -> None:
    for name, spec in tensors.items():
        if not name or name != spec.name:
            raise _fail(f"tensor {spec.name!r} is listed as {name!r}", where=f"tensor {name!r}")
        if len(spec.shape) > MAX_RANK or any(extent < 0 for extent in spec.shape):
            raise _fail(
                f"shape {spec.shape} is not static", where=f"tensor {name!r}", expected=f"up to {MAX_RANK} extents ≥ 0"
            )
        if spec.strides is not None and (len(spec.strides) != len(spec.shape) or min(spec.strides, default=0) < 0):
            raise _fail(
                f"strides {spec.strides} for shape {spec.shape}", where=f"tensor {name!r}", expected="one each, ≥ 0"
            )
        if math.prod(spec.shape) > MAX_ELEMENTS:
            raise _fail(f"{spec.numel} elements", where=f"tensor {name!r}", expected=f"at most {MAX_ELEMENTS}")


def _check_ends(graph: Graph) -> None:
    for label, names in (("input", graph.inputs), ("output", graph.outputs)):
        for name in names:
            if name not in graph.tensors:
                raise _fail(f"the graph's {label} {name!r} is no tensor of it", where=f"graph {graph.name!r}")
    if len(set(graph.inputs)) != len(graph.inputs):
        raise _fail("an input is listed twice", where=f"graph {graph.name!r}")
    for name in graph.inputs:
        if graph.tensors[name].role is not TensorRole.INPUT:
            raise _fail(f"role is {graph.tensors[name].role}", where=f"input {name!r}", expected="input")


def _check_ops(graph: Graph) -> None:
    tensors = graph.tensors
    available = {name for name, spec in tensors.items() if spec.is_weight}
    available.update(graph.inputs)
    op_names: set[str] = set()
    for op in graph.ops:
        if not op.name or op.name in op_names:
            raise _fail(f"two ops are called {op.name!r}" if op.name else "an op has no name", where=_place(op))
        op_names.add(op.name)
        for name in op.inputs:
            if name not in available:
                reason = "is produced later" if name in tensors else "does not exist"
                expected = "an input, a weight or an earlier result"
                raise _fail(f"input {name!r} {reason}", where=_place(op), expected=expected)
        for name in op.outputs:
            if name not in tensors:
                raise _fail(f"output {name!r} does not exist", where=_place(op))
            if name in available:
                raise _fail(f"output {name!r} was already there", where=_place(op), expected="each tensor written once")
            if tensors[name].role is not TensorRole.ACTIVATION:
                raise _fail(f"output {name!r} has role {tensors[name].role}", where=_place(op), expected="activation")
            available.add(name)
        _check_op(op, graph.inputs_of(op), graph.outputs_of(op))
    for name in tensors:
        if name not in available:
            raise _fail("no op writes it", where=f"tensor {name!r}", expected="an input, a weight or an op's result")


def _place(op: Op) -> str:
    return f"op {op.name!r} ({op.kind})" + (f" in module {op.scope!r}" if op.scope else "")


def _check_op(op: Op, inputs: Specs, outputs: Specs) -> None:
    if not isinstance(op.attrs, ATTRS_OF[op.kind]):
        raise _fail(f"attributes are {type(op.attrs).__name__}", where=_place(op), expected=ATTRS_OF[op.kind].__name__)
    least = _LEAST_INPUTS.get(op.kind, 1)
    if len(inputs) < least:
        raise _fail(f"{len(inputs)} inputs", where=_place(op), expected=f"at least {least}")
    if not outputs and op.kind not in _MAY_LACK_OUTPUTS:
        raise _fail("no output", where=_place(op), expected="at least one")
    if op.in_place and not inputs:
        raise _fail("in place, but it has no input to overwrite", where=_place(op))
    check = _CHECKS.get(op.kind)
    if check is not None:
        problem = check(op, inputs, outputs)
        if problem:
            raise _fail(problem, where=f"{_place(op)}: {_shapes(inputs)} -> {_shapes(outputs)}")


def _shapes(specs: Specs) -> str:
    return ", ".join(f"{s.name}[{','.join(map(str, s.shape))}]" for s in specs)


# ---------------------------------------------------------------- per kind: a sentence if something is wrong, else ""
def _conv_problem(op: Op, inputs: Specs, outputs: Specs) -> str:
    attrs = op.attrs
    if not isinstance(attrs, ConvAttrs):
        return ""
    rank = len(attrs.kernel)
    weight, channel_axis = inputs[1].shape, -1 if attrs.channels_last else -1 - rank
    if any(len(v) != rank for v in (attrs.stride, attrs.padding, attrs.dilation)):
        return "kernel, stride, padding and dilation have different ranks"
    if attrs.groups < 1 or any(v < 1 for v in (*attrs.stride, *attrs.dilation)):
        return "groups, strides and dilations must be at least 1"
    if len(weight) != rank + 2 or len(inputs[0].shape) not in (rank + 1, rank + 2):
        return f"a {rank}-D convolution takes x of rank {rank + 2} and w of rank {rank + 2}"
    if weight[2:] != attrs.kernel:
        return f"the kernel {attrs.kernel} is not the weight's {weight[2:]}"
    channels = inputs[0].shape[channel_axis]
    expected = weight[0] if attrs.transposed else weight[1] * attrs.groups
    if channels != expected:
        return f"{channels} input channels do not fit the weight, which takes {expected}"
    return ""


def _linear_problem(op: Op, inputs: Specs, outputs: Specs) -> str:
    x, weight = inputs[0].shape, inputs[1].shape
    if len(weight) not in (1, 2) or not x:
        return "x needs an axis and w two"
    if x[-1] != weight[-1]:
        return f"x has {x[-1]} features, w takes {weight[-1]}"
    return ""


def _matmul_problem(op: Op, inputs: Specs, outputs: Specs) -> str:
    a, b = inputs[0].shape, inputs[1].shape
    if not a or not b:
        return "a product needs at least one axis on each side"
    inner = b[-2] if len(b) > 1 else b[0]
    if a[-1] != inner:
        return f"inner extents {a[-1]} and {inner} differ"
    return ""


def _einsum_problem(op: Op, inputs: Specs, outputs: Specs) -> str:
    if not isinstance(op.attrs, EinsumAttrs):
        return ""
    left, arrow, right = op.attrs.equation.partition("->")
    terms = left.split(",")
    if not arrow or [len(term) for term in terms] != [len(spec.shape) for spec in inputs]:
        return f"the equation {op.attrs.equation!r} does not fit the operands"
    if len(right) != len(outputs[0].shape) or not set(right) <= set(left):
        return f"the equation {op.attrs.equation!r} does not fit the result"
    return ""


def _attention_problem(op: Op, inputs: Specs, outputs: Specs) -> str:
    q, k, v = (s.shape for s in inputs[:3])
    if min(len(q), len(k), len(v)) < 2 or q[-1] != k[-1] or k[-2] != v[-2]:
        return "attention takes q[…, m, d], k[…, n, d], v[…, n, e]"
    return ""


def _rnn_problem(op: Op, inputs: Specs, outputs: Specs) -> str:
    attrs = op.attrs
    if not isinstance(attrs, RnnAttrs):
        return ""
    if attrs.cell not in RNN_CELLS:
        return f"unknown cell {attrs.cell!r}, not one of {', '.join(RNN_CELLS)}"
    if attrs.hidden_size < 1 or not 1 <= attrs.layers <= MAX_RNN_LAYERS or not inputs[0].shape:
        return f"hidden size must be at least 1, layers 1 to {MAX_RNN_LAYERS}"
    return ""


def _norm_problem(op: Op, inputs: Specs, outputs: Specs) -> str:
    attrs, rank = op.attrs, len(inputs[0].shape)
    if isinstance(attrs, NormAttrs) and (attrs.groups < 1 or not 0 <= attrs.normalized_rank <= max(rank, 1)):
        return f"groups {attrs.groups} or normalised rank {attrs.normalized_rank} do not fit rank {rank}"
    return ""


def _axis_problem(op: Op, inputs: Specs, outputs: Specs) -> str:
    rank = max(len(inputs[0].shape), 1)
    if isinstance(op.attrs, SoftmaxAttrs | AxisAttrs) and not 0 <= op.attrs.axis < rank:
        return f"axis {op.attrs.axis} of rank {rank}"
    if isinstance(op.attrs, ReduceAttrs) and any(not 0 <= a < rank for a in op.attrs.axes):
        return f"axes {op.attrs.axes} of rank {rank}"
    return ""


def _pool_problem(op: Op, inputs: Specs, outputs: Specs) -> str:
    attrs = op.attrs
    if not isinstance(attrs, PoolAttrs):
        return ""
    rank = len(attrs.kernel)
    if len(attrs.stride) != rank or len(attrs.padding) != rank or any(v < 1 for v in (*attrs.kernel, *attrs.stride)):
        return "kernel, stride and padding do not go together"
    if len(inputs[0].shape) < rank:
        return f"a window of rank {rank} over a tensor of rank {len(inputs[0].shape)}"
    return ""


_CHECKS: dict[OpKind, Callable[[Op, Specs, Specs], str]] = {
    OpKind.CONV: _conv_problem,
    OpKind.LINEAR: _linear_problem,
    OpKind.MATMUL: _matmul_problem,
    OpKind.EINSUM: _einsum_problem,
    OpKind.ATTENTION: _attention_problem,
    OpKind.RNN: _rnn_problem,
    OpKind.NORM: _norm_problem,
    OpKind.SOFTMAX: _axis_problem,
    OpKind.CONCAT: _axis_problem,
    OpKind.REDUCE: _axis_problem,
    OpKind.POOL: _pool_problem,
}


def _check_modules(graph: Graph) -> None:
    paths: set[str] = set()
    for module in graph.modules:
        if module.path in paths:
            raise _fail(f"two modules have the path {module.path!r}", where=f"module {module.path!r}")
        paths.add(module.path)
        for name in (*module.parameters, *module.buffers):
            if name not in graph.tensors or not graph.tensors[name].is_weight:
                raise _fail(f"{name!r} is no weight of the graph", where=f"module {module.path!r}")
    for call in graph.module_calls:
        if call.path not in paths:
            raise _fail("a call of a module that is not listed", where=f"module {call.path!r}")
        for name in (*call.inputs, *call.outputs):
            if name not in graph.tensors:
                raise _fail(f"{name!r} is no tensor of the graph", where=f"call of module {call.path!r}")
