"""ONNX control flow and sequences: inlined or unrolled where decidable, otherwise listed as CONTROL."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from estimator.dtypes import DType
from estimator.errors import MissingShapeError, ModelError
from estimator.frontends.onnx_importer import Frame, Node, NodeProblem, rule
from estimator.frontends.onnx_schema import WireGraph
from estimator.frontends.shape_arithmetic import axis_of
from estimator.ir.op import AxisAttrs, ControlAttrs, CopyAttrs, FunctionAttrs, OpKind
from estimator.ir.tensor import Shape, TensorRole

MAX_UNROLLED_TRIPS = 256
MAX_UNROLLED_NODES = 20_000

Spec = tuple[Shape, DType]


def _child(node: Node, suffix: str = "") -> Frame:
    prefix = f"{node.name}/{suffix}/" if suffix else node.frame.prefix
    return Frame(prefix, node.frame.opset, node.frame, {}, node.frame.attributes, node.frame.depth + 1)


def _result(frame: Frame, local: str) -> str:
    found = frame.find(local)
    if found is None:
        raise NodeProblem(f"its subgraph returns {local!r}, which nothing makes")
    return found


@rule("If")
def _if(node: Node) -> None:
    condition = node.value(0)
    if condition is not None and condition.size == 1:
        branch = node.graph_attr("then_branch" if bool(condition.reshape(-1)[0]) else "else_branch")
        frame = _child(node)
        node.importer.import_graph(branch, frame)
        for outer, value in zip(node.wire.outputs, branch.outputs, strict=False):
            node.bind(outer, _result(frame, value.name))
        return
    branches = [node.graph_attr("then_branch"), node.graph_attr("else_branch")]
    specs: list[Spec] | None = None
    weights: list[str] = []
    failure: ModelError | None = None
    for branch in branches:
        try:
            found, read = _rehearse(node, branch, {})
        except ModelError as error:  # a branch for another kind of input need not fit this one
            failure = error
            continue
        weights += read
        specs = specs or found
    if specs is None and failure is not None:
        raise failure
    _emit_control(node, "if", branches, specs or [], weights)


def _rehearse(node: Node, body: WireGraph, bound: dict[str, str]) -> tuple[list[Spec], list[str]]:
    """Output shapes of a subgraph, and the weights it reads, without adding its ops."""
    with node.importer.rehearsal() as weights:
        frame = _child(node, "rehearsal")
        frame.bound.update(bound)
        node.importer.import_graph(body, frame)
        tensors = node.importer.builder.tensors
        results = [tensors.get(_result(frame, value.name)) for value in body.outputs]
    return [((), DType.F32) if r is None else (r.shape, r.dtype) for r in results], weights


def _emit_control(
    node: Node, function: str, bodies: Sequence[WireGraph], outputs: Sequence[Spec], weights: Sequence[str]
) -> None:
    builder = node.importer.builder
    captured = [name for body in bodies for local in body.free_names() if (name := node.frame.find(local))]
    given = [node.name_of(i) for i in range(len(node.wire.inputs)) if node.has(i)]
    reads = [name for name in dict.fromkeys([*given, *captured, *weights]) if name in builder.tensors]
    names = []
    for local, (shape, dtype) in zip(node.wire.outputs, outputs, strict=False):
        if local:
            names.append(builder.unique_tensor(node.frame.prefix + local))
            builder.add_tensor(names[-1], shape, dtype)
            node.bind(local, names[-1])
    count = sum(len(body.nodes) for body in bodies)
    builder.note(
        f"{node.op_type} {node.name!r} depends on data: its {len(bodies)} "
        f"bod{'ies' if len(bodies) > 1 else 'y'} ({count} operators) not counted"
    )
    attrs = ControlAttrs(function, tuple(body.name or f"body {i}" for i, body in enumerate(bodies)))
    builder.emit(OpKind.CONTROL, reads, names, attrs, name=node.name, source=node.source, scope=node.scope())


@rule("Loop")
def _loop(node: Node) -> None:
    """Unroll over (trip count, condition, carried values) when both are known to the end."""
    body = node.graph_attr("body")
    trips, condition = node.value(0), node.value(1)
    carried = [node.name_of(i) for i in range(2, len(node.wire.inputs))]
    limit = MAX_UNROLLED_TRIPS if trips is None else int(trips.reshape(-1)[0])
    decided = (not node.has(1) or condition is not None) and (node.has(0) or node.has(1))
    fits = limit <= MAX_UNROLLED_TRIPS and limit * len(body.nodes) <= MAX_UNROLLED_NODES
    if decided and fits and _loop_is_decidable(node, body, carried):
        running = condition is None or bool(condition.reshape(-1)[0])
        _unroll(node, body, carried, limit if running else 0)
        return
    try:
        specs, weights = _rehearse(node, body, _loop_bindings(node, body, carried, 0))
    except MissingShapeError as failure:  # the body's shapes depend on data; the file may state those of its results
        _emit_control(node, "loop", [body], _stated_results(node, failure), [])
        return
    scans = [((max(limit, 1) if trips is not None else 1, *shape), dtype) for shape, dtype in specs[1 + len(carried) :]]
    if trips is None and scans:
        node.importer.builder.note(f"Loop {node.name!r}: the number of iterations is data; results sized for one")
    _emit_control(node, "loop", [body], [*specs[1 : 1 + len(carried)], *scans], weights)


def _stated_results(node: Node, failure: MissingShapeError) -> list[Spec]:
    """Shapes and types that the file gives the node's outputs; `failure` if it leaves any open."""
    found = [node.declared(local) for local in node.wire.outputs if local]
    stated = [spec for spec in found if spec is not None]
    if len(stated) < len(found):
        raise failure
    return stated


