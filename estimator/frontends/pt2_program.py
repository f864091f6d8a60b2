"""Translate the JSON of an ``ExportedProgram`` by the same aten rules that live torch modules go through.

Source: torch/_export/serde/schema.py, PyTorch 2.14.1, schema version 8.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from estimator.dtypes import DType
from estimator.errors import BadOptionError, ModelFileError
from estimator.frontends import aten_compute, aten_movement, aten_pointwise, pt2_composite
from estimator.frontends.aten_call import Call, Mapped
from estimator.frontends.graph_builder import GraphBuilder
from estimator.frontends.input_binding import DeclaredInput, Extent, check_batch
from estimator.frontends.pt2_signatures import signatures
from estimator.frontends.rebatch import rebatch
from estimator.ir.graph import Graph
from estimator.ir.op import ControlAttrs, OpKind, UnknownAttrs
from estimator.ir.strides import row_major
from estimator.ir.tensor import Shape, TensorRole, TensorSpec

MAX_NODES = 500_000
MAX_ASSUMED_EXTENT = 1 << 31
MAX_DEPTH = 16
_REGIONS = ("wrap", "invoke_subgraph", "hints_wrapper", "tag_activation_checkpoint", "strict_mode")
"""Higher-order operators that run their body once."""
_KEYWORD = 2
"""``ArgumentKind`` of an argument that is passed by name."""
_RULES = {**aten_movement.RULES, **aten_pointwise.RULES, **aten_compute.RULES, **pt2_composite.RULES}
_DTYPES = {
    1: DType.U8, 2: DType.I8, 3: DType.I16, 4: DType.I32, 5: DType.I64, 6: DType.F16, 7: DType.F32, 8: DType.F64,
    9: DType.F32, 10: DType.C64, 11: DType.C128, 12: DType.BOOL, 13: DType.BF16, 28: DType.U16, 29: DType.F8,
    30: DType.F8, 31: DType.F8, 32: DType.F8,
}  # fmt: skip
"""By code of ``ScalarType``."""
_ROLES = {
    "parameter": ("parameter_name", TensorRole.PARAMETER),
    "buffer": ("buffer_name", TensorRole.BUFFER),
    "tensor_constant": ("tensor_constant_name", TensorRole.CONSTANT),
}
_ALWAYS_VIEWS = aten_movement.VIEWS - {
    "reshape", "flatten", "unflatten", "contiguous", "to", "_to_copy", "type_as", "clone", "ravel", "reshape_as",
    "resize_as", "squeeze_copy", "expand_copy",
}  # fmt: skip
_COPIES = frozenset({"clone", "_to_copy", "squeeze_copy", "expand_copy"})
_NO_WORK = frozenset(
    {"sym_size", "sym_stride", "sym_numel", "_assert_async", "_assert_scalar", "_assert_tensor_metadata"}
)


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor of the program, as the aten rules ask of it."""

    name: str
    shape: Shape
    dtype: DType
    strides: Shape

    def stride(self) -> Shape:
        """Element strides."""
        return self.strides

    @property
    def is_contiguous(self) -> bool:
        """Whether it is dense and row-major."""
        return all(n <= 1 or s == d for n, s, d in zip(self.shape, self.strides, row_major(self.shape), strict=True))


def import_program(
    document: Mapping[str, Any],
    path: Path,
    input_shapes: Mapping[str, Shape],
    batch: int | None,
    shared: Mapping[str, str] = MappingProxyType({}),
) -> Graph:
    """Translate a parsed program; raises Python's own errors where the document breaks its schema.

    Parameters
    ----------
    shared : mapping of str to str
        Weights that are another one under a second name, which is the value.
    """
    check_batch(batch)
    module = document["graph_module"]
    if len(module["graph"]["nodes"]) > MAX_NODES:
        raise ModelFileError(f"{path} has {len(module['graph']['nodes'])} operators", expected=f"at most {MAX_NODES}")
    ranges = {r: c.get("max_val") for r, c in (document.get("range_constraints") or {}).items()}
    translation = _Translation(module, GraphBuilder(), shared, ranges)
    applied = translation.bind(input_shapes, batch, path)
    inputs = translation.declare_inputs()
    translation.run()
    graph = translation.builder.freeze(path.stem, inputs, translation.outputs(), "torch-export", keep_unread=True)
    return graph if batch is None or applied else rebatch(graph, batch)


