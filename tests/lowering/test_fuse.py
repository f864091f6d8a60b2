"""The fusion engine: hand-made graphs first, then what must hold of any graph."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.catalogue.device import UnitKind
from estimator.dtypes import DType, Precision
from estimator.ir.graph import Graph
from estimator.ir.op import FunctionAttrs, Op, OpKind, SoftmaxAttrs
from estimator.ir.tensor import TensorRole, TensorSpec
from estimator.ir.text import parse_graph
from estimator.lowering.fuse import lower
from estimator.lowering.kernel import KernelClass, KernelGraph
from estimator.lowering.rule import RuntimeRules, Target
from estimator.lowering.runtimes import runtime_names, runtime_rules

UNFUSED = RuntimeRules(name="unfused", rules=())
CHAIN = """\
graph chain
input x f32[2,8]
a f32[2,8] = unary(x) function=exp
b f32[2,8] = unary(a) function=neg
c f32[2,8] = unary(b) function=sqrt
output c
"""
CONV_NORM = """\
graph folded
input x f32[1,8,4,4]
parameter w f32[8,8,3,3]
parameter scale f32[8]
buffer mean f32[8]
y f32[1,8,4,4] = conv(x, w) kernel=[3,3] stride=[1,1] padding=[1,1] dilation=[1,1]
z f32[1,8,4,4] = norm(y, scale, mean) function=batch
output z
"""
AROUND_A_PRODUCT = """\
graph cycle
input x f32[8,8]
parameter w f32[8,8]
a f32[8,8] = unary(x) function=exp
p f32[8,8] = linear(a, w)
s f32[8,8] = binary(a, p) function=add
output s
"""


def lowered(graph: Graph, rules: RuntimeRules, kind: UnitKind = UnitKind.CPU) -> KernelGraph:
    return lower(graph, rules, Target(kind, Precision.FP32, "nchw"))


def moved(kernels: KernelGraph) -> int:
    return sum(kernel.bytes_moved for kernel in kernels.kernels)


@pytest.mark.parametrize("runtime", ["tflite", "qnn", "onnxruntime"])
def test_a_batch_norm_folds_into_the_convolution_before_it(runtime):
    (kernel,) = lowered(parse_graph(CONV_NORM), runtime_rules(runtime)).kernels
    assert kernel.ops == ("y", "z")


def test_a_pointwise_chain_loses_exactly_its_intermediate_bytes():
    graph = parse_graph(CHAIN)
    apart, together = lowered(graph, UNFUSED), lowered(graph, runtime_rules("torch-compile"))
    intermediates = 2  # a and b
    assert moved(apart) - moved(together) == intermediates * (4 * 2 * 8) * 2  # bytes of one, written and read back
    assert moved(together) == 2 * (4 * 2 * 8)  # x read, c written


def test_no_group_leaves_through_a_product_and_comes_back():
    kernels = lowered(parse_graph(AROUND_A_PRODUCT), runtime_rules("torch-compile")).kernels
    assert [kernel.ops for kernel in kernels] == [("a",), ("p",), ("s",)]


@st.composite
def dags(draw: st.DrawFn) -> Graph:
    """Elementwise ops, products, softmaxes and views that read any earlier tensors."""
    spec = {"x": TensorSpec("x", (8, 8), DType.F32, TensorRole.INPUT)}
    spec["w"] = TensorSpec("w", (8, 8), DType.F32, TensorRole.PARAMETER)
    made, ops, read = ["x"], [], set()
    for index in range(draw(st.integers(1, 14))):
        kind = draw(st.sampled_from([OpKind.UNARY, OpKind.BINARY, OpKind.LINEAR, OpKind.SOFTMAX, OpKind.VIEW]))
        inputs = [draw(st.sampled_from(made)) for _ in range(2 if kind is OpKind.BINARY else 1)]
        read.update(inputs)
        if kind is OpKind.LINEAR:
            inputs.append("w")
        function = {OpKind.UNARY: "exp", OpKind.BINARY: "add", OpKind.VIEW: "reshape"}.get(kind)
        attrs = FunctionAttrs(function) if function else None
        attrs = SoftmaxAttrs(1) if kind is OpKind.SOFTMAX else attrs
        name = f"t{index}"
        spec[name] = TensorSpec(name, (8, 8), DType.F32)
        ops.append(Op(name, kind, tuple(inputs), (name,), attrs) if attrs else Op(name, kind, tuple(inputs), (name,)))
        made.append(name)
    outputs = tuple(name for name in made if name not in read and name != "x")
    return Graph("dag", spec, ("x",), outputs, tuple(ops))


@given(dags(), st.sampled_from(runtime_names()))
def test_kernels_come_in_an_executable_order_and_hold_every_op_once(graph, runtime):
    kernels = lowered(graph, runtime_rules(runtime)).kernels
    own = [kernel for kernel in kernels if "." not in kernel.name]  # what is launched beside one is named after it
    launched = [name for kernel in own for name in kernel.ops]
    assert len(launched) == len(set(launched))
    assert set(launched) == {op.name for op in graph.ops if op.kind is not OpKind.VIEW}
    origin = {"x": "x", "w": "w"}  # storage behind each tensor: views own none
    for op in graph.ops:
        origin[op.name] = origin[op.inputs[0]] if op.kind is OpKind.VIEW else op.name
    ready = {"x", "w"}
    for kernel in kernels:
        ready.update(kernel.ops)
        for name in kernel.ops:
            assert {origin[read] for read in graph.producer_of[name].inputs} <= ready


@given(dags(), st.sampled_from(["torch-compile", "onnxruntime", "tflite"]))
def test_fusing_never_adds_traffic(graph, runtime):
    """On a GPU: the loops that are compiled for a CPU store the exp of a softmax."""
    assert moved(lowered(graph, runtime_rules(runtime), UnitKind.GPU)) <= moved(lowered(graph, UNFUSED, UnitKind.GPU))


@pytest.mark.parametrize(
    ("unit", "rows", "expected"),
    [
        (UnitKind.GPU, 63, KernelClass.MATVEC),
        (UnitKind.GPU, 64, KernelClass.MATMUL),
        (UnitKind.CPU, 1, KernelClass.MATMUL),
    ],
)
def test_a_product_of_few_rows_streams_its_weight_on_a_gpu(unit: UnitKind, rows: int, expected: KernelClass):
    graph = parse_graph(
        f"graph g\ninput x f32[{rows},8]\nparameter w f32[4,8]\ny f32[{rows},4] = linear(x, w)\noutput y\n"
    )
    (kernel,) = lower(graph, UNFUSED, Target(unit, Precision.FP32, "nchw")).kernels
    assert kernel.kernel_class is expected


def compiled_bytes_read(lines: str) -> int:
    """Bytes that the one kernel of a graph reads under torch.compile."""
    target = Target(UnitKind.CPU, Precision.FP32, "nchw")
    (kernel,) = lower(parse_graph(f"graph g\n{lines}"), runtime_rules("torch-compile"), target).kernels
    return kernel.bytes_read


def test_a_fused_loop_reads_what_its_views_select_of_a_result_that_does_not_leave():
    """exp of all 8 rows would read 8; the sum needs 2 of them, and all of y."""
    lines = """\
input x f32[8,4]
input y f32[2,4]
a f32[8,4] = unary(x) function=exp
s f32[2,4] strides[4,1] = view(a) function=slice
b f32[2,4] = binary(s, y) function=add
output b
"""
    assert compiled_bytes_read(lines) == 4 * (2 * 4 + 2 * 4)


def test_a_fused_result_that_nobody_reads_is_computed_all_the_same():
    lines = """\
input x f32[8,4]
input y f32[8,4]
a f32[8,4] = unary(x) function=exp
b f32[8,4] = binary(a, y) function=add
output y
"""
    assert compiled_bytes_read(lines) == 4 * (2 * 8 * 4)