def _loop_bindings(node: Node, body: WireGraph, carried: Sequence[str], trip: int) -> dict[str, str]:
    builder = node.importer.builder
    names = [value.name for value in body.inputs]
    counter, going = builder.unique_tensor(f"{node.name}/trip{trip}"), builder.unique_tensor(f"{node.name}/go{trip}")
    builder.add_tensor(counter, (), DType.I64, TensorRole.CONSTANT)
    builder.add_tensor(going, (), DType.BOOL, TensorRole.CONSTANT)
    node.importer.known[counter] = np.array(trip, np.int64)
    node.importer.known[going] = np.array(True)
    return dict(zip(names, [counter, going, *carried], strict=False))


def _loop_is_decidable(node: Node, body: WireGraph, carried: Sequence[str]) -> bool:
    """Whether the body's own condition is known after one iteration (and so, being shape arithmetic, after each)."""
    with node.importer.rehearsal():
        frame = _child(node, "rehearsal")
        frame.bound.update(_loop_bindings(node, body, carried, 0))
        try:
            node.importer.import_graph(body, frame)
        except MissingShapeError:
            return False
        return _result(frame, body.outputs[0].name) in node.importer.known


def _unroll(node: Node, body: WireGraph, carried: Sequence[str], limit: int) -> None:
    state = list(carried)
    scans: list[list[str]] = [[] for _ in body.outputs[1 + len(carried) :]]
    for trip in range(limit):
        frame = _child(node, str(trip))
        frame.bound.update(_loop_bindings(node, body, state, trip))
        node.importer.import_graph(body, frame)
        results = [_result(frame, value.name) for value in body.outputs]
        state = results[1 : 1 + len(carried)]
        for scan, name in zip(scans, results[1 + len(carried) :], strict=True):
            scan.append(name)
        going = node.importer.known.get(results[0])
        if going is None:
            raise NodeProblem("its condition becomes data-dependent after some iterations")
        if not bool(going.reshape(-1)[0]):
            break
    for outer, name in zip(node.wire.outputs, state, strict=False):
        if outer:
            node.bind(outer, name)
    for outer, parts in zip(node.wire.outputs[len(carried) :], scans, strict=False):
        if outer:
            node.bind(outer, _stack(node, parts, outer))


def _stack(node: Node, parts: Sequence[str], label: str) -> str:
    builder = node.importer.builder
    if not parts:
        raise NodeProblem("it collects results of zero iterations")
    first = builder.tensors[parts[0]]
    name = builder.unique_tensor(node.frame.prefix + label)
    builder.add_tensor(name, (len(parts), *first.shape), first.dtype)
    builder.emit(
        OpKind.COPY, parts, (name,), CopyAttrs("stack"), name=f"{node.name}.{label}", source=node.source,
        scope=node.scope(),
    )  # fmt: skip
    return name


