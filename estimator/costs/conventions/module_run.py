"""What a forward hook sees: a module, the shapes it took and returned, and the ops that ran inside it.

Graphs of files without modules (ONNX, TFLite) get one stand-in module per op, of the layer type that torch would use.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from estimator.costs.registry import is_free
from estimator.ir.graph import Graph, ModuleCall, ModuleSpec
from estimator.ir.op import (
    AdaptivePoolAttrs,
    ConvAttrs,
    FunctionAttrs,
    NormAttrs,
    Op,
    OpKind,
    PoolAttrs,
    ResizeAttrs,
    RnnAttrs,
)
from estimator.ir.tensor import Shape, TensorRole, TensorSpec

_TORCH_LAYERS = "torch.nn.modules."
_ACTIVATION_TYPES = {
    "relu": "ReLU", "relu6": "ReLU6", "prelu": "PReLU", "leaky_relu": "LeakyReLU", "elu": "ELU", "gelu": "GELU",
    "silu": "SiLU", "hardswish": "Hardswish", "hardsigmoid": "Hardsigmoid", "sigmoid": "Sigmoid", "tanh": "Tanh",
}  # fmt: skip
_RNN_TYPES = {"lstm": "LSTM", "gru": "GRU", "rnn_tanh": "RNN", "rnn_relu": "RNN"}


@dataclass(frozen=True, slots=True)
class ModuleRun:
    """One call of one module.

    Attributes
    ----------
    type_name : str
        Bare class name for torch's own layers (``Conv2d``), else the qualified name: tools match exact types.
    inputs, outputs : tuple of TensorSpec
    ops : tuple of Op
        What ran directly in it during this call, not in its children.
    """

    module: ModuleSpec
    type_name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    ops: tuple[Op, ...]

    @property
    def path(self) -> str:
        """The module's path."""
        return self.module.path

    @property
    def input_shape(self) -> Shape:
        """Shape of the first argument, () if it took no tensor."""
        return self.inputs[0].shape if self.inputs else ()

    @property
    def output_shape(self) -> Shape:
        """Shape of the first result."""
        return self.outputs[0].shape if self.outputs else ()

    @property
    def input_elements(self) -> int:
        """Elements of the first argument."""
        return math.prod(self.input_shape)

    @property
    def output_elements(self) -> int:
        """Elements of the first result."""
        return math.prod(self.output_shape)

    @property
    def groups(self) -> int:
        """Groups of the convolution that ran in this call; 1 if none did."""
        op = self.op_of(OpKind.CONV, OpKind.DEFORM_CONV)
        return op.attrs.groups if op is not None and isinstance(op.attrs, ConvAttrs) else 1

    def op_of(self, *kinds: OpKind) -> Op | None:
        """Return the first op of one of these kinds that ran in this call."""
        return next((op for op in self.ops if op.kind in kinds), None)


class ModuleTree:
    """The modules of a graph, their calls and their ops.

    Attributes
    ----------
    is_stand_in : bool
        The graph has no modules of its own.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.is_stand_in = not graph.module_calls
        modules, calls, ops = _stand_ins(graph) if self.is_stand_in else _recorded(graph)
        self.modules: dict[str, ModuleSpec] = modules
        self.runs: dict[str, tuple[ModuleRun, ...]] = {
            path: tuple(self._runs(modules[path], called, ops.get(path, []))) for path, called in calls.items()
        }
        self.children: dict[str, list[str]] = {}
        for path in modules:
            if path:
                self.children.setdefault(path.rpartition(".")[0] if not self.is_stand_in else "", []).append(path)
        self._parameters = {t.name: t.numel for t in graph.tensors.values() if t.role is TensorRole.PARAMETER}

    def _runs(self, module: ModuleSpec, calls: list[ModuleCall], ops: list[Op]) -> Iterator[ModuleRun]:
        tensors: Mapping[str, TensorSpec] = self.graph.tensors
        if self.is_stand_in and getattr(ops[0].attrs, "channels_last", False):
            tensors = {name: _channels_first(tensors[name]) for name in (*calls[0].inputs, *calls[0].outputs)}
        share = len(ops) // len(calls)
        for i, call in enumerate(calls):
            last = i == len(calls) - 1
            yield ModuleRun(
                module=module,
                type_name=layer_type(module),
                inputs=tuple(tensors[name] for name in call.inputs),
                outputs=tuple(tensors[name] for name in call.outputs),
                ops=tuple(ops[i * share :] if last else ops[i * share : (i + 1) * share]),
            )

    def walk(self, path: str = "") -> Iterator[ModuleSpec]:
        """Modules in tree order, parents first."""
        if path in self.modules:
            yield self.modules[path]
        for child in self.children.get(path, ()):
            yield from self.walk(child)

    def is_leaf(self, path: str) -> bool:
        """Whether the module has no children."""
        return path not in self.children

    def own_parameters(self, module: ModuleSpec) -> int:
        """Learned parameters that the module itself owns."""
        return sum(self._parameters.get(name, 0) for name in module.parameters)

    def all_parameters(self, module: ModuleSpec) -> int:
        """Learned parameters of the module and everything below it, each tensor once."""
        names = {name for below in self.walk(module.path) for name in below.parameters}
        return sum(self._parameters.get(name, 0) for name in names)

    def parameter(self, module: ModuleSpec, suffix: str) -> TensorSpec | None:
        """Return the module's own parameter of this name (``weight``), whatever its path.

        A weight that the module computes before each call (``weight_norm``) stands in for one that it owns.
        """
        if self.is_stand_in:
            op = self.runs[module.path][0].ops[0]
            position = 2 if suffix == "bias" else 1
            return self.graph.tensors[op.inputs[position]] if position < len(op.inputs) else None
        for name in module.parameters:
            if name.rpartition(".")[2] == suffix:
                return self.graph.tensors[name]
        runs = self.runs.get(module.path, ()) if suffix == "weight" else ()
        product = next((found for run in runs if (found := run.op_of(OpKind.CONV, OpKind.LINEAR))), None)
        return None if product is None else self.graph.tensors[product.inputs[1]]

    def ops_below(self, path: str) -> tuple[str, ...]:
        """Names of all ops that ran in the module or below it."""
        if self.is_stand_in:
            return tuple(op.name for run in self.runs.get(path, ()) for op in run.ops)
        prefix = f"{path}."
        return tuple(op.name for op in self.graph.ops if not path or op.scope == path or op.scope.startswith(prefix))

    def unclaimed(self, claimed: set[str]) -> dict[str, int]:
        """List what did work outside the claimed modules: leaf modules by type, other ops by name, with counts."""
        missing: dict[str, int] = {}
        for path, runs in self.runs.items():
            for run in runs:
                working = [op for op in run.ops if not is_free(op.kind)]
                if path in claimed or not working or not self.is_leaf(path):
                    continue
                missing[run.type_name] = missing.get(run.type_name, 0) + 1
        leaves = {path for path in self.runs if self.is_leaf(path)}
        if not self.is_stand_in:
            for op in self.graph.ops:
                if op.scope not in leaves and not is_free(op.kind) and not _below_any(op.scope, claimed):
                    missing[op.source] = missing.get(op.source, 0) + 1
        return missing


def _channels_first(tensor: TensorSpec) -> TensorSpec:
    """[n, *s, c] as [n, c, *s]: the order in which torch layers see it."""
    shape = tensor.shape
    return replace(tensor, shape=(shape[0], shape[-1], *shape[1:-1])) if len(shape) > 2 else tensor


def _below_any(scope: str, claimed: set[str]) -> bool:
    """Whether a scope is a claimed module or lies inside one."""
    while scope:
        if scope in claimed:
            return True
        scope = scope.rpartition(".")[0]
    return "" in claimed


def layer_type(module: ModuleSpec) -> str:
    """``Conv2d`` for torch's own layers, the qualified class name otherwise."""
    name = module.type_name
    return name.rpartition(".")[2] if name.startswith(_TORCH_LAYERS) else name


