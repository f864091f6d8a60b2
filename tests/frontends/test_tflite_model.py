from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path

import pytest

from estimator.costs.registry import graph_cost
from estimator.dtypes import DType
from estimator.errors import BadOptionError, MissingShapeError, ModelFileError
from estimator.frontends.tflite_importer import RULES
from estimator.frontends.tflite_model import load_tflite
from estimator.frontends.tflite_schema import OPERATORS
from estimator.frontends.tflite_wire import Table, WireError
from estimator.ir.op import ConvAttrs, OpKind, PoolAttrs
from estimator.ir.tensor import TensorRole

DATA = Path(__file__).parent / "data"
PARAMS = (27 * 8 + 8) + (9 * 8 + 8) + (8 * 16 + 16) + (16 * 10 + 10)
MACS = (8 * 8 * 8) * 27 + (8 * 8 * 8) * 9 + (8 * 8 * 16) * 8 + 16 * 10


@pytest.mark.parametrize("kind", ["float32", "float16", "int8"])
def test_storage_does_not_change_what_is_counted(kind: str) -> None:
    graph = load_tflite(DATA / f"small_{kind}.tflite")
    cost = graph_cost(graph)
    assert graph.params == PARAMS
    assert cost.total.macs == MACS
    assert cost.coverage == 1


@pytest.mark.parametrize(
    ("kind", "weight_types"), [("float32", {DType.F32}), ("float16", {DType.F16}), ("int8", {DType.I8, DType.I32})]
)
def test_weights_are_read_in_the_type_in_which_they_are_stored(kind: str, weight_types: set[DType]) -> None:
    graph = load_tflite(DATA / f"small_{kind}.tflite")
    weights = [t for t in graph.tensors.values() if t.role is TensorRole.PARAMETER]
    assert {t.dtype for t in weights} == weight_types
    assert all(t.quantised == (kind == "int8") for t in weights)


def test_half_floats_leave_no_dequantise_op() -> None:
    graph = load_tflite(DATA / "small_float16.tflite")
    assert OpKind.DEQUANTIZE not in {op.kind for op in graph.ops}


def test_int8_activations_are_marked_quantised() -> None:
    graph = load_tflite(DATA / "small_int8.tflite")
    kinds = [op.kind for op in graph.ops]
    assert (kinds[0], kinds[-1]) == (OpKind.QUANTIZE, OpKind.DEQUANTIZE)
    inner = [t for op in graph.ops[:-1] for t in graph.outputs_of(op)]
    assert all((t.dtype, t.quantised) == (DType.I8, True) for t in inner)


def test_convolutions_keep_channels_last_and_turn_their_weights() -> None:
    graph = load_tflite(DATA / "small_float32.tflite")
    stem, depthwise, point = (op for op in graph.ops if op.kind is OpKind.CONV)
    assert stem.attrs == ConvAttrs((3, 3), (2, 2), (0, 0), (1, 1), 1, channels_last=True)  # SAME: 0 before, 1 after
    assert depthwise.attrs == ConvAttrs((3, 3), (1, 1), (1, 1), (1, 1), 8, channels_last=True)
    weights = [graph.inputs_of(op)[1].shape for op in (stem, depthwise, point)]
    assert weights == [(8, 3, 3, 3), (8, 1, 3, 3), (16, 8, 1, 1)]
    assert [graph.outputs_of(op)[0].shape for op in (stem, point)] == [(1, 8, 8, 8), (1, 8, 8, 16)]


def test_a_fused_activation_is_an_op_of_its_own() -> None:
    graph = load_tflite(DATA / "small_float32.tflite")
    kinds = Counter(op.kind for op in graph.ops)
    assert (kinds[OpKind.CONV], kinds[OpKind.ACTIVATION]) == (3, 2)
    assert graph.ops[1].inputs == graph.ops[0].outputs


def test_batch_rescales_every_activation_and_no_weight() -> None:
    one, eight = (load_tflite(DATA / "small_float32.tflite", batch=b) for b in (1, 8))
    assert graph_cost(eight).total.macs == 8 * MACS
    for name, spec in one.tensors.items():
        expected = spec.shape if spec.is_weight else (8 * spec.shape[0], *spec.shape[1:])
        assert eight.tensors[name].shape == expected


def test_unknown_extents_are_asked_for_and_then_used() -> None:
    with pytest.raises(MissingShapeError, match="axis 1"):
        load_tflite(DATA / "resizable.tflite")
    graph = load_tflite(DATA / "resizable.tflite", input_shapes={"": (1, 32, 48, 3)})
    conv, pool = graph.ops
    assert graph.outputs_of(conv)[0].shape == (1, 16, 24, 4)
    assert graph.outputs_of(pool)[0].shape == (1, 8, 12, 4)
    assert pool.attrs == PoolAttrs("max", (2, 2), (2, 2), (0, 0), channels_last=True)


def test_a_shape_of_another_rank_is_a_usage_error() -> None:
    with pytest.raises(BadOptionError, match="4 axes"):
        load_tflite(DATA / "resizable.tflite", input_shapes={"": (1, 32)})


