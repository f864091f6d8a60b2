"""Walk the operators of a TFLite subgraph and emit ops of the graph.

Shapes are the file's own. They are worked out anew only where ``--input-shape`` asks for another size;
an operator whose extents cannot be worked out then is an error, not a guess. Activations keep the axis
order of the file (channels last); convolution weights are brought to [co, ci/g, *k].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from estimator.dtypes import DType
from estimator.errors import EstimatorError, MissingShapeError, ModelFileError
from estimator.frontends.graph_builder import NO_ATTRS, GraphBuilder
from estimator.frontends.shape_arithmetic import swap_last
from estimator.frontends.tflite_schema import (
    MAX_VALUE_COUNT,
    TfliteModel,
    TfliteOperator,
    TfliteSubgraph,
    TfliteTensor,
)
from estimator.frontends.tflite_variables import Variables
from estimator.ir.op import Attrs, FunctionAttrs, OpKind, UnknownAttrs
from estimator.ir.tensor import Shape, TensorRole, TensorSpec

Array = NDArray[np.generic]
Rule = Callable[["TfliteNode"], None]

RULES: dict[str, Rule] = {}
"""Import rule of each builtin operator; filled by the ``tflite_*`` rule modules."""
CUSTOM_RULES: dict[str, Rule] = {}
"""Import rule of each custom operator that is known by its name."""
FUSED_ACTIVATIONS = {1: "relu", 2: "hardtanh", 3: "relu6", 4: "tanh", 5: "sign"}


def rule(*op_types: str) -> Callable[[Rule], Rule]:
    """Register an import rule for one or more builtin operators."""

    def register(function: Rule) -> Rule:
        for op_type in op_types:
            if op_type in RULES:
                raise RuntimeError(f"two import rules for {op_type}")
            RULES[op_type] = function
        return function

    return register


def custom_rule(*names: str) -> Callable[[Rule], Rule]:
    """Register an import rule for one or more custom operators."""

    def register(function: Rule) -> Rule:
        CUSTOM_RULES.update(dict.fromkeys(names, function))
        return function

    return register


class TfliteProblem(ValueError):
    """An operator contradicts the TFLite schema; becomes a `ModelFileError` that names it."""


@dataclass(slots=True)
class TfliteImporter:
    """State of one import of one subgraph.

    Attributes
    ----------
    names : dict of int to str
        Graph tensor of each tensor index that is available so far.
    resized : set of str
        Tensors whose shape differs from the file's because an input was resized.
    relaid : dict of str to tuple
        Axis order in which a convolution weight was declared.
    depth : int
        Control flow around this subgraph.
    inlined : set of str
        Names of the other subgraphs that were imported as bodies of control flow.
    variables : Variables
        Which variables the file's handles stand for, and which of them are state.
    """

    model: TfliteModel
    subgraph: TfliteSubgraph
    builder: GraphBuilder
    names: dict[int, str] = field(default_factory=dict)
    known: dict[str, Array] = field(default_factory=dict)
    resized: set[str] = field(default_factory=set)
    relaid: dict[str, tuple[int, ...]] = field(default_factory=dict)
    depth: int = 0
    inlined: set[str] = field(default_factory=set)
    variables: Variables = field(default_factory=Variables)

    def declare_input(self, index: int, shape: Shape) -> str:
        """Declare a graph input."""
        tensor = self.subgraph.tensors[index]
        name = self.unique_name(index)
        self.builder.add_tensor(name, shape, tensor.dtype, TensorRole.INPUT, tensor.quantised)
        self.names[index] = name
        if shape != tensor.shape:
            self.resized.add(name)
        return name

    def unique_name(self, index: int) -> str:
        """Return a graph name for a tensor: its own, unless that is empty or taken."""
        return self.builder.unique_tensor(self.subgraph.tensors[index].name or f"tensor_{index}")

    def tensor_name(self, index: int) -> str:
        """Graph tensor behind an index, declaring constants and state on first use."""
        if index in self.names:
            return self.names[index]
        tensor = self.subgraph.tensors[index]
        if not (tensor.constant or tensor.variable or 0 in tensor.shape):
            raise TfliteProblem(f"it reads tensor {index} ({tensor.name!r}), which nothing before it makes")
        name = self.unique_name(index)
        self.builder.add_tensor(name, tensor.shape, tensor.dtype, _weight_role(tensor), tensor.quantised)
        self.names[index] = name
        values = tensor.values()
        if values is not None:
            self.known[name] = values
        return name

    def run(self) -> None:
        """Import all operators in order."""
        for index, operator in enumerate(self.subgraph.operators):
            self._import(operator, index)

    def _import(self, operator: TfliteOperator, index: int) -> None:
        node = TfliteNode(operator, self, self._op_name(operator, index))
        try:
            rules, key = (CUSTOM_RULES, operator.custom_name) if operator.custom_name else (RULES, operator.op_type)
            import_rule = rules.get(key)
            if import_rule is None:
                source = operator.custom_name or operator.op_type
                node.emit_unknown(f"no rule for {'custom operator ' if operator.custom_name else ''}{source}")
            else:
                import_rule(node)
        except EstimatorError:
            raise
        except (ValueError, IndexError, KeyError, TypeError, ArithmeticError, MemoryError, AttributeError) as error:
            raise ModelFileError(
                f"operator {node.name!r} ({operator.op_type}) cannot be understood: {error}",
                expected="an operator as the TFLite schema describes it",
                hint="check shapes given with --input-shape, or convert the model again",
            ) from error

    def _op_name(self, operator: TfliteOperator, index: int) -> str:
        if operator.outputs and self.subgraph.tensors[operator.outputs[0]].name:
            return self.subgraph.tensors[operator.outputs[0]].name.partition(";")[0]
        return f"{operator.op_type.lower()}_{index}"


def _weight_role(tensor: TfliteTensor) -> TensorRole:
    if tensor.variable:
        return TensorRole.BUFFER
    learned = (tensor.dtype.is_float or tensor.quantised) and np.prod(tensor.shape) > 1
    return TensorRole.PARAMETER if learned else TensorRole.CONSTANT


@dataclass(slots=True)
class TfliteNode:
    """One operator with its inputs resolved: what an import rule works on."""

    operator: TfliteOperator
    importer: TfliteImporter
    name: str

    @property
    def op_type(self) -> str:
        """Builtin operator name."""
        return self.operator.op_type

    @property
    def source(self) -> str:
        """Operator name for reports: a custom operator's own."""
        return self.operator.custom_name or self.operator.op_type

    # ---- inputs and options

    @property
    def input_count(self) -> int:
        """Number of inputs, absent ones included."""
        return len(self.operator.inputs)

    def has(self, position: int) -> bool:
        """Whether an input is given."""
        return position < len(self.operator.inputs) and self.operator.inputs[position] >= 0

    def name_of(self, position: int) -> str:
        """Graph tensor of a required input."""
        if not self.has(position):
            raise TfliteProblem(f"input {position} is missing")
        return self.importer.tensor_name(self.operator.inputs[position])

    def input(self, position: int) -> TensorSpec:
        """Spec of a required input."""
        return self.importer.builder.tensors[self.name_of(position)]

    def given(self) -> list[int]:
        """Positions of the inputs that are given."""
        return [i for i in range(self.input_count) if self.has(i)]

    def value(self, position: int) -> Array | None:
        """Values of an input if it is given, small and known."""
        return self.importer.known.get(self.name_of(position)) if self.has(position) else None

    def int_values(self, position: int) -> tuple[int, ...] | None:
        """Values of an integer input, flat; None if they are not known."""
        values = self.value(position)
        return None if values is None else tuple(int(v) for v in values.reshape(-1))

    def option(self, index: int, code: str = "b", default: int = 0) -> int:
        """Integer option by its field index."""
        return default if self.operator.options is None else self.operator.options.scalar(index, code, default)

    def options(self, index: int) -> tuple[int, ...]:
        """Integer-list option by its field index."""
        return () if self.operator.options is None else self.operator.options.numbers(index, "i")

    def out_tensor(self, position: int = 0) -> TfliteTensor:
        """Output as the file declares it."""
        return self.importer.subgraph.tensors[self.operator.outputs[position]]

    # ---- weights

    def as_weight(self, position: int) -> None:
        """Say that an input is in a place where learned weights stand."""
        if self.has(position):
            self.importer.builder.set_role(self.name_of(position), TensorRole.PARAMETER)

    def conv_weight(self, position: int, order: Sequence[int], shape: Shape | None = None) -> str:
        """Return the name of a weight brought to the graph's axis order (or reshaped to `shape` after that).

        A stored weight changes in place, as only its description moves; a computed one is viewed.
        """
        importer, builder = self.importer, self.importer.builder
        spec = self.input(position)
        done = importer.relaid.get(spec.name)
        if done == tuple(order):
            return spec.name
        result = shape or tuple(spec.shape[i] for i in order)
        if spec.is_weight and done is None:
            builder.tensors[spec.name] = replace(spec, shape=result, role=TensorRole.PARAMETER)
            importer.relaid[spec.name] = tuple(order)
            return spec.name
        name = builder.unique_tensor(f"{spec.name}.relaid")
        builder.tensors[name] = replace(spec, name=name, shape=result)
        if spec.is_weight:
            builder.derived_from[name] = (spec.name,)
        else:
            builder.tensors[name] = replace(builder.tensors[name], role=TensorRole.ACTIVATION)
            attrs = FunctionAttrs("permute")
            builder.emit(OpKind.VIEW, (spec.name,), (name,), attrs, name=f"{self.name}.relaid", source=self.source)
        return name

    def view(self, spec: TensorSpec, name: str, shape: Shape, strides: Shape | None = None) -> None:
        """Declare a zero-cost view of a tensor under another shape."""
        builder = self.importer.builder
        builder.tensors[name] = replace(spec, name=name, shape=shape, strides=strides)
        if spec.is_weight:
            builder.derived_from[name] = (spec.name,)
            return
        builder.tensors[name] = replace(builder.tensors[name], role=TensorRole.ACTIVATION)
        builder.emit(
            OpKind.VIEW, (spec.name,), (name,), FunctionAttrs("view"), name=f"{self.name}.view", source=self.source
        )
        if spec.name in self.importer.resized:
            self.importer.resized.add(name)

    def swapped(self, position: int) -> str:
        """Return a view of a matrix operand with its last two axes swapped."""
        spec = self.input(position)
        name = self.importer.builder.unique_tensor(f"{spec.name}.transpose")
        strides = [1] * len(spec.shape)
        for axis in range(len(spec.shape) - 2, -1, -1):
            strides[axis] = strides[axis + 1] * spec.shape[axis + 1]
        self.view(spec, name, swap_last(spec.shape), swap_last(tuple(strides)))
        return name

    # ---- outputs

    def emit(
        self,
        kind: OpKind,
        shape: Sequence[int] | None,
        attrs: Attrs = NO_ATTRS,
        *,
        inputs: Sequence[int | str] | None = None,
        fused: int = 0,
        value: Array | None = None,
    ) -> None:
        """Emit one op with one output; see `emit_many`."""
        self.emit_many(kind, [shape], attrs, inputs=inputs, fused=fused, values=None if value is None else [value])

    def emit_many(
        self,
        kind: OpKind,
        shapes: Sequence[Sequence[int] | None],
        attrs: Attrs = NO_ATTRS,
        *,
        inputs: Sequence[int | str] | None = None,
        fused: int = 0,
        values: Sequence[Array] | None = None,
    ) -> None:
        """Declare the outputs and emit the op, unless it folds into a weight.

        Parameters
        ----------
        shapes : sequence of shape or None
            What the operator's inputs imply; used where an input was resized, None where unknown.
        inputs : sequence of int or str, optional
            Input positions, or names of tensors standing in for them; by default all given inputs.
        fused : int
            Code of the fused activation; it becomes an op of its own.
        values : sequence of array, optional
            Known values of the outputs: the op is then shape arithmetic.
        """
        builder = self.importer.builder
        positions: Sequence[int | str] = self.given() if inputs is None else inputs
        reads = [p if isinstance(p, str) else self.name_of(p) for p in positions if isinstance(p, str) or self.has(p)]
        sources = [builder.tensors[name] for name in reads]
        if (
            sources
            and all(s.is_weight and s.role is not TensorRole.BUFFER for s in sources)
            and kind is not OpKind.COPY
        ):
            self._fold(sources, shapes, values)
            return
        names = [self.declare(i, shape) for i, shape in enumerate(shapes[: len(self.operator.outputs)])]
        if not names:
            return
        if values is not None:
            for name, value in zip(names, values, strict=False):
                if value.size <= MAX_VALUE_COUNT:
                    self.importer.known[name] = value
            kind, attrs = OpKind.SHAPE, FunctionAttrs(self.op_type.lower())
        if fused in FUSED_ACTIVATIONS:
            inner = builder.unique_tensor(f"{names[0]}.linear")
            builder.tensors[inner] = replace(builder.tensors[names[0]], name=inner)
            builder.emit(kind, reads, (inner,), attrs, name=self.name, source=self.source)
            function = FUSED_ACTIVATIONS[fused]
            attrs, kind, reads = FunctionAttrs(function), OpKind.ACTIVATION, [inner]
            builder.emit(kind, reads, names, attrs, name=f"{self.name}.{function}", source=self.source)
            return
        builder.emit(kind, reads, names, attrs, name=self.name, source=self.source)

    def declare(self, position: int, shape: Sequence[int] | None) -> str:
        """Declare an output tensor; `shape` is used where an input was resized or the file leaves extents open."""
        index = self.operator.outputs[position]
        tensor = self.importer.subgraph.tensors[index]
        name = self.importer.unique_name(index)
        resized = self.importer.resized
        moved = bool(resized) and any(self.name_of(i) in resized for i in self.given())
        if moved and shape is None:
            raise MissingShapeError(
                f"operator {self.name!r} ({self.source}) gives no rule for another input size",
                hint="leave out --input-shape, or convert the model for the wanted size",
            )
        implied = shape is not None and (moved or tensor.signature != tensor.shape)
        extents = tuple(int(n) for n in shape) if implied and shape is not None else tensor.shape
        self.importer.builder.add_tensor(name, extents, tensor.dtype, TensorRole.ACTIVATION, tensor.quantised)
        self.importer.names[index] = name
        if extents != tensor.shape:
            resized.add(name)
        return name

    def _fold(
        self, sources: Sequence[TensorSpec], shapes: Sequence[Sequence[int] | None], values: Sequence[Array] | None
    ) -> None:
        """Let the outputs be weights, in the type in which they are stored (half floats before DEQUANTIZE)."""
        builder = self.importer.builder
        largest = max(sources, key=lambda s: s.numel)
        for position, index in enumerate(self.operator.outputs):
            tensor = self.importer.subgraph.tensors[index]
            name = self.importer.unique_name(index)
            keeps = self.op_type in ("DEQUANTIZE", "DENSIFY") or largest.dtype.bits < tensor.dtype.bits
            dtype = largest.dtype if keeps else tensor.dtype
            builder.add_derived(name, tensor.shape, dtype, sources)
            self.importer.names[index] = name
            if values is not None and position < len(values):
                self.importer.known[name] = values[position]

    def emit_unknown(self, reason: str, kind: OpKind = OpKind.UNKNOWN, attrs: Attrs | None = None) -> None:
        """Emit an op without a rule; its output shapes are the file's."""
        builder = self.importer.builder
        reads = [self.name_of(i) for i in self.given()]
        names = [self.declare(i, None) for i in range(len(self.operator.outputs))]
        builder.emit(kind, reads, names, attrs or UnknownAttrs(reason), name=self.name, source=self.source)

    def compute(self, function: Callable[..., Array], *positions: int) -> Array | None:
        """Apply a numpy function to known input values; None where one is unknown or the result is too large."""
        arguments = [self.value(i) for i in positions]
        if any(a is None for a in arguments):
            return None
        with np.errstate(all="ignore"):
            result = np.asarray(function(*arguments))
        return result if result.size <= MAX_VALUE_COUNT else None

    def out_dtype(self) -> DType:
        """Element type of the first output."""
        return self.out_tensor().dtype
