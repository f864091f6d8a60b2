"""Attention and data movement on TensorRT: the same kernels however a file spells them."""

from __future__ import annotations

from pathlib import Path

import pytest

from estimator.catalogue.device import UnitKind
from estimator.dtypes import Precision
from estimator.frontends.select import load_graph
from estimator.ir.text import parse_graph
from estimator.lowering.fuse import Target, lower
from estimator.lowering.kernel import Gemm, Kernel, KernelClass
from estimator.lowering.precision import apply_precision
from estimator.lowering.runtimes import runtime_rules

HALF = 2
"""Bytes."""
HEADS, QUERIES, KEYS, DEPTH = 2 * 4, 10, 12, 16  # two images of four heads
OPERANDS = HEADS * (QUERIES * DEPTH + KEYS * DEPTH + KEYS * DEPTH)
MASK = 4 * QUERIES * KEYS

INPUTS = f"""\
input q f16[2,4,{QUERIES},{DEPTH}]
input k f16[2,4,{KEYS},{DEPTH}]
input v f16[2,4,{KEYS},{DEPTH}]
parameter mask f16[1,4,{QUERIES},{KEYS}]
"""
ONE_OP = f"""\
graph one_op
{INPUTS}
y f16[2,4,{QUERIES},{DEPTH}] = attention(q, k, v, mask)
output y
"""
SPELLED = f"""\
graph spelled
{INPUTS}
parameter factor f16[1]
kt f16[2,4,{DEPTH},{KEYS}] = copy(k) function=transpose transposing=true
scaled f16[2,4,{QUERIES},{DEPTH}] = binary(q, factor) function=mul
scores f16[2,4,{QUERIES},{KEYS}] = matmul(scaled, kt)
masked f16[2,4,{QUERIES},{KEYS}] = binary(scores, mask) function=add
weights f16[2,4,{QUERIES},{KEYS}] = softmax(masked) axis=3
y f16[2,4,{QUERIES},{DEPTH}] = matmul(weights, v)
output y
"""
GUARDED = SPELLED.replace(
    "y f16",
    f"""\
open bool[2,4,{QUERIES},{KEYS}] = binary(masked) function=ne
some bool[2,4,{QUERIES},1] = reduce(open) function=any axes=[3] keepdim=true
zeros f16[2,4,{QUERIES},{KEYS}] = fill() function=zeros
guarded f16[2,4,{QUERIES},{KEYS}] = ternary(some, weights, zeros) function=where
y f16""",
    1,
).replace("matmul(weights, v)", "matmul(guarded, v)")
"""As PyTorch's decomposition writes it: rows that are masked whole become zero."""
GUARDED_TWICE = GUARDED.replace("matmul(guarded, v)", "matmul(again, v)").replace(
    "y f16",
    f"""\
again f16[2,4,{QUERIES},{KEYS}] = binary(guarded, zeros) function=maximum
y f16""",
    1,
)


def kernels(text: str, kind: UnitKind = UnitKind.GPU, runtime: str = "tensorrt") -> tuple[Kernel, ...]:
    return lower(parse_graph(text), runtime_rules(runtime), Target(kind, Precision.FP16, "nchw")).kernels


@pytest.mark.parametrize(
    "text", [ONE_OP, SPELLED, GUARDED, GUARDED_TWICE], ids=["one op", "spelled", "guarded", "twice"]
)
def test_attention_is_one_kernel_however_it_is_spelled(text: str):
    (kernel,) = kernels(text)
    assert kernel.kernel_class is KernelClass.ATTENTION
    assert kernel.gemm == Gemm(HEADS, QUERIES, KEYS, DEPTH)
    assert kernel.macs == 2 * HEADS * QUERIES * KEYS * DEPTH  # scores, and their weighted sum
    assert kernel.bytes_read == pytest.approx(HALF * (OPERANDS + MASK), abs=HALF)  # and the factor, if there is one
    assert kernel.bytes_written == HALF * HEADS * QUERIES * DEPTH


