"""Where a tool's number depends on how the model's code was written or how torch holds a tensor."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from estimator.costs.conventions import count
from estimator.frontends.torch_recorder import record_module

BATCH, HEADS, LENGTH, WIDTH = 2, 3, 5, 4
SCORES = BATCH * HEADS * LENGTH * LENGTH
PRODUCTS = 2 * SCORES * WIDTH


class Attention(nn.Module):
    """Attention written out: by operators and methods, or by functions."""

    def __init__(self, *, by_functions: bool) -> None:
        super().__init__()
        self.by_functions = by_functions

    def forward(self, q: Tensor) -> Tensor:
        if self.by_functions:
            return torch.matmul(F.softmax(torch.matmul(q, q.transpose(-2, -1)), -1), q)
        return (q @ q.transpose(-2, -1)).softmax(-1) @ q


class BiasedAttention(nn.Module):
    """Fused attention with a learned or a given mask."""

    def __init__(self, *, learned: bool) -> None:
        super().__init__()
        mask = torch.zeros(LENGTH, LENGTH)
        self.mask = nn.Parameter(mask) if learned else nn.Buffer(mask)

    def forward(self, q: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, q, q, self.mask)


def total(module: nn.Module, convention: str, *shape: int) -> int:
    with torch.device("meta"):
        return count(record_module(module.to("meta"), [torch.empty(shape)], name="m"), convention).total


@pytest.mark.parametrize(
    ("convention", "by_functions", "expected"),
    [
        ("ptflops", True, PRODUCTS + SCORES),  # matmul and F.softmax are patched
        ("ptflops", False, 0),  # @ and x.softmax() are not
        ("deepspeed", True, 2 * PRODUCTS + SCORES),
        ("deepspeed", False, 2 * PRODUCTS),  # @ is patched here
        ("torch", False, 2 * PRODUCTS),
        ("fvcore", False, PRODUCTS),
    ],
)
def test_patching_tools_count_functions_and_not_operators(convention: str, by_functions: bool, expected: int) -> None:
    assert total(Attention(by_functions=by_functions), convention, BATCH, HEADS, LENGTH, WIDTH) == expected


@pytest.mark.parametrize(("learned", "expected"), [(True, PRODUCTS), (False, 0)])
def test_ptflops_aten_sees_attention_only_where_the_fused_kernel_refuses(learned: bool, expected: int) -> None:
    assert total(BiasedAttention(learned=learned), "ptflops-aten", BATCH, HEADS, LENGTH, WIDTH) == expected


@pytest.mark.parametrize(("transposed", "bias"), [(False, 1), (True, 0)])
def test_ptflops_aten_counts_a_bias_only_where_torch_fuses_it(transposed: bool, bias: int) -> None:
    class Mixer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(WIDTH, 7)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x.transpose(1, 2) if transposed else x)

    shape = (BATCH, WIDTH, LENGTH) if transposed else (BATCH, LENGTH, WIDTH)
    outputs = BATCH * LENGTH * 7
    assert total(Mixer(), "ptflops-aten", *shape) == outputs * WIDTH + bias * outputs


@pytest.mark.filterwarnings("ignore::FutureWarning")  # the older of torch's two weight norms, which files still have
def test_a_weight_that_is_computed_before_each_call_counts_as_one_that_is_owned():
    layer = nn.utils.weight_norm(nn.Conv1d(4, 8, 3, bias=False))
    graph = record_module(layer.to("meta"), [torch.empty(2, 4, 9, device="meta")], name="net")
    assert count(graph, "thop").total == (2 * 8 * 7) * (4 * 3)  # outputs × taps


def test_thop_takes_the_width_of_an_input_without_batch_for_its_batch():
    layer = nn.LSTM(8, 16, bias=False).to("meta")
    both = [record_module(layer, [torch.empty(*shape, device="meta")], name="net") for shape in ((5, 8), (5, 3, 8))]
    without, with_batch = (count(graph, "thop").total for graph in both)
    assert without * 3 == with_batch * 8
