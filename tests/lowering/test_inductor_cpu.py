from __future__ import annotations

import pytest

from estimator.catalogue.device import UnitKind
from estimator.dtypes import Precision
from estimator.ir.text import parse_graph
from estimator.lowering.fuse import lower
from estimator.lowering.kernel import Kernel, KernelClass
from estimator.lowering.rule import Target
from estimator.lowering.runtimes import runtime_rules
from estimator.lowering.runtimes.inductor_cpu import (
    ALIASED_WEIGHT_PASSES,
    FLOATS_PER_LINE,
)
from estimator.lowering.runtimes.special_functions import CPU_COSTS, GPU_COSTS


def kernels(lines: str, unit: UnitKind = UnitKind.CPU) -> tuple[Kernel, ...]:
    target = Target(unit, Precision.FP32, "nchw")
    rules = runtime_rules("torch-compile")
    return lower(rules.rewrite(parse_graph(f"graph g\n{lines}"), target), rules, target).kernels


@pytest.mark.parametrize(("unit", "costs"), [(UnitKind.CPU, CPU_COSTS), (UnitKind.GPU, GPU_COSTS)])
def test_an_activation_and_its_batch_norm_count_their_special_functions(unit, costs):
    (kernel,) = kernels(
        "input x f32[1,16,8,8]\nparameter s f32[16]\nparameter b f32[16]\nparameter m f32[16]\nparameter v f32[16]\n"
        "n f32[1,16,8,8] = norm(x, s, b, m, v) function=batch\n"
        "a f32[1,16,8,8] = activation(n) function=silu\noutput a\n",
        unit,
    )
    assert kernel.special_flops == 1024 * (costs.batch_norm + costs.functions["silu"])
    assert (kernel.elements, kernel.outer_extent) == (1024 * (unit is UnitKind.CPU), 0)


def test_a_softmax_stores_its_exp_and_divides_in_a_second_loop():
    """Each reads and writes 32 elements of 4 bytes, row by row."""
    loops = kernels("input x f32[4,8]\na f32[4,8] = softmax(x) axis=1\noutput a\n")
    assert [(k.elements, k.outer_extent, k.bytes_read, k.bytes_written) for k in loops] == [(32, 4, 128, 128)] * 2
    division = 32 * CPU_COSTS.functions["div"]
    assert [k.special_flops for k in loops] == [32 * CPU_COSTS.softmax - division, division]


def test_a_softmax_on_a_gpu_is_one_loop():
    assert len(kernels("input x f32[4,8]\na f32[4,8] = softmax(x) axis=1\noutput a\n", UnitKind.GPU)) == 1


CONVOLVED = """\
input x f32[1,32,64,64]
parameter u f32[32,32,3,3]
parameter v f32[32,64,3,3]
p f32[1,32,64,64] = conv(x, u) kernel=[3,3] stride=[1,1] padding=[1,1] dilation=[1,1]
q f32[1,32,64,64] = conv(x, u) kernel=[3,3] stride=[1,1] padding=[1,1] dilation=[1,1]
a f32[1,32,64,64] = activation(p) function=relu
b f32[1,32,64,64] = activation(q) function=relu
c f32[1,64,64,64] = concat(LEFT, b) axis=1
y f32[1,32,64,64] = conv(c, v) kernel=[3,3] stride=[1,1] padding=[1,1] dilation=[1,1]
z f32[1,32,64,64] = conv(c, v) kernel=[3,3] stride=[1,1] padding=[1,1] dilation=[1,1]
output y
output z
"""


def test_a_concatenation_of_what_loops_compute_is_converted_once_for_all_its_convolutions():
    (conversion,) = [k for k in kernels(CONVOLVED.replace("LEFT", "a")) if k.kernel_class is KernelClass.TRANSPOSE]
    assert conversion.bytes_read == conversion.bytes_written == 4 * 64 * 64 * 64


def test_a_concatenation_of_what_a_convolution_computed_is_channels_last_as_it_is():
    """The operand that a convolution wrote, or has read, is stored in channels-last, and the others follow it."""
    assert KernelClass.TRANSPOSE not in {k.kernel_class for k in kernels(CONVOLVED.replace("LEFT", "p"))}
    assert KernelClass.TRANSPOSE not in {k.kernel_class for k in kernels(CONVOLVED.replace("LEFT", "x"))}


def test_a_mean_over_pixels_has_one_outer_iteration_per_cache_line_of_channels():
    (kernel,) = kernels("input x f32[1,40,8,8]\na f32[1,40] = reduce(x) function=mean axes=[2,3]\noutput a\n")
    assert kernel.outer_extent == 3  # ⌈40 ÷ 16⌉


def test_a_mean_over_channels_has_one_outer_iteration_per_pixel():
    (kernel,) = kernels("input x f32[1,40,8,8]\na f32[1,8,8] = reduce(x) function=mean axes=[1]\noutput a\n")
    assert kernel.outer_extent == 64


