"""Walk the operators of an ONNX file once: propagate shapes and small values, emit ops of the graph.

Shapes are propagated here rather than by `onnx.shape_inference`, which stops at the first shape that
is computed from tensor values. Here every small tensor whose values are known is computed with numpy
(``Shape → Gather → Concat → Reshape`` chains), so with bound inputs nearly every extent is known.

An operator whose inputs are all weights is done by every runtime when it loads the model, so it
leaves no op: its output is a weight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from estimator.dtypes import DType
from estimator.errors import EstimatorError, MissingShapeError, ModelFileError
from estimator.frontends.graph_builder import NO_ATTRS, GraphBuilder
from estimator.frontends.onnx_schema import (
    ELEMENT_TYPES,
    MAX_DIM,
    MAX_NESTING,
    MAX_NODES,
    MAX_VALUE_COUNT,
    WireAttribute,
    WireFunction,
    WireGraph,
    WireModel,
    WireNode,
    WireTensor,
)
from estimator.frontends.shape_arithmetic import swap_last
from estimator.ir.op import Attrs, FunctionAttrs, OpKind, UnknownAttrs
from estimator.ir.tensor import Shape, TensorRole, TensorSpec

Array = NDArray[np.generic]
Rule = Callable[["Node"], None]

RULES: dict[tuple[str, str], Rule] = {}
"""Import rule of each (domain, operator); filled by the ``onnx_*`` rule modules."""


def rule(*op_types: str, domain: str = "") -> Callable[[Rule], Rule]:
    """Register an import rule for one or more operators of a domain."""

    def register(function: Rule) -> Rule:
        for op_type in op_types:
            if (domain, op_type) in RULES:
                raise RuntimeError(f"two import rules for {domain}:{op_type}")
            RULES[domain, op_type] = function
        return function

    return register


class NodeProblem(ValueError):
    """An operator contradicts the ONNX specification; becomes a `ModelFileError` that names it."""


class DataDependentShape(ValueError):
    """An extent is computed from data; becomes a `MissingShapeError` that names the operator."""


@dataclass(slots=True)
class Frame:
    """Names of one graph, subgraph or function body, bound to tensors of the graph being built."""

    prefix: str
    opset: int
    parent: Frame | None = None
    bound: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, WireAttribute] = field(default_factory=dict)
    depth: int = 0

    def find(self, local: str) -> str | None:
        """Graph tensor that a local name stands for, looking outwards through enclosing graphs."""
        frame: Frame | None = self
        while frame is not None:
            if local in frame.bound:
                return frame.bound[local]
            frame = frame.parent
        return None


@dataclass(slots=True)
class OnnxImporter:
    """State of one import."""

    model: WireModel
    builder: GraphBuilder
    symbols: dict[str, int]
    known: dict[str, Array] = field(default_factory=dict)
    sequences: dict[str, tuple[str, ...]] = field(default_factory=dict)
    weights_are_constants: bool = False
    visited: int = 0

    def import_graph(self, graph: WireGraph, frame: Frame) -> None:
        """Declare a graph's weights and import its operators in order."""
        if frame.depth > MAX_NESTING:
            raise ModelFileError(f"subgraphs or functions are nested more than {MAX_NESTING} deep")
        for tensor in graph.initialisers:
            self.declare_weight(frame, tensor.name, tensor)
        for index, node in enumerate(_in_order(graph.nodes)):
            self._import_node(node, frame, index)

    def _import_node(self, wire: WireNode, frame: Frame, index: int) -> None:
        self.visited += 1
        if self.visited > MAX_NODES:
            raise ModelFileError(f"more than {MAX_NODES} operators after inlining subgraphs and functions")
        label = wire.name or f"{wire.op_type}_{index}"
        node = Node(wire, frame, self, frame.prefix + label)
        try:
            function = self.model.functions.get((wire.domain, wire.op_type))
            import_rule = RULES.get((wire.domain, wire.op_type))
            if function is not None and import_rule is None:
                self._inline_or_list(node, function)
            elif import_rule is not None:
                import_rule(node)
            else:
                node.emit_unknown(f"no rule for {wire.domain or 'ai.onnx'}:{wire.op_type}")
        except EstimatorError:
            raise
        except DataDependentShape as error:
            raise MissingShapeError(
                f"the output shape of operator {node.name!r} ({wire.op_type}) is unknown: {error}",
                hint="export the model with fixed shapes, or simplify it (constant folding) first",
            ) from error
        except (ValueError, IndexError, KeyError, TypeError, ArithmeticError, MemoryError, AttributeError) as error:
            shapes = ", ".join(
                f"{spec.name}{list(spec.shape)}" for i in range(len(wire.inputs)) if (spec := node.optional(i))
            )
            raise ModelFileError(
                f"operator {node.name!r} ({wire.op_type}) cannot be understood: {error}",
                where=f"inputs {shapes}" if shapes else "",
                expected="an operator as the ONNX specification describes it",
                hint="check the input shapes given with --input-shape, or run the onnx checker on the file",
            ) from error

    def _inline_or_list(self, node: Node, function: WireFunction) -> None:
        """Inline a function; one whose inner shapes depend on data is listed if the file states its results."""
        known, sequences = dict(self.known), dict(self.sequences)
        try:
            with self.builder.undone_on(MissingShapeError):
                self._inline_function(node, function)
        except MissingShapeError:
            self.known, self.sequences = known, sequences
            if any(local and node.declared(local) is None for local in node.wire.outputs):
                raise
            count = len(function.nodes)
            self.builder.note(
                f"{node.source} {node.name!r}: shapes inside depend on data; {count} operators not counted"
            )
            node.emit_unknown("shapes inside depend on data")

    def _inline_function(self, node: Node, function: WireFunction) -> None:
        opset = self.model.opsets.get("", node.frame.opset)
        inner = Frame(f"{node.name}/", opset, None, depth=node.frame.depth + 1)
        inner.attributes = {**function.defaults, **node.wire.attributes}
        for local, outer in zip(function.inputs, node.wire.inputs, strict=False):
            if outer:
                inner.bound[local] = node.resolve(outer)
        self.import_graph(WireGraph(function.name, function.nodes, (), (), (), ()), inner)
        for local, outer in zip(function.outputs, node.wire.outputs, strict=False):
            if outer:
                node.bind(outer, self._require(inner, local))

    def _require(self, frame: Frame, local: str) -> str:
        found = frame.find(local)
        if found is None:
            raise NodeProblem(f"it reads {local!r}, which nothing before it makes")
        return found

    def declare_weight(self, frame: Frame, local: str, tensor: WireTensor, *, literal: bool = False) -> str:
        """Declare an initialiser or a Constant node's tensor and remember its values if it is small."""
        name = self.builder.unique_tensor(frame.prefix + local)
        learned = tensor.dtype.is_float and len(tensor.dims) > 0 and tensor.numel > 1
        if literal and not self.weights_are_constants:
            learned = False
        role = TensorRole.PARAMETER if learned else TensorRole.CONSTANT
        self.builder.add_tensor(name, tensor.dims, tensor.dtype, role)
        frame.bound[local] = name
        values = tensor.values()
        if values is not None:
            self.known[name] = values
        return name

    @contextmanager
    def rehearsal(self) -> Iterator[list[str]]:
        """Import something for its shapes only; yields the weights that it read (see `GraphBuilder.rehearsal`)."""
        known, sequences = dict(self.known), dict(self.sequences)
        try:
            with self.builder.rehearsal() as weights_read:
                yield weights_read
        finally:
            self.known, self.sequences = known, sequences


