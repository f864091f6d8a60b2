"""What a mobile graph compiler removes, and what it runs that eager PyTorch gets for nothing: arithmetic by hand."""

from __future__ import annotations

import pytest

from estimator.catalogue.device import UnitKind
from estimator.dtypes import Precision
from estimator.ir.text import parse_graph
from estimator.lowering.fuse import lower
from estimator.lowering.kernel import Kernel, KernelClass
from estimator.lowering.rule import Target
from estimator.lowering.runtimes import runtime_rules

RUNTIMES = pytest.mark.parametrize("runtime", ["tflite", "qnn", "qnn_dlc", "onnxruntime"])
CONV = "kernel=[1,1] stride=[1,1] padding=[0,0] dilation=[1,1]"
FLOAT = 4
"""Bytes."""


def kernels(
    text: str, runtime: str = "qnn", kind: UnitKind = UnitKind.NPU, precision: Precision = Precision.FP32
) -> tuple[Kernel, ...]:
    return lower(parse_graph(text), runtime_rules(runtime), Target(kind, precision, "nchw")).kernels


def classes(
    text: str, runtime: str = "qnn", kind: UnitKind = UnitKind.NPU, precision: Precision = Precision.FP32
) -> list[KernelClass]:
    return [kernel.kernel_class for kernel in kernels(text, runtime, kind, precision)]


PADDED = f"""\
graph padded
input x f32[1,8,4,4]
parameter w f32[8,8,3,3]
p f32[1,8,6,6] = pad(x)
y f32[1,8,4,4] = conv(p, w) {CONV.replace("[1,1] stride", "[3,3] stride")}
output y
"""


@RUNTIMES
def test_padding_becomes_the_convolutions_own(runtime):
    (kernel,) = kernels(PADDED, runtime)
    assert kernel.ops == ("p", "y")
    weights = 8 * 8 * 3 * 3
    assert kernel.bytes_read == FLOAT * (8 * 4 * 4 + weights)
    assert kernel.bytes_written == FLOAT * 8 * 4 * 4


SPELLED_NORM = f"""\
graph spelled
input x f32[1,4,4,8]
parameter w f32[8,8,1,1]
parameter scale f32[8]
parameter shift f32[8]
c f32[1,4,4,8] = conv(x, w) {CONV} channels_last=true
m f32[1,4,4,8] = binary(c, scale) function=mul
y f32[1,4,4,8] = binary(m, shift) function=add
output y
"""


@pytest.mark.parametrize("runtime", ["tflite", "qnn", "qnn_dlc", "onnxruntime", "tensorrt"])
def test_batch_norm_is_folded_also_where_a_file_spells_it_out(runtime):
    (kernel,) = kernels(SPELLED_NORM, runtime)
    assert kernel.kernel_class is KernelClass.CONV_POINTWISE
    assert kernel.bytes_written == FLOAT * 4 * 4 * 8
    gain = SPELLED_NORM.replace("binary(m, shift) function=add", "activation(m) function=relu")
    assert len(kernels(gain, runtime)) == 2  # a factor alone is none


TABLE = """\
graph table
input x f32[1,4,4]
parameter table f32[4,4]
t f32[4,4] = unary(table) function=exp
b f32[1,4,4] = view(t) function=view
y f32[1,4,4] = binary(x, b) function=add
output y
"""


@RUNTIMES
def test_what_depends_on_weights_alone_runs_when_the_graph_is_compiled(runtime):
    (kernel,) = kernels(TABLE, runtime)
    assert kernel.ops == ("y",)
    assert kernel.bytes_read == FLOAT * (16 + 16)
    assert kernel.weight_bytes == FLOAT * 16


def test_eager_pytorch_computes_it_every_time():
    assert "t" in [name for kernel in kernels(TABLE, "torch-eager", UnitKind.GPU) for name in kernel.ops]


GATED = f"""\
graph gated
input x f32[1,8,4,4]
input s f32[1,2,1,1]
parameter w f32[8,2,1,1]
c f32[1,8,1,1] = conv(s, w) {CONV}
g f32[1,8,1,1] = activation(c) function=sigmoid
y f32[1,8,4,4] = binary(x, g) function=mul
output y
"""


@RUNTIMES
def test_a_gate_is_multiplied_in_a_kernel_of_its_own(runtime):
    gate, product = kernels(GATED, runtime)
    assert gate.ops == ("c", "g")
    assert gate.bytes_written == FLOAT * 8
    assert product.bytes_moved == FLOAT * (8 * 16 + 8 + 8 * 16)


