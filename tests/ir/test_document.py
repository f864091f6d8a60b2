from __future__ import annotations

import contextlib
import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.errors import GraphError
from estimator.ir.attributes import attrs_from_fields, attrs_to_fields
from estimator.ir.document import VERSION, graph_from_json, graph_from_text, graph_to_json
from estimator.ir.graph import Graph
from estimator.ir.op import OpKind
from tests.ir.graphs import attributes, graphs, small_graph


@given(graphs())
def test_a_graph_survives_json(graph: Graph):
    back = graph_from_text(json.dumps(graph_to_json(graph)))
    assert back == graph
    assert back.source_format == graph.source_format


def test_a_list_of_items_is_said_only_where_there_is_one():
    detector = small_graph(one_input_per_item=True)
    assert graph_from_json(graph_to_json(detector)) == detector
    assert "one_input_per_item" not in graph_to_json(small_graph())


@given(st.data())
def test_attributes_of_every_kind_survive(data: st.DataObject):
    for kind in OpKind:
        attrs = data.draw(attributes(kind))
        assert attrs_from_fields(kind, attrs_to_fields(kind, attrs), "here") == attrs


def test_defaults_are_left_out():
    tensor, op = graph_to_json(small_graph())["tensors"][2], graph_to_json(small_graph())["ops"][0]  # type: ignore[index]
    assert tensor == {"name": "y", "shape": [1, 4, 8, 8], "dtype": "f32"}
    assert op["attrs"] == {"kernel": [3, 3], "stride": [1, 1], "padding": [1, 1], "dilation": [1, 1]}


def changed(*path: str | int, to: object) -> object:
    """Document of the small graph with one place replaced."""
    document = copy.deepcopy(graph_to_json(small_graph()))
    place: object = document
    for step in path[:-1]:
        place = place[step]  # type: ignore[index]
    place[path[-1]] = to  # type: ignore[index]
    return document


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], ["list", "document"]),
        ({}, ["'format' is missing"]),
        (changed("format", to="onnx"), ["no graph", "estimator-graph"]),
        (changed("version", to=VERSION + 1), ["version 2", "use the release"]),
        (changed("version", to=True), ["True does not fit"]),
        (changed("surprise", to=1), ["unknown field 'surprise'"]),
        (changed("tensors", to={}), ["does not fit", "a list"]),
        (changed("tensors", 0, to="x"), ["tensors[0]", "object"]),
        (changed("tensors", 0, "dtype", to="f31"), ["f31", "tensors[0]", "bf16"]),
        (changed("tensors", 0, "dtype", to=[]), ["tensors[0]", "dtype"]),
        (changed("tensors", 0, "shape", to=[1, 2.5]), ["tensors[0]", "integers"]),
        (changed("tensors", 0, "shape", to=[10**30]), ["tensors[0]", "integers"]),
        (changed("tensors", 0, "shape", to=[True]), ["tensors[0]", "integers"]),
        (changed("tensors", 0, "role", to="guest"), ["guest", "parameter"]),
        (changed("tensors", 0, "quantised", to=1), ["true or false"]),
        (changed("tensors", 0, "name", to="x" * 100_000), ["65536"]),
        (changed("tensors", 1, "name", to="x"), ["two tensors are called 'x'"]),
        (changed("ops", 0, "kind", to="magic"), ["magic", "ops[0]"]),
        (changed("ops", 0, "inputs", to=[1]), ["strings"]),
        (changed("ops", 0, "attrs", to=[]), ["an object"]),
        (changed("ops", 0, "attrs", "kernel", to=3), ["ops[0]", "kernel", "list of integers"]),
        (changed("ops", 0, "attrs", "groups", to="2"), ["groups", "an integer"]),
        (changed("ops", 0, "attrs", "colour", to="red"), ["unknown attribute 'colour'"]),
        (changed("ops", 0, "attrs", to={}), ["'kernel' is missing"]),
        (changed("ops", 0, "speed", to=1), ["unknown field 'speed'", "ops[0]"]),
        (changed("ops", 0, "outputs", to=["nowhere"]), ["nowhere", "op 'y'"]),
    ],
)
def test_a_wrong_document_is_refused_with_the_place(document: object, words: list[str]):
    with pytest.raises(GraphError) as caught:
        graph_from_json(document)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["not JSON"]),
        ("{", ["not JSON"]),
        ("[" * 100_000, ["nests too deeply"]),
        ('{"a": ' * 100_000, ["nests too deeply"]),
        ('{"format": 1, "format": 2}', ["twice"]),
        ('{"version": NaN}', ["NaN"]),
        ('{"version": ' + "9" * 10_000 + "}", ["not JSON"]),
    ],
)
def test_a_text_that_is_no_document_is_refused(text: str, words: list[str]):
    with pytest.raises(GraphError) as caught:
        graph_from_text(text)
    for word in words:
        assert word in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(graphs(), st.data())
def test_any_damage_is_either_harmless_or_a_graph_error(graph: Graph, data: st.DataObject):
    document = graph_to_json(graph)
    place: object = document
    while True:  # walk to a random place and put a random value there
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))  # type: ignore[arg-type]
        key = data.draw(st.sampled_from(keys))
        inner = place[key]  # type: ignore[index]
        if not isinstance(inner, (dict, list)) or not inner or data.draw(st.booleans()):
            place[key] = data.draw(json_values)  # type: ignore[index]
            break
        place = inner
    with contextlib.suppress(GraphError):
        graph_from_json(document)
