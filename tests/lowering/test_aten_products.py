"""Products over views, against what PyTorch itself dispatches for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from estimator.catalogue.device import UnitKind
from estimator.dtypes import DType, Precision
from estimator.frontends.torch_recorder import record_module
from estimator.ir.graph import Graph
from estimator.ir.op import OpKind
from estimator.ir.text import parse_graph
from estimator.lowering.aten_products import as_aten_multiplies
from estimator.lowering.fuse import lower
from estimator.lowering.kernel import Gemm, Kernel, KernelClass
from estimator.lowering.precision import apply_precision
from estimator.lowering.rule import Target
from estimator.lowering.runtimes import runtime_rules

LABELS = {
    "clone": "copy", "mm": "rows", "addmm": "rows", "bmm": "batch", "add": "add", "mul": "mul", "_to_copy": "cast",
    "_safe_softmax": "softmax",
}  # fmt: skip
KINDS = {
    OpKind.COPY: "copy", OpKind.LINEAR: "rows", OpKind.MATMUL: "batch", OpKind.BINARY: "add", OpKind.CAST: "cast",
}  # fmt: skip


class Dispatched(TorchDispatchMode):
    """Labels of the operators that launch something, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.labels: list[str] = []

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = operator._schema.name.partition("::")[2]
        self.labels += [LABELS[name]] if name in LABELS else []
        return operator(*args, **(kwargs or {}))


class Apply(nn.Module):
    def __init__(self, function: Callable[..., Tensor], weight: Tensor | None = None) -> None:
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(weight) if weight is not None else None

    def forward(self, *tensors: Tensor) -> Tensor:
        return self.function(*tensors, *([] if self.weight is None else [self.weight]))