def _recorded(graph: Graph) -> tuple[dict[str, ModuleSpec], dict[str, list[ModuleCall]], dict[str, list[Op]]]:
    modules = {module.path: module for module in graph.modules}
    calls: dict[str, list[ModuleCall]] = {}
    for call in graph.module_calls:
        if call.path in modules:
            calls.setdefault(call.path, []).append(call)
    ops: dict[str, list[Op]] = {}
    for op in graph.ops:
        ops.setdefault(op.scope, []).append(op)
    return modules, calls, ops


def _stand_ins(graph: Graph) -> tuple[dict[str, ModuleSpec], dict[str, list[ModuleCall]], dict[str, list[Op]]]:
    modules, calls, ops = {}, {}, {}
    for op in graph.ops:
        if is_free(op.kind) or not op.outputs:
            continue
        weights = tuple(n for n in op.inputs if graph.tensors[n].role is TensorRole.PARAMETER)
        type_name = _layer_type_of(op)
        modules[op.name] = ModuleSpec(op.name, f"{_TORCH_LAYERS}{type_name}" if type_name else op.source, weights)
        calls[op.name] = [ModuleCall(op.name, tuple(n for n in op.inputs if n not in weights), op.outputs)]
        ops[op.name] = [op]
    return modules, calls, ops


def _layer_type_of(op: Op) -> str:
    """Name the torch layer that does what an op does; "" if there is none."""
    attrs = op.attrs
    if op.kind is OpKind.CONV and isinstance(attrs, ConvAttrs):
        return f"Conv{'Transpose' if attrs.transposed else ''}{len(attrs.kernel)}d"
    if op.kind is OpKind.LINEAR:
        return "Linear"
    if op.kind is OpKind.NORM and isinstance(attrs, NormAttrs):
        return {"batch": "BatchNorm2d", "layer": "LayerNorm", "group": "GroupNorm", "instance": "InstanceNorm2d"}.get(
            attrs.function, ""
        )
    if op.kind is OpKind.ACTIVATION and isinstance(attrs, FunctionAttrs):
        return _ACTIVATION_TYPES.get(attrs.function, "")
    if op.kind is OpKind.POOL and isinstance(attrs, PoolAttrs):
        return f"{'Max' if attrs.function == 'max' else 'Avg'}Pool{len(attrs.kernel)}d"
    if op.kind is OpKind.ADAPTIVE_POOL and isinstance(attrs, AdaptivePoolAttrs):
        return f"Adaptive{'Max' if attrs.function == 'max' else 'Avg'}Pool{len(attrs.output_size)}d"
    if op.kind is OpKind.RNN and isinstance(attrs, RnnAttrs):
        return _RNN_TYPES[attrs.cell]
    if op.kind is OpKind.RESIZE and isinstance(attrs, ResizeAttrs):
        return "Upsample"
    return "Softmax" if op.kind is OpKind.SOFTMAX else ""


STAND_IN_NOTE = "this source has no modules; each operator is taken for the torch layer that does the same"
