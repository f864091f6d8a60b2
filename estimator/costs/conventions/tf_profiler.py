"""TensorFlow's graph profiler (``tf.compat.v1.profiler``), float-operation and parameter counts.

Rows are named as TensorFlow names nodes. Graphs of other frameworks get such names from their module paths: an op in
module ``a.b`` of model ``net`` is ``net/a/b/Conv2D``; a layer without weights is a row of its own.

Source: tensorflow/python/profiler/internal/flops_registry.py and core/framework/common_shape_fns (Conv2D, BiasAdd),
release 2.x.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from estimator.costs.conventions.count import Convention, Count, LayerCount
from estimator.costs.conventions.missed import note_missed_macs
from estimator.costs.conventions.op_class import class_of_op
from estimator.costs.convolution import conv_macs
from estimator.costs.matmul import contracted_extent
from estimator.costs.registry import Tensors, is_free
from estimator.ir.graph import Graph
from estimator.ir.op import ConvAttrs, FunctionAttrs, Op, OpKind, PoolAttrs, ReduceAttrs
from estimator.ir.tensor import TensorRole

Work = tuple[int, int]
"""(macs, other)."""

_BINARY_PER_OUTPUT = {
    **dict.fromkeys(
        ("add", "sub", "mul", "div", "maximum", "minimum", "pow", "ge", "gt", "le", "lt", "eq", "ne"), 1),
    "squared_difference": 2,
}  # fmt: skip
_UNARY_PER_INPUT = {"reciprocal": 1, "square": 1, "log": 1, "neg": 1, "rsqrt": 2}
_NODE_NAME = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "RealDiv", "maximum": "Maximum", "minimum": "Minimum",
    "pow": "Pow", "mean": "Mean", "sum": "Sum", "rsqrt": "Rsqrt", "square": "Square", "max": "MaxPool",
    "avg": "AvgPool",
}  # fmt: skip


def _function(op: Op) -> str:
    attrs = op.attrs
    return attrs.function if isinstance(attrs, (FunctionAttrs, ReduceAttrs, PoolAttrs)) else ""


def _conv(op: Op, inputs: Tensors, outputs: Tensors) -> Work:
    if isinstance(op.attrs, ConvAttrs) and op.attrs.transposed:
        # Conv2DBackpropInput: every output meets every tap, divided by the stride
        taps = math.prod(op.attrs.kernel) * inputs[1].shape[0]
        return outputs[0].numel * taps // math.prod(op.attrs.stride), 0
    return conv_macs(op, inputs, outputs), 0


def _matmul(_: Op, inputs: Tensors, outputs: Tensors) -> Work:
    return outputs[0].numel * contracted_extent(inputs, outputs), 0


def _binary(op: Op, inputs: Tensors, outputs: Tensors) -> Work | None:
    if op.source == "AddN" or len(inputs) > 2:
        return 0, inputs[0].numel * (len(inputs) - 1)
    per_output = _BINARY_PER_OUTPUT.get(_function(op))
    return None if per_output is None else (0, per_output * outputs[0].numel)


def _unary(op: Op, inputs: Tensors, _outputs: Tensors) -> Work | None:
    per_input = _UNARY_PER_INPUT.get(_function(op))
    return None if per_input is None else (0, per_input * inputs[0].numel)


def _reduce(op: Op, inputs: Tensors, outputs: Tensors) -> Work | None:
    if op.source == "L2Loss":
        return 0, 3 * inputs[0].numel - 1
    function = _function(op)
    if function == "mean":
        return 0, inputs[0].numel
    return (0, inputs[0].numel - outputs[0].numel) if function in ("sum", "argmax", "argmin") else None


def _pool(op: Op, _inputs: Tensors, outputs: Tensors) -> Work:
    assert isinstance(op.attrs, PoolAttrs)
    return 0, math.prod(op.attrs.kernel) * outputs[0].numel


_RULES: dict[OpKind, Callable[[Op, Tensors, Tensors], Work | None]] = {
    OpKind.CONV: _conv,
    OpKind.LINEAR: lambda _, i, o: (o[0].numel * i[1].shape[-1], 0),
    OpKind.MATMUL: _matmul,
    OpKind.BINARY: _binary,
    OpKind.UNARY: _unary,
    OpKind.REDUCE: _reduce,
    OpKind.POOL: _pool,
    OpKind.SOFTMAX: lambda _, i, o: (0, 5 * i[0].numel),
}


class _NodeNames:
    """TensorFlow-style node names, unique within their scope."""

    def __init__(self, graph: Graph) -> None:
        self._root = graph.name
        owners = {m.path for m in graph.modules if m.parameters or m.buffers}
        parents = {m.path.rpartition(".")[0] for m in graph.modules if m.path}
        self._plain_layers = {m.path for m in graph.modules if m.path} - owners - parents
        self._used: dict[str, int] = {}

    def of(self, op: Op, leaf: str) -> str:
        """Name the row of an op; `leaf` is what TensorFlow would call the node itself."""
        if "/" in op.name:
            return op.name if leaf != "BiasAdd" else f"{op.name.rpartition('/')[0]}/BiasAdd"
        scope = "/".join([self._root, *filter(None, op.scope.split("."))])
        if op.scope in self._plain_layers:
            return self._unique(scope)
        return self._unique(f"{scope}/{leaf}")

    def _unique(self, name: str) -> str:
        times = self._used.get(name, 0)
        self._used[name] = times + 1
        return f"{name}_{times}" if times else name


def _leaf_name(op: Op, inputs: Tensors) -> str:
    if op.kind is OpKind.CONV and isinstance(op.attrs, ConvAttrs):
        return "depthwise" if op.attrs.groups > 1 and inputs[1].shape[1] == 1 else "Conv2D"
    if op.kind in (OpKind.LINEAR, OpKind.MATMUL):
        return "MatMul"
    if op.kind is OpKind.SOFTMAX:
        return "Softmax"
    return _NODE_NAME.get(_function(op), _function(op).title() or str(op.kind))


def _rows(convention: Convention, op: Op, graph: Graph, names: _NodeNames) -> list[LayerCount] | None:
    """Make the node's row, and a BiasAdd row where the bias is part of the op; None without a rule."""
    rule = _RULES.get(op.kind)
    inputs, outputs = graph.inputs_of(op), graph.outputs_of(op)
    is_bias_add = op.source.rpartition(".")[2] == "BiasAdd"
    work = rule(op, inputs, outputs) if rule and outputs else None
    if work is None:
        return None
    type_name = op.source or str(op.kind)
    rows = [
        convention.layer(
            names.of(op, _leaf_name(op, inputs)), type_name, class_of_op(op), macs=work[0],
            other=0 if is_bias_add else work[1], bias=work[1] if is_bias_add else 0,
            output_shape=outputs[0].shape, ops=(op.name,),
        )
    ]  # fmt: skip
    if op.kind in (OpKind.CONV, OpKind.LINEAR) and len(inputs) > 2:
        rows.append(
            convention.layer(
                names.of(op, "BiasAdd"), "BiasAdd", class_of_op(op), bias=outputs[0].numel,
                output_shape=outputs[0].shape, ops=(op.name,),
            )
        )  # fmt: skip
    return rows


