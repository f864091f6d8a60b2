"""Totals that the tools themselves gave, kept in benchmarks/counts: equal to the unit."""

from __future__ import annotations

import csv
import warnings
from functools import cache
from pathlib import Path

import pytest
import torch
import torchvision

from benchmarks.counts.reference_models import NEEDS_TRANSFORMERS, SLOW, reference_graph
from benchmarks.counts.score import TOOL_OF, reference_totals
from estimator.costs.conventions import count
from estimator.costs.conventions.torchstat import stat_rows
from estimator.frontends.torch_recorder import record_module
from estimator.ir.graph import Graph

MORE_TOTALS = Path(__file__).parents[2] / "benchmarks" / "counts" / "more_totals.csv"
REFERENCES = reference_totals()
cached_reference_graph = cache(reference_graph)
CASES = [
    pytest.param(
        model,
        convention,
        id=f"{model}-{convention}",
        marks=[pytest.mark.extra] * (model in NEEDS_TRANSFORMERS) + [pytest.mark.slow] * (model in SLOW),
    )
    for convention, tool in TOOL_OF.items()
    for model, named in REFERENCES
    if named == tool
]


@pytest.mark.parametrize(("model", "convention"), CASES)
def test_a_convention_equals_what_its_tool_said(model: str, convention: str) -> None:
    reference = REFERENCES[model, TOOL_OF[convention]]
    found = count(cached_reference_graph(model), convention)
    assert found.total == reference["flops"]
    assert found.params == reference["params"]
    assert reference["macs"] in (None, found.macs)


@cache
def classifier_graph(name: str) -> Graph:
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # googlenet's note on initialisation
        module = getattr(torchvision.models, name)(weights=None)
        return record_module(module, [torch.empty(1, 3, 224, 224)], name=name)


def more_totals() -> list[dict[str, str]]:
    with MORE_TOTALS.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("row", more_totals(), ids=lambda row: f"{row['model']}-{row['tool']}")
def test_a_convention_equals_what_its_tool_said_of_other_models(row: dict[str, str]) -> None:
    graph = classifier_graph(row["model"])
    found = count(graph, row["tool"])
    assert found.total == int(row["flops"])
    if row["params"]:
        assert found.params == int(row["params"])
    if row["macs"]:
        assert found.macs == int(row["macs"])
    if row["madd"]:
        rows = stat_rows(graph)
        assert sum(r.madd for r in rows) == int(row["madd"])
        assert sum(r.read_bytes for r in rows) == int(row["read_bytes"])
        assert sum(r.written_bytes for r in rows) == int(row["written_bytes"])


def test_the_figures_that_circulate_as_resnet50_s_are_densenet121_s() -> None:
    found = count(cached_reference_graph("densenet121"), "thop-0.0.23")
    assert (found.total, found.params) == (2_914_598_912, 7_978_856)
    resnet50 = count(cached_reference_graph("resnet50"), "thop-0.0.23")
    assert (resnet50.total, resnet50.params) == (4_142_713_856, 25_557_032)
