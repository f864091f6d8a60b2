from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from estimator.costs.registry import graph_cost
from estimator.dtypes import DType
from estimator.errors import BadOptionError, MissingShapeError, ModelFileError
from estimator.frontends.onnx_importer import RULES
from estimator.frontends.onnx_model import load_onnx
from estimator.ir.graph import Graph
from estimator.ir.op import ConvAttrs, CopyAttrs, OpKind, RnnAttrs
from estimator.ir.tensor import TensorRole
from tests.frontends.onnx_files import integers, model, node, scalar, value, weight, write


def graph_of(proto: onnx.ModelProto, tmp_path: Path, **options: object) -> Graph:
    return load_onnx(write(tmp_path / "model.onnx", proto), **options)  # type: ignore[arg-type]


def out_shape(graph: Graph) -> tuple[int, ...]:
    return graph.tensors[graph.outputs[0]].shape


def conv_model(*batch: int | str) -> onnx.ModelProto:
    conv = node("Conv", "x w b", "y", pads=[1, 1, 1, 1], strides=[2, 2])
    return model([conv], [value("x", [*batch, 3, 8, 8])], "y", [weight("w", 4, 3, 3, 3), weight("b", 4)])


def test_a_convolution_counts_taps_times_outputs(tmp_path: Path) -> None:
    graph = graph_of(conv_model(2), tmp_path)
    (op,) = graph.ops
    assert op.attrs == ConvAttrs((3, 3), (2, 2), (1, 1), (1, 1), 1)
    assert op.inputs == ("x", "w", "b")
    assert out_shape(graph) == (2, 4, 4, 4)
    assert graph_cost(graph).total.macs == (2 * 4 * 4 * 4) * (3 * 3 * 3)
    assert graph.params == 4 * 3 * 3 * 3 + 4


def test_same_upper_puts_the_odd_pad_behind(tmp_path: Path) -> None:
    conv = node("Conv", "x w", "y", auto_pad="SAME_UPPER", strides=[2, 2])
    graph = graph_of(model([conv], [value("x", [1, 3, 8, 8])], "y", [weight("w", 4, 3, 3, 3)]), tmp_path)
    (attrs,) = [op.attrs for op in graph.ops]
    assert isinstance(attrs, ConvAttrs)
    assert attrs.padding == (0, 0)  # total (4 − 1)·2 + 3 − 8 = 1: none before, one after
    assert out_shape(graph) == (1, 4, 4, 4)


def test_a_transposed_convolution_undoes_the_stride(tmp_path: Path) -> None:
    up = node("ConvTranspose", "x w", "y", strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1], group=2)
    graph = graph_of(model([up], [value("x", [1, 4, 5, 5])], "y", [weight("w", 4, 3, 3, 3)]), tmp_path)
    assert out_shape(graph) == (1, 3 * 2, 2 * (5 - 1) + 1 + 3 - 2, 2 * (5 - 1) + 1 + 3 - 2)
    assert graph_cost(graph).total.macs == (4 * 5 * 5) * (3 * 3 * 3)  # inputs × co/g × taps


def test_gemm_with_a_transposed_weight_is_a_linear_layer(tmp_path: Path) -> None:
    gemm = node("Gemm", "x w b", "y", transB=1)
    graph = graph_of(model([gemm], [value("x", [5, 7])], "y", [weight("w", 3, 7), weight("b", 3)]), tmp_path)
    assert [op.kind for op in graph.ops] == [OpKind.LINEAR]
    assert graph_cost(graph).total.macs == 5 * 3 * 7


def test_gemm_of_two_activations_keeps_logical_shapes(tmp_path: Path) -> None:
    gemm = node("Gemm", "a b", "y", transA=1, transB=1)
    graph = graph_of(model([gemm], [value("a", [7, 5]), value("b", [3, 7])], "y"), tmp_path)
    assert [op.kind for op in graph.ops] == [OpKind.VIEW, OpKind.VIEW, OpKind.MATMUL]
    assert [t.shape for t in graph.inputs_of(graph.ops[-1])] == [(5, 7), (7, 3)]
    assert graph_cost(graph).total.macs == 5 * 3 * 7


