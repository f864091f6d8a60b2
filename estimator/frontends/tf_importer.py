"""Walk the operations of a TensorFlow graph and emit ops of ours; TensorFlow itself infers the shapes.

Pruned, only what the outputs need is kept and whatever depends on weights alone is a weight. Unpruned,
every node of the file is an op under its own name, as TensorFlow's profiler sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from estimator.dtypes import DType
from estimator.errors import EstimatorError, MissingShapeError, ModelFileError
from estimator.frontends.graph_builder import NO_ATTRS, GraphBuilder
from estimator.frontends.shape_arithmetic import swap_last
from estimator.ir.op import Attrs, CopyAttrs, FunctionAttrs, OpKind, UnknownAttrs
from estimator.ir.tensor import Shape, TensorRole, TensorSpec

Rule = Callable[["TfNode"], None]
RULES: dict[str, Rule] = {}
"""Import rule of each operation type; filled by the ``tf_*`` rule modules."""
MAX_CALL_DEPTH = 32
MAX_VISITED = 500_000

_DTYPES = {
    "float32": DType.F32, "float64": DType.F64, "float16": DType.F16, "bfloat16": DType.BF16, "int64": DType.I64,
    "int32": DType.I32, "int16": DType.I16, "int8": DType.I8, "uint64": DType.U64, "uint32": DType.U32,
    "uint16": DType.U16, "uint8": DType.U8, "bool": DType.BOOL, "complex64": DType.C64, "complex128": DType.C128,
    "qint8": DType.I8, "quint8": DType.U8, "qint32": DType.I32, "qint16": DType.I16, "quint16": DType.U16,
    "int4": DType.I4, "uint4": DType.I4,
}  # fmt: skip
_TF_CODES = {
    DType.F32: 1, DType.F64: 2, DType.I32: 3, DType.U8: 4, DType.I16: 5, DType.I8: 6, DType.STRING: 7, DType.C64: 8,
    DType.I64: 9, DType.BOOL: 10, DType.BF16: 14, DType.U16: 17, DType.C128: 18, DType.F16: 19, DType.U32: 22,
    DType.U64: 23,
}  # fmt: skip
"""``DataType`` of types.proto for each type that a variable can have."""
VARIABLES = frozenset({"VariableV2", "Variable", "VarHandleOp", "VarIsInitializedOp"})
CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})

Body = tuple[Any, list[str], list[str]]
"""A function as a graph of its own, the names of its arguments, and the tensors that it returns."""


def rule(*op_types: str) -> Callable[[Rule], Rule]:
    """Register an import rule for one or more operation types."""

    def register(function: Rule) -> Rule:
        for op_type in op_types:
            if op_type in RULES:
                raise RuntimeError(f"two import rules for {op_type}")
            RULES[op_type] = function
        return function

    return register


@dataclass(slots=True)
class TfImporter:
    """State of one import.

    Attributes
    ----------
    bound : dict of str to str
        Graph tensor of each TensorFlow tensor name, ``prefix/node:0``.
    trainable : mapping of str to bool
        By variable name; a variable that it does not list is taken as learned.
    complete : bool
        Every node is an op (unpruned).
    frozen : bool
        There are no variables: the learned weights are constants.
    """

    builder: GraphBuilder
    trainable: Mapping[str, bool]
    complete: bool
    graph: Any
    frozen: bool
    functions: Mapping[str, Any] = field(default_factory=dict)
    bound: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    relaid: dict[str, tuple[int, ...]] = field(default_factory=dict)
    met_control_flow: bool = False
    visited: int = 0

    def run(self, operations: Iterable[Any], prefix: str = "", depth: int = 0) -> None:
        """Import operations, which must be in execution order."""
        for operation in operations:
            self.visited += 1
            if self.visited > MAX_VISITED:
                raise ModelFileError(f"more than {MAX_VISITED} operations after inlining functions")
            self._import(operation, prefix, depth)

    def _import(self, operation: Any, prefix: str, depth: int) -> None:
        node = TfNode(operation, self, prefix, depth)
        try:
            self._dispatch(node)
        except EstimatorError:
            raise
        except (ValueError, IndexError, KeyError, TypeError, ArithmeticError, AttributeError) as error:
            raise ModelFileError(
                f"operation {node.name!r} ({operation.type}) cannot be understood: {error}",
                expected="an operation as TensorFlow describes it",
            ) from error

    def _dispatch(self, node: TfNode) -> None:
        op_type = node.op_type
        if op_type in VARIABLES:
            self._variable(node)
        elif op_type == "Const":
            self._constant(node)
        elif op_type in CALLS:
            self._call(node)
        elif op_type in RULES:
            RULES[op_type](node)
        elif node.op.outputs:
            node.emit_all(OpKind.UNKNOWN, UnknownAttrs(f"no rule for {op_type}"))

    def _variable(self, node: TfNode) -> None:
        if node.op_type == "VarIsInitializedOp":
            return
        import tensorflow as tf

        shape = tf.TensorShape(node.attribute("shape"))
        if shape.rank is None or not shape.is_fully_defined():
            raise MissingShapeError(f"variable {node.name!r} has no static shape")
        dtype = dtype_of(node.attribute("dtype"))
        shared = node.attribute("shared_name").decode() if node.has_attribute("shared_name") else ""
        self.declare_variable(node.name, node.op.outputs[0].name, node.prefix, tuple(shape), dtype, shared)

    def declare_variable(
        self, name: str, tensor_name: str, prefix: str, shape: Shape, dtype: DType, shared_name: str = ""
    ) -> None:
        """Declare a variable as a weight under its own name; several handles may share one."""
        learned = self.trainable.get(name, self.trainable.get(shared_name, dtype.is_float))
        role = TensorRole.PARAMETER if learned else TensorRole.BUFFER
        unique = self.variables.get(shared_name or name)
        if unique is None:
            unique = self.builder.unique_tensor(name)
            self.builder.add_tensor(unique, shape, dtype, role)
            self.variables[shared_name or name] = unique
        self.bound[prefix + tensor_name] = unique

    def _constant(self, node: TfNode) -> None:
        """Declare a literal; in a frozen graph the weights are constants too."""
        tensor = node.op.outputs[0]
        dtype = dtype_of(tensor.dtype)
        shape = node.shape_of(tensor)
        learned = dtype.is_float and len(shape) > 0 and int(np.prod(shape)) > 1
        learned = learned and self.frozen and not self.complete
        name = self.builder.unique_tensor(node.name)
        self.builder.add_tensor(name, shape, dtype, TensorRole.PARAMETER if learned else TensorRole.CONSTANT)
        self.bound[node.key(tensor)] = name

    def _call(self, node: TfNode) -> None:
        """Inline a function: its body is imported with the caller's shapes."""
        name = node.attribute("f").name
        body = self.body_of(name, node)
        if body is None:
            node.emit_all(OpKind.UNKNOWN, UnknownAttrs(f"function {name} cannot be inlined"))
            return
        arguments = [self.bound[node.key(outer)] for outer in node.op.inputs]
        results = self.run_body(body, f"{node.name}/", arguments, node.depth + 1)
        self.bound.update(zip((node.key(outer) for outer in node.op.outputs), results, strict=True))

    def body_of(self, name: str, node: TfNode) -> Body | None:
        """Import function `name` as `node` calls it; None if it is not in the file or nested too deep."""
        definition = self.functions.get(name)
        return None if definition is None or node.depth >= MAX_CALL_DEPTH else self._function_body(definition, node)

    def run_body(self, body: Body, prefix: str, arguments: Sequence[str], depth: int) -> list[str]:
        """Import a function's operations once and return the names of its results."""
        graph, argument_names, result_names = body
        for inner, name in zip(argument_names, arguments, strict=True):
            self.bound[f"{prefix}{inner}:0"] = name
        operations = graph.get_operations()
        if not self.complete:
            needed = needed_operations(graph.get_tensor_by_name(name) for name in result_names)
            operations = [o for o in operations if o.name in needed]
        taken = set(argument_names)
        self.run([o for o in operations if o.name not in taken], prefix, depth)
        return [self.bound[prefix + name] for name in result_names]

    def _function_body(self, definition: Any, node: TfNode) -> Body:
        """Import a function as a graph of its own, with the shapes and variables that this call gives it.

        A variable arrives as a handle without a shape; putting the variable itself in the argument's place lets
        TensorFlow infer the shape of what is read from it.
        """
        import tensorflow as tf
        from tensorflow.python.framework.function_def_to_graph import function_def_to_graph_def

        with self.graph.as_default():  # functions that the body calls are looked up there
            graph_def, flat_names = function_def_to_graph_def(definition)
        graph_def.library.CopyFrom(self.graph.as_graph_def().library)
        arguments = [a.name for a in definition.signature.input_arg]
        by_name = {n.name: n for n in graph_def.node}
        for name, tensor in zip(arguments, node.op.inputs, strict=True):
            spec, argument = self.builder.tensors[self.bound[node.key(tensor)]], by_name[name]
            if tensor.dtype == tf.resource and spec.is_weight:
                argument.op = "VarHandleOp"
                argument.attr.clear()
                argument.attr["dtype"].type = _TF_CODES[spec.dtype]
                argument.attr["shape"].shape.CopyFrom(tf.TensorShape(spec.shape).as_proto())
            elif tensor.dtype != tf.resource:
                argument.attr["shape"].shape.CopyFrom(tf.TensorShape(spec.shape).as_proto())
        body = tf.Graph()
        with body.as_default():
            tf.import_graph_def(graph_def, name="")
        results = [flat_names[definition.ret[a.name]] for a in definition.signature.output_arg]
        return body, arguments, results