@dataclass(slots=True)
class _Translation:
    """State of one translation."""

    module: Mapping[str, Any]
    builder: GraphBuilder
    shared: Mapping[str, str]
    largest: Mapping[str, Any]
    """Upper bound of each symbol, as far as the exporter knows one."""
    symbols: dict[str, int] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    weights: dict[str, Value] = field(default_factory=dict)
    prefix: str = ""
    depth: int = 0

    @property
    def graph(self) -> Mapping[str, Any]:
        graph: Mapping[str, Any] = self.module["graph"]
        return graph

    def user_inputs(self) -> list[str]:
        """Names of the tensors that a caller passes."""
        specs = [s["user_input"]["arg"] for s in self.module["signature"]["input_specs"] if "user_input" in s]
        return [s["as_tensor"]["name"] for s in specs if "as_tensor" in s]

    # ---- extents

    def bind(self, given: Mapping[str, Shape], batch: int | None, path: Path) -> bool:
        """Give every symbol a value: from the given shapes, the batch, or the example it was traced with.

        Returns
        -------
        bool
            Whether `batch` is in the shapes already.
        """
        names = self.user_inputs()
        meta = self.graph["tensor_values"]
        declared = {n: tuple(_extent(size) for size in meta[n]["sizes"]) for n in names}
        for key, shape in given.items():
            name = key or (names[0] if names else "")
            if name not in declared:
                raise BadOptionError(f"the model has no input {name!r}", expected=f"one of {', '.join(names)}")
            self._learn(DeclaredInput(name, declared[name]), shape)
        lead = declared[names[0]][0] if names and declared[names[0]] else None
        applied = isinstance(lead, str) and lead not in self.symbols
        if isinstance(lead, str) and applied:
            if batch is None:
                self.builder.note(f"input {names[0]!r}: its dynamic leading extent is taken as batch 1; see --batch")
            self.symbols[lead] = batch or 1
        for size in (*(size for tensor in meta.values() for size in tensor["sizes"]), *self._symbolic_numbers()):
            symbol = _extent(size)
            if isinstance(symbol, str) and symbol.isidentifier() and symbol not in self.symbols:
                self._take_example(symbol, _hint(size))
        return applied

    def _symbolic_numbers(self) -> list[Mapping[str, Any]]:
        return list(self.graph.get("sym_int_values", {}).values())

    def _take_example(self, symbol: str, hint: int | None) -> None:
        """Give a symbol its value in the example; one that depends on data has none, and is as large as it can be."""
        if hint is not None:
            self.symbols[symbol] = hint
            self.builder.note(f"extent {symbol} is dynamic; the example's {hint} is taken")
            return
        bound = self.largest.get(symbol)
        self.symbols[symbol] = bound if isinstance(bound, int) and 0 <= bound <= MAX_ASSUMED_EXTENT else 1
        self.builder.note(f"extent {symbol} depends on data; {self.symbols[symbol]} is taken")

    def _learn(self, declared: DeclaredInput, shape: Shape) -> None:
        expected = "x".join(str(e) for e in declared.shape or ())
        if declared.shape is None or len(shape) != len(declared.shape):
            raise BadOptionError(f"input {declared.name!r} has another rank (--input-shape)", expected=expected)
        for extent, value in zip(declared.shape, shape, strict=True):
            if isinstance(extent, int) and extent != value:
                raise BadOptionError(
                    f"input {declared.name!r}: {value} is not the exported extent {extent} (--input-shape)",
                    expected=expected,
                    hint="export again with dynamic_shapes, or use --batch for the leading extent",
                )
            if isinstance(extent, str) and self.symbols.setdefault(extent, value) != value:
                raise BadOptionError(f"extent {extent} is given as {self.symbols[extent]} and {value}")

    def integer(self, size: Mapping[str, Any]) -> int:
        """Value of a SymInt."""
        extent = _extent(size)
        if isinstance(extent, int):
            return extent
        text = str(extent)
        value = self.symbols.get(text) if text.isidentifier() else evaluate(text, self.symbols)
        value = _hint(size) if value is None else value
        if value is None:
            raise ModelFileError(f"extent {text} cannot be worked out", expected="arithmetic on the program's symbols")
        return value

    # ---- tensors

    def value_of(self, name: str, label: str | None = None) -> Value:
        """Tensor by its name in the program; `label` is its name in the graph."""
        if name in self.values:
            return self.values[name]
        meta = self.graph["tensor_values"][name]
        shape = tuple(self.integer(size) for size in meta["sizes"])
        strides = tuple(self.integer(stride) for stride in meta["strides"])
        if len(strides) != len(shape) or any(n < 0 for n in shape):
            raise ModelFileError(f"tensor {name!r} has shape {list(shape)} and strides {list(strides)}")
        value = Value(label or self.prefix + name, shape, _DTYPES[meta["dtype"]], strides)
        self.values[name] = value
        return value

    def declare(self, value: Value, role: TensorRole) -> None:
        """Add a tensor to the graph."""
        strides = None if value.is_contiguous else value.strides
        self.builder.tensors[value.name] = TensorSpec(value.name, value.shape, value.dtype, role, strides=strides)

    def declare_inputs(self) -> list[str]:
        """Declare weights under their module names, and the inputs."""
        inputs = []
        for spec in self.module["signature"]["input_specs"]:
            ((kind, body),) = spec.items()
            argument = body.get("arg")
            if kind in _ROLES:
                key, role = _ROLES[kind]
                first = self.shared.get(body[key], "")
                if first in self.weights:
                    self.values[argument["name"]] = self.weights[first]
                    continue
                self.weights[body[key]] = self.value_of(argument["name"], body[key])
                self.declare(self.weights[body[key]], role)
            elif kind == "user_input" and "as_tensor" in argument:
                value = self.value_of(argument["as_tensor"]["name"])
                self.declare(value, TensorRole.INPUT)
                inputs.append(value.name)
        return inputs

    def outputs(self) -> list[str]:
        """Names of the tensors that a caller gets back."""
        specs = [s.get("user_output", {}).get("arg", {}) for s in self.module["signature"]["output_specs"]]
        return list(dict.fromkeys(self.values[s["as_tensor"]["name"]].name for s in specs if "as_tensor" in s))

    # ---- operators

    def run(self) -> None:
        """Translate all nodes in order."""
        for node in self.graph["nodes"]:
            self._node(node)

    def _node(self, node: Mapping[str, Any]) -> None:
        target = str(node["target"])
        outputs = [self.value_of(name) for name in _tensor_names(node["outputs"])]
        if not outputs:
            return  # symbolic arithmetic and assertions
        arguments = {entry["name"]: self._argument(entry["arg"]) for entry in node["inputs"]}
        tensors = [v for value in arguments.values() for v in _tensors(value)]
        parts = target.split(".")
        if parts[1:3] == ["ops", "higher_order"]:
            self._higher_order(node, target, tensors, outputs)
            return
        if len(parts) < 5 or parts[1] != "ops":
            self._emit(node, Mapped(OpKind.UNKNOWN, tensors, UnknownAttrs(f"no rule for {target}")), outputs, target)
            return
        namespace, full_name, overload = parts[-3:]
        source = f"{namespace}.{full_name}.{overload}"
        name = full_name if full_name.startswith("__") else full_name.rstrip("_")
        if name in _NO_WORK:
            return
        call = Call(name, overload, self._bound(f"{full_name}.{overload}", arguments), tensors, outputs,
                    bool(tensors) and shares_storage(name, tensors[0], outputs[0]))  # fmt: skip
        if name in ("contiguous", "to", "type_as") and call.aliased and tensors[0].strides == outputs[0].strides:
            self.values[_tensor_names(node["outputs"])[0]] = tensors[0]
            return
        rule = _RULES.get(name)
        mapped = rule(call) if rule else Mapped(OpKind.UNKNOWN, tensors, UnknownAttrs(f"no rule for {source}"))
        self._emit(node, mapped, outputs, source, in_place=full_name != name and not full_name.startswith("__"))

    def _higher_order(
        self, node: Mapping[str, Any], target: str, tensors: Sequence[Value], outputs: Sequence[Value]
    ) -> None:
        if self._inline(node):
            return
        attrs = ControlAttrs("if" if "cond" in target else "while")
        self.builder.note(f"{node.get('name') or target}: the bodies of {target} are not counted")
        self._emit(node, Mapped(OpKind.CONTROL, tensors, attrs), outputs, target)

    def _inline(self, node: Mapping[str, Any]) -> bool:
        """Run the body of a region that has one, such as ``with torch.no_grad()``; False for branches and loops."""
        kinds = [(kind, body) for entry in node["inputs"] for kind, body in entry["arg"].items()]
        places = [i for i, (kind, _) in enumerate(kinds) if kind == "as_graph"]
        if (
            len(places) != 1
            or not str(node["target"]).rpartition(".")[2].startswith(_REGIONS)
            or self.depth > MAX_DEPTH
        ):
            return False
        graph = kinds[places[0]][1]["graph"]
        given = list(_operands(node["inputs"][places[0] + 1 :]))
        made, results = _tensor_names(node["outputs"]), _tensor_names(graph["outputs"])
        if len(given) != len(graph["inputs"]) or len(made) != len(results):
            return False
        inner = replace(
            self, module={**self.module, "graph": graph}, values={}, depth=self.depth + 1,
            prefix=f"{self.prefix}{node.get('name') or kinds[places[0]][1]['name']}/",
        )  # fmt: skip
        for local, outer in zip(graph["inputs"], given, strict=True):
            if "as_tensor" in local:
                inner.values[local["as_tensor"]["name"]] = self._argument(outer)
        inner.run()
        for outer_name, local_name in zip(made, results, strict=True):
            self.values[outer_name] = inner.values[local_name]
        return True

    def _emit(
        self, node: Mapping[str, Any], mapped: Mapped, outputs: Sequence[Value], source: str, in_place: bool = False
    ) -> None:
        kept = outputs[:1] if mapped.kind is OpKind.NORM else outputs  # saved statistics are for training
        for value in kept:
            self.declare(value, TensorRole.ACTIVATION)
        reads = [value.name for value in mapped.tensors if isinstance(value, Value)]
        name = str(node.get("name") or kept[0].name)
        scope = _scope(str(node.get("metadata", {}).get("nn_module_stack", "")))
        names = [value.name for value in kept]
        in_place = in_place and bool(reads)
        self.builder.emit(
            mapped.kind, reads, names, mapped.attrs, name=name, source=source, scope=scope, in_place=in_place
        )

    def _bound(self, key: str, arguments: Mapping[str, Any]) -> list[Any]:
        """All arguments in schema order, defaults put back; in the file's order for operators not in the table."""
        signature = signatures().get(key)
        if signature is None:
            return list(arguments.values())
        return [arguments.get(name, default) for name, default in signature]

    def _argument(self, argument: Mapping[str, Any]) -> Any:
        ((kind, body),) = argument.items()
        if kind == "as_tensor":
            return self.values[body["name"]]
        if kind in ("as_tensors", "as_nested_tensors"):
            return [self.values[b["name"]] for b in body if isinstance(b, Mapping)]
        if kind == "as_optional_tensors":
            return [self.values[b["as_tensor"]["name"]] if "as_tensor" in b else None for b in body]
        if kind == "as_optional_tensor":
            return self.values[body["as_tensor"]["name"]] if "as_tensor" in body else None
        if kind == "as_sym_int":
            return self._symbolic(body)
        if kind == "as_sym_ints":
            return [self._symbolic(b) for b in body]
        if kind == "as_none":
            return None
        return body if isinstance(body, (int, float, str, bool, list)) else None

    def _symbolic(self, body: Mapping[str, Any]) -> int:
        if "as_int" in body:
            return int(body["as_int"])
        return self.integer(self.graph["sym_int_values"][body["as_name"]])


