from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.frontends.shape_arithmetic import (
    broadcast,
    canonical_equation,
    conv_extent,
    einsum_shape,
    is_metadata_permutation,
    matmul_shape,
    reshaped,
    same_padding,
    slice_extent,
)

shapes = st.lists(st.integers(0, 3), max_size=4).map(tuple)


@given(shapes, shapes)
def test_broadcasting_is_numpys(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    try:
        expected = np.broadcast_shapes(a, b)
    except ValueError:
        with pytest.raises(ValueError, match="do not broadcast"):
            broadcast(a, b)
    else:
        assert broadcast(a, b) == expected


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.lists(st.integers(1, 3), min_size=1, max_size=4))
def test_matmul_is_numpys(a: list[int], b: list[int]) -> None:
    try:
        expected = np.matmul(np.zeros(a), np.zeros(b)).shape
    except ValueError:
        with pytest.raises(ValueError, match=r"differ|broadcast"):
            matmul_shape(tuple(a), tuple(b))
    else:
        assert matmul_shape(tuple(a), tuple(b)) == expected


@given(st.integers(0, 9), st.integers(-12, 12), st.integers(-12, 12), st.integers(1, 4))
def test_a_slice_keeps_what_python_keeps(size: int, start: int, stop: int, step: int) -> None:
    assert slice_extent(size, start, stop, step) == len(list(range(size))[start:stop:step])


@given(st.integers(1, 40), st.integers(1, 7), st.integers(1, 4), st.integers(1, 3))
def test_same_padding_gives_the_ceiling_of_size_by_stride(size: int, kernel: int, stride: int, dilation: int) -> None:
    total = same_padding(size, kernel, stride, dilation)
    before = total // 2
    assert conv_extent(size, kernel, stride, before, total - before, dilation) == -(-size // stride)


def test_reshape_targets_may_leave_one_extent_open() -> None:
    assert reshaped((2, 3, 4), (0, -1), zero_copies=True) == (2, 12)
    assert reshaped((2, 0), (0, 5), zero_copies=False) == (0, 5)
    for target in ((5, -1), (-1, -1), (4, 5)):
        with pytest.raises(ValueError, match="reshape"):
            reshaped((2, 3, 4), target, zero_copies=True)


@pytest.mark.parametrize(
    ("equation", "operands", "canonical"),
    [
        ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)], "abcd,abed->abce"),
        ("...ij,...jk", [(2, 3, 4), (2, 4, 5)], "abc,acd->abd"),
        ("ii", [(3, 3)], "aa->"),
    ],
)
def test_equations_become_canonical(equation: str, operands: list[tuple[int, ...]], canonical: str) -> None:
    found = canonical_equation(equation, [len(s) for s in operands])
    assert found == canonical
    assert einsum_shape(found, operands) == np.einsum(equation, *(np.zeros(s) for s in operands)).shape


def test_moving_unit_axes_is_metadata_only() -> None:
    assert is_metadata_permutation((1, 5, 1, 7), (1, 0, 3, 2))
    assert not is_metadata_permutation((1, 5, 1, 7), (3, 0, 1, 2))