def test_a_group_norm_has_one_outer_iteration_per_group():
    loops = kernels(
        "input x f32[1,16,8,8]\nparameter s f32[16]\nparameter b f32[16]\n"
        "n f32[1,16,8,8] = norm(x, s, b) function=group groups=2\noutput n\n"
    )
    assert [k.outer_extent for k in loops] == [2, 2]
    assert [k.bytes_written for k in loops] == [4 * 1024, 0]  # what is normalised, and the statistics for it


STANDARDISED = (
    "input x f32[1,8,4,4]\nparameter w f32[16,8,3,3]\nparameter s f32[16]\n"
    "r f32[1,16,72] = view(w) function=reshape\nn f32[1,16,72] = norm(r) function=batch affine=false\n"
    "k f32[16,8,3,3] = view(n) function=reshape\n"
    "y f32[1,16,4,4] = conv(x, k) kernel=[3,3] stride=[1,1] padding=[1,1] dilation=[1,1]\noutput y\n"
)


def test_a_filter_that_is_standardised_is_read_twice_and_stays_a_filter():
    standardise, convolution = kernels(STANDARDISED.replace("1,8,4,4", "1,8,64,64").replace("1,16,4,4", "1,16,64,64"))
    assert standardise.kernel_class is KernelClass.CAST_WEIGHT
    assert (standardise.bytes_read, standardise.bytes_written) == (2 * 4608, 4608)
    assert standardise.outer_extent == 16
    assert convolution.weight_bytes == 4608


PLAIN = (
    "input t f32[1,16,8]\nparameter w f32[8,1,3,3]\n"
    "x f32[1,8,4,4] strides[8,1,32,8] = view(t) function=view\n"
    "y f32[1,8,4,4] = conv(x, w) kernel=[3,3] stride=[1,1] padding=[1,1] dilation=[1,1] groups=8\noutput y\n"
)


def test_a_depthwise_convolution_of_tokens_runs_in_plain_layout():
    convolution, before, after = kernels(PLAIN)
    assert convolution.kernel_class is KernelClass.CONV_DEPTHWISE
    assert before.kernel_class is after.kernel_class is KernelClass.LAYOUT
    assert before.bytes_moved == after.bytes_moved == 2 * 512


def test_a_dense_filter_says_that_it_is_channels_last():
    dense = PLAIN.replace("w f32[8,1,3,3]", "w f32[8,8,3,3]").replace(" groups=8", "")
    wide = dense.replace("1,16,8]", "1,4096,8]").replace("1,8,4,4", "1,8,64,64").replace("[8,1,32,8]", "[8,1,512,8]")
    assert [kernel.kernel_class for kernel in kernels(wide)] == [KernelClass.CONV_DENSE]


def convolution(side: int, kernel: int, *, batch: int = 1, channels: int = 20) -> str:
    image = f"{batch},{channels},{side},{side}"
    return (
        f"input x f32[{image}]\nparameter w f32[{channels},{channels},{kernel},{kernel}]\n"
        f"y f32[{image}] = conv(x, w) kernel=[{kernel},{kernel}] stride=[1,1] "
        f"padding=[{kernel // 2},{kernel // 2}] dilation=[1,1]\noutput y\n"
    )


def test_one_small_image_is_multiplied_as_it_is_and_unfolded_for_a_window():
    """20 · 32² = 20,480 elements are the most that PyTorch keeps from oneDNN."""
    (pointwise,) = kernels(convolution(32, 1))
    product, columns = kernels(convolution(32, 3))
    assert pointwise.kernel_class is product.kernel_class is KernelClass.MATMUL
    assert (columns.kernel_class, columns.bytes_written) == (KernelClass.TRANSPOSE, 4 * 32 * 32 * 20 * 9)


@pytest.mark.parametrize("lines", [convolution(33, 1), convolution(32, 1, batch=2), convolution(8, 5)])
def test_larger_images_batches_and_large_windows_go_to_onednn(lines: str):
    (kernel,) = kernels(lines)
    assert kernel.kernel_class in (KernelClass.CONV_POINTWISE, KernelClass.CONV_DENSE)


def test_half_precision_goes_to_onednn_however_small():
    (kernel,) = kernels(convolution(8, 1).replace("f32", "bf16"))
    assert kernel.kernel_class is KernelClass.CONV_POINTWISE


def test_a_single_query_is_as_wide_as_a_vector():
    (kernel,) = kernels(
        "input q f32[1,4,1,32]\ninput k f32[1,4,64,32]\ninput v f32[1,4,64,32]\n"
        "y f32[1,4,1,32] = attention(q, k, v) \noutput y\n"
    )
    assert kernel.gemm.n == FLOATS_PER_LINE


@pytest.mark.parametrize(("k", "passes"), [(1024, ALIASED_WEIGHT_PASSES), (1152, 1.0)])
def test_rows_of_a_page_alias_while_they_are_packed(k: int, passes: float):
    (kernel,) = kernels(f"input x f32[4,{k}]\nparameter w f32[8,{k}]\np f32[4,8] = linear(x, w)\noutput p\n")
    assert kernel.weight_passes == passes


