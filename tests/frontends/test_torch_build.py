from __future__ import annotations

import pytest
import torch
from torch import nn

from estimator.frontends.torch_build import build_weightless, parameter_bytes, weightless


class Awkward(nn.Module):
    """Does at construction what model zoos do: reads numbers from tensors, ties weights, fills buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.rates = [x.item() for x in torch.linspace(0, 0.1, 4)]
        self.layer = nn.Linear(8, 8)
        weight = nn.Parameter(torch.empty(8, 8))
        self.first = weight
        self.second = weight
        self.register_buffer("index", torch.arange(4).flip(0))
        nn.init.trunc_normal_(self.first)


def test_parameters_are_on_meta_and_buffers_keep_their_values():
    module = build_weightless(Awkward)
    assert all(p.is_meta for p in module.parameters())
    assert module.index.tolist() == [3, 2, 1, 0]
    assert module.rates[-1] == pytest.approx(0.1)


def test_a_weight_registered_twice_stays_one():
    module = build_weightless(Awkward)
    assert module.first is module.second
    assert parameter_bytes(module) == 4 * (8 * 8 + 8 + 8 * 8)  # f32: linear weight, its bias, the tied weight


def test_requires_grad_survives():
    def build() -> nn.Module:
        module = nn.Module()
        module.frozen = nn.Parameter(torch.zeros(3), requires_grad=False)
        return module

    assert not build_weightless(build).frozen.requires_grad


def test_a_constructor_that_mixes_weights_and_tables_is_built_all_the_same():
    def build() -> nn.Module:
        module = nn.Linear(4, 4)
        module.register_buffer("scaled", module.weight * torch.arange(4.0))
        return module

    assert build_weightless(build).scaled.shape == (4, 4)


def test_the_process_is_left_as_it_was_even_after_a_failure():
    before = torch.nn.init.kaiming_uniform_
    with pytest.raises(ZeroDivisionError), weightless():
        raise ZeroDivisionError
    assert torch.nn.init.kaiming_uniform_ is before
    assert not nn.Linear(2, 2).weight.is_meta


def test_weights_take_no_memory():
    module = build_weightless(lambda: nn.Sequential(*(nn.Linear(16384, 16384, bias=False) for _ in range(32))))
    assert parameter_bytes(module) == 32 * 16384 * 16384 * 4  # 34 GB, more than this machine would give
