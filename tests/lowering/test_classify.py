"""Geometry of products, as arithmetic by hand."""

from __future__ import annotations

import pytest

from estimator.ir.text import parse_graph
from estimator.lowering.classify import gemm_of
from estimator.lowering.kernel import Gemm

SCORES = """\
graph scores
input q f32[2,3,5,8]
input k f32[2,3,8,7]
y f32[2,3,5,7] = matmul(q, k) transpose_a={a} transpose_b={b}
output y
"""


@pytest.mark.parametrize("stored_swapped", [("false", "false"), ("false", "true"), ("true", "true")])
def test_a_batched_products_geometry_is_that_of_its_axes_however_they_are_stored(stored_swapped):
    a, b = stored_swapped
    graph = parse_graph(SCORES.format(a=a, b=b))
    assert gemm_of(graph.ops[0], graph) == Gemm(batch=2 * 3, m=5, n=7, k=8)


def test_a_shared_right_operand_makes_one_product_of_all_rows():
    graph = parse_graph(
        "graph g\ninput x f32[2,5,8]\nparameter w f32[8,7]\n"
        "y f32[2,5,7] = matmul(x, w) transpose_a=false transpose_b=true\noutput y\n"
    )
    assert gemm_of(graph.ops[0], graph) == Gemm(batch=1, m=2 * 5, n=7, k=8)
