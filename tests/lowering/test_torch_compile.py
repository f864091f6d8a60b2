from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator.catalogue.device import UnitKind
from estimator.dtypes import DType, Precision
from estimator.ir.text import parse_graph
from estimator.lowering.fuse import lower
from estimator.lowering.inductor_values import as_inductor_stores
from estimator.lowering.kernel import Kernel, KernelClass
from estimator.lowering.precision import apply_precision
from estimator.lowering.rule import Target
from estimator.lowering.runtimes import runtime_rules
from estimator.lowering.runtimes.inductor_gpu import COPIES_OF_PARTS
from tests.test_estimate_columns import random_network

ELEMENTS = 4 * 8
HEADER = "graph g\ninput x f32[4,8]\nparameter w f32[8,8]\nparameter scale f32[8]\n"


def kernels(lines: str, header: str = HEADER, precision: Precision = Precision.FP32) -> list[Kernel]:
    rules, target = runtime_rules("torch-compile"), Target(UnitKind.GPU, precision, "nchw")
    run = rules.rewrite(apply_precision(parse_graph(header + lines), precision), target)
    return list(lower(run, rules, target).kernels)


def kernel_ops(lines: str) -> list[tuple[str, ...]]:
    return [kernel.ops for kernel in kernels(lines)]


def test_an_activation_after_a_product_is_a_loop_of_its_own():
    lines = "p f32[4,8] = linear(x, w)\na f32[4,8] = activation(p) function=relu\noutput a\n"
    assert kernel_ops(lines) == [("p",), ("a",)]


def test_a_layer_norm_takes_the_loops_before_and_after_it():
    lines = (
        "a f32[4,8] = unary(x) function=exp\nn f32[4,8] = norm(a, scale) function=layer\n"
        "b f32[4,8] = unary(n) function=neg\noutput b\n"
    )
    assert kernel_ops(lines) == [("a", "n", "b")]


def test_reductions_of_the_same_rows_share_a_kernel_which_keeps_them():
    lines = "a f32[4,8] = softmax(x) axis=1\nb f32[4,8] = softmax(a) axis=1\noutput b\n"
    assert kernel_ops(lines) == [("a", "b")]


def test_reductions_of_rows_and_of_columns_are_two_kernels():
    lines = "a f32[4,8] = softmax(x) axis=1\nb f32[4,8] = softmax(a) axis=0\noutput b\n"
    assert kernel_ops(lines) == [("a",), ("b",)]


def test_a_small_expression_with_two_library_readers_is_computed_once():
    lines = (
        "a f32[4,8] = unary(x) function=exp\np f32[4,8] = linear(a, w)\nq f32[4,8] = linear(a, w)\noutput p\noutput q\n"
    )
    assert kernel_ops(lines) == [("a",), ("p",), ("q",)]


def test_an_expression_with_a_reduction_among_its_readers_is_computed_by_each_of_them():
    """A reduction reads x, and so does the loop after it: `a` itself is never stored."""
    lines = (
        "a f32[4,8] = unary(x) function=exp\nm f32[4,1] = reduce(a) function=mean axes=[1] keepdim=true\n"
        "p f32[4,8] = linear(x, w)\nb f32[4,8] = binary(a, p) function=add\noutput m\noutput b\n"
    )
    found = {k.ops[-1]: k for k in kernels(lines)}
    assert found["m"].bytes_read == 4 * ELEMENTS  # x
    assert found["b"].bytes_read == 4 * 2 * ELEMENTS  # x and p
    assert found["b"].bytes_written == 4 * ELEMENTS


@pytest.mark.parametrize(("loads", "stored"), [(4, False), (5, True)])
def test_an_expression_of_more_than_four_loads_is_stored_for_its_two_readers(loads: int, stored: bool):
    """Reductions of rows and of columns share no kernel: each reads the loads, or one stores what the other reads."""
    inputs = "".join(f"input x{i} f32[4,8]\n" for i in range(loads))
    sums = "".join(
        f"s{i} f32[4,8] = binary({f's{i - 1}' if i > 1 else 'x0'}, x{i}) function=add\n" for i in range(1, loads)
    )
    last = f"s{loads - 1}"
    readers = (
        f"a f32[4,1] = reduce({last}) function=max axes=[1] keepdim=true\n"
        f"b f32[1,8] = reduce({last}) function=max axes=[0] keepdim=true\noutput a\noutput b\n"
    )
    found = kernels(sums + readers, f"graph g\n{inputs}")
    tensors_read = loads + 1 if stored else 2 * loads
    assert sum(kernel.bytes_read for kernel in found) == 4 * tensors_read * ELEMENTS
    assert sum(kernel.bytes_written for kernel in found) == 4 * (stored * ELEMENTS + 4 + 8)