def test_an_lstm_is_one_op_with_its_weights(tmp_path: Path) -> None:
    lstm = node("LSTM", "x w r b", "y yh yc", hidden_size=6, direction="bidirectional")
    weights = [weight("w", 2, 4 * 6, 5), weight("r", 2, 4 * 6, 6), weight("b", 2, 8 * 6)]
    graph = graph_of(model([lstm], [value("x", [9, 2, 5])], "y", weights), tmp_path)
    (op,) = graph.ops
    assert op.attrs == RnnAttrs("lstm", 6, 1, True, False, True)
    assert [graph.tensors[n].shape for n in op.inputs[1:3]] == [(2 * 4 * 6, 5), (2 * 4 * 6, 6)]
    assert out_shape(graph) == (9, 2, 2, 6)
    assert graph_cost(graph).total.macs == (9 * 2) * 2 * 4 * 6 * (5 + 6)


def test_a_stored_initial_state_is_no_parameter(tmp_path: Path) -> None:
    lstm = node("LSTM", "x w r - - h c", "y", hidden_size=6)
    weights = [weight("w", 1, 4 * 6, 5), weight("r", 1, 4 * 6, 6), weight("h", 1, 2, 6), weight("c", 1, 2, 6)]
    graph = graph_of(model([lstm], [value("x", [9, 2, 5])], "y", weights), tmp_path)
    assert graph.params == 4 * 6 * (5 + 6)


def test_shape_arithmetic_reaches_the_reshape(tmp_path: Path) -> None:
    """Shape → Gather → Concat → Reshape, as exporters write ``x.reshape(x.shape[0], -1)``."""
    nodes = [
        node("Shape", "x", "shape"),
        node("Gather", "shape zero", "n"),
        node("Unsqueeze", "n axis", "n1"),
        node("Concat", "n1 minus", "target", axis=0),
        node("Reshape", "x target", "y"),
    ]
    weights = [scalar("zero", 0, np.int64), integers("axis", 0), integers("minus", -1)]
    graph = graph_of(model(nodes, [value("x", ["batch", 3, 4])], "y", weights), tmp_path, batch=6)
    assert out_shape(graph) == (6, 12)
    assert [op.kind for op in graph.ops] == [OpKind.SHAPE] * 4 + [OpKind.VIEW]
    assert graph_cost(graph).total.bytes_moved == 0


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (node("Resize", "x - scales", "y", mode="linear"), (1, 3, 16, 12)),
        (node("Expand", "x wide", "y"), (5, 3, 8, 4)),
        (node("Tile", "x repeats", "y"), (1, 6, 8, 4)),
        (node("Slice", "x starts ends axes steps", "y"), (1, 3, 3, 4)),
        (node("Pad", "x pads", "y"), (1, 3, 10, 7)),
        (node("Split", "x sizes", "y z", axis=2), (1, 3, 5, 4)),
        (node("ReduceMean", "x axes", "y", keepdims=0), (1, 3, 4)),
        (node("Flatten", "x", "y", axis=2), (3, 32)),
        (node("SpaceToDepth", "x", "y", blocksize=2), (1, 12, 4, 2)),
        (node("TopK", "x k", "y i", axis=2), (1, 3, 5, 4)),
        (node("Gather", "x ids", "y", axis=1), (1, 2, 2, 8, 4)),
    ],
    ids=lambda p: p.op_type if isinstance(p, onnx.NodeProto) else None,
)
def test_shapes_that_follow_from_constants(op: onnx.NodeProto, expected: tuple[int, ...], tmp_path: Path) -> None:
    weights = [
        numpy_helper.from_array(np.array([1, 1, 2, 3], np.float32), "scales"),
        integers("wide", 5, 1, 1, 1), integers("repeats", 1, 2, 1, 1), integers("starts", -1), integers("ends", -99),
        integers("axes", 2), integers("steps", -3), integers("pads", 0, 0, 1, 2, 0, 0, 1, 1),
        integers("sizes", 5, 3), integers("k", 5),
        numpy_helper.from_array(np.zeros((2, 2), np.int64), "ids"),
    ]  # fmt: skip
    assert out_shape(graph_of(model([op], [value("x", [1, 3, 8, 4])], "y", weights), tmp_path)) == expected


def test_a_transpose_is_a_copy_unless_only_unit_axes_move(tmp_path: Path) -> None:
    nodes = [node("Transpose", "x", "y", perm=[0, 2, 1, 3]), node("Transpose", "y", "z", perm=[0, 2, 1, 3])]
    graph = graph_of(model(nodes, [value("x", [1, 1, 5, 4])], "z"), tmp_path)
    assert [op.kind for op in graph.ops] == [OpKind.VIEW, OpKind.VIEW]
    graph = graph_of(model(nodes, [value("x", [1, 2, 5, 4])], "z"), tmp_path)
    assert [op.attrs for op in graph.ops] == [CopyAttrs("transpose", transposing=True)] * 2


