from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from estimator.frontends.torch_recorder import record_module


class Function(nn.Module):
    """One call of one function on a square matrix."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


@pytest.mark.parametrize(
    ("function", "source"),
    [
        (lambda x: x @ x, "operator.matmul"),
        (lambda x: torch.matmul(x, x), "aten.matmul.default"),
        (lambda x: x.matmul(x), "aten.matmul.default"),
        (lambda x: torch.nn.functional.softmax(x, -1), "aten.softmax.int"),
        (lambda x: x.softmax(-1), "torch.softmax"),
        (lambda x: torch.softmax(x, -1), "torch.softmax"),
        (nn.ReLU(), "aten.relu.default"),
        (lambda x: x.relu(), "torch.relu"),
        (lambda x: x + x, "aten.add.Tensor"),
        (lambda x: 2 * x, "aten.mul.Tensor"),
        (lambda x: torch.add(x, x), "torch.add"),
        (lambda x: x.mul(x), "torch.mul"),
        (lambda x: x.mul_(x), "aten.mul_.Tensor"),
    ],
)
def test_only_an_unusual_spelling_is_recorded(function: Callable[[Tensor], Tensor], source: str) -> None:
    graph = record_module(Function(function), [torch.empty(3, 3, device="meta")], name="f")
    assert [op.source for op in graph.ops] == [source]


def test_a_device_context_does_not_hide_the_spelling() -> None:
    with torch.device("meta"):
        graph = record_module(Function(lambda x: x * x), [torch.empty(3, 3)], name="f")
    assert [op.source for op in graph.ops] == ["aten.mul.Tensor"]
