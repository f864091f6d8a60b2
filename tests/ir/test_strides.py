"""Strides against PyTorch's own questions about them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._prims_common import is_non_overlapping_and_dense_or_false

from estimator.dtypes import DType
from estimator.ir.strides import has_gaps, is_contiguous, spacing
from estimator.ir.tensor import TensorSpec

SHAPE = (2, 6, 4, 3)


def spec(view: torch.Tensor) -> TensorSpec:
    return TensorSpec("x", tuple(view.shape), DType.F32, strides=tuple(view.stride()))


@st.composite
def views(draw: st.DrawFn) -> torch.Tensor:
    """Permuted, cut and repeated tensors."""
    view = torch.empty(SHAPE, device="meta").permute(draw(st.permutations(range(len(SHAPE)))))
    for axis in draw(st.sets(st.integers(0, 3))):
        stop = draw(st.integers(1, view.shape[axis]))
        view = view.narrow(axis, 0, stop)
    if draw(st.booleans()):
        view = view[:, :1].expand(-1, 2, -1, -1)
    return view


@given(views())
def test_gaps_are_what_pytorch_calls_overlapping_or_not_dense(view: torch.Tensor):
    assert has_gaps(spec(view)) is not is_non_overlapping_and_dense_or_false(view)


@given(views())
def test_contiguous_is_what_pytorch_calls_so(view: torch.Tensor):
    assert is_contiguous(spec(view)) is view.is_contiguous()


@pytest.mark.parametrize(
    ("view", "elements"),
    [
        (torch.empty(4, 6), 1),
        (torch.empty(4, 6)[:, ::2], 2),
        (torch.empty(4, 6)[:, 1:2], 6),  # a column
        (torch.empty(4, 6)[1:2, :1].expand(3, 5), 1),  # one element, repeated
        (torch.empty(2, 3, 4, 4).permute(0, 2, 3, 1), 1),  # something is innermost still
    ],
)
def test_elements_of_a_view_lie_as_far_apart_as_its_innermost_axis_says(view: torch.Tensor, elements: int):
    assert spacing(spec(view)) == elements


@pytest.mark.parametrize(
    ("view", "gaps"),
    [
        (torch.empty(SHAPE), False),
        (torch.empty(SHAPE).permute(0, 2, 3, 1), False),
        (torch.empty(SHAPE)[:, :3], True),  # half the channels of each of two images
        (torch.empty(SHAPE)[:1, :3], False),  # of one image: a block
        (torch.empty(SHAPE)[:, :1].expand(-1, 3, -1, -1), True),
    ],
)
def test_a_view_has_gaps_where_it_skips_or_repeats(view: torch.Tensor, gaps: bool):
    assert has_gaps(spec(view)) is gaps
