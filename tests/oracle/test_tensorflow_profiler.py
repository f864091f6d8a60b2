"""TensorFlow's own profiler on BiSeNetV2: every row of its two views, from its graph and from a PyTorch twin."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.counts.bisenetv2 import bisenetv2_graph, with_initialisers
from estimator.costs.conventions import count
from estimator.costs.layouts.scope_view import float_ops_lines, parameter_lines
from estimator.ir.graph import Graph
from estimator.ir.validate import validate

DATA = Path(__file__).parents[2] / "benchmarks" / "counts"


def profiler_rows(view: str, unit: str) -> Counter[str]:
    """Rows as a multiset: nodes of equal size come in any order."""
    text = (DATA / f"bisenetv2_{view}.txt").read_text(encoding="utf-8")
    return Counter(line.strip() for line in text.splitlines() if line.endswith(f" {unit})"))


def assert_equal_views(graph: Graph) -> None:
    found = count(graph, "tf-profiler")
    operations, parameters = float_ops_lines(found), parameter_lines(graph)
    assert operations[0] == "_TFProfRoot (--/16.03b flops)"
    assert parameters[0] == "_TFProfRoot (--/2.39m params)"
    assert Counter(map(str.strip, operations)) == profiler_rows("float_ops", "flops")
    assert Counter(map(str.strip, parameters)) == profiler_rows("parameters", "params")


def test_a_pytorch_bisenetv2_has_the_profiler_s_rows() -> None:
    assert_equal_views(validate(with_initialisers(bisenetv2_graph())))


@pytest.mark.extra
def test_the_tensorflow_graph_has_the_profiler_s_rows(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", exc_type=ImportError)
    from estimator.frontends.select import load_graph

    path = tmp_path / "bisenetv2.meta"
    path.write_bytes(gzip.decompress((DATA / "bisenetv2.meta.gz").read_bytes()))
    assert_equal_views(load_graph(str(path), prune=False))
