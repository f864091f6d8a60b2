"""The flat arithmetic over a batch gives each graph the peak that planning it alone gives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.ir.op import OpKind
from estimator.memory.batch import flatten, peak_live_bytes
from estimator.memory.peak import plan_memory
from tests.memory.graphs import graph, op, random_graphs, view


@given(st.lists(random_graphs(), min_size=1, max_size=6))
def test_a_batch_gives_each_graph_its_own_peak(graphs):
    alone = [plan_memory(g, runtime="torch-export") for g in graphs]
    expected = [max((live for _, live in plan.timeline), default=plan.input_bytes) for plan in alone]
    assert list(peak_live_bytes(flatten(graphs))) == expected


def test_a_chain_by_hand():
    g = graph([op("a", "x"), op("b", "a"), op("c", "b")], {"x": 1, "a": 8, "b": 4, "c": 2}, outputs=("c",))
    assert list(peak_live_bytes(flatten([g, g]))) == [1024 * (1 + 8 + 4)] * 2


def test_a_long_chain_of_views_keeps_its_base_alive():
    names = [f"v{i}" for i in range(9)]
    views = [view(name, base) for name, base in zip(names, ["a", *names], strict=False)]
    ops = [op("a", "x"), *views, op("b", "x"), op("c", names[-1], "b")]
    g = graph(ops, {"x": 1, "a": 8, "b": 4, "c": 2} | dict.fromkeys(names, 8), outputs=("c",))
    assert list(peak_live_bytes(flatten([g]))) == [1024 * (1 + 8 + 4 + 2)]


@pytest.mark.parametrize("kind", [OpKind.VIEW, OpKind.IDENTITY])
def test_a_view_of_the_input_takes_nothing(kind):
    g = graph([op("v", "x", kind=kind), op("a", "v")], {"x": 4, "v": 4, "a": 1}, outputs=("a",))
    assert list(peak_live_bytes(flatten([g]))) == [1024 * (4 + 1)]