def test_module_paths_are_read_from_node_names(tmp_path: Path) -> None:
    nodes = [
        node("Relu", "x", "a", name="/layer4/layer4.0/downsample/downsample.1/Relu"),
        node("Relu", "a", "b", name="/conv1/Relu"),
        node("Relu", "b", "y", name="plain"),
    ]
    graph = graph_of(model(nodes, [value("x", [1])], "y"), tmp_path)
    assert [op.scope for op in graph.ops] == ["layer4.0.downsample.1", "conv1", ""]


def test_reading_imports_no_framework(tmp_path: Path) -> None:
    path = write(tmp_path / "model.onnx", conv_model(1))
    code = (
        "import sys; from estimator.frontends.select import load_graph; load_graph(sys.argv[1]);"
        "assert not {'torch', 'onnx', 'google.protobuf', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


# ---------------------------------------------------------------- batch and symbols


def test_a_symbolic_batch_is_one_and_says_so(tmp_path: Path) -> None:
    graph = graph_of(conv_model("N"), tmp_path)
    assert graph.batch == 1
    assert "'N'" in graph.notes[0]
    assert "--batch" in graph.notes[0]


def test_batch_binds_a_symbol_and_rescales_a_number(tmp_path: Path) -> None:
    symbolic, fixed = graph_of(conv_model("N"), tmp_path, batch=6), graph_of(conv_model(2), tmp_path, batch=6)
    assert {n: t.shape for n, t in symbolic.tensors.items()} == {n: t.shape for n, t in fixed.tensors.items()}
    assert graph_cost(fixed).total.macs == 3 * graph_cost(graph_of(conv_model(2), tmp_path)).total.macs


def test_an_unknown_extent_is_named_with_the_option_to_give(tmp_path: Path) -> None:
    proto = model([node("Relu", "x", "y")], [value("x", ["N", 3, "height", None])], "y")
    with pytest.raises(MissingShapeError) as caught:
        graph_of(proto, tmp_path)
    assert "'height' (axis 2)" in str(caught.value)
    assert "--input-shape x=1x3x224x224" in str(caught.value)
    assert out_shape(graph_of(proto, tmp_path, input_shapes={"x": (2, 3, 5, 7)})) == (2, 3, 5, 7)
    assert out_shape(graph_of(proto, tmp_path, input_shapes={"": (2, 3, 5, 7)})) == (2, 3, 5, 7)


def test_a_symbol_has_one_value_in_all_inputs(tmp_path: Path) -> None:
    proto = model([node("MatMul", "a b", "y")], [value("a", [2, "k"]), value("b", ["k", 3])], "y")
    assert graph_cost(graph_of(proto, tmp_path, input_shapes={"a": (2, 9)})).total.macs == 2 * 3 * 9
    with pytest.raises(BadOptionError, match="both 9 and 8"):
        graph_of(proto, tmp_path, input_shapes={"a": (2, 9), "b": (8, 3)})


def test_a_shape_for_no_input_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(BadOptionError, match="no input 'z'"):
        graph_of(conv_model(1), tmp_path, input_shapes={"z": (1, 3, 8, 8)})
    with pytest.raises(BadOptionError, match="4 axes"):
        graph_of(conv_model("N"), tmp_path, input_shapes={"x": (1, 3)})


@pytest.mark.parametrize("batch", [0, -1, 1 << 40])
def test_an_impossible_batch_is_a_usage_error(batch: int, tmp_path: Path) -> None:
    with pytest.raises(BadOptionError, match="batch"):
        graph_of(conv_model(1), tmp_path, batch=batch)


def test_a_shape_computed_from_data_is_missing_not_guessed(tmp_path: Path) -> None:
    proto = model([node("Reshape", "x s", "y")], [value("x", [4]), value("s", [2], TensorProto.INT64)], "y")
    with pytest.raises(MissingShapeError, match="depends on input data"):
        graph_of(proto, tmp_path)


def test_as_many_nonzeros_as_elements_are_assumed(tmp_path: Path) -> None:
    graph = graph_of(model([node("NonZero", "x", "y")], [value("x", [2, 3])], "y"), tmp_path)
    assert out_shape(graph) == (2, 6)
    assert "NonZero" in graph.notes[0]


# ---------------------------------------------------------------- weights


def test_weights_may_be_constant_nodes(tmp_path: Path) -> None:
    nodes = [
        node("Constant", "", "w", value=weight("w", 4, 3, 3, 3)),
        node("Constant", "", "s", value=weight("s", 1, 4, 1, 1)),
        node("Conv", "x w", "y"),
        node("Mul", "y s", "z"),
    ]
    graph = graph_of(model(nodes, [value("x", [1, 3, 8, 8])], "z"), tmp_path)
    assert [op.kind for op in graph.ops] == [OpKind.CONV, OpKind.BINARY]
    assert graph.params == 4 * 3 * 3 * 3 + 4


def test_literals_beside_initialisers_are_not_parameters(tmp_path: Path) -> None:
    nodes = [
        node("Constant", "", "grid", value=weight("grid", 1, 4, 6, 6)),
        node("Conv", "x w", "y"),
        node("Add", "y grid", "z"),
    ]
    graph = graph_of(model(nodes, [value("x", [1, 3, 8, 8])], "z", [weight("w", 4, 3, 3, 3)]), tmp_path)
    assert graph.params == 4 * 3 * 3 * 3
    assert graph.tensors["grid"].role is TensorRole.CONSTANT


def test_running_statistics_are_buffers(tmp_path: Path) -> None:
    weights = [weight(n, 3) for n in ("scale", "shift", "mean", "var")]
    norm = node("BatchNormalization", "x scale shift mean var", "y")
    graph = graph_of(model([norm], [value("x", [1, 3, 4, 4])], "y", weights), tmp_path)
    assert graph.params == 2 * 3
    assert graph.tensors["mean"].role is TensorRole.BUFFER


def test_external_weights_need_not_be_there(tmp_path: Path) -> None:
    proto = conv_model(1)
    (w, _) = proto.graph.initializer
    w.ClearField("raw_data")
    w.data_location = TensorProto.EXTERNAL
    w.external_data.add(key="location", value="nowhere.bin")
    assert graph_of(proto, tmp_path).params == 4 * 3 * 3 * 3 + 4


def test_what_is_made_from_weights_alone_leaves_no_op(tmp_path: Path) -> None:
    nodes = [node("Transpose", "w", "wt", perm=[1, 0]), node("MatMul", "x wt", "y")]
    graph = graph_of(model(nodes, [value("x", [2, 5])], "y", [weight("w", 3, 5)]), tmp_path)
    assert [op.kind for op in graph.ops] == [OpKind.MATMUL]
    assert graph.params == 15


def test_a_tied_weight_counts_once(tmp_path: Path) -> None:
    nodes = [node("Gather", "w ids", "e"), node("Transpose", "w", "wt", perm=[1, 0]), node("MatMul", "e wt", "y")]
    ids = value("ids", [1, 4], TensorProto.INT64)
    graph = graph_of(model(nodes, [ids], "y", [weight("w", 10, 6)]), tmp_path)
    assert [op.kind for op in graph.ops] == [OpKind.EMBEDDING, OpKind.MATMUL]
    assert graph.params == 60


# ---------------------------------------------------------------- quantised


def test_parts_of_a_weight_are_parameters_until_they_add_up_to_it(tmp_path: Path) -> None:
    nodes = [
        node("Split", "w", "a b", axis=1, num_outputs=2),
        node("Split", "w", "c d", axis=0, num_outputs=2),
        node("MatMul", "x a", "xa"),
        node("MatMul", "x b", "xb"),
        node("MatMul", "z c", "zc"),
    ]
    inputs = [value("x", [1, 6]), value("z", [1, 3])]
    graph = graph_of(model(nodes, inputs, "xa xb zc", [weight("w", 6, 4)]), tmp_path)
    assert graph.params == 6 * 4


def test_qdq_leaves_stored_integers_as_weights(tmp_path: Path) -> None:
    nodes = [
        node("QuantizeLinear", "x s z", "xq"),
        node("DequantizeLinear", "xq s z", "xd"),
        node("DequantizeLinear", "wq ws wz", "wd", axis=0),
        node("Conv", "xd wd", "y"),
        node("QuantizeLinear", "y s z", "yq"),
        node("DequantizeLinear", "yq s z", "out"),
    ]
    weights = [
        scalar("s", 0.1), scalar("z", 0, np.int8), weight("ws", 4),
        numpy_helper.from_array(np.zeros(4, np.int8), "wz"),
        numpy_helper.from_array(np.zeros((4, 3, 3, 3), np.int8), "wq"),
    ]  # fmt: skip
    graph = graph_of(model(nodes, [value("x", [1, 3, 8, 8])], "out", weights), tmp_path)
    kinds = [OpKind.QUANTIZE, OpKind.DEQUANTIZE, OpKind.CONV, OpKind.QUANTIZE, OpKind.DEQUANTIZE]
    assert [op.kind for op in graph.ops] == kinds
    x, w = graph.inputs_of(graph.ops[2])
    assert (x.dtype, x.quantised) == (DType.F32, True)
    assert (w.dtype, w.quantised, w.role) == (DType.I8, True, TensorRole.PARAMETER)
    assert graph.params == 4 * 3 * 3 * 3  # scales and zero points are not parameters


def test_qlinear_conv_reads_integers_directly(tmp_path: Path) -> None:
    conv = node("QLinearConv", "x xs xz w ws wz ys yz", "y")
    weights = [scalar(n, 0.1) for n in ("xs", "ws", "ys")] + [scalar(n, 0, np.uint8) for n in ("xz", "wz", "yz")]
    weights.append(numpy_helper.from_array(np.zeros((4, 3, 3, 3), np.uint8), "w"))
    graph = graph_of(model([conv], [value("x", [1, 3, 8, 8], TensorProto.UINT8)], "y", weights), tmp_path)
    assert graph.ops[0].inputs == ("x", "w")
    assert graph.tensors["y"].dtype is DType.U8


# ---------------------------------------------------------------- control flow and functions


def branch(name: str, op_type: str) -> onnx.GraphProto:
    return helper.make_graph([node(op_type, "x", f"{name}_y")], name, [], [value(f"{name}_y", None)])


def test_a_decidable_branch_is_inlined(tmp_path: Path) -> None:
    nodes = [
        node("Size", "x", "size"),
        node("Greater", "size ten", "large"),
        node("If", "large", "y", then_branch=branch("then", "Exp"), else_branch=branch("other", "Relu")),
    ]
    graph = graph_of(model(nodes, [value("x", [2, 3])], "y", [scalar("ten", 10, np.int64)]), tmp_path)
    assert [op.kind for op in graph.ops] == [OpKind.SHAPE, OpKind.SHAPE, OpKind.ACTIVATION]


def test_an_undecidable_branch_is_listed_and_not_counted(tmp_path: Path) -> None:
    inputs = [value("x", [2, 3]), value("c", [], TensorProto.BOOL)]
    chosen = node("If", "c", "y", then_branch=branch("then", "Exp"), else_branch=branch("other", "Relu"))
    graph = graph_of(model([chosen, node("Neg", "y", "z")], inputs, "z"), tmp_path)
    assert [op.kind for op in graph.ops] == [OpKind.CONTROL, OpKind.UNARY]
    assert graph.ops[0].inputs == ("c", "x")
    assert out_shape(graph) == (2, 3)
    assert "depends on data" in graph.notes[0]
    assert graph_cost(graph).coverage < 1


def loop_model(trips: onnx.TensorProto) -> onnx.ModelProto:
    body = helper.make_graph(
        [node("Identity", "go", "go_out"), node("Add", "state w", "next"), node("Relu", "next", "seen")],
        "body",
        [value("i", [], TensorProto.INT64), value("go", [], TensorProto.BOOL), value("state", None)],
        [value("go_out", None), value("next", None), value("seen", None)],
    )
    loop = node("Loop", "trips - x", "last all", body=body)
    return model([loop], [value("x", [4])], "all", [trips, weight("w", 4)])


def test_a_loop_with_a_known_count_is_unrolled(tmp_path: Path) -> None:
    graph = graph_of(loop_model(scalar("trips", 3, np.int64)), tmp_path)
    kinds = [op.kind for op in graph.ops]
    assert kinds.count(OpKind.BINARY) == kinds.count(OpKind.ACTIVATION) == 3
    assert out_shape(graph) == (3, 4)


def test_a_loop_too_long_to_unroll_is_listed(tmp_path: Path) -> None:
    graph = graph_of(loop_model(scalar("trips", 100_000, np.int64)), tmp_path)
    assert [op.kind for op in graph.ops] == [OpKind.CONTROL]
    assert out_shape(graph) == (100_000, 4)


def test_model_functions_are_inlined_with_their_attributes(tmp_path: Path) -> None:
    leaky = node("LeakyRelu", "a", "b")
    leaky.attribute.append(onnx.AttributeProto(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT))
    body = [leaky, node("Neg", "b", "c")]
    function = helper.make_function("own", "Twice", ["a"], ["c"], body, [helper.make_opsetid("", 18)], ["slope"])
    nodes = [helper.make_node("Twice", ["x"], ["y"], domain="own", slope=0.1, name="call")]
    proto = model(nodes, [value("x", [2, 3])], "y", functions=[function], domains=["own"])
    graph = graph_of(proto, tmp_path)
    assert [(op.kind, op.name) for op in graph.ops] == [
        (OpKind.ACTIVATION, "call/LeakyRelu_0"), (OpKind.UNARY, "call/Neg_1")]  # fmt: skip
    assert out_shape(graph) == (2, 3)


def test_an_operator_without_a_rule_is_unknown_never_free(tmp_path: Path) -> None:
    odd = helper.make_node("Odd", ["x"], ["y"], domain="own")
    graph = graph_of(model([odd], [value("x", [2, 3])], "y", domains=["own"]), tmp_path)
    assert graph.ops[0].kind is OpKind.UNKNOWN
    assert graph_cost(graph).unsupported == ("own:Odd",)


def test_every_default_operator_has_a_rule() -> None:
    names = {s.name for s in onnx.defs.get_all_schemas() if s.domain == "" and not s.deprecated}
    assert names - {name for domain, name in RULES if domain == ""} == set()


def test_a_contradiction_names_the_operator_and_its_inputs(tmp_path: Path) -> None:
    proto = model([node("Add", "a b", "y")], [value("a", [2, 3]), value("b", [2, 4])], "y")
    with pytest.raises(ModelFileError) as caught:
        graph_of(proto, tmp_path)
    assert "Add_0" in str(caught.value)
    assert "a[2, 3], b[2, 4]" in str(caught.value)


def test_a_fused_convolution_adds_and_activates_per_output(tmp_path: Path) -> None:
    fused = node("FusedConv", "x w b z", "y", domain="com.microsoft", activation="Relu")
    weights = [weight("w", 4, 3, 1, 1), weight("b", 4)]
    inputs = [value("x", [1, 3, 5, 5]), value("z", [1, 4, 5, 5])]
    graph = graph_of(model([fused], inputs, "y", weights, domains=["com.microsoft"]), tmp_path)
    assert [op.kind for op in graph.ops] == [OpKind.CONV, OpKind.BINARY, OpKind.ACTIVATION]
    outputs = 4 * 5 * 5
    assert (graph_cost(graph).total.macs, graph_cost(graph).total.other_flops) == (outputs * 3, outputs * (1 + 1 + 1))
    assert graph.outputs == ("y",)


def test_a_fused_convolution_adds_in_channels_last_too(tmp_path: Path) -> None:
    fused = node("NhwcFusedConv", "x w b z", "y", domain="com.microsoft", activation="Relu")
    weights = [weight("w", 4, 3, 1, 1), weight("b", 4)]
    inputs = [value("x", [1, 5, 5, 3]), value("z", [1, 5, 5, 4])]
    graph = graph_of(model([fused], inputs, "y", weights, domains=["com.microsoft"]), tmp_path)
    assert [op.kind for op in graph.ops] == [OpKind.CONV, OpKind.BINARY, OpKind.ACTIVATION]
    assert "z" in graph.ops[1].inputs


@pytest.mark.parametrize(("ceil_mode", "extent"), [(0, 54), (1, 55)])
def test_a_pool_in_channels_last_rounds_as_it_says(ceil_mode: int, extent: int, tmp_path: Path) -> None:
    pool = node(
        "NhwcMaxPool", "x", "y", domain="com.microsoft", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=ceil_mode
    )
    inputs = [value("x", [1, 110, 110, 4], TensorProto.UINT8)]
    graph = graph_of(model([pool], inputs, "y", domains=["com.microsoft"]), tmp_path)
    assert out_shape(graph) == (1, extent, extent, 4)


def test_blocked_channels_are_counted_with_what_fills_the_last_block(tmp_path: Path) -> None:
    """24 channels are kept as two blocks of 16; the reader of the plain layout gets 20 again."""
    domain = "com.microsoft.nchwc"
    nodes = [
        node("ReorderInput", "x", "xb", domain=domain),
        node("Conv", "xb w", "yb", domain=domain, activation="Relu"),
        node("MaxPool", "yb", "pb", domain=domain, kernel_shape=[2, 2], strides=[2, 2]),
        node("ReorderOutput", "pb", "y", domain=domain, channels=20),
    ]
    graph = graph_of(
        model(nodes, [value("x", [1, 24, 4, 4])], "y", [weight("w", 32, 32, 1, 1)], domains=[domain]), tmp_path
    )
    assert graph_cost(graph).total.macs == (32 * 4 * 4) * 32
    assert graph_cost(graph).coverage == 1
    assert out_shape(graph) == (1, 20, 2, 2)


def test_a_quantised_convolution_may_keep_channels_last(tmp_path: Path) -> None:
    scale, zero = scalar("s", 0.1), scalar("o", 0, np.uint8)
    w = numpy_helper.from_array(np.zeros((6, 3, 2, 2), np.int8), "w")
    conv = node("QLinearConv", "x s o w s o s o", "y", domain="com.microsoft", channels_last=1, strides=[2, 2])
    inputs = [value("x", [1, 8, 8, 3], TensorProto.UINT8)]
    graph = graph_of(model([conv], inputs, "y", [scale, zero, w], domains=["com.microsoft"]), tmp_path)
    assert out_shape(graph) == (1, 4, 4, 6)
    assert graph_cost(graph).total.macs == (6 * 4 * 4) * (3 * 2 * 2)


def test_packed_attention_is_one_product_and_attention(tmp_path: Path) -> None:
    attention = node("Attention", "x w b", "y", domain="com.microsoft", num_heads=2)
    weights = [weight("w", 8, 3 * 8), weight("b", 3 * 8)]
    graph = graph_of(model([attention], [value("x", [2, 5, 8])], "y", weights, domains=["com.microsoft"]), tmp_path)
    product, scores = 2 * 5 * 8 * (3 * 8), 2 * 2 * 5 * 5 * (4 + 4)  # batch × heads × m × n × (d + dv)
    assert graph_cost(graph).total.macs == product + scores
    assert out_shape(graph) == (2, 5, 8)


@pytest.mark.parametrize(("op_type", "inputs"), [("Attention", "x w b - past"), ("QAttention", "x w b s s - o o past")])
def test_packed_attention_reads_its_past_and_returns_it_longer(op_type: str, inputs: str, tmp_path: Path) -> None:
    """As a fused GPT-2 does: past and present hold keys, then values."""
    attention = node(op_type, inputs, "y present", domain="com.microsoft", num_heads=2, unidirectional=1)
    weights = [weight("w", 8, 3 * 8), weight("b", 3 * 8), scalar("s", 0.1), scalar("o", 0, np.int8)]
    given = [value("x", [1, 3, 8]), value("past", [2, 1, 2, 7, 4])]
    graph = graph_of(model([attention], given, "y present", weights, domains=["com.microsoft"]), tmp_path)
    product, scores = 3 * 8 * (3 * 8), 2 * 3 * (7 + 3) * (4 + 4)  # heads × m × (past + new) × (d + dv)
    assert graph_cost(graph).total.macs == product + scores
    assert graph.tensors["present"].shape == (2, 1, 2, 7 + 3, 4)
    assert [op.kind for op in graph.ops].count(OpKind.CONCAT) == 2


def test_grouped_attention_reads_its_past(tmp_path: Path) -> None:
    attention = node("GroupQueryAttention", "q k v pk pv", "y a b", domain="com.microsoft", num_heads=4, kv_num_heads=2)
    past = [value("pk", [1, 2, 7, 8]), value("pv", [1, 2, 7, 8])]
    inputs = [value("q", [1, 1, 32]), value("k", [1, 1, 16]), value("v", [1, 1, 16]), *past]
    graph = graph_of(model([attention], inputs, "y a b", domains=["com.microsoft"]), tmp_path)
    assert graph_cost(graph).total.macs == 4 * 1 * (7 + 1) * (8 + 8)  # heads × m × (past + new) × (d + dv)
    assert graph.tensors["a"].shape == (1, 2, 7 + 1, 8)


def test_packed_operands_are_read_where_the_file_gives_no_input(tmp_path: Path) -> None:
    plain = node("Attention", "x w", "y", domain="com.microsoft", num_heads=2)
    proto = model([plain], [value("x", [1, 3, 8])], "y", [weight("w", 8, 3 * 8)], domains=["com.microsoft"])
    assert graph_cost(graph_of(proto, tmp_path)).total.macs == 3 * 8 * (3 * 8) + 2 * 3 * 3 * (4 + 4)
    grouped = node("GroupQueryAttention", "q - -", "y a b", domain="com.microsoft", num_heads=4, kv_num_heads=2)
    proto = model([grouped], [value("q", [1, 3, (4 + 2 + 2) * 8])], "y a b", domains=["com.microsoft"])
    assert graph_cost(graph_of(proto, tmp_path)).total.macs == 4 * 3 * 3 * (8 + 8)


def test_embeddings_are_looked_up_added_and_normalised(tmp_path: Path) -> None:
    embed = node("EmbedLayerNormalization", "ids seg word pos kind g b", "y mask", domain="com.microsoft")
    tables = [weight("word", 50, 8), weight("pos", 16, 8), weight("kind", 2, 8), weight("g", 8), weight("b", 8)]
    inputs = [value("ids", [1, 6], TensorProto.INT32), value("seg", [1, 6], TensorProto.INT32)]
    graph = graph_of(model([embed], inputs, "y mask", tables, domains=["com.microsoft"]), tmp_path)
    kinds = [op.kind for op in graph.ops]
    assert (kinds.count(OpKind.EMBEDDING), kinds.count(OpKind.BINARY), kinds.count(OpKind.NORM)) == (3, 2, 1)
    assert graph.params == (50 + 16 + 2) * 8 + 8 + 8
    assert graph.tensors["y"].shape == (1, 6, 8)


def test_a_dynamically_quantised_lstm_counts_as_a_plain_one(tmp_path: Path) -> None:
    w, r = (numpy_helper.from_array(np.zeros((1, i, 4 * 5), np.int8), n) for n, i in (("w", 3), ("r", 5)))
    lstm = node("DynamicQuantizeLSTM", "x w r - - - - - s o s o", "y", domain="com.microsoft", hidden_size=5)
    weights = [w, r, scalar("s", 0.1), scalar("o", 0, np.int8)]
    graph = graph_of(model([lstm], [value("x", [7, 2, 3])], "y", weights, domains=["com.microsoft"]), tmp_path)
    assert graph_cost(graph).total.macs == 7 * 2 * (4 * 5) * (3 + 5)  # steps × batch × gates × (input + state)
    assert out_shape(graph) == (7, 1, 2, 5)


def test_nodes_that_stand_before_what_they_read_are_put_in_order(tmp_path: Path) -> None:
    """Converters to half floats append their casts behind the readers."""
    nodes = [node("Relu", "c", "y"), node("Neg", "b", "c"), node("Abs", "x", "b")]
    graph = graph_of(model(nodes, [value("x", [2, 3])], "y"), tmp_path)
    assert [op.source for op in graph.ops] == ["Abs", "Neg", "Relu"]


def test_what_a_branch_reads_from_around_it_stands_before_it(tmp_path: Path) -> None:
    def branch_of(op_type: str) -> onnx.GraphProto:
        return helper.make_graph([node(op_type, "a", "inner")], op_type, [], [value("inner", None)])

    chosen = node("If", "p", "c", then_branch=branch_of("Relu"), else_branch=branch_of("Neg"))
    nodes = [node("Sigmoid", "c", "y"), chosen, node("Tanh", "x", "a")]
    inputs = [value("x", [2, 3]), value("p", [], TensorProto.BOOL)]
    graph = graph_of(model(nodes, inputs, "y"), tmp_path)
    assert [op.source for op in graph.ops] == ["Tanh", "If", "Sigmoid"]
    assert graph.ops[1].inputs == ("p", "a")


def sliced_by_data(of: str) -> list[onnx.NodeProto]:
    """As many rows of w as the data say, and their sum."""
    return [node("Slice", f"w first {of}", "rows"), node("ReduceSum", "rows first", "row", keepdims=0)]


def test_a_loop_whose_shapes_depend_on_data_is_listed_with_the_shapes_that_the_file_states(tmp_path: Path) -> None:
    nodes = [node("Identity", "go", "go_out"), *sliced_by_data("n"), node("Identity", "row", "seen")]
    given = [value("i", [], TensorProto.INT64), value("go", [], TensorProto.BOOL)]
    body = helper.make_graph(nodes, "body", given, [value("go_out", None), value("seen", None)])
    loop = node("Loop", "trips -", "all", body=body)
    weights = [scalar("trips", 3, np.int64), weight("w", 9, 4), integers("first", 0)]
    proto = model([loop], [value("n", [1], TensorProto.INT64)], "all", weights)
    with pytest.raises(MissingShapeError):
        graph_of(proto, tmp_path)
    proto.graph.output[0].CopyFrom(value("all", [3, 4]))
    graph = graph_of(proto, tmp_path)
    assert [op.kind for op in graph.ops] == [OpKind.CONTROL]
    assert out_shape(graph) == (3, 4)


def test_a_function_whose_shapes_depend_on_data_is_listed_with_the_shapes_that_the_file_states(tmp_path: Path) -> None:
    opsets = [helper.make_opsetid("", 18)]
    function = helper.make_function("local", "Rows", ["w", "first", "n"], ["row"], sliced_by_data("n"), opsets)
    weights = [weight("w", 9, 4), integers("first", 0)]
    call = node("Rows", "w first n", "y", domain="local")
    inputs = [value("n", [1], TensorProto.INT64)]
    proto = model([call], inputs, "y", weights, functions=[function], domains=["local"])
    proto.graph.output[0].CopyFrom(value("y", [4]))
    graph = graph_of(proto, tmp_path)
    assert [op.source for op in graph.unknown_ops] == ["local:Rows"]
    assert out_shape(graph) == (4,)