def test_scores_that_something_else_reads_leave_the_chip():
    shown = SPELLED.replace("output y", "output y\noutput weights")
    assert [kernel.kernel_class for kernel in kernels(shown)].count(KernelClass.BATCHED_MATMUL) == 2


def test_a_softmax_between_two_layers_is_no_attention():
    gated = """\
    graph gated
    input x f16[1,128,64]
    parameter a f16[64,96]
    parameter b f16[96,64]
    s f16[1,128,96] = matmul(x, a)
    p f16[1,128,96] = softmax(s) axis=2
    y f16[1,128,64] = matmul(p, b)
    output y
    """
    classes = [kernel.kernel_class for kernel in kernels(gated)]
    assert classes == [KernelClass.MATMUL, KernelClass.SOFTMAX, KernelClass.MATMUL]


@pytest.mark.parametrize(("kind", "runtime"), [(UnitKind.NPU, "tensorrt"), (UnitKind.GPU, "onnxruntime")])
def test_only_tensorrt_on_a_gpu_does_so(kind: UnitKind, runtime: str):
    assert KernelClass.SOFTMAX in [kernel.kernel_class for kernel in kernels(SPELLED, kind, runtime)]


def test_a_weight_that_is_transposed_once_and_for_all_makes_a_linear_layer():
    plain = """\
    graph plain
    input x f16[128,768]
    parameter w f16[192,768]
    parameter b f16[192]
    y f16[128,192] = linear(x, w, b)
    output y
    """
    decomposed = plain.replace("y f16[128,192] = linear(x, w, b)", """\
t f16[768,192] = view(w) function=permute
    y f16[128,192] = matmul(x, t, b) transpose_b=true""")  # fmt: skip
    ((one,), (other,)) = kernels(plain), kernels(decomposed)
    assert other.kernel_class is one.kernel_class is KernelClass.MATMUL
    assert other.gemm == one.gemm == Gemm(1, 128, 192, 768)
    assert other.weight_bytes == one.weight_bytes == HALF * (192 * 768 + 192)


ROLLED_ROWS = """\
top f16[1,1,8,32] = copy(x) function=slice
rest f16[1,7,8,32] = copy(x) function=slice
rows f16[1,8,8,32] = concat(rest, top) axis=1
"""


def test_a_roll_is_one_copy():
    one = "y f16[1,8,8,32] = copy(x) function=roll"
    two = (
        ROLLED_ROWS
        + """\
left f16[1,8,1,32] = copy(rows) function=slice
right f16[1,8,7,32] = copy(rows) function=slice
y f16[1,8,8,32] = concat(right, left) axis=2"""
    )
    for spelled in (one, two):
        (kernel,) = kernels(f"graph rolled\ninput x f16[1,8,8,32]\n{spelled}\noutput y\n")
        assert kernel.bytes_written == HALF * 8 * 8 * 32


@pytest.mark.slow
@pytest.mark.extra
@pytest.mark.parametrize("name", ["deit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_a_vision_transformer_has_the_same_kernels_from_every_file(name: str, tmp_path: Path):
    import timm
    import torch

    model, image = timm.create_model(name).eval(), torch.zeros(1, 3, 224, 224)
    torch.onnx.export(model, (image,), tmp_path / "m.onnx", dynamo=True, external_data=True, verbose=False)
    torch.export.save(torch.export.export(model, (image,)).run_decompositions(), tmp_path / "m.pt2")
    heavy = (KernelClass.ATTENTION, KernelClass.MATMUL, KernelClass.BATCHED_MATMUL, KernelClass.TRANSPOSE)
    counts = []
    for reference in (f"timm:{name}", str(tmp_path / "m.onnx"), str(tmp_path / "m.pt2")):
        graph = apply_precision(load_graph(reference), Precision.FP16)
        target = Target(UnitKind.GPU, Precision.FP16, "nchw")
        made = [kernel.kernel_class for kernel in lower(graph, runtime_rules("tensorrt"), target).kernels]
        counts.append(([made.count(kind) for kind in heavy], len(made)))
    (first, length), *others = counts
    assert all(heavies == first and abs(total - length) <= 1 for heavies, total in others)
