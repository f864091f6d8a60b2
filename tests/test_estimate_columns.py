"""A batch has the numbers of its networks one by one, to the bit, and their failures in their places."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator import engine
from estimator.calibration.nasbench201 import Cell, EdgeOp, network
from estimator.catalogue.device import UnitKind
from estimator.catalogue.loader import load_device
from estimator.client.batch_builder import BatchBuilder
from estimator.dtypes import DType, Precision
from estimator.engine import EstimateOptions, estimate, estimate_columns
from estimator.errors import EstimatorError, GraphError
from estimator.ir.graph import Graph, ModuleCall, ModuleSpec
from estimator.ir.op import (
    AttentionAttrs,
    Attrs,
    AxisAttrs,
    ConvAttrs,
    CopyAttrs,
    FunctionAttrs,
    MatmulAttrs,
    NoAttrs,
    NormAttrs,
    Op,
    OpKind,
    PoolAttrs,
    ReduceAttrs,
    SoftmaxAttrs,
    UnknownAttrs,
)
from estimator.ir.tensor import Shape, TensorRole, TensorSpec
from estimator.ir.text import parse_graph
from estimator.ir.validate import validate
from estimator.lowering.fuse import lower, lower_to_rows
from estimator.lowering.kernel import KernelTable, kernel_row
from estimator.lowering.known import Known
from estimator.lowering.rule import Target
from estimator.lowering.runtimes import runtime_rules
from estimator.service.answers import Answers
from estimator.service.graph_batch import GraphBatch
from estimator.service.limits import Budget, Limits
from estimator.units import us_from_s
from estimator.v1 import estimator_pb2 as pb
from tests.service.networks import mlp

TARGETS = (
    ("rtx4090", EstimateOptions(runtime="torch-eager")),
    ("rtx4090", EstimateOptions(runtime="torch-eager", precision=Precision.AMP_FP16, layout="nhwc")),
    ("rtx4090", EstimateOptions(runtime="torch-compile", precision=Precision.AMP_FP16)),
    ("i9-10940x", EstimateOptions(runtime="torch-compile")),
    ("i9-10940x", EstimateOptions(runtime="onnxruntime")),
    ("sd865", EstimateOptions(runtime="tflite")),
    ("sd865", EstimateOptions(runtime="qnn", strict=True)),
    ("sd865/cpu", EstimateOptions(runtime="tflite")),
    ("sd865/cpu", EstimateOptions(runtime="onnxruntime", precision=Precision.W8A16)),
    ("rtx4090", EstimateOptions(runtime="tensorrt", precision=Precision.FP16)),
    ("coral-edge-tpu", EstimateOptions()),
)
every_target = pytest.mark.parametrize(("reference", "options"), TARGETS, ids=lambda value: str(value)[:60])


class Sketch:
    """A random network being drawn: images and tokens that views, in-place ops, weights and unknown ops mix with."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.tensors: dict[str, TensorSpec] = {}
        self.ops: list[Op] = []
        extent = rng.choice((8, 14))
        self.results = [self._tensor("x", (rng.choice((1, 2)), 32, extent, extent), TensorRole.INPUT)]

    def graph(self, op_count: int) -> Graph:
        """Draw so many ops, with a call that holds what one of them read."""
        for _ in range(op_count):
            self.rng.choice(
                (self._conv, self._conv, self._norm, self._pointwise, self._pointwise, self._binary, self._concat,
                 self._view, self._window, self._tokens, self._constant, self._unknown, self._spelled_activation,
                 self._spelled_norm, self._spelled_attention, self._file_copy)
            )()  # fmt: skip
        outputs = tuple(dict.fromkeys((self.results[-1], self.rng.choice(self.results[1:] or self.results))))
        call = ModuleCall("m", (self.rng.choice(self.results),), (self.results[-1],))
        outputs = tuple(name for name in outputs if name != "x")
        return validate(
            Graph(
                f"random-{op_count}", self.tensors, ("x",), outputs, tuple(self.ops),
                modules=(ModuleSpec("m", "Block"),), module_calls=(call,),
            )
        )  # fmt: skip

    def _tensor(self, name: str, shape: Shape, role: TensorRole = TensorRole.ACTIVATION) -> str:
        strides = None
        if role is TensorRole.ACTIVATION and len(shape) == 4 and self.rng.random() < 0.1:
            _, c, h, w = shape
            strides = (c * h * w, 1, c * w, c)
        self.tensors[name] = TensorSpec(name, shape, DType.F32, role, strides=strides)
        return name

    def _weight(self, *shape: int) -> str:
        known = [name for name, spec in self.tensors.items() if spec.is_weight and spec.shape == shape]
        if known and self.rng.random() < 0.2:
            return self.rng.choice(known)
        return self._tensor(f"w{len(self.tensors)}", shape, TensorRole.PARAMETER)

    def _emit(
        self, kind: OpKind, inputs: tuple[str, ...], shape: Shape, attrs: Attrs, *, in_place: bool = False
    ) -> None:
        name = f"t{len(self.tensors)}"
        self._tensor(name, shape)
        self.ops.append(Op(f"op_{name}", kind, inputs, (name,), attrs, source=str(kind), in_place=in_place))
        self.results.append(name)

    def _image(self) -> tuple[str, Shape]:
        images = [name for name in self.results if len(self.tensors[name].shape) == 4]
        name = self.rng.choice(images[-4:])
        return name, self.tensors[name].shape

    def _conv(self) -> None:
        x, (n, c, h, w) = self._image()
        taps, depthwise = self.rng.choice((1, 3)), self.rng.random() < 0.2
        out = c if depthwise else self.rng.choice((32, 40, c))
        weights = [self._weight(out, 1 if depthwise else c, taps, taps)]
        if self.rng.random() < 0.4:
            weights.append(self._weight(out))
        attrs = ConvAttrs((taps, taps), (1, 1), (taps // 2, taps // 2), (1, 1), groups=c if depthwise else 1)
        self._emit(OpKind.CONV, (x, *weights), (n, out, h, w), attrs)

    def _norm(self) -> None:
        x, shape = self._image()
        function = self.rng.choice(("batch", "batch", "group", "layer"))
        statistics = [self._weight(shape[1]) for _ in range(self.rng.choice((2, 4)) if function == "batch" else 2)]
        self._emit(OpKind.NORM, (x, *statistics), shape, NormAttrs(function, affine=True))

    def _pointwise(self) -> None:
        x = self.rng.choice(self.results[-4:])
        function = self.rng.choice(("relu", "relu6", "gelu", "sigmoid"))
        in_place = x != "x" and self.rng.random() < 0.3
        self._emit(OpKind.ACTIVATION, (x,), self.tensors[x].shape, FunctionAttrs(function), in_place=in_place)

    def _binary(self) -> None:
        x = self.rng.choice(self.results[-4:])
        alike = [name for name in self.results if self.tensors[name].shape == self.tensors[x].shape]
        function = self.rng.choice(("add", "mul", "div"))
        self._emit(OpKind.BINARY, (x, self.rng.choice(alike)), self.tensors[x].shape, FunctionAttrs(function))

    def _concat(self) -> None:
        x, (n, c, h, w) = self._image()
        alike = [name for name in self.results if self.tensors[name].shape[2:] == (h, w)]
        other = self.rng.choice(alike)
        channels = c + self.tensors[other].shape[1]
        if channels <= 128:
            self._emit(OpKind.CONCAT, (x, other), (n, channels, h, w), AxisAttrs(1))

    def _view(self) -> None:
        x, (n, c, h, w) = self._image()
        function, shape = self.rng.choice(
            (
                ("reshape", (n, c, h * w)),
                ("permute", (n, h, w, c)),
                ("slice", (n, c // 2, h, w)),
                ("flatten", (n, c * h * w)),
            )
        )
        self._emit(OpKind.VIEW, (x,), shape, FunctionAttrs(function))
        if self.rng.random() < 0.3:
            copied = self.results[-1]
            self._emit(OpKind.COPY, (copied,), self.tensors[copied].shape, CopyAttrs("contiguous", transposing=True))

    def _window(self) -> None:
        x, (n, c, h, w) = self._image()
        if self.rng.random() < 0.5:
            self._emit(OpKind.PAD, (x,), (n, c, h + 2, w + 2), NoAttrs())
        elif h > 4:
            self._emit(OpKind.POOL, (x,), (n, c, h // 2, w // 2), PoolAttrs("max", (2, 2), (2, 2), (0, 0)))

    def _tokens(self) -> None:
        flat = [name for name in self.results if len(self.tensors[name].shape) == 3]
        if not flat:
            x, (n, c, h, _) = self._image()
            self._emit(OpKind.REDUCE, (x,), (n, c, h), ReduceAttrs("mean", (3,)))
            return
        x = self.rng.choice(flat)
        n, rows, k = self.tensors[x].shape
        kind = self.rng.choice((OpKind.LINEAR, OpKind.SOFTMAX, OpKind.ATTENTION, OpKind.MATMUL))
        if kind is OpKind.LINEAR:
            self._emit(kind, (x, self._weight(24, k)), (n, rows, 24), NoAttrs())
        elif kind is OpKind.SOFTMAX:
            self._emit(kind, (x,), (n, rows, k), SoftmaxAttrs(2))
        elif kind is OpKind.ATTENTION:
            self._emit(kind, (x, x, x), (n, rows, k), AttentionAttrs())
        else:
            self._emit(OpKind.VIEW, (x,), (n, k, rows), FunctionAttrs("transpose"))
            self._emit(kind, (x, self.results[-1]), (n, rows, rows), MatmulAttrs())

    def _constant(self) -> None:
        """A product with weights that some op works out from other weights, which compilers fold."""
        x = self.rng.choice(self.results[-4:])
        shape = self.tensors[x].shape
        self._emit(OpKind.UNARY, (self._weight(*shape),), shape, FunctionAttrs("exp"))
        folded = self.results.pop()
        self._emit(OpKind.BINARY, (x, folded), shape, FunctionAttrs("mul"))

    def _spelled_activation(self) -> None:
        x = self.rng.choice(self.results[-4:])
        shape = self.tensors[x].shape
        self._emit(OpKind.ACTIVATION, (x,), shape, FunctionAttrs("sigmoid"))
        self._emit(OpKind.BINARY, (x, self.results[-1]), shape, FunctionAttrs("mul"))

    def _spelled_norm(self) -> None:
        """A factor, and mostly an addend."""
        x, shape = self._image()
        for function in self.rng.choice((("mul", "add"), ("mul", "add"), ("mul",))):
            self._emit(OpKind.BINARY, (x, self._weight(shape[1], 1, 1)), shape, FunctionAttrs(function))
            x = self.results[-1]

    def _spelled_attention(self) -> None:
        flat = [name for name in self.results if len(self.tensors[name].shape) == 3]
        if not flat:
            return
        query = x = self.rng.choice(flat)
        n, rows, k = self.tensors[x].shape
        if self.rng.random() < 0.5:
            self._emit(OpKind.BINARY, (x, self._weight(1)), (n, rows, k), FunctionAttrs("mul"))
            query = self.results[-1]
        self._emit(OpKind.COPY, (x,), (n, k, rows), CopyAttrs("transpose", transposing=True))
        self._emit(OpKind.MATMUL, (query, self.results[-1]), (n, rows, rows), MatmulAttrs())
        self._emit(OpKind.SOFTMAX, (self.results[-1],), (n, rows, rows), SoftmaxAttrs(2))
        weights = self.results[-1]
        if self.rng.random() < 0.5:
            self._emit(OpKind.FILL, (), (n, rows, rows), FunctionAttrs("zeros"))
            self._emit(OpKind.BINARY, (weights, self.results.pop()), (n, rows, rows), FunctionAttrs("maximum"))
        self._emit(OpKind.MATMUL, (self.results[-1], x), (n, rows, k), MatmulAttrs())

    def _file_copy(self) -> None:
        x, (n, c, h, w) = self._image()
        function, shape = self.rng.choice((("transpose", (n, h, w, c)), ("slice", (n, c // 2, h, w))))
        self._emit(OpKind.COPY, (x,), shape, CopyAttrs(function, transposing=function == "transpose"))

    def _unknown(self) -> None:
        if self.rng.random() < 0.2:
            x = self.rng.choice(self.results[-4:])
            self._emit(OpKind.UNKNOWN, (x,), self.tensors[x].shape, UnknownAttrs("no rule"))


def random_network(seed: int) -> Graph:
    rng = random.Random(seed)
    return Sketch(rng).graph(rng.randrange(1, 40))


def nas_network(seed: int) -> Graph:
    rng = random.Random(seed)
    return network(Cell(tuple(rng.choice(list(EdgeOp)) for _ in range(6))), batch=rng.choice((1, 1, 4)))


EMPTY = Graph("empty", {}, (), (), ())
HUGE = Graph("huge", {"x": TensorSpec("x", (2**62, 8), DType.F32, TensorRole.INPUT)}, ("x",), ("x",), ())


def check_equal(graphs, reference, options):
    """Columns against `estimate` of each network."""
    device, unit = load_device(reference)
    columns = estimate_columns(graphs, device, unit, options)
    assert len(columns) == len(graphs)
    for index, graph in enumerate(graphs):
        cell = (columns.p10_s[index], columns.p50_s[index], columns.p90_s[index], columns.peak_bytes[index])
        alone = outcome(graph, device, unit, options)
        if isinstance(alone, EstimatorError):
            failure = columns.failures[index]
            assert (type(failure), str(failure)) == (type(alone), str(alone))
            assert (np.isnan(cell[:3]).all(), cell[3]) == (True, 0)
        else:
            assert index not in columns.failures
            assert cell == (alone.latency.p10_s, alone.latency.p50_s, alone.latency.p90_s, alone.memory.peak_bytes)


def outcome(*arguments):
    """An estimate or why there is none."""
    try:
        return estimate(*arguments)
    except EstimatorError as error:
        return error


@every_target
@given(seeds=st.lists(st.integers(0, 2**32), min_size=1, max_size=6))
@settings(max_examples=15)
def test_random_networks_have_the_numbers_that_each_has_alone(reference, options, seeds):
    check_equal([random_network(seed) for seed in seeds], reference, options)


@every_target
def test_a_search_has_the_numbers_that_each_network_has_alone(reference, options, monkeypatch):
    """NAS-Bench-201 networks, an empty one, large layers (of 16 MiB in int8) and random ones, seven at a time."""
    monkeypatch.setattr(engine, "NETWORKS_AT_ONCE", 7)
    graphs = [nas_network(seed) for seed in range(10)] + [EMPTY] + [mlp(depth, 4096) for depth in (1, 2)]
    graphs += [random_network(seed) for seed in range(10)]
    check_equal(graphs, reference, options)


ATTENTION = """\
graph block
input x f32[1,50,64]
parameter a f32[64,64]
parameter b f32[64,64]
parameter factor f32[1]
q f32[1,50,64] = linear(x, a)
k f32[1,50,64] = linear(x, b)
scaled f32[1,50,64] = binary(q, factor) function=mul
kt f32[1,64,50] = copy(k) function=transpose transposing=true
scores f32[1,50,50] = matmul(scaled, kt)
weights f32[1,50,50] = softmax(scores) axis=2
zeros f32[1,50,50] = fill() function=zeros
guarded f32[1,50,50] = binary(weights, zeros) function=maximum
v f32[1,50,64] = matmul(guarded, x)
y f32[1,50,64] = linear(v, b)
output y
"""
CONVOLUTION = """\
input x f32[1,32,14,14]
parameter w f32[32,32,1,1]
parameter factor f32[32,1,1]
parameter addend f32[32,1,1]
c f32[1,32,14,14] = conv(x, w) kernel=[1,1] stride=[1,1] padding=[0,0] dilation=[1,1]
"""
SPELLED = (
    ATTENTION,
    ATTENTION.replace("output y", "output y\noutput weights"),  # no attention's kernel
    ATTENTION.replace("output y", "output y\noutput scaled"),
    ATTENTION.replace(
        "zeros f32[1,50,50] = fill() function=zeros",
        """\
parameter p f32[1,50,50]
zeros f32[1,50,50] = unary(p) function=exp""",
    ),
    f"""\
graph silu
{CONVOLUTION}
g f32[1,32,14,14] = activation(c) function=sigmoid
y f32[1,32,14,14] = binary(c, g) function=mul
output y
""",
    f"""\
graph no_silu
{CONVOLUTION}
g f32[1,32,14,14] = activation(c) function=sigmoid
y f32[1,32,14,14] = binary(x, g) function=mul
z f32[1,32,14,14] = unary(c) function=neg
output y
output z
""",
    f"""\
graph norm
{CONVOLUTION}
m f32[1,32,14,14] = binary(c, factor) function=mul
y f32[1,32,14,14] = binary(m, addend) function=add
output y
""",
    f"""\
graph no_norm
{CONVOLUTION}
m f32[1,32,14,14] = binary(c, factor) function=mul
y f32[1,32,14,14] = unary(m) function=neg
output y
""",
    f"""\
graph planes
{CONVOLUTION}
t f32[1,14,14,32] = copy(c) function=transpose transposing=true
y f32[1,14,14,32] = unary(t) function=neg
output y
""",
    """\
graph channels_last
input x f32[1,32,14,14]
parameter w f32[14,14,1,1]
c f32[1,32,14,14] = conv(x, w) kernel=[1,1] stride=[1,1] padding=[0,0] dilation=[1,1] channels_last=true
t f32[1,14,14,32] = copy(c) function=transpose transposing=true
y f32[1,14,14,32] = unary(t) function=neg
output y
""",
)
"""What files spell out, each beside equal ops that others around them make something else."""


@every_target
def test_equal_ops_among_others_are_told_apart(reference, options):
    graphs = [validate(parse_graph(text)) for text in SPELLED]
    check_equal(graphs, reference, options)
    check_equal(graphs[::-1], reference, options)


@pytest.mark.parametrize(
    ("kind", "runtime"),
    [
        (UnitKind.GPU, "torch-eager"), (UnitKind.CPU, "torch-compile"), (UnitKind.CPU, "onnxruntime"),
        (UnitKind.NPU, "tflite"), (UnitKind.NPU, "qnn"), (UnitKind.GPU, "tensorrt"), (UnitKind.NPU, "tensorrt"),
    ],
)  # fmt: skip
@given(seeds=st.lists(st.integers(0, 2**32), max_size=6))
@settings(max_examples=5)
def test_a_batch_launches_the_kernels_that_each_network_launches_alone(kind, runtime, seeds):
    """Kernels too, since what is small does not show in a latency."""
    rules, target = runtime_rules(runtime), Target(kind, Precision.FP32, "nchw")
    known = Known(rules)
    for graph in (*map(random_network, seeds), *(parse_graph(text) for text in SPELLED)):
        rows = lower_to_rows(graph, target, known).rows
        alone = KernelTable.from_rows([kernel_row(kernel) for kernel in lower(graph, rules, target).kernels])
        np.testing.assert_array_equal(known.table().matrix()[rows], alone.matrix())


def test_what_is_known_is_dropped_without_a_trace(monkeypatch):
    monkeypatch.setattr(engine, "NETWORKS_AT_ONCE", 2)
    monkeypatch.setattr(engine, "MOST_KNOWN", 10)
    check_equal([random_network(seed) for seed in range(12)], "sd865", EstimateOptions())


def test_failures_keep_their_places():
    """An unread network, one too large for a column and (strict) an operator without a rule, among others."""
    device, unit = load_device("sd865")
    strange = next(g for g in map(random_network, range(1000)) if any(op.kind is OpKind.UNKNOWN for op in g.ops))
    unread = GraphError("not a network")
    graphs = [nas_network(0), unread, HUGE, strange, nas_network(1)]
    columns = estimate_columns(iter(graphs), device, unit, EstimateOptions(strict=True))
    assert {index: type(error).reason() for index, error in columns.failures.items()} == {
        1: "GRAPH", 2: "GRAPH", 3: "UNSUPPORTED_OP",
    }  # fmt: skip
    assert columns.failures[1] is unread
    assert "does not fit 64 bits" in str(columns.failures[2])
    for index, seed in ((0, 0), (4, 1)):
        assert columns.p50_s[index] == estimate(nas_network(seed), device, unit).latency.p50_s


def test_a_target_that_does_not_exist_fails_every_network():
    device, unit = load_device("sd865")
    columns = estimate_columns([EMPTY, EMPTY], device, unit, EstimateOptions(runtime="torch-eager"))
    assert [type(error).reason() for error in columns.failures.values()] == ["UNSUPPORTED_COMBINATION"] * 2


def test_no_networks_are_empty_columns():
    columns = estimate_columns([], *load_device("rtx4090"))
    assert (len(columns), columns.p50_s.dtype, columns.peak_bytes.dtype) == (0, np.float64, np.int64)


def test_the_service_answers_a_batch_with_the_same_numbers():
    """Every target at once; one network comes again, and each is valid although only its operators were checked."""
    graphs = [random_network(seed) for seed in (*range(20, 30), 20)] + [nas_network(2)]
    builder = BatchBuilder()
    for graph in graphs:
        builder.add(graph)
    batch = builder.take()
    targets = [
        pb.Target(
            device=reference, runtime=options.runtime, layout=options.layout, strict=options.strict,
            precision=options.precision and options.precision.value,
        )
        for reference, options in TARGETS
    ]  # fmt: skip
    request = pb.BatchEstimateRequest(batch=batch, targets=targets)
    columns = Answers().batch_estimate(request, Budget.of(60)).columns
    failed = {(error.graph_index, error.target_index): error.reason for error in columns.errors}
    for number, (reference, options) in enumerate(TARGETS):
        expected = estimate_columns(graphs, *load_device(reference), options)
        cells = slice(number, None, len(TARGETS))
        np.testing.assert_array_equal(columns.latency_us.p50[cells], us_from_s(expected.p50_s))
        np.testing.assert_array_equal(columns.latency_us.p90[cells], us_from_s(expected.p90_s))
        assert columns.peak_memory_bytes[cells] == expected.peak_bytes.tolist()
        reasons = {(index, number): type(error).reason() for index, error in expected.failures.items()}
        assert {cell: reason for cell, reason in failed.items() if cell[1] == number} == reasons
    built = GraphBatch(batch, Limits())
    for index in range(len(built)):
        validate(built.graph(index))