def test_extents_that_the_file_leaves_open_follow_from_the_batch() -> None:
    """Keras flattens [batch, 5, 3] for a dense layer at run time; the file has 1 where it does not know."""
    for batch in (1, 3):
        graph = load_tflite(DATA / "sequence.tflite", batch=batch)
        dense = next(op for op in graph.ops if op.kind is OpKind.LINEAR)
        assert graph.inputs_of(dense)[0].shape == (batch * 5, 3)
        assert graph.outputs_of(dense)[0].shape == (batch * 5, 4)


def test_a_loop_of_known_length_is_counted_step_by_step() -> None:
    graph = load_tflite(DATA / "sequence.tflite")
    dense, step = 5 * 3 * 4, 4 * 2 * (4 + 2)  # 4 gates of 2 units read 4 inputs and 2 states
    assert graph_cost(graph).total.macs == dense + 5 * step
    assert graph_cost(graph).coverage == 1
    assert graph.params == 3 * 4 + 4 * 2 * (4 + 2 + 1)  # read in every step, counted once; a bias of 0 is dropped
    assert not any("not counted" in note for note in graph.notes)


def test_transposed_convolution_of_volumes_multiplies_per_input_and_tap() -> None:
    graph = load_tflite(DATA / "volume.tflite")
    assert graph_cost(graph).total.macs == (3 * 4 * 5 * 2) * 6 * 2**3  # inputs × channels out × taps
    assert graph.outputs_of(graph.ops[0])[0].shape == (1, 6, 8, 10, 6)


def test_a_variable_that_nothing_writes_is_a_weight() -> None:
    graph = load_tflite(DATA / "variables.tflite")
    assert graph.params == 6 * 4
    assert graph_cost(graph).total.macs == 2 * 6 * 4


Step = tuple[str, list[int], list[int], dict[str, object]]


def tflite_file(path: Path, *subgraphs: tuple[str, list[int], list[int], list[Step]]) -> Path:
    """Write subgraphs of tensors "h" (handle), "b" (boolean) and "f" ([2, 3]), by inputs, outputs and operators."""
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    flatbuffers = pytest.importorskip("flatbuffers")
    types = {"h": schema.TensorType.RESOURCE, "b": schema.TensorType.BOOL, "f": schema.TensorType.FLOAT32}
    options = {"VAR_HANDLE": "VarHandleOptions", "IF": "IfOptions", "CALL_ONCE": "CallOnceOptions"}
    model = schema.ModelT()
    model.version, model.buffers, model.operatorCodes, model.subgraphs = 3, [schema.BufferT()], [], []
    for number, (kinds, inputs, outputs, steps) in enumerate(subgraphs):
        graph = schema.SubGraphT()
        graph.name, graph.tensors, graph.operators = f"graph{number}".encode(), [], []
        graph.inputs, graph.outputs = inputs, outputs
        for place, kind in enumerate(kinds):
            tensor = schema.TensorT()
            tensor.name, tensor.buffer, tensor.type = f"g{number}t{place}".encode(), 0, types[kind]
            tensor.shape = [2, 3] if kind == "f" else []
            graph.tensors.append(tensor)
        for op_type, reads, makes, fields in steps:
            operator, code = schema.OperatorT(), schema.OperatorCodeT()
            code.builtinCode = getattr(schema.BuiltinOperator, op_type)
            code.deprecatedBuiltinCode = min(code.builtinCode, 127)
            operator.opcodeIndex, operator.inputs, operator.outputs = len(model.operatorCodes), reads, makes
            if op_type in options:
                operator.builtinOptionsType = getattr(schema.BuiltinOptions, options[op_type])
                operator.builtinOptions = getattr(schema, f"{options[op_type]}T")()
                vars(operator.builtinOptions).update(fields)
            model.operatorCodes.append(code)
            graph.operators.append(operator)
        model.subgraphs.append(graph)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(builder.Output())
    return path


def handle(tensor: int, name: str = "state") -> Step:
    return ("VAR_HANDLE", [], [tensor], {"container": "", "sharedName": name})


def is_state(path: Path) -> bool:
    """Whether reading the variable copies it; otherwise it is a weight of 2 × 3."""
    graph = load_tflite(path)
    copied = any(op.source == "READ_VARIABLE" for op in graph.ops)
    assert graph.params == (0 if copied else 2 * 3)
    return copied


@pytest.mark.parametrize(("written", "state"), [("state", True), ("other", False)])
def test_a_variable_is_written_through_any_handle_of_its_name(written: str, state: bool, tmp_path: Path) -> None:
    """Two reads through two handles are of one variable."""
    steps: list[Step] = [
        handle(1), handle(2), handle(3, written), ("READ_VARIABLE", [1], [4], {}), ("READ_VARIABLE", [2], [5], {}),
        ("ADD", [4, 5], [6], {}), ("ADD", [0, 6], [7], {}), ("ASSIGN_VARIABLE", [3, 7], [], {}),
    ]  # fmt: skip
    assert is_state(tflite_file(tmp_path / "m.tflite", ("fhhhffff", [0], [7], steps))) == state