def test_windows_beside_heads_are_copied_for_a_batched_product():
    lines = (
        "input q f32[6,4,3,2]\ninput k f32[6,3,2,4]\n"
        "v f32[6,3,4,2] strides[24,2,6,1] = view(q) function=permute\n"
        "p f32[6,3,4,4] = matmul(v, k)\noutput p\n"
    )
    copy, product = kernels(lines)
    assert product.kernel_class is KernelClass.BATCHED_MATMUL
    assert (copy.kernel_class, copy.bytes_read) == (KernelClass.TRANSPOSE, 6 * 4 * 3 * 2 * 4)


def test_heads_of_one_image_are_not():
    lines = (
        "input q f32[1,4,3,2]\ninput k f32[1,3,2,4]\n"
        "v f32[1,3,4,2] strides[24,2,6,1] = view(q) function=permute\n"
        "p f32[1,3,4,4] = matmul(v, k)\noutput p\n"
    )
    assert len(kernels(lines)) == 1


@pytest.mark.parametrize(("queries", "block"), [(16, 16), (100, 32), (192, 64), (768, 256)])
def test_attention_works_on_blocks_of_queries(queries: int, block: int):
    (kernel,) = kernels(
        f"input q f32[1,2,{queries},8]\ninput k f32[1,2,50,8]\ninput v f32[1,2,50,8]\n"
        f"a f32[1,2,{queries},8] = attention(q, k, v)\noutput a\n"
    )
    assert kernel.gemm.n == block


def test_a_gpu_gets_none_of_it():
    for lines in (STANDARDISED, PLAIN):
        for kernel in kernels(lines, UnitKind.GPU):
            assert (kernel.elements, kernel.special_flops, kernel.weight_passes) == (0, 0, 1.0)
            assert kernel.kernel_class not in (KernelClass.CAST_WEIGHT, KernelClass.LAYOUT)


JOINED = """\
input x f32[1,4,8,8]
input y f32[1,4,8,8]
{part}c f32[1,8,8,8] = concat(x, {second}) axis=1
r f32[1,8,8,8] = activation(c) function=relu
output r
"""


@pytest.mark.parametrize(
    ("part", "second", "expected"),
    [("", "y", KernelClass.CONCAT), ("e f32[1,4,8,8] = unary(y) function=exp\n", "e", KernelClass.POINTWISE)],
)
def test_a_part_that_loops_compute_is_written_where_it_belongs(part, second, expected):
    """And what reads the whole is another loop: a CPU's concatenation is memory."""
    joined, activated = kernels(JOINED.format(part=part, second=second))
    assert joined.kernel_class is expected
    assert (joined.bytes_moved, activated.bytes_moved) == (4 * 2 * (2 * 4 * 8 * 8),) * 2


GATE = """input x f32[1,16,8,8]
m f32[1,16,1,1] = reduce(x) function=mean axes=[2,3] keepdim=true
g f32[1,16,1,1] = activation(m) function={function}
y f32[1,16,8,8] = binary(x, g) function=mul
output y
"""


@pytest.mark.parametrize(
    ("unit", "function", "ops"),
    [
        (UnitKind.CPU, "sigmoid", [("m", "g"), ("y",)]),  # computed once, in the kernel of the mean
        (UnitKind.CPU, "relu", [("m",), ("g", "y")]),  # computed for each of 64 pixels
        (UnitKind.GPU, "sigmoid", [("m", "g", "y")]),  # a kernel keeps the rows that it reduces
    ],
)
def test_a_cpu_computes_what_takes_an_exp_before_it_is_broadcast(unit, function, ops):
    assert [kernel.ops for kernel in kernels(GATE.format(function=function), unit)] == ops


def test_a_mean_over_pixels_reads_what_the_loop_before_it_has_written():
    lines = (
        "input x f32[1,16,8,8]\na f32[1,16,8,8] = activation(x) function=silu\n"
        "m f32[1,16,1,1] = reduce(a) function=mean axes=[2,3] keepdim=true\n"
        "y f32[1,16,8,8] = binary(a, m) function=mul\noutput y\n"
    )
    silu, mean, product = kernels(lines)
    size = 4 * 16 * 8 * 8
    assert (silu.ops, mean.ops, product.ops) == (("a",), ("m",), ("y",))
    assert (silu.bytes_moved, mean.bytes_read, product.bytes_moved) == (2 * size, size, 2 * size + 4 * 16)


def test_a_convolution_of_some_channels_copies_them_first():
    lines = (
        "input x f32[1,16,8,8]\nparameter w f32[8,8,3,3]\ns f32[1,8,8,8] = view(x) function=slice\n"
        "c f32[1,8,8,8] = conv(s, w) kernel=[3,3] stride=[1,1] padding=[1,1] dilation=[1,1]\noutput c\n"
    )
    copies = [kernel for kernel in kernels(lines) if kernel.kernel_class is KernelClass.COPY]
    assert [(copy.bytes_moved, copy.elements) for copy in copies] == [(4 * 2 * 8 * 8 * 8, 8 * 8 * 8)]
