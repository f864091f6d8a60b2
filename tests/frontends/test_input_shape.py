from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.dtypes import DType
from estimator.errors import BadOptionError
from estimator.frontends.input_shape import InputShape, parse_input_shape, parse_input_shapes, shapes_by_name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1x3x224x224", InputShape((1, 3, 224, 224))),
        ("1,3,224,224", InputShape((1, 3, 224, 224))),
        ("8", InputShape((8,))),
        ("ids=1x128", InputShape((1, 128), "ids")),
        ("ids=1x128:i64", InputShape((1, 128), "ids", DType.I64)),
        ("ids=1x128:int64", InputShape((1, 128), "ids", DType.I64)),
        ("1x3:float16", InputShape((1, 3), None, DType.F16)),
        ("1x3:bfloat16", InputShape((1, 3), None, DType.BF16)),
        ("1x3:uint8", InputShape((1, 3), None, DType.U8)),
    ],
)
def test_a_shape_is_read_as_people_write_it(text: str, expected: InputShape):
    assert parse_input_shape(text) == expected


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6))
def test_any_positive_shape_survives_writing_and_reading(extents: list[int]):
    assert parse_input_shape("x".join(map(str, extents))).shape == tuple(extents)


@pytest.mark.parametrize(
    "text", ["", "x", "1x", "1x-3", "-1x3", "1x?x3", "1 x 3", "=1x3", "0x3", "1x0", "9" * 40, "1:f33"]
)
def test_a_malformed_shape_says_what_was_expected(text: str):
    with pytest.raises(BadOptionError) as caught:
        parse_input_shape(text)
    assert "--input-shape" in str(caught.value)
    assert caught.value.expected


def test_the_batch_replaces_the_leading_extent_only():
    assert InputShape((1, 3, 8, 8)).with_batch(4).shape == (4, 3, 8, 8)
    assert InputShape(()).with_batch(4).shape == ()
    assert InputShape((2, 3)).with_batch(None).shape == (2, 3)


def test_several_inputs_need_names_where_the_file_names_them():
    assert shapes_by_name(parse_input_shapes(["1x2"])) == {"": (1, 2)}
    assert shapes_by_name(parse_input_shapes(["a=1x2", "b=3"])) == {"a": (1, 2), "b": (3,)}
    with pytest.raises(BadOptionError, match="need names"):
        shapes_by_name(parse_input_shapes(["a=1x2", "3"]))


def test_a_name_is_given_once():
    with pytest.raises(BadOptionError, match="twice"):
        parse_input_shapes(["a=1", "a=2"])