def permuted(source: str, result: str) -> str:
    return f"""\
graph permuted
input x f32[{source}]
a f32[{source}] = unary(x) function=exp
p f32[{result}] = view(a) function=permute
y f32[{result}] = unary(p) function=neg
output y
"""


@RUNTIMES
@pytest.mark.parametrize(
    ("source", "result", "expected"),
    [
        ("1,8,4,4", "1,4,4,8", False),  # channels are stored last anyway
        ("1,4,4,8", "1,8,4,4", False),
        ("1,6,2,3", "1,2,6,3", True),  # heads before tokens
        ("1,2,7,2,7,5", "1,2,2,7,7,5", True),  # windows
    ],
)
def test_a_permutation_is_a_kernel_unless_channels_last_makes_it_an_identity(runtime, source, result, expected):
    assert (KernelClass.TRANSPOSE in classes(permuted(source, result), runtime)) is expected


def measures(text: str, runtime: str) -> list[tuple[KernelClass, int, int]]:
    return [(kernel.kernel_class, kernel.macs, kernel.bytes_moved) for kernel in kernels(text, runtime)]


@RUNTIMES
@pytest.mark.parametrize(
    ("source", "result"), [("1,8,4,4", "1,4,4,8"), ("1,6,2,3", "1,2,6,3"), ("1,2,4,3,3", "1,4,2,3,3")]
)
def test_a_permutation_costs_the_same_as_a_view_and_as_a_files_copy(runtime, source, result):
    view = permuted(source, result)
    copy = view.replace("view(a) function=permute", "copy(a) function=transpose transposing=true")
    assert measures(copy, runtime) == measures(view, runtime)


@RUNTIMES
@pytest.mark.parametrize(("part", "moved"), [("1,2,4", False), ("4,2,2", True)])
def test_a_slice_costs_the_same_as_a_view_and_as_a_files_copy(runtime, part, moved):
    view = f"""\
graph sliced
input x f32[4,2,4]
a f32[4,2,4] = unary(x) function=exp
p f32[{part}] = view(a) function=slice
y f32[{part}] = unary(p) function=neg
output y
"""
    assert (KernelClass.COPY in classes(view, runtime)) is moved
    assert measures(view.replace("= view(", "= copy("), runtime) == measures(view, runtime)


def test_a_file_that_stores_channels_last_moves_them_when_it_says_so():
    text = f"""\
graph last
input x f32[1,4,4,8]
parameter w f32[8,8,1,1]
c f32[1,4,4,8] = conv(x, w) {CONV} channels_last=true
p f32[1,8,4,4] = copy(c) function=transpose transposing=true
y f32[1,8,4,4] = unary(p) function=neg
output y
"""
    assert KernelClass.TRANSPOSE in classes(text, "tflite")


@pytest.mark.parametrize("runtime", ["tflite", "qnn", "qnn_dlc", "onnxruntime", "tensorrt"])
def test_silu_is_the_products_epilogue_also_where_a_file_spells_it_out(runtime):
    one = f"""\
graph silu
input x f32[1,8,4,4]
parameter w f32[8,8,1,1]
c f32[1,8,4,4] = conv(x, w) {CONV}
y f32[1,8,4,4] = activation(c) function=silu
output y
"""
    two = one.replace("y f32[1,8,4,4] = activation(c) function=silu", """\
g f32[1,8,4,4] = activation(c) function=sigmoid
y f32[1,8,4,4] = binary(c, g) function=mul""")  # fmt: skip
    assert measures(two, runtime) == measures(one, runtime)
    assert len(kernels(two.replace("output y", "output y\noutput c"), runtime)) == 1  # c is written besides
    shared = two.replace("output y", "z f32[1,8,4,4] = unary(c) function=neg\noutput y\noutput z")
    assert len(kernels(shared, runtime)) == 3


@RUNTIMES
def test_the_scale_of_an_attention_is_the_products_own_where_it_is_a_tensor(runtime):
    text = """\
graph scaled
input q f32[2,5,3]
input k f32[2,5,3]
parameter c f32[1]
t f32[2,3,5] = copy(k) function=transpose transposing=true
u f32[2,3,5] = binary(t, c) function=mul
r f32[2,5,3] = binary(c, q) function=mul
s f32[2,5,5] = matmul(r, u)
output s
"""
    (product,) = kernels(text, runtime)
    assert product.macs == 2 * 5 * 5 * 3
    assert product.bytes_moved == FLOAT * (2 * 5 * 3 + 2 * 3 * 5 + 1 + 2 * 5 * 5)