@pytest.mark.parametrize("kind", [UnitKind.CPU, UnitKind.GPU])
@given(seed=st.integers(0, 2**32))
@settings(max_examples=60)
def test_every_value_is_made_once_and_before_it_is_read(kind: UnitKind, seed: int):
    run = as_inductor_stores(random_network(seed), kind)
    made = [name for op in run.ops for name in op.outputs]
    assert len(made) == len(set(made))
    known = {*run.inputs, *(name for name, spec in run.tensors.items() if spec.is_weight)}
    for op in run.ops:
        assert known.issuperset(op.inputs)
        known.update(op.outputs)
    assert known.issuperset(run.outputs)


BATCH_NORM = "graph g\ninput x f32[2,16,8,8]\n" + "".join(f"parameter {n} f32[16]\n" for n in "smvb")


@pytest.mark.parametrize(("function", "dtype"), [("silu", DType.F32), ("relu", DType.F16)])
def test_what_a_batch_norm_hands_to_an_activation_that_reads_it_twice_is_not_rounded(function: str, dtype: DType):
    """SiLU is x ÷ (1 + exp(−x)): two readers, in fp32, of an expression of five loads. ReLU reads once."""
    lines = (
        "n f32[2,16,8,8] = norm(x, s, b, m, v) function=batch\n"
        f"a f32[2,16,8,8] = activation(n) function={function}\noutput a\n"
    )
    graph = apply_precision(parse_graph(BATCH_NORM + lines), Precision.FP16)
    assert as_inductor_stores(graph, UnitKind.GPU).tensors["n"].dtype is dtype


@pytest.mark.parametrize(("function", "pooled"), [("silu", ("a", "y")), ("relu", ("y",))])
def test_a_pooling_computes_an_activation_of_one_stored_value_in_every_window(function: str, pooled: tuple[str, ...]):
    """SiLU's input is stored, in fp32, and the pooling reads that; of a ReLU it would load the norm's five values."""
    lines = (
        "n f32[2,16,8,8] = norm(x, s, b, m, v) function=batch\n"
        f"a f32[2,16,8,8] = activation(n) function={function}\n"
        "y f32[2,16,4,4] = pool(a) function=max kernel=[3,3] stride=[2,2] padding=[1,1]\noutput y\n"
    )
    *_, pooling = kernels(lines, BATCH_NORM, Precision.FP16)
    assert pooling.ops == pooled
    assert pooling.bytes_read == (4 if function == "silu" else 2) * (2 * 16 * 8 * 8)
    assert pooling.bytes_written == 2 * (2 * 16 * 4 * 4)


def test_a_convolution_adds_its_bias_in_the_loop_that_follows():
    header = "graph g\ninput x f32[2,8,4,4]\nparameter w f32[16,8,1,1]\nparameter b f32[16]\n"
    lines = (
        "c f32[2,16,4,4] = conv(x, w, b) kernel=[1,1] stride=[1,1] padding=[0,0] dilation=[1,1]\n"
        "a f32[2,16,4,4] = activation(c) function=relu\noutput a\n"
    )
    product, loop = kernels(lines, header)
    elements = 2 * 16 * 4 * 4
    assert product.bytes_read == 4 * (2 * 8 * 4 * 4 + 16 * 8)  # x and w
    assert loop.bytes_read == 4 * (elements + 16)  # what it computed, and b
    assert loop.bytes_written == 4 * elements


def test_a_concatenation_of_more_than_eight_is_several_copies():
    inputs = "".join(f"input x{i} f32[4,8]\n" for i in range(9))
    names = ", ".join(f"x{i}" for i in range(9))
    (kernel,) = kernels(f"c f32[36,8] = concat({names}) axis=0\noutput c\n", f"graph g\n{inputs}")
    assert kernel.launches == COPIES_OF_PARTS


def convolutions(groups: int, weight: str) -> list[KernelClass]:
    header = f"graph g\ninput x f32[2,128,8,8]\nparameter w f32{weight}\n"
    lines = (
        f"c f32[2,128,8,8] = conv(x, w) kernel=[3,3] stride=[1,1] padding=[1,1] dilation=[1,1] groups={groups}\n"
        "output c\n"
    )
    return [k.kernel_class for k in kernels(lines, header, Precision.FP16)]


def test_a_graph_of_dense_convolutions_is_made_channels_last_without_conversions():
    """1 · 0.823 < 1."""
    assert KernelClass.LAYOUT not in convolutions(1, "[128,128,3,3]")


def test_a_graph_of_grouped_convolutions_stays_in_nchw_and_converts_around_each():
    """1 · 1.358 > 1."""
    assert convolutions(4, "[128,32,3,3]").count(KernelClass.LAYOUT) == 2