@rule("Scan")
def _scan(node: Node) -> None:
    """Carried states, then sequences cut along axis 0 (or `scan_input_axes`); unrolled when short."""
    body = node.graph_attr("body")
    count = node.int_attr("num_scan_inputs", 1)
    states = len(node.wire.inputs) - count
    axes = node.ints_attr("scan_input_axes", (0,) * count)
    sequences = [node.input(states + i) for i in range(count)]
    axes = tuple(axis_of(a, len(s.shape)) for a, s in zip(axes, sequences, strict=True))
    trips = sequences[0].shape[axes[0]]
    carried = [node.name_of(i) for i in range(states)]
    if trips > MAX_UNROLLED_TRIPS or trips * len(body.nodes) > MAX_UNROLLED_NODES:
        cut = [_cut(node, states + i, axis, 0) for i, axis in enumerate(axes)]
        names = [value.name for value in body.inputs]
        specs, weights = _rehearse(node, body, dict(zip(names, [*carried, *cut], strict=True)))
        scans = [((trips, *shape), dtype) for shape, dtype in specs[states:]]
        _emit_control(node, "scan", [body], [*specs[:states], *scans], weights)
        return
    collected: list[list[str]] = [[] for _ in body.outputs[states:]]
    for trip in range(trips):
        frame = _child(node, str(trip))
        cut = [_cut(node, states + i, axis, trip) for i, axis in enumerate(axes)]
        frame.bound.update(zip([value.name for value in body.inputs], [*carried, *cut], strict=True))
        node.importer.import_graph(body, frame)
        results = [_result(frame, value.name) for value in body.outputs]
        carried = results[:states]
        for parts, name in zip(collected, results[states:], strict=True):
            parts.append(name)
    for outer, name in zip(node.wire.outputs, carried, strict=False):
        node.bind(outer, name)
    for outer, parts in zip(node.wire.outputs[states:], collected, strict=False):
        if outer:
            node.bind(outer, _stack(node, parts, outer))


def _cut(node: Node, index: int, axis: int, trip: int) -> str:
    builder = node.importer.builder
    spec = node.input(index)
    name = builder.unique_tensor(f"{node.name}/{spec.name}[{trip}]")
    builder.add_tensor(name, (*spec.shape[:axis], *spec.shape[axis + 1 :]), spec.dtype)
    builder.emit(
        OpKind.VIEW, (spec.name,), (name,), FunctionAttrs("select"), name=f"{node.name}.select{trip}",
        source=node.source, scope=node.scope(),
    )  # fmt: skip
    return name


# ---- sequences and optionals exist only while importing


def _sequence(node: Node, index: int) -> tuple[str, ...]:
    found = node.importer.sequences.get(node.name_of(index))
    if found is None:
        raise NodeProblem("it reads a sequence whose contents are not known")
    return found


def _position(node: Node, index: int, default: int) -> int:
    if not node.has(index):
        return default
    return node.int_values(index, "position")[0]


@rule("SequenceEmpty")
def _sequence_empty(node: Node) -> None:
    node.bind_sequence(())


@rule("SequenceConstruct")
def _sequence_construct(node: Node) -> None:
    node.bind_sequence([spec.name for spec in node.inputs()])


@rule("SequenceInsert")
def _sequence_insert(node: Node) -> None:
    parts = list(_sequence(node, 0))
    parts.insert(_position(node, 2, len(parts)), node.name_of(1))
    node.bind_sequence(parts)


@rule("SequenceErase")
def _sequence_erase(node: Node) -> None:
    parts = list(_sequence(node, 0))
    del parts[_position(node, 1, -1)]
    node.bind_sequence(parts)


@rule("SequenceAt")
def _sequence_at(node: Node) -> None:
    node.bind(node.wire.outputs[0], _sequence(node, 0)[_position(node, 1, 0)])