@RUNTIMES
@pytest.mark.parametrize(("strides", "expected"), [("", False), (" strides[1,64,768,768]", True)])
def test_moving_an_axis_of_one_is_no_permutation_whatever_the_extents(runtime, strides, expected):
    """[64, 1, 12, 64] → [64, 12, 1, 64]: the two axes of 64 stay where they are, or change places."""
    graph = f"""\
graph heads
input x f32[64,1,12,64]
input other f32[4,4] strides[1,4]
a f32[64,1,12,64] = unary(x) function=exp
p f32[64,12,1,64]{strides} = view(a) function=permute
y f32[64,12,1,64] = unary(p) function=neg
z f32[4,4] = unary(other) function=neg
output y
output z
"""
    assert (KernelClass.TRANSPOSE in classes(graph, runtime)) is expected


def test_equal_extents_without_strides_may_have_changed_places():
    assert KernelClass.TRANSPOSE in classes(permuted("2,5,5", "2,5,5"))


def test_a_permutation_moves_every_element_once_each_way():
    (transpose,) = [k for k in kernels(permuted("1,6,2,3", "1,2,6,3")) if k.kernel_class is KernelClass.TRANSPOSE]
    assert transpose.bytes_moved == 2 * FLOAT * 6 * 2 * 3


def test_a_channel_shuffle_copies_and_does_not_transpose():
    assert KernelClass.COPY in classes(permuted("1,2,4,3,3", "1,4,2,3,3"))


def test_a_transposed_operand_is_a_flag_of_the_matrix_product():
    text = """\
graph scores
input q f32[2,5,3]
input k f32[2,5,3]
n f32[2,5,3] = unary(k) function=neg
t f32[2,3,5] = view(n) function=transpose
s f32[2,5,5] = matmul(q, t)
output s
"""
    assert KernelClass.TRANSPOSE not in classes(text)


def concatenated(channels: int) -> str:
    shape = f"1,{channels},4,4"
    return f"""\
graph concatenated
input x f32[{shape}]
parameter w f32[{channels},{channels},1,1]
a f32[{shape}] = conv(x, w) {CONV}
b f32[{shape}] = conv(x, w) {CONV}
y f32[1,{2 * channels},4,4] = concat(a, b) axis=1
output y
"""


@RUNTIMES
@pytest.mark.parametrize(("channels", "expected"), [(32, False), (64, False), (42, True)])
def test_only_channels_that_fill_their_blocks_are_concatenated_for_nothing(runtime, channels, expected):
    assert (KernelClass.CONCAT in classes(concatenated(channels), runtime)) is expected


SHARED = concatenated(32).replace("output y", f"z f32[1,32,4,4] = conv(a, w) {CONV}\noutput y\noutput z")


@RUNTIMES
@pytest.mark.parametrize(
    ("precision", "expected"), [(Precision.FP16, False), (Precision.INT8, True), (Precision.W8A16, True)]
)
def test_a_quantised_part_that_others_read_too_is_requantised(runtime, precision, expected):
    assert (KernelClass.CONCAT in classes(SHARED, runtime, precision=precision)) is expected
    assert KernelClass.CONCAT not in classes(concatenated(32), runtime, precision=precision)


def test_a_cpu_concatenates_by_copying():
    assert KernelClass.CONCAT in classes(concatenated(32), "onnxruntime", UnitKind.CPU)


ATTENTION = """\
graph attended
input q f32[1,2,5,3]
input k f32[1,2,7,3]
input v f32[1,2,7,4]
y f32[1,2,5,4] = attention(q, k, v)
output y
"""


@RUNTIMES
def test_attention_is_a_product_a_softmax_and_a_product(runtime):
    scores, softmax, total = kernels(ATTENTION, runtime)
    elements = 2 * 5 * 7
    assert scores.macs == elements * 3
    assert scores.bytes_moved == FLOAT * (2 * 5 * 3 + 2 * 7 * 3 + elements)
    assert softmax.bytes_moved == FLOAT * 2 * elements
    assert total.macs == elements * 4
    assert total.bytes_moved == FLOAT * (elements + 2 * 7 * 4 + 2 * 5 * 4)


RECURRENT = """\
graph recurrent
input x f32[7,2,3]
parameter wi f32[20,3]
parameter wh f32[20,5]
y f32[7,2,10] = rnn(x, wi, wh) cell=lstm hidden_size=5 layers=2 bidirectional=true
output y
"""


@RUNTIMES
@pytest.mark.parametrize(("batch_first", "steps"), [("false", 7), ("true", 2)])
def test_a_recurrent_layer_launches_every_step_of_every_layer_and_direction(runtime, batch_first, steps):
    (kernel,) = kernels(RECURRENT.replace("=true\n", f"=true batch_first={batch_first}\n"), runtime)
    assert kernel.launches == steps * 2 * 2