def meta(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta")


def launched(graph: Graph) -> list[str]:
    return [KINDS[op.kind] for op in graph.ops if op.kind in KINDS]


def both(module: nn.Module, *inputs: Tensor) -> tuple[list[str], list[str]]:
    """(what PyTorch dispatches, what the rewritten record of the same module launches)."""
    with torch.no_grad(), Dispatched() as dispatched:
        module(*inputs)
    return dispatched.labels, launched(as_aten_multiplies(record_module(module, inputs, name="m"), UnitKind.GPU))


INPUTS = {
    "contiguous": lambda: meta(4, 10, 8),
    "contiguous images": lambda: meta(4, 5, 10, 8),
    "tokens and channels swapped": lambda: meta(4, 8, 10).transpose(1, 2),
    "one image, swapped": lambda: meta(1, 8, 10).transpose(1, 2),
    "channels moved last": lambda: meta(4, 8, 5, 10).permute(0, 2, 3, 1),
    "one image, channels moved last": lambda: meta(1, 8, 5, 10).permute(0, 2, 3, 1),
    "without the first token": lambda: meta(4, 11, 8)[:, 1:],
    "a third of the width": lambda: meta(4, 10, 24)[..., :8],
    "windows": lambda: meta(2, 3, 7, 3, 7, 8).transpose(2, 3),
    "one token of each": lambda: meta(4, 10, 8)[:, 0],
}


@pytest.mark.parametrize("layout", INPUTS)
@pytest.mark.parametrize("parameter", [True, False], ids=["a parameter", "a weight that was cast"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_a_linear_layer_launches_what_pytorch_dispatches(layout: str, parameter: bool, bias: bool):
    biases = [meta(16)] if bias else []
    if parameter:
        module, rest = Apply(lambda x, *rest: F.linear(x, rest[-1], *rest[:-1]), meta(16, 8)), biases
    else:
        module, rest = Apply(F.linear), [meta(16, 8), *biases]
    theirs, ours = both(module, INPUTS[layout](), *rest)
    assert ours == theirs


OPERANDS = {
    "heads beside windows": lambda: (meta(6, 4, 3, 2).transpose(1, 2), meta(6, 3, 2, 4)),
    "heads of one image": lambda: (meta(1, 4, 3, 2).transpose(1, 2), meta(1, 3, 2, 4)),
    "both of one projection": lambda: (
        meta(2, 5, 3, 4, 8).permute(2, 0, 3, 1, 4)[0], meta(2, 5, 3, 4, 8).permute(2, 0, 3, 4, 1)[1]
    ),
    "one for all images": lambda: (meta(6, 3, 4, 2), meta(3, 2, 4)),
    "one head": lambda: (meta(6, 1, 4, 2), meta(6, 3, 2, 4)),
    "three axes": lambda: (meta(6, 2, 4).transpose(1, 2), meta(6, 2, 5)),
}  # fmt: skip


@pytest.mark.parametrize("operands", OPERANDS)
def test_a_matrix_product_copies_the_operands_that_pytorch_copies(operands: str):
    theirs, ours = both(Apply(torch.matmul), *OPERANDS[operands]())
    assert ours == theirs


def test_attention_over_five_axes_is_spelt_out_in_fp32_as_pytorch_does():
    q, k, v = torch.zeros(2, 7, 3, 2, 4, dtype=torch.float16).permute(2, 0, 3, 1, 4).unsqueeze(1).unbind(0)
    module = Apply(F.scaled_dot_product_attention)
    with torch.no_grad(), Dispatched() as dispatched:
        module(q, k, v)
    graph = as_aten_multiplies(record_module(module, (q, k, v), name="m"), UnitKind.GPU)
    ours = [op for op in graph.ops if op.kind in (OpKind.COPY, OpKind.MATMUL, OpKind.CAST)]
    assert [KINDS[op.kind] for op in ours].count("copy") == dispatched.labels.count("copy")
    assert [KINDS[op.kind] for op in ours].count("batch") == dispatched.labels.count("batch") == 2
    # PyTorch also casts the weights, for a caller who would want them
    assert [KINDS[op.kind] for op in ours].count("cast") == dispatched.labels.count("cast") - 1
    products = [op for op in ours if op.kind is OpKind.MATMUL]
    assert {graph.tensors[name].dtype for op in products for name in op.inputs} == {DType.F32}


def spelt_kinds(inputs: Sequence[torch.Tensor], kind: UnitKind, torch_version: tuple[int, int]) -> list[OpKind]:
    """What attention is carried out as, copies and views apart."""
    graph = record_module(Apply(F.scaled_dot_product_attention), inputs, name="m")
    ops = as_aten_multiplies(graph, kind, torch_version).ops
    return [op.kind for op in ops if op.kind not in (OpKind.COPY, OpKind.VIEW)]


PLAIN_SOFTMAX = [OpKind.BINARY, OpKind.BINARY, OpKind.MATMUL, OpKind.SOFTMAX, OpKind.MATMUL]


def test_attention_over_five_axes_stays_in_half_precision_before_pytorch_2_5():
    q, k, v = meta(2, 7, 3, 2, 4).permute(2, 0, 3, 1, 4).unsqueeze(1).to(torch.float16).unbind(0)
    assert spelt_kinds((q, k, v), UnitKind.GPU, (2, 4)) == PLAIN_SOFTMAX
    assert OpKind.CAST in spelt_kinds((q, k, v), UnitKind.GPU, (2, 5))


ONE_KERNEL = [OpKind.ATTENTION]
HEADS = meta(2, 3, 6, 8)
ATTENTIONS: dict[str, tuple[Sequence[torch.Tensor], bool, bool]] = {
    "four axes": ([HEADS] * 3, True, True),
    "a mask for all": ([HEADS] * 3 + [meta(6, 6)], True, True),
    "a mask a head": ([HEADS] * 3 + [meta(3, 6, 6)], False, True),
    "that mask with a batch axis": ([HEADS] * 3 + [meta(1, 3, 6, 6)], True, True),
    "wider values": ([HEADS, HEADS, meta(2, 3, 6, 16)], False, True),
    "three axes": ([HEADS[0]] * 3, False, False),
}  # fmt: skip


@pytest.mark.parametrize("case", ATTENTIONS)
def test_which_attention_has_a_kernel_of_its_own_is_what_pytorch_2_9_dispatches(case: str):
    """CPUs as seen in 2.4.1, 2.9.0 and 2.14.1, which agree on these; GPUs: inductor's choice in 2.14, by rank."""
    inputs, on_cpu, on_gpu = ATTENTIONS[case]
    assert (spelt_kinds(inputs, UnitKind.CPU, (2, 9)) == ONE_KERNEL) is on_cpu
    assert (spelt_kinds(inputs, UnitKind.GPU, (2, 9)) == ONE_KERNEL) is on_gpu


@pytest.mark.parametrize("case", ATTENTIONS)
def test_a_cpu_spells_out_what_this_pytorch_does(case: str):
    inputs, _, _ = ATTENTIONS[case]
    with torch.no_grad(), Dispatched() as dispatched:
        F.scaled_dot_product_attention(*[torch.zeros(tensor.shape) for tensor in inputs])
    ours = spelt_kinds(inputs, UnitKind.CPU, torch_version=(2, 14))
    assert (ours == ONE_KERNEL) is (dispatched.labels.count("batch") == 0)


def test_attention_over_four_axes_stays_one_kernel():
    graph = record_module(Apply(F.scaled_dot_product_attention), [meta(2, 3, 5, 4)] * 3, name="m")
    assert as_aten_multiplies(graph, UnitKind.GPU) is graph


def kernels(runtime: str) -> list[Kernel]:
    graph = parse_graph("""\
graph tokens
input x f32[4,8,10]
parameter v f32[6,8]
n f32[4,8,10] = activation(x) function=relu
t f32[4,10,8] strides[80,1,10] = view(n) function=transpose
y f32[4,10,6] = linear(t, v)
output y
""")
    rules, target = runtime_rules(runtime), Target(UnitKind.GPU, Precision.AMP_FP16, "nchw")
    run = rules.rewrite(apply_precision(graph, Precision.AMP_FP16), target)
    return [k for k in lower(run, rules, target).kernels if k.kernel_class is not KernelClass.CAST_WEIGHT]


@pytest.mark.parametrize("runtime", ["torch-eager", "torch-compile"])
def test_a_cast_weight_meets_each_image_in_a_batched_product_and_is_read_once(runtime: str):
    product = kernels(runtime)[-1]
    assert product.kernel_class is KernelClass.BATCHED_MATMUL
    assert product.gemm == Gemm(batch=4, m=10, n=6, k=8)
    assert product.macs == 4 * 10 * 6 * 8
    assert product.bytes_read == 2 * (4 * 10 * 8 + 6 * 8)
    assert product.bytes_written == 2 * (4 * 10 * 6)
