"""What a graph compiler may evaluate once, and what only looks like it."""

from __future__ import annotations

import pytest

from estimator.ir.text import parse_graph
from estimator.lowering.constants import constant_results

PADDED_BATCH = """\
graph detector
input image f32[3,4,4]
batch f32[1,3,8,8] = fill() function=full
first f32[3,8,8] = view(batch) function=select
corner f32[3,4,4] = view(first) function=slice
filled f32[3,4,4] = copy(corner, {source}) function=copy in_place
halved f32[1,3,8,8] = unary(batch) function=neg
output halved
"""


def constants_of(text: str) -> frozenset[str]:
    return constant_results(parse_graph(text))


def test_what_weights_alone_decide_is_constant():
    text = """\
graph bias
input x f32[2,8]
parameter w f32[8]
table f32[8] = unary(w) function=exp
doubled f32[8] = binary(table, table) function=add
y f32[2,8] = binary(x, doubled) function=add
output y
"""
    assert constants_of(text) == {"table", "doubled"}


def test_a_buffer_that_an_input_is_copied_into_is_not():
    """torchvision's detectors pad their images so; all of the network reads the buffer."""
    assert constants_of(PADDED_BATCH.format(source="image")) == frozenset()


def test_a_buffer_that_constants_are_copied_into_stays_one():
    text = PADDED_BATCH.format(source="ones")
    text = text.replace("batch f32", "ones f32[3,4,4] = fill() function=ones\nbatch f32", 1)
    assert constants_of(text) == {"ones", "batch", "first", "corner", "filled", "halved"}


@pytest.mark.parametrize("written", ["cache", "window"])
def test_a_weight_that_is_written_in_place_is_no_weight_any_more(written):
    text = f"""\
graph cached
input step f32[1,8]
buffer cache f32[4,8]
window f32[1,8] = view(cache) function=slice
kept f32[4,8] = scatter({written}, step) function=index_put in_place
scores f32[4,8] = unary(cache) function=exp
output scores
"""
    assert "scores" not in constants_of(text)