@rule("SequenceLength")
def _sequence_length(node: Node) -> None:
    value = np.array(len(_sequence(node, 0)), np.int64)
    builder = node.importer.builder
    name = builder.unique_tensor(node.frame.prefix + node.wire.outputs[0])
    builder.add_tensor(name, (), DType.I64, TensorRole.CONSTANT)
    node.importer.known[name] = value
    node.bind(node.wire.outputs[0], name)


@rule("SplitToSequence")
def _split_to_sequence(node: Node) -> None:
    x = node.input(0)
    axis = axis_of(node.int_attr("axis", 0), len(x.shape))
    extent = x.shape[axis]
    given = node.value(1)
    keep = bool(node.int_attr("keepdims", 1)) or given is not None
    if given is None:
        sizes = [1] * extent
    elif given.size == 1:
        size = max(int(given.reshape(-1)[0]), 1)
        sizes = [min(size, extent - at) for at in range(0, extent, size)]
    else:
        sizes = [int(n) for n in given.reshape(-1)]
    if len(sizes) > MAX_UNROLLED_NODES:
        raise NodeProblem(f"it makes {len(sizes)} parts")
    builder = node.importer.builder
    names = []
    for size in sizes:
        name = builder.unique_tensor(f"{node.frame.prefix}{node.wire.outputs[0]}")
        builder.add_tensor(name, (*x.shape[:axis], *((size,) if keep else ()), *x.shape[axis + 1 :]), x.dtype)
        names.append(name)
    builder.emit(
        OpKind.COPY, (x.name,), names, CopyAttrs("split"), name=node.name, source=node.source, scope=node.scope()
    )
    node.bind_sequence(names)


@rule("ConcatFromSequence")
def _concat_from_sequence(node: Node) -> None:
    parts = _sequence(node, 0)
    builder = node.importer.builder
    specs = [builder.tensors[name] for name in parts]
    fresh = bool(node.int_attr("new_axis", 0))
    rank = len(specs[0].shape) + fresh
    axis = axis_of(node.int_attr("axis", 0), rank)
    first = specs[0].shape
    extent = len(specs) if fresh else sum(s.shape[axis] for s in specs)
    shape = (*first[:axis], extent, *first[axis + (not fresh) :])
    name = builder.unique_tensor(node.frame.prefix + node.wire.outputs[0])
    builder.add_tensor(name, shape, specs[0].dtype)
    node.bind(node.wire.outputs[0], name)
    if fresh:
        builder.emit(
            OpKind.COPY, parts, (name,), CopyAttrs("stack"), name=node.name, source=node.source, scope=node.scope()
        )
    else:
        builder.emit(
            OpKind.CONCAT, parts, (name,), AxisAttrs(axis), name=node.name, source=node.source, scope=node.scope()
        )


@rule("SequenceMap")
def _sequence_map(node: Node) -> None:
    body = node.graph_attr("body")
    parts = _sequence(node, 0)
    if len(parts) * len(body.nodes) > MAX_UNROLLED_NODES:
        raise NodeProblem(f"its body runs {len(parts)} times")
    collected: list[list[str]] = [[] for _ in body.outputs]
    for position, part in enumerate(parts):
        frame = _child(node, str(position))
        others = [
            _sequence(node, i)[position] if node.name_of(i) in node.importer.sequences else node.name_of(i)
            for i in range(1, len(node.wire.inputs))
        ]
        frame.bound.update(zip([value.name for value in body.inputs], [part, *others], strict=True))
        node.importer.import_graph(body, frame)
        for results, value in zip(collected, body.outputs, strict=True):
            results.append(_result(frame, value.name))
    for output, results in enumerate(collected):
        node.bind_sequence(results, output)


@rule("Optional", "OptionalGetElement")
def _optional(node: Node) -> None:
    node.bind(node.wire.outputs[0], node.name_of(0))


@rule("OptionalHasElement")
def _has_element(node: Node) -> None:
    builder = node.importer.builder
    name = builder.unique_tensor(node.frame.prefix + node.wire.outputs[0])
    builder.add_tensor(name, (), DType.BOOL, TensorRole.CONSTANT)
    node.importer.known[name] = np.array(node.has(0))
    node.bind(node.wire.outputs[0], name)