def _count(convention: Convention, graph: Graph) -> Count:
    names = _NodeNames(graph)
    layers: list[LayerCount] = []
    unsupported: dict[str, int] = {}
    for op in graph.ops:
        rows = _rows(convention, op, graph, names)
        if rows is not None:
            layers += rows
        elif not is_free(op.kind):
            unsupported[op.source or str(op.kind)] = unsupported.get(op.source or str(op.kind), 0) + 1
    notes = [note for note in graph.notes if "batch" in note.lower()]
    if any("/Initializer/" in layer.name for layer in layers):
        notes.append("the variables' initialisers are part of the graph, so the profiler counts them")
    return note_missed_macs(convention.total(layers, params=graph.params, unsupported=unsupported, notes=notes), graph)


def variable_shape(graph: Graph, name: str) -> tuple[int, ...]:
    """Shape of a weight in TensorFlow's order: filters [*k, ci, co], depthwise [*k, c, multiplier], matrices [k, n]."""
    shape = graph.tensors[name].shape
    for op in graph.consumers_of.get(name, ()):
        if len(op.inputs) < 2 or op.inputs[1] != name:
            continue
        if op.kind is OpKind.LINEAR:
            return shape[::-1]
        if op.kind is OpKind.CONV and isinstance(op.attrs, ConvAttrs):
            out_channels, per_group, *kernel = shape
            if op.attrs.groups > 1 and per_group == 1:
                return (*kernel, op.attrs.groups, out_channels // op.attrs.groups)
            return (*kernel, per_group, out_channels)
    return shape


def variables(graph: Graph) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Names, in TensorFlow's spelling, and shapes of all learned variables."""
    return tuple(
        (t.name if "/" in t.name else t.name.replace(".", "/"), variable_shape(graph, t.name))
        for t in graph.tensors.values()
        if t.role is TensorRole.PARAMETER
    )


CONVENTION = Convention(
    name="tf-profiler",
    tool="TensorFlow profiler",
    quantity="float ops",
    mac_weight=2,
    rules={
        "convolution": "Conv2D, DepthwiseConv2d 1 MAC = 2; BiasAdd 1 per output",
        "linear": "MatMul 1 MAC = 2; BiasAdd 1 per output",
        "matmul": "MatMul, BatchMatMul 1 MAC = 2",
        "pooling": "window per output",
        "reduction": "Mean 1 per input; Sum, ArgMax inputs − outputs; Max nothing",
        "softmax": "5 per element",
        "elementwise": "Add, Sub, Mul, Div, Pow, comparisons 1 per output; Rsqrt 2; Exp, Sqrt nothing",
    },
    counter=_count,
)
