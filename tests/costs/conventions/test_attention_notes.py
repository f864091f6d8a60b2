"""What the tools miss in a transformer, and that it is said."""

from __future__ import annotations

import pytest
import torch

from estimator.costs.conventions import count
from estimator.frontends.torch_recorder import record_module
from estimator.ir.graph import Graph

BATCH, LENGTH, WIDTH, HEADS = 2, 6, 8, 2


@pytest.fixture(scope="module")
def attention() -> Graph:
    class Block(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = torch.nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.attention(x, x, x, need_weights=False)[0]

    with torch.device("meta"):
        return record_module(Block(), [torch.empty(BATCH, LENGTH, WIDTH)], name="attention")


PROJECTIONS = BATCH * LENGTH * WIDTH * (3 * WIDTH + WIDTH)
PRODUCTS = 2 * BATCH * LENGTH * LENGTH * WIDTH


def test_native_sees_projections_and_both_products(attention: Graph) -> None:
    assert count(attention, "native").macs == PROJECTIONS + PRODUCTS


def test_thop_sees_nothing_of_it_and_says_so(attention: Graph) -> None:
    found = count(attention, "thop")
    assert (found.total, found.params) == (0, 0)
    assert any("100.0% of the multiply-accumulates are not seen" in note for note in found.notes)
    assert any("parameters outside the modules thop knows are left out" in note for note in found.notes)


def test_fvcore_sees_the_projections_only_and_says_so(attention: Graph) -> None:
    found = count(attention, "fvcore")
    share = PRODUCTS / (PROJECTIONS + PRODUCTS)
    assert found.total == PROJECTIONS
    assert any(f"{share:.1%}" in note and "attention in MultiheadAttention" in note for note in found.notes)


def test_ptflops_counts_the_module_by_its_own_formula(attention: Graph) -> None:
    bias = LENGTH * 3 * WIDTH + LENGTH * WIDTH
    scaling, softmax = LENGTH * WIDTH, HEADS * LENGTH * LENGTH
    per_sample = (PROJECTIONS + PRODUCTS) // BATCH + bias + scaling + softmax
    assert count(attention, "ptflops").total == per_sample


def test_torch_counts_the_meta_number_and_says_that_eager_differs(attention: Graph) -> None:
    found = count(attention, "torch")
    assert found.total == 2 * (PROJECTIONS + PRODUCTS)
    assert any("eagerly on a CPU" in note for note in found.notes)