@dataclass(slots=True)
class Node:
    """One operator with its inputs resolved: what an import rule works on."""

    wire: WireNode
    frame: Frame
    importer: OnnxImporter
    name: str
    viewed: dict[int, str] = field(default_factory=dict)
    """Inputs that the op reads through a view made for it, also where the file gives none (packed operands)."""

    @property
    def op_type(self) -> str:
        """Operator name in the file."""
        return self.wire.op_type

    @property
    def opset(self) -> int:
        """Version of the default operator set that this node follows."""
        return self.frame.opset

    # ---- inputs

    def resolve(self, local: str) -> str:
        """Graph tensor behind a local name; fails if nothing made it."""
        found = self.frame.find(local)
        if found is None:
            raise NodeProblem(f"it reads {local!r}, which nothing before it makes")
        return found

    def has(self, index: int) -> bool:
        """Whether an optional input is given."""
        return index < len(self.wire.inputs) and bool(self.wire.inputs[index])

    def name_of(self, index: int) -> str:
        """Graph tensor name of a required input."""
        if index in self.viewed:
            return self.viewed[index]
        if not self.has(index):
            raise NodeProblem(f"input {index} is missing")
        return self.resolve(self.wire.inputs[index])

    def input(self, index: int) -> TensorSpec:
        """Spec of a required input."""
        name = self.name_of(index)
        spec = self.importer.builder.tensors.get(name)
        if spec is None:
            raise NodeProblem(f"input {index} is not a tensor")
        return spec

    def optional(self, index: int) -> TensorSpec | None:
        """Spec of an input, or None if it is absent."""
        if not self.has(index):
            return None
        found = self.frame.find(self.wire.inputs[index])
        return None if found is None else self.importer.builder.tensors.get(found)

    def inputs(self) -> list[TensorSpec]:
        """All inputs that are given."""
        return [self.input(i) for i in range(len(self.wire.inputs)) if self.has(i)]

    def value(self, index: int) -> Array | None:
        """Values of an input if it is given, small and known."""
        return self.importer.known.get(self.name_of(index)) if self.has(index) else None

    def int_values(self, index: int, what: str) -> tuple[int, ...]:
        """Values of an integer input that a shape depends on."""
        values = self.value(index)
        if values is None:
            raise DataDependentShape(f"its {what} depends on input data")
        return tuple(int(v) for v in values.reshape(-1))

    def integers(self, index: int, attribute: str, what: str) -> tuple[int, ...] | None:
        """Integers that older opsets keep in an attribute and newer ones in an input; None if in neither."""
        if self.has(index):
            return self.int_values(index, what)
        return self.ints_attr(attribute) if attribute in self.wire.attributes else None

    def as_weight(self, index: int, role: TensorRole = TensorRole.PARAMETER) -> None:
        """Say that an input is in a place where learned weights stand."""
        if self.has(index):
            self.importer.builder.set_role(self.name_of(index), role)

    def view_input(self, index: int, shape: Shape, label: str, strides: Shape | None = None) -> None:
        """Let the op read an input through a zero-cost view of another shape."""
        spec = self.input(index)
        builder = self.importer.builder
        name = builder.unique_tensor(f"{spec.name}.{label}")
        builder.tensors[name] = replace(spec, name=name, shape=_checked(shape), strides=strides)
        self.viewed[index] = name
        if spec.is_weight:
            builder.derived_from[name] = (spec.name,)
            return
        builder.tensors[name] = replace(builder.tensors[name], role=TensorRole.ACTIVATION)
        builder.emit(
            OpKind.VIEW, (spec.name,), (name,), FunctionAttrs(label), name=f"{self.name}.{label}", source=self.source,
            scope=self.scope(),
        )  # fmt: skip

    def transpose_input(self, index: int, swapped: bool) -> None:
        """Bring a matrix operand that is stored with its last two axes swapped to its logical shape."""
        if not swapped:
            return
        shape = self.input(index).shape
        strides = [1] * len(shape)
        for axis in range(len(shape) - 2, -1, -1):
            strides[axis] = strides[axis + 1] * shape[axis + 1]
        self.view_input(index, swap_last(shape), "transpose", swap_last(tuple(strides)))

    # ---- attributes

    def attribute(self, name: str) -> WireAttribute | None:
        """Attribute as stored, after following a function's reference to its caller."""
        found = self.wire.attributes.get(name)
        if found is not None and found.reference:
            return self.frame.attributes.get(found.reference)
        return found

    def int_attr(self, name: str, default: int) -> int:
        """Integer attribute."""
        found = self.attribute(name)
        return default if found is None or found.integer is None else found.integer

    def float_attr(self, name: str, default: float) -> float:
        """Float attribute."""
        found = self.attribute(name)
        return default if found is None or found.number is None else found.number

    def text_attr(self, name: str, default: str) -> str:
        """Text attribute."""
        found = self.attribute(name)
        return default if found is None or found.text is None else found.text

    def ints_attr(self, name: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Integer-list attribute."""
        found = self.attribute(name)
        return default if found is None or not found.integers else found.integers

    def graph_attr(self, name: str) -> WireGraph:
        """Subgraph attribute."""
        found = self.attribute(name)
        if found is None or found.graph is None:
            raise NodeProblem(f"subgraph {name!r} is missing")
        return found.graph

    # ---- outputs

    def bind(self, local: str, name: str) -> None:
        """Let a local name stand for a tensor that exists."""
        self.frame.bound[local] = name

    def bind_sequence(self, parts: Sequence[str], output: int = 0) -> None:
        """Let an output stand for a list of tensors, which exists only while importing."""
        local = self.wire.outputs[output]
        handle = f"{self.frame.prefix}{local}#sequence{len(self.importer.sequences)}"
        self.importer.sequences[handle] = tuple(parts)
        self.bind(local, handle)

    def emit(
        self,
        kind: OpKind,
        shape: Sequence[int],
        attrs: Attrs = NO_ATTRS,
        *,
        dtype: DType | None = None,
        inputs: Sequence[int] | None = None,
        value: Array | None = None,
        quantised: bool | None = None,
    ) -> None:
        """Emit one op with one output; see `emit_many`."""
        self.emit_many(
            kind, [(shape, dtype or self._dtype())], attrs, inputs=inputs,
            values=None if value is None else [value], quantised=quantised,
        )  # fmt: skip

    def emit_many(
        self,
        kind: OpKind,
        outputs: Sequence[tuple[Sequence[int], DType]],
        attrs: Attrs = NO_ATTRS,
        *,
        inputs: Sequence[int] | None = None,
        values: Sequence[Array] | None = None,
        quantised: bool | None = None,
    ) -> None:
        """Declare the outputs and emit the op, unless it folds into a weight.

        Parameters
        ----------
        outputs : sequence of (shape, dtype)
            One entry per output that the operator can have; outputs that the file leaves out are skipped.
        inputs : sequence of int, optional
            Indices of the inputs that the op reads at run time; by default all that are given.
        values : sequence of array, optional
            The outputs' values where they are known: the op is then shape arithmetic.
        """
        builder = self.importer.builder
        sources = self.inputs()
        folded = all(spec.is_weight for spec in sources)
        if quantised is None:
            quantised = bool(sources) and sources[0].quantised
        names = []
        for index, ((shape, dtype), local) in enumerate(zip(outputs, self.wire.outputs, strict=False)):
            if not local:
                continue
            name = builder.unique_tensor(self.frame.prefix + local)
            if folded:
                builder.add_derived(name, _checked(shape), dtype, sources, quantised)
            else:
                builder.add_tensor(name, _checked(shape), dtype, TensorRole.ACTIVATION, quantised)
            self.bind(local, name)
            names.append(name)
            if values is not None and index < len(values) and values[index].size <= MAX_VALUE_COUNT:
                self.importer.known[name] = values[index]
        if folded or not names:
            return
        places = range(len(self.wire.inputs)) if inputs is None else inputs
        read = [self.name_of(i) for i in places if i in self.viewed or self.has(i)]
        if values is not None:
            kind, attrs = OpKind.SHAPE, FunctionAttrs(self.op_type.lower())
        builder.emit(kind, read, names, attrs, name=self.name, source=self.source, scope=self.scope())

    def emit_unknown(self, reason: str) -> None:
        """Emit an op without a rule; outputs keep the first input's shape unless the file declares theirs."""
        sources = [spec for i in range(len(self.wire.inputs)) if (spec := self.optional(i)) is not None]
        guess: tuple[Shape, DType] = (sources[0].shape, sources[0].dtype) if sources else ((), DType.F32)
        declared = [self.declared(local) for local in self.wire.outputs]
        builder = self.importer.builder
        if any(found is None for found in declared):
            builder.note(f"{self.source}: output shape unknown, taken to be its first input's")
        names = []
        for local, found in zip(self.wire.outputs, declared, strict=True):
            if local:
                name = builder.unique_tensor(self.frame.prefix + local)
                builder.add_tensor(name, *(found or guess))
                self.bind(local, name)
                names.append(name)
        builder.emit(
            OpKind.UNKNOWN, [s.name for s in sources], names, UnknownAttrs(reason),
            name=self.name, source=self.source, scope=self.scope(),
        )  # fmt: skip

    def compute(self, function: Callable[..., Array], *indices: int) -> Array | None:
        """Apply a numpy function to input values; None where one is unknown or the result is too large."""
        arguments = [self.value(i) for i in indices]
        if any(a is None for a in arguments):
            return None
        with np.errstate(all="ignore"):
            result = np.asarray(function(*arguments))
        return result if result.size <= MAX_VALUE_COUNT else None

    @property
    def source(self) -> str:
        """The framework's own operator name, with its domain unless that is the default one."""
        return f"{self.wire.domain}:{self.op_type}" if self.wire.domain else self.op_type

    def _dtype(self) -> DType:
        """Element type of the result: that of the first operand that is not a weight."""
        sources = self.inputs()
        if not sources:
            raise NodeProblem("it has no inputs")
        return next((s.dtype for s in sources if not s.is_weight), sources[0].dtype)

    def scope(self) -> str:
        """Return the module path in a node name: ``/layer1/layer1.0/conv1/Conv`` ran in ``layer1.0.conv1``."""
        path: list[str] = []
        for part in self.name.strip("/").split("/")[:-1]:
            if path and part.startswith(f"{path[-1]}."):
                path[-1] = part  # torch repeats the container's name before its item's
            else:
                path.append(part)
        return ".".join(path)

    def declared(self, local: str) -> tuple[Shape, DType] | None:
        """Shape and type that the file states for a tensor, if it does so without unknowns."""
        graph = self.importer.model.graph
        for value in (*graph.value_infos, *graph.outputs):
            if value.name == local and value.shape is not None and value.element_type in ELEMENT_TYPES:
                extents = [self.importer.symbols.get(d) if isinstance(d, str) else d for d in value.shape]
                if all(extent is not None for extent in extents):
                    return tuple(e for e in extents if e is not None), ELEMENT_TYPES[value.element_type].dtype
        return None


def _in_order(nodes: Sequence[WireNode]) -> Sequence[WireNode]:
    """Put nodes behind those they or their subgraphs read; files are sorted by rule, and some converters break it."""
    maker = {name: i for i, node in enumerate(nodes) for name in node.outputs if name}
    sources = [[maker[name] for name in node.reads() if name in maker] for node in nodes]
    if all(source < i for i, read in enumerate(sources) for source in read):
        return nodes
    order: dict[int, None] = {}
    for start in range(len(nodes)):
        pending, entered = [start], set[int]()
        while pending:
            missing = [s for s in sources[pending[-1]] if s not in order and s not in entered]
            entered.add(pending[-1])
            if missing:
                pending.append(missing[0])
            else:
                order.setdefault(pending.pop())
    return [nodes[i] for i in order]


def _checked(shape: Sequence[int]) -> Shape:
    extents = tuple(int(extent) for extent in shape)
    if len(extents) > 64 or any(not 0 <= extent <= MAX_DIM for extent in extents):
        raise NodeProblem(f"its output would have the impossible shape {list(extents[:8])}")
    return extents
