from __future__ import annotations

import pytest

from estimator.dtypes import DType, Precision
from estimator.ir.op import OpKind
from estimator.ir.text import parse_graph
from estimator.lowering.precision import apply_precision, stored_precision

CONV = "kernel=[3,3] stride=[1,1] padding=[1,1] dilation=[1,1]"
TWO_USES = f"""\
graph shared
input x f32[1,8,4,4]
parameter w f32[8,8,3,3]
y f32[1,8,4,4] = conv(x, w) {CONV}
z f32[1,8,4,4] = conv(y, w) {CONV}
output z
"""
NORM = """\
graph norm
input x f32[2,8]
parameter w f32[8,8]
parameter scale f32[8]
h f32[2,8] = linear(x, w)
n f32[2,8] = norm(h, scale) function=layer
output n
"""


def residual(in_place: bool) -> str:
    mark = " in_place" if in_place else ""
    return f"""\
graph residual
input x f32[2,8]
parameter w f32[8,8]
parameter position f32[2,8]
h f32[2,8] = linear(x, w)
s f32[2,8] = binary(h, position) function=add{mark}
output s
"""


def test_autocast_runs_convolutions_in_fp16():
    graph = apply_precision(parse_graph(TWO_USES), Precision.AMP_FP16)
    for conv in (op for op in graph.ops if op.kind is OpKind.CONV):
        assert {graph.tensors[name].dtype for name in (*conv.inputs, *conv.outputs)} == {DType.F16}


def test_autocast_casts_a_weight_once_per_pass_and_the_fp16_result_not_at_all():
    graph = apply_precision(parse_graph(TWO_USES), Precision.AMP_FP16)
    assert [op.inputs for op in graph.ops if op.kind is OpKind.CAST] == [("x",), ("w",)]


def test_autocast_runs_layer_norm_in_fp32():
    graph = apply_precision(parse_graph(NORM), Precision.AMP_FP16)
    norm = graph.producer_of["n"]
    assert graph.tensors["h"].dtype is DType.F16
    assert {graph.tensors[name].dtype for name in (*norm.inputs, *norm.outputs)} == {DType.F32}


def test_a_residual_that_meets_an_fp32_parameter_stays_fp32():
    graph = apply_precision(parse_graph(residual(in_place=False)), Precision.AMP_FP16)
    assert graph.tensors["s"].dtype is DType.F32


def test_an_in_place_add_keeps_the_dtype_of_what_it_writes_to():
    graph = apply_precision(parse_graph(residual(in_place=True)), Precision.AMP_FP16)
    assert graph.tensors["s"].dtype is DType.F16


def test_int8_stores_vectors_such_as_biases_as_activations_do():
    graph = apply_precision(parse_graph(NORM), Precision.W8A16)
    assert (graph.tensors["w"].dtype, graph.tensors["scale"].dtype) == (DType.I8, DType.I16)


def test_fp32_leaves_an_fp32_graph_alone():
    graph = parse_graph(NORM)
    assert apply_precision(graph, Precision.FP32) is graph


@pytest.mark.parametrize(
    ("activation", "weight", "precision"),
    [
        ("f32", "f32", Precision.FP32),
        ("f16", "f16", Precision.FP16),
        ("bf16", "bf16", Precision.BF16),
        ("f32", "f16", Precision.FP32),  # widened before use
        ("i8", "i8", Precision.INT8),
        ("f32", "i8", Precision.INT8),
        ("i16", "i8", Precision.W8A16),
        ("f16", "i4", Precision.W4A16),
    ],
)
def test_the_precision_of_a_file_is_what_most_of_it_is_stored_in(activation: str, weight: str, precision: Precision):
    graph = parse_graph(f"""\
graph stored
input x {activation}[2,8]
parameter w {weight}[8,8]
parameter bias f32[8]
y {activation}[2,8] = linear(x, w, bias)
output y
""")
    assert stored_precision(graph) is precision


def test_a_file_without_weights_has_the_precision_of_its_activations():
    graph = parse_graph("graph bare\ninput x f16[2,8]\ny f16[2,8] = activation(x) function=relu\noutput y\n")
    assert stored_precision(graph) is Precision.FP16


def test_a_fast_norm_runs_in_autocasts_type_and_a_plain_precision_knows_no_difference():
    fast = NORM.replace("function=layer", "function=layer keeps_low_precision=true")
    graph = apply_precision(parse_graph(fast), Precision.AMP_FP16)
    norm = graph.producer_of["n"]
    assert {graph.tensors[name].dtype for name in (*norm.inputs, *norm.outputs)} == {DType.F16}
    in_half = apply_precision(parse_graph(fast), Precision.FP16)
    assert in_half.tensors == apply_precision(parse_graph(NORM), Precision.FP16).tensors


def test_a_product_outside_autocast_is_of_fp32_and_leaves_fp32():
    text = """\
graph guarded
input x f32[2,4,8]
parameter w f32[4,8]
h f32[2,4,4] = linear(x, w)
y f32[2,4,4] = matmul(h, h) outside_autocast=true
output y
"""
    graph = apply_precision(parse_graph(text), Precision.AMP_FP16)
    assert graph.tensors["h"].dtype is DType.F16
    product = graph.producer_of["y"]
    assert {graph.tensors[name].dtype for name in (*product.inputs, *product.outputs)} == {DType.F32}
    in_half = apply_precision(parse_graph(text), Precision.FP16)
    assert in_half.tensors["y"].dtype is DType.F16


def test_a_cast_closes_the_gaps_of_a_view_and_keeps_its_order():
    graph = parse_graph("""\
graph view
input x f32[2,5,8]
parameter w f32[6,4]
v f32[2,4,4] strides[40,1,8] = view(x) function=slice
y f32[2,4,6] = linear(v, w)
output y
""")
    cast = next(op for op in apply_precision(graph, Precision.AMP_FP16).ops if op.inputs == ("v",))
    assert apply_precision(graph, Precision.AMP_FP16).tensors[cast.outputs[0]].strides == (16, 1, 4)


def test_a_concatenation_reads_both_types_itself_and_writes_the_wider():
    graph = parse_graph("""\
graph join
input x f32[2,8]
parameter w f32[8,8]
h f32[2,8] = linear(x, w)
c f32[4,8] = concat(x, h) axis=0
output c
""")
    typed = apply_precision(graph, Precision.AMP_FP16)
    assert typed.producer_of["c"].inputs == ("x", "h")
    assert [typed.tensors[name].dtype for name in ("x", "h", "c")] == [DType.F32, DType.F16, DType.F32]