def needed_operations(results: Iterable[Any]) -> set[str]:
    """Names of the operations that tensors depend on: the others are not run."""
    needed: set[str] = set()
    pending = [tensor.op for tensor in results]
    while pending:
        operation = pending.pop()
        if operation.name not in needed:
            needed.add(operation.name)
            pending.extend(tensor.op for tensor in operation.inputs)
    return needed


def dtype_of(dtype: Any) -> DType:
    """Our element type; strings, resources and variants are handles."""
    return _DTYPES.get(dtype.base_dtype.name if hasattr(dtype, "base_dtype") else str(dtype), DType.STRING)


@dataclass(slots=True)
class TfNode:
    """One operation with its inputs resolved: what an import rule works on."""

    op: Any
    importer: TfImporter
    prefix: str
    depth: int

    @property
    def op_type(self) -> str:
        """Operation type, e.g. ``Conv2D``."""
        return str(self.op.type)

    @property
    def name(self) -> str:
        """Node name with the functions around it."""
        return self.prefix + str(self.op.name)

    def key(self, tensor: Any) -> str:
        """Name under which a tensor is bound."""
        return self.prefix + str(tensor.name)

    # ---- attributes and inputs

    def has_attribute(self, name: str) -> bool:
        """Whether the node has an attribute."""
        return name in self.op.node_def.attr

    def attribute(self, name: str) -> Any:
        """Attribute value as TensorFlow decodes it."""
        return self.op.get_attr(name)

    def text(self, name: str, default: str = "") -> str:
        """Text attribute."""
        if not self.has_attribute(name):
            return default
        value = self.attribute(name)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

    def flag(self, name: str) -> bool:
        """Boolean attribute, false by default."""
        return bool(self.attribute(name)) if self.has_attribute(name) else False

    def ints(self, name: str) -> tuple[int, ...]:
        """Integer-list attribute."""
        return tuple(int(v) for v in self.attribute(name)) if self.has_attribute(name) else ()

    @property
    def input_count(self) -> int:
        """Number of data inputs."""
        return len(self.op.inputs)

    def name_of(self, position: int) -> str:
        """Graph tensor of an input."""
        return self.importer.bound[self.key(self.op.inputs[position])]

    def input(self, position: int) -> TensorSpec:
        """Spec of an input."""
        return self.importer.builder.tensors[self.name_of(position)]

    def value(self, position: int) -> tuple[int, ...] | None:
        """Values of an integer input, flat; None if TensorFlow cannot tell them without running."""
        from tensorflow.python.framework.tensor_util import constant_value

        values = constant_value(self.op.inputs[position])
        if values is None or values.dtype.kind not in "iu":
            return None
        return tuple(int(v) for v in np.asarray(values).reshape(-1))

    def shape_of(self, tensor: Any) -> Shape:
        """Return the static shape of a tensor; in a complete graph an unknown extent is 0 and counts nothing."""
        shape = tensor.shape
        if shape.rank is None:
            if self.importer.complete:
                self.importer.builder.note("some shapes are unknown: operations on them count 0")
                return (0,)
            raise MissingShapeError(
                f"the output shape of {self.name!r} ({self.op_type}) is unknown",
                hint="give all inputs with --input-shape",
            )
        extents = shape.as_list()
        if None in extents and self.importer.met_control_flow:
            self.importer.builder.note("extents that control flow decides are taken as 1")
            return tuple(1 if extent is None else int(extent) for extent in extents)
        if None in extents and not self.importer.complete:
            raise MissingShapeError(
                f"the output shape {extents} of {self.name!r} ({self.op_type}) depends on data",
                hint="give all inputs with --input-shape",
            )
        if None in extents:
            self.importer.builder.note("unknown batch or extents: operations on them count 0; see --input-shape")
        return tuple(0 if extent is None else int(extent) for extent in extents)

    @property
    def channels_last(self) -> bool:
        """Whether activations are [n, *s, c]."""
        return not self.text("data_format", "NHWC").startswith("NC")

    def out_shape(self, position: int = 0) -> Shape:
        """Return the static shape of an output."""
        return self.shape_of(self.op.outputs[position])

    def as_weight(self, position: int, role: TensorRole = TensorRole.PARAMETER) -> None:
        """Say that an input is in a place where learned weights (or stored statistics) stand."""
        spec = self.input(position)
        declared = self.importer.trainable.get(spec.name)
        if not self.importer.complete and declared is None:
            self.importer.builder.set_role(spec.name, role)

    # ---- weights in the graph's order

    def relaid(self, position: int, order: Sequence[int], shape: Shape | None = None) -> str:
        """Return a weight in the graph's axis order, reshaped to `shape` after that.

        Pruned, a stored weight changes in place, as only its description moves; otherwise it is viewed.
        """
        importer, builder = self.importer, self.importer.builder
        spec = self.input(position)
        if importer.relaid.get(spec.name) == tuple(order):
            return spec.name
        result = shape or tuple(spec.shape[i] for i in order)
        if spec.is_weight and not importer.complete and spec.name not in importer.relaid:
            builder.tensors[spec.name] = replace(spec, shape=result)
            importer.relaid[spec.name] = tuple(order)
            return spec.name
        return self.view(position, result, "relaid")

    def view(self, position: int, shape: Shape, label: str, strides: Shape | None = None) -> str:
        """Return a zero-cost view of an input under another shape."""
        builder, spec = self.importer.builder, self.input(position)
        name = builder.unique_tensor(f"{self.name}.{label}")
        builder.tensors[name] = replace(spec, name=name, shape=shape, strides=strides)
        if spec.is_weight and not self.importer.complete:
            builder.derived_from[name] = (spec.name,)
            return name
        builder.tensors[name] = replace(builder.tensors[name], role=TensorRole.ACTIVATION)
        builder.emit(OpKind.VIEW, (spec.name,), (name,), FunctionAttrs(label), name=f"{self.name}.{label}", source="")
        return name

    def swapped(self, position: int) -> str:
        """Return a view of a matrix operand with its last two axes swapped."""
        shape = self.input(position).shape
        strides = [1] * len(shape)
        for axis in range(len(shape) - 2, -1, -1):
            strides[axis] = strides[axis + 1] * shape[axis + 1]
        return self.view(position, swap_last(shape), "transpose", swap_last(tuple(strides)))

    # ---- outputs

    def emit(
        self,
        kind: OpKind,
        attrs: Attrs = NO_ATTRS,
        *,
        inputs: Sequence[int | str] | None = None,
        outputs: int = 1,
        stored_dtype: bool = False,
    ) -> None:
        """Declare the first `outputs` outputs and emit the op, unless it folds into a weight.

        Parameters
        ----------
        inputs : sequence of int or str, optional
            Input positions, or names of tensors standing in for them; all inputs by default.
        stored_dtype : bool
            A weight made by this op stays in the type in which it is stored (casts).
        """
        builder = self.importer.builder
        positions: Sequence[int | str] = range(self.input_count) if inputs is None else inputs
        reads = [p if isinstance(p, str) else self.name_of(p) for p in positions]
        sources = [builder.tensors[name] for name in reads]
        folded = not self.importer.complete and bool(sources) and all(s.is_weight for s in sources)
        names: list[str] = []
        for tensor in self.op.outputs[:outputs]:
            shape, dtype = self.shape_of(tensor), dtype_of(tensor.dtype)
            name = builder.unique_tensor(self.name if len(self.op.outputs) == 1 or not names else self.key(tensor))
            if folded:
                largest = max(sources, key=lambda s: s.numel)
                dtype = largest.dtype if stored_dtype and largest.numel > 1 else dtype
                builder.add_derived(name, shape, dtype, sources)
            else:
                builder.add_tensor(name, shape, dtype)
            self.importer.bound[self.key(tensor)] = name
            names.append(name)
        if names and not folded:
            builder.emit(kind, reads, names, attrs, name=self.name, source=self.op_type, scope=self.scope())

    def emit_all(self, kind: OpKind, attrs: Attrs = NO_ATTRS) -> None:
        """Emit the op with all its inputs that exist and all its outputs."""
        bound = self.importer.bound
        reads = [bound[key] for tensor in self.op.inputs if (key := self.key(tensor)) in bound]
        if any(tensor.shape.rank is None for tensor in self.op.outputs) and not self.importer.complete:
            raise MissingShapeError(
                f"the output shape of {self.name!r} ({self.op_type}) is unknown",
                hint="this operation has no rule, and TensorFlow does not know its shape",
            )
        self.emit(kind, attrs, inputs=reads, outputs=len(self.op.outputs))

    def alias(self) -> None:
        """Let the first output be the first input: reads of variables in a pruned graph."""
        self.importer.bound[self.key(self.op.outputs[0])] = self.name_of(0)

    def copy(self, function: str, *, transposing: bool = False, inputs: Sequence[int] = (0,), outputs: int = 1) -> None:
        """Emit a materialised movement of data."""
        self.emit(OpKind.COPY, CopyAttrs(function, transposing), inputs=inputs, outputs=outputs)

    def scope(self) -> str:
        """Name scope of the node, as a module path."""
        return self.name.rpartition("/")[0]
