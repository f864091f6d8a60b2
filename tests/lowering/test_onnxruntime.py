"""ONNX Runtime on a CPU: what it simulates in fp32, as arithmetic by hand."""

from __future__ import annotations

import pytest

from estimator.catalogue.device import UnitKind
from estimator.catalogue.loader import load_device
from estimator.dtypes import DType, Precision
from estimator.ir.text import parse_graph
from estimator.lowering.fuse import lower
from estimator.lowering.kernel import Kernel, KernelClass
from estimator.lowering.precision import Retyping, apply_precision
from estimator.lowering.rule import Target
from estimator.lowering.runtimes import runtime_rules
from estimator.timing.roofline import ceilings_of

PRODUCT = """\
graph product
input x f32[4,16]
parameter w f32[8,16]
y f32[4,8] = linear(x, w)
output y
"""
EXPLICIT = """\
graph explicit
input x f32[4,16]
parameter w i8[8,16]
q u16[4,16] = quantize(x)
d f32[4,16] = dequantize(q)
v f32[8,16] = dequantize(w)
y f32[4,8] = linear(d, v)
p u16[4,8] = quantize(y)
z f32[4,8] = dequantize(p)
output z
"""
ATTENTION = """\
graph attention
input q f32[1,2,4,8]
input k f32[1,2,6,8]
input v f32[1,2,6,8]
y f32[1,2,4,8] = attention(q, k, v)
output y
"""


def kernels(text: str, kind: UnitKind, precision: Precision = Precision.W8A16) -> tuple[Kernel, ...]:
    rules, target = runtime_rules("onnxruntime"), Target(kind, precision, "nchw")
    graph = apply_precision(parse_graph(text), precision, Retyping(precision, rules.activations_in(target)))
    return lower(graph, rules, target).kernels


def test_a_cpu_multiplies_16_bit_activations_in_fp32_between_conversions():
    product, requantise, dequantise = kernels(PRODUCT, UnitKind.CPU)
    activations_in, activations_out, weights = 4 * 16, 4 * 8, 8 * 16
    assert (product.dtype, product.bytes_read) == (DType.F32, 4 * activations_in + weights)
    assert product.bytes_written == 4 * activations_out
    assert requantise.kernel_class is KernelClass.CAST
    assert requantise.bytes_moved == (4 + 2 + 2 + 4) * activations_out
    assert dequantise.kernel_class is KernelClass.CAST_WEIGHT
    assert dequantise.bytes_moved == (1 + 4) * weights


def test_a_files_own_conversions_are_not_counted_beside_them():
    (_, *drawn), (_, *written) = kernels(PRODUCT, UnitKind.CPU), kernels(EXPLICIT, UnitKind.CPU)
    assert [(k.kernel_class, k.bytes_moved) for k in written] == [(k.kernel_class, k.bytes_moved) for k in drawn]


def test_scores_and_their_softmax_are_converted_too():
    *parts, requantise = kernels(ATTENTION, UnitKind.CPU)
    assert len(parts) == 3
    scores, result = 2 * 4 * 6, 2 * 4 * 8
    assert requantise.bytes_moved == 12 * (2 * scores + result)


@pytest.mark.parametrize(("kind", "precision"), [(UnitKind.NPU, Precision.W8A16), (UnitKind.CPU, Precision.INT8)])
def test_integer_kernels_convert_nothing(kind, precision):
    (product,) = kernels(PRODUCT, kind, precision)
    assert product.dtype is not DType.F32


def test_a_cpus_ceiling_is_that_of_fp32():
    _, cpu = load_device("sd865/cpu")
    simulated, floats, integers = (
        ceilings_of(cpu, precision).product_flops_per_s
        for precision in (Precision.W8A16, Precision.FP32, Precision.INT8)
    )
    assert simulated == floats < integers