_SYMBOL = re.compile(r"Symbol\('(\w+)'(?:, \w+=\w+)*\)")


def _extent(size: Mapping[str, Any]) -> Extent:
    if "as_int" in size:
        return int(size["as_int"])
    expression = str(size["as_expr"]["expr_str"])
    symbol = _SYMBOL.fullmatch(expression)
    return symbol[1] if symbol else expression


def _hint(size: Mapping[str, Any]) -> int | None:
    """Value in the example that the program was traced with, if it had one."""
    hint = size.get("as_expr", {}).get("hint")
    return int(hint["as_int"]) if hint else None


def _operands(entries: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Pick what a region passes to its body: the items of a tuple, but no identifier, keyword or hint."""
    for entry in entries:
        ((kind, body),) = entry["arg"].items()
        if kind == "as_tensors":
            yield from ({"as_tensor": item} for item in body)
        elif kind not in ("as_string", "as_string_to_argument") and entry.get("kind") != _KEYWORD:
            yield entry["arg"]


def _tensor_names(outputs: Sequence[Mapping[str, Any]]) -> list[str]:
    names = []
    for output in outputs:
        if "as_tensor" in output:
            names.append(str(output["as_tensor"]["name"]))
        elif "as_tensors" in output:
            names += [str(t["name"]) for t in output["as_tensors"]]
    return names


def _tensors(value: Any) -> Iterator[Value]:
    if isinstance(value, Value):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _tensors(item)


def _scope(stack: str) -> str:
    """Path of the innermost module in ``key,path,type;…``."""
    last = stack.rpartition(";")[2].split(",")
    path = last[1] if len(last) > 2 else ""
    return path.removeprefix("L['self'].").removeprefix("L['self']")


def shares_storage(name: str, source: Value, result: Value) -> bool:
    """Whether eager torch returns a view for this operator, judged by strides as eager does."""
    if name not in aten_movement.VIEWS or name in _COPIES or source.dtype is not result.dtype:
        return False
    if name in _ALWAYS_VIEWS:
        return True
    if name in ("contiguous", "to", "type_as"):
        return source.strides == result.strides or source.is_contiguous
    return can_view(source.shape, source.strides, result.shape)


def can_view(shape: Shape, strides: Shape, target: Shape) -> bool:
    """Whether a reshape needs no copy: every run of axes that is merged or split is dense.

    Source: computeStride in aten/src/ATen/TensorUtils.cpp.
    """
    if math.prod(shape) == 0:
        return True
    position = len(target) - 1
    run, base = 1, strides[-1] if strides else 1
    for axis in range(len(shape) - 1, -1, -1):
        run *= shape[axis]
        if axis > 0 and (shape[axis - 1] == 1 or strides[axis - 1] == run * base):
            continue
        viewed = 1
        while position >= 0 and (viewed < run or target[position] == 1):
            viewed *= target[position]
            position -= 1
        if viewed != run:
            return False
        if axis > 0:
            run, base = 1, strides[axis - 1]
    return position < 0


_FUNCTIONS: dict[str, Callable[..., int]] = {
    "Add": lambda *a: sum(a),
    "Mul": lambda *a: math.prod(a),
    "FloorDiv": operator.floordiv,
    "CleanDiv": operator.floordiv,
    "IntTrueDiv": operator.floordiv,
    "CeilDiv": lambda a, b: -(-a // b),
    "Mod": operator.mod,
    "PythonMod": operator.mod,
    "Max": max,
    "Min": min,
    "Integer": int,
}
"""Heads of sympy's structural form (``srepr``), in which symbolic extents are stored."""
MAX_EXPRESSION = 4000


def evaluate(expression: str, symbols: Mapping[str, int]) -> int | None:
    """Evaluate an extent such as ``Mul(Symbol('s77', …), Integer(4))``; None if it holds anything else."""
    if len(expression) > MAX_EXPRESSION:
        return None
    try:
        return _evaluated(ast.parse(expression, mode="eval").body, symbols)
    except (SyntaxError, ValueError, KeyError, ArithmeticError, RecursionError, MemoryError, TypeError):
        return None


def _evaluated(node: ast.expr, symbols: Mapping[str, int]) -> int:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_evaluated(node.operand, symbols)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise ValueError("not an extent")
    if node.func.id == "Symbol" and isinstance(node.args[0], ast.Constant):
        return symbols[str(node.args[0].value)]
    arguments = [_evaluated(argument, symbols) for argument in node.args]
    if node.func.id == "Pow" and 0 <= arguments[1] <= 8:
        return int(arguments[0] ** arguments[1])
    return _FUNCTIONS[node.func.id](*arguments)
