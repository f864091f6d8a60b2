from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.errors import GraphError
from estimator.ir.graph import Graph
from estimator.ir.text import parse_graph, print_graph
from tests.ir.graphs import graphs, small_graph

SMALL = """\
graph small from hand
note "made by hand"
input x f32[1,3,8,8]
parameter w f32[4,3,3,3]
y f32[1,4,8,8] = conv(x, w) kernel=[3,3] stride=[1,1] padding=[1,1] dilation=[1,1] @conv #aten.conv2d
z f32[1,4,8,8] = activation(y) function=relu in_place @act #aten.relu_
output z
module "" Net
module conv torch.nn.Conv2d parameters(w)
module act torch.nn.ReLU
call conv(x) -> (y)
call act(y) -> (z)
"""


def test_a_graph_prints_one_line_per_thing():
    assert print_graph(small_graph()) == SMALL


def test_the_printed_form_reads_back():
    assert parse_graph(SMALL) == small_graph()


@given(graphs())
def test_any_graph_survives_text(graph: Graph):
    back = parse_graph(print_graph(graph))
    assert back == graph
    assert back.source_format == graph.source_format


def test_a_list_of_items_is_said_on_the_first_line():
    detector = small_graph(one_input_per_item=True)
    assert print_graph(detector).startswith("graph small from hand one_input_per_item\n")
    assert parse_graph(print_graph(detector)) == detector


def test_spacing_and_blank_lines_do_not_matter():
    loose = SMALL.replace(", ", " ,  ").replace("\n", "  \n\n")
    assert parse_graph(loose) == small_graph()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("graph small from hand", "", ["no graph line above", "line 2"]),
        ("f32[1,3,8,8]", "f33[1,3,8,8]", ["f33", "line 3", "bf16"]),
        ("f32[1,3,8,8]", "f32[1,3,8,8", ["ends early", "line 3"]),
        ("f32[1,3,8,8]", "f32[1,?]", ["cannot read '?]'"]),
        ("f32[1,3,8,8]", "f32[" + "9" * 30 + "]", ["no integer"]),
        ("conv(x, w)", "convolve(x, w)", ["unknown kind 'convolve'", "line 5"]),
        ("conv(x, w)", "conv(x w)", ["'w' at the wrong place", "line 5"]),
        ("kernel=[3,3] ", "", ["'kernel' is missing", "line 5"]),
        ("kernel=[3,3]", "kernel=[3,3] kernel=[3,3]", ["there already"]),
        ("kernel=[3,3]", "kernel=[[3],3]", ["list of integers"]),
        ("function=relu", "function=relu speed=3", ["unknown attribute 'speed'", "line 6"]),
        ("@act", "@", ["no name", "line 6"]),
        ("output z", "output y z", ["too much", "line 7"]),
        ("output z", "graph again", ["a second graph line"]),
        ("output z", "from z", ["wrong place"]),
        ("output z", "parameter w f32[1]\noutput z", ["'w' is there already"]),
        ("output z", "output nowhere", ["'nowhere' is no tensor"]),
        ('"made by hand"', r'"bad \x escape"', ["bad string"]),
    ],
)
def test_a_slip_is_reported_with_its_line(old: str, new: str, words: list[str]):
    with pytest.raises(GraphError) as caught:
        parse_graph(SMALL.replace(old, new, 1))
    for word in words:
        assert word in str(caught.value)


def test_an_empty_text_is_no_graph():
    with pytest.raises(GraphError, match="no graph line"):
        parse_graph("\n\n")


@given(st.text(alphabet=st.sampled_from('graphinputf32[]()=,@#->"\\ \n0123456789'), max_size=80))
def test_noise_is_a_graph_error_and_nothing_else(noise: str):
    with contextlib.suppress(GraphError):
        parse_graph("graph g\n" + noise)
