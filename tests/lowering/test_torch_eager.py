from __future__ import annotations

import pytest

from estimator.catalogue.device import UnitKind
from estimator.dtypes import Precision
from estimator.ir.text import parse_graph
from estimator.lowering.fuse import lower
from estimator.lowering.kernel import Kernel, KernelClass
from estimator.lowering.precision import apply_precision
from estimator.lowering.rule import Target
from estimator.lowering.runtimes import runtime_rules

INPUT_BYTES = 2 * (1 * 8 * 4 * 4)  # fp16
OUTPUT_BYTES = 2 * (1 * 16 * 4 * 4)


def conv(layout: str, *, bias: bool = False, precision: Precision = Precision.FP16, strides: str = "") -> list[Kernel]:
    graph = parse_graph(f"""\
graph conv
input x f32[1,8,4,4]{strides}
parameter w f32[16,8,3,3]
parameter b f32[16]
y f32[1,16,4,4] = conv(x, w{", b" if bias else ""}) kernel=[3,3] stride=[1,1] padding=[1,1] dilation=[1,1]
output y
""")
    target = Target(UnitKind.GPU, precision, layout)
    return list(lower(apply_precision(graph, precision), runtime_rules("torch-eager"), target).kernels)


def test_a_convolution_bias_is_a_pointwise_kernel_of_its_own():
    kernels = conv("nhwc", bias=True, strides=" strides[128,1,32,8]")
    assert [k.kernel_class for k in kernels] == [KernelClass.CONV_DENSE, KernelClass.POINTWISE]
    assert (kernels[1].bytes_read, kernels[1].bytes_written) == (OUTPUT_BYTES, OUTPUT_BYTES)
    assert kernels[1].flops == 1 * 16 * 4 * 4  # one addition an element


def test_an_fp16_convolution_on_nchw_data_converts_its_input_and_its_output():
    _, to_nhwc, to_nchw = conv("nchw")
    assert to_nhwc.kernel_class is to_nchw.kernel_class is KernelClass.LAYOUT
    assert (to_nhwc.bytes_moved, to_nchw.bytes_moved) == (2 * INPUT_BYTES, 2 * OUTPUT_BYTES)


def test_a_channels_last_network_converts_only_its_contiguous_input():
    _, to_nhwc = conv("nhwc")
    assert to_nhwc.bytes_moved == 2 * INPUT_BYTES


def test_an_fp32_convolution_converts_nothing():
    assert len(conv("nchw", precision=Precision.FP32)) == 1


def test_a_layer_norm_copies_a_permuted_input_first():
    graph = parse_graph("""\
graph norm
input x f32[2,4,8] strides[32,1,4]
parameter scale f32[8]
n f32[2,4,8] = norm(x, scale) function=layer
output n
""")
    kernels = lower(graph, runtime_rules("torch-eager"), Target(UnitKind.GPU, Precision.FP32, "nchw")).kernels
    assert [k.kernel_class for k in kernels] == [KernelClass.NORM_REDUCE, KernelClass.TRANSPOSE]
    assert kernels[1].bytes_moved == 2 * (4 * 2 * 4 * 8)


def resized(strides: str) -> Kernel:
    graph = parse_graph(f"""\
graph resize
input x f32[32,8,7,7]{strides}
y f32[32,8,14,14] = resize(x) mode=bilinear
output y
""")
    (kernel,) = lower(graph, runtime_rules("torch-eager"), Target(UnitKind.GPU, Precision.FP32, "nchw")).kernels
    return kernel


def test_bilinear_planes_are_made_one_after_another_by_a_thread_per_pixel():
    assert resized("").serial_steps == 32 * 8


def test_bilinear_pixels_that_are_stored_channels_last_are_all_independent():
    assert resized(" strides[392,1,56,8]").serial_steps == 0


def test_a_recurrent_layer_launches_for_every_step_layer_and_direction():
    graph = parse_graph("""\
graph rnn
input x f32[5,2,3]
parameter w f32[16,3]
parameter u f32[16,4]
y f32[5,2,8] = rnn(x, w, u) cell=lstm hidden_size=4 layers=2 bidirectional=true has_bias=false
output y
""")
    (kernel,) = lower(graph, runtime_rules("torch-eager"), Target(UnitKind.GPU, Precision.FP32, "nchw")).kernels
    assert kernel.launches == 5 * 2 * 2


def slice_convolution(runtime: str, strides: str) -> list[Kernel]:
    """Convolve 8 channels of a stored tensor of 16."""
    graph = parse_graph(f"""\
graph conv
input x f32[2,8,4,4] strides[{strides}]
parameter w f32[16,8,3,3]
y f32[2,16,4,4] = conv(x, w) kernel=[3,3] stride=[1,1] padding=[1,1] dilation=[1,1]
output y
""")
    rules, target = runtime_rules(runtime), Target(UnitKind.GPU, Precision.FP16, "nhwc")
    run = rules.rewrite(apply_precision(graph, Precision.FP16), target)
    return [k for k in lower(run, rules, target).kernels if k.kernel_class is KernelClass.COPY]


@pytest.mark.parametrize("runtime", ["torch-eager", "torch-compile"])
@pytest.mark.parametrize("strides", ["256,1,64,16", "256,16,4,1"])
def test_a_convolution_of_some_channels_copies_them_first(runtime: str, strides: str):
    (copy,) = slice_convolution(runtime, strides)
    assert copy.bytes_moved == 2 * 2 * (2 * 8 * 4 * 4)  # read and written, fp16


@pytest.mark.parametrize("strides", ["128,1,32,8", "128,16,4,1", "16,32,4,1"])
def test_a_convolution_of_a_dense_tensor_copies_nothing_in_whatever_order_it_is(strides: str):
    assert slice_convolution("torch-eager", strides) == []


@pytest.mark.parametrize(
    ("dtype", "step", "moved"),
    [("f16", 2, 2), ("f16", 64, 16), ("f32", 64, 8)],  # a sector of 32 bytes holds 16 halves or 8 words
)
def test_reading_spaced_elements_moves_the_sectors_that_they_lie_in(dtype: str, step: int, moved: int):
    graph = parse_graph(f"""\
graph spaced
input x {dtype}[512,{4 * step}]
v {dtype}[512,4] strides[{4 * step},{step}] = view(x) function=slice
y {dtype}[512,4] = unary(v) function=neg
output y
""")
    precision = Precision.FP16 if dtype == "f16" else Precision.FP32
    (kernel,) = lower(graph, runtime_rules("torch-eager"), Target(UnitKind.GPU, precision, "nchw")).kernels
    assert kernel.bytes_read == moved * kernel.bytes_written


def test_both_halves_of_interleaved_elements_move_them_once():
    graph = parse_graph("""\
graph pairs
input x f32[512,8]
even f32[512,4] strides[8,2] = view(x) function=slice
odd f32[512,4] strides[8,2] = view(x) function=slice
y f32[512,4] = binary(even, odd) function=add
output y
""")
    (kernel,) = lower(graph, runtime_rules("torch-eager"), Target(UnitKind.GPU, Precision.FP32, "nchw")).kernels
    assert kernel.bytes_read == 4 * 512 * 8