@pytest.mark.parametrize("passed", [True, False], ids=["given", "made inside"])
def test_a_variable_that_a_branch_writes_is_state(passed: bool, tmp_path: Path) -> None:
    steps: list[Step] = [
        handle(2), ("READ_VARIABLE", [2], [3], {}), ("ADD", [0, 3], [4], {}),
        ("IF", [1, 2, 4] if passed else [1, 4], [5], {"thenSubgraphIndex": 1, "elseSubgraphIndex": 2}),
    ]  # fmt: skip
    inputs = [0, 1] if passed else [1]
    inner: list[Step] = [("ASSIGN_VARIABLE", [0, 1], [], {}), ("RELU", [1], [2], {})]
    then = ("hff", inputs, [2], inner if passed else [handle(0), *inner])
    other = ("hff", inputs, [2], [("RELU", [1], [2], {})])
    main = ("fbhfff", [0, 1], [5], steps)
    assert is_state(tflite_file(tmp_path / "m.tflite", main, then, other))


def test_a_variable_that_is_written_at_loading_only_is_a_weight(tmp_path: Path) -> None:
    steps: list[Step] = [
        ("CALL_ONCE", [], [], {"initSubgraphIndex": 1}), handle(1), ("READ_VARIABLE", [1], [2], {}),
        ("ADD", [0, 2], [3], {}),
    ]  # fmt: skip
    loading = ("hf", [1], [], [handle(0), ("ASSIGN_VARIABLE", [0, 1], [], {})])
    assert not is_state(tflite_file(tmp_path / "m.tflite", ("fhff", [0], [3], steps), loading))


def test_rules_name_real_operators() -> None:
    assert set(RULES) <= set(OPERATORS)


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(b"PK\x03\x04" + bytes(20))
    with pytest.raises(ModelFileError, match=r"(?s)identifier TFL3 is missing.*zip archive"):
        load_tflite(path)


def test_a_list_longer_than_the_file_is_an_error_not_an_allocation() -> None:
    vtable = struct.pack("<HHH", 6, 8, 4)
    table = struct.pack("<iI", 8 - 0, 4)  # vtable 8 bytes before; the list starts 4 bytes on
    data = struct.pack("<I4s", 16, b"TFL3") + vtable + b"\0\0" + table + struct.pack("<I", 0xFFFFFFFF)
    root = Table.root(memoryview(data), b"TFL3")
    with pytest.raises(WireError, match="claims 4294967295 entries"):
        root.numbers(0, "i")


@pytest.mark.extra
def test_operator_codes_are_those_of_the_tflite_package() -> None:
    tflite = pytest.importorskip("tflite")
    codes = {name: code for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)}
    assert {OPERATORS[code]: code for code in codes.values()} == codes


@pytest.mark.extra
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")  # of the interpreter package
@pytest.mark.parametrize("size", [(32, 48), (17, 33)])
def test_resized_extents_are_those_of_the_interpreter(size: tuple[int, int]) -> None:
    interpreter_module = pytest.importorskip("ai_edge_litert.interpreter")
    plain = interpreter_module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    path = DATA / "resizable.tflite"
    interpreter = interpreter_module.Interpreter(str(path), experimental_op_resolver_type=plain)
    shape = (1, *size, 3)
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], shape)
    interpreter.allocate_tensors()
    theirs = {d["name"]: tuple(int(n) for n in d["shape"]) for d in interpreter.get_tensor_details()}
    graph = load_tflite(path, input_shapes={"": shape})
    ours = {t.name: t.shape for op in graph.ops for t in graph.outputs_of(op)}
    assert ours == {name: theirs[name] for name in ours}


def test_the_detection_head_compares_pairs_of_boxes(tmp_path: Path) -> None:
    """A custom operator: encodings[1, n, 4], scores[1, n, classes], anchors[n, 4] -> boxes, classes, scores, count."""
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    flatbuffers = pytest.importorskip("flatbuffers")
    shapes = [[1, 20, 4], [1, 20, 5], [20, 4], [1, 10, 4], [1, 10], [1, 10], [1]]
    model, graph, operator, code = schema.ModelT(), schema.SubGraphT(), schema.OperatorT(), schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = "TFLite_Detection_PostProcess"
    graph.tensors = []
    for number, shape in enumerate(shapes):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = f"t{number}".encode(), shape, 0
        graph.tensors.append(tensor)
    operator.inputs, operator.outputs = [0, 1, 2], [3, 4, 5, 6]
    graph.inputs, graph.outputs, graph.operators = [0, 1, 2], [3, 4, 5, 6], [operator]
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [code], [graph], [schema.BufferT()]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    (tmp_path / "head.tflite").write_bytes(builder.Output())
    cost = graph_cost(load_tflite(tmp_path / "head.tflite"))
    assert (cost.coverage, cost.total.other_flops) == (1, 13 * 20 * 19 // 2)
