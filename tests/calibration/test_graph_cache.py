"""What comes out of the cache is what went in, or nothing."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from estimator.calibration.graph_cache import GraphCache, LoweredModel, Traced, Workload, cache_directory
from estimator.calibration.graph_columns import graph_from_columns, graph_to_columns
from estimator.calibration.workload import Unlowered, lower_workloads
from tests.calibration.workloads import random_table, small_network
from tests.ir.graphs import graphs, small_graph

TRACED = Traced("timm:made", "1x3x8x8", "nchw")
WORKLOAD = Workload(TRACED, "tflite", "int8", "npu")


@given(graphs())
def test_columns_hold_everything_but_the_module_tree(graph):
    assert graph_from_columns(graph_to_columns(graph)) == replace(graph, modules=(), module_calls=())


def test_a_graph_is_kept_and_found(tmp_path):
    cache = GraphCache(tmp_path)
    assert cache.graph(TRACED) is None
    cache.keep_graph(TRACED, small_graph())
    assert cache.graph(TRACED) == replace(small_graph(), modules=(), module_calls=())
    assert cache.graph(replace(TRACED, layout="nhwc")) is None


def test_kernels_are_kept_and_found(tmp_path):
    cache = GraphCache(tmp_path)
    table = random_table(0)
    cache.keep_lowered(WORKLOAD, LoweredModel(table, 123, ("odd",)))
    found = cache.lowered(WORKLOAD)
    np.testing.assert_array_equal(found.table.matrix(), table.matrix())
    assert (found.flops, found.uncovered) == (123, ("odd",))
    assert cache.lowered(replace(WORKLOAD, precision="fp16")) is None


@pytest.mark.parametrize("damage", [lambda b: b[:-5], lambda b: b"", lambda b: b[:20] + b"\0\0" + b[22:]])
def test_a_damaged_entry_is_as_good_as_none(tmp_path, damage):
    cache = GraphCache(tmp_path)
    cache.keep_graph(TRACED, small_graph())
    cache.keep_lowered(WORKLOAD, LoweredModel(random_table(0), 1))
    for path in [p for p in tmp_path.rglob("*") if p.is_file()]:
        path.write_bytes(damage(path.read_bytes()))
    assert cache.graph(TRACED) is None
    assert cache.lowered(WORKLOAD) is None
    cache.keep_graph(TRACED, small_graph())
    assert cache.graph(TRACED) is not None


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(tmp_path):
    taken = tmp_path / "file"
    taken.write_text("")
    cache = GraphCache(taken)
    cache.keep_graph(TRACED, small_graph())
    assert cache.graph(TRACED) is None


@pytest.mark.parametrize(
    ("own", "xdg", "expected"),
    [("/here", "/there", "/here"), ("", "/there", "/there/estimator"), ("", "", "/home/me/.cache/estimator")],
)
def test_the_folder_follows_the_environment(monkeypatch, own, xdg, expected):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("ESTIMATOR_CACHE", own)
    monkeypatch.setenv("XDG_CACHE_HOME", xdg)
    assert str(cache_directory()) == expected


def test_each_model_is_lowered_once_and_then_read(tmp_path):
    model = small_network(tmp_path / "net.json", 8, 2)
    workload = Workload(Traced(str(model), "1x8x32x32", "nchw"), "tflite", "int8", "npu")
    cache = GraphCache(tmp_path / "cache")
    first = lower_workloads([workload, workload], cache=cache)[workload]
    assert isinstance(first, LoweredModel)
    assert first.flops == 2 * 2 * (8 * 32 * 32) * (8 * 9) + 2 * (8 * 32 * 32)  # 2 layers of MACs, 2 of ReLU


def test_a_file_that_changed_is_read_again(tmp_path):
    model = small_network(tmp_path / "net.json", 8, 2)
    workload = Workload(Traced(str(model), "1x8x32x32", "nchw"), "tflite", "int8", "npu")
    cache = GraphCache(tmp_path / "cache")
    before = lower_workloads([workload], cache=cache)[workload]
    small_network(model, 8, 4)
    after = lower_workloads([workload], cache=cache)[workload]
    assert after.flops == 2 * before.flops


def test_a_model_that_cannot_be_read_carries_its_reason(tmp_path):
    path = tmp_path / "net.json"
    path.write_text(json.dumps({"format": "something else"}))
    workload = Workload(Traced(str(path), "1x3x8x8", "nchw"), "tflite", "int8", "npu")
    lowered = lower_workloads([workload], cache=GraphCache(tmp_path / "cache"))[workload]
    assert isinstance(lowered, Unlowered)
    assert "no graph" in lowered.reason
