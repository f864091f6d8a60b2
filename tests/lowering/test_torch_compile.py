from __future__ import annotations

from estimator.catalogue.device import UnitKind
from estimator.dtypes import Precision
from estimator.ir.text import parse_graph
from estimator.lowering.fuse import lower
from estimator.lowering.rule import Target
from estimator.lowering.runtimes import runtime_rules


def kernel_ops(lines: str) -> list[tuple[str, ...]]:
    graph = parse_graph(f"graph g\ninput x f32[4,8]\nparameter w f32[8,8]\nparameter scale f32[8]\n{lines}")
    target = Target(UnitKind.GPU, Precision.FP32, "nchw")
    return [kernel.ops for kernel in lower(graph, runtime_rules("torch-compile"), target).kernels]


def test_an_activation_after_a_product_is_a_loop_of_its_own():
    lines = "p f32[4,8] = linear(x, w)\na f32[4,8] = activation(p) function=relu\noutput a\n"
    assert kernel_ops(lines) == [("p",), ("a",)]


def test_a_layer_norm_takes_the_loops_before_and_after_it():
    lines = (
        "a f32[4,8] = unary(x) function=exp\nn f32[4,8] = norm(a, scale) function=layer\n"
        "b f32[4,8] = unary(n) function=neg\noutput b\n"
    )
    assert kernel_ops(lines) == [("a", "n", "b")]


def test_two_reductions_stay_two_kernels():
    lines = "a f32[4,8] = softmax(x) axis=1\nb f32[4,8] = softmax(a) axis=1\noutput b\n"
    assert kernel_ops(lines) == [("a",), ("b",)]
