"""A latency table has one row per distinct block, under the keys that its readers look up."""

import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from estimator.cli.main import run
from estimator.costs.registry import graph_cost
from estimator.errors import BadOptionError, ModelFileError
from estimator.ir.graph import Graph
from estimator.ir.validate import validate
from estimator.planning.block import Classifier, ConvBlock, Extent, MobileBlock, Pool, rounded_channels
from estimator.planning.space import MAX_SPACE_BYTES, Space, load_space
from estimator.planning.table import FIXED_KEY, blocks, latency_table, table_yaml
from estimator.result import Estimate, Interval
from tests.report.estimates import estimate, kernel

SPACE = """\
schema_version: 1
layout: once-for-all
resolutions: [32]
stem: {channels: 16, kernel: 3, stride: 2, activation: hardswish}
stages:
  - {channels: [16], depth: 1, kernel: [3], expand: [1], activation: relu}
  - {channels: [24], depth: 3, kernel: [3, 5], expand: [3, 6], stride: 2, activation: relu, squeeze_excite: true}
final_expand: {channels: 96, activation: hardswish}
feature_mix: {channels: 128, activation: hardswish}
classes: 10
"""


@pytest.fixture
def space_file(tmp_path: Path) -> Path:
    path = tmp_path / "space.yaml"
    path.write_text(SPACE)
    return path


def in_microseconds(graph: Graph) -> Estimate:
    """1 µs per op in kernels, and 5 µs besides."""
    ops_s = len(graph.ops) * 1e-6
    whole_s = ops_s + 5e-6
    return replace(estimate(kernels=(kernel(time_s=ops_s),)), latency=Interval(0.9 * whole_s, whole_s, 1.2 * whole_s))


def test_every_choice_of_every_place_has_a_row(space_file):
    keys = dict(blocks(load_space(space_file)))
    stem, first_stage, head = 1, 1, 4
    reducing, repeated = 2 * 2, 2 * 2
    assert len(keys) == stem + first_stage + reducing + repeated + head
    assert next(iter(keys)) == "Conv-input:32x32x3-output:16x16x16"
    assert "expanded_conv-input:16x16x16-output:8x8x24-expand:96-kernel:5-stride:2-idskip:0-se:1-hs:0" in keys
    assert "expanded_conv-input:8x8x24-output:8x8x24-expand:72-kernel:3-stride:1-idskip:1-se:1-hs:0" in keys
    assert list(keys)[-4:] == [
        "Conv_1-input:8x8x24-output:8x8x96",
        "AvgPool2D-input:8x8x96-output:1x1x96",
        "Conv_2-input:1x1x96-output:1x1x128",
        "Logits-input:1x1x128-output:10",
    ]


def test_proxylessnas_keys_name_the_expansion_ratio(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text(SPACE.replace("once-for-all", "proxylessnas"))
    assert "expanded_conv-input:16x16x16-output:8x8x24-expand:6-kernel:5-stride:2-idskip:0" in dict(
        blocks(load_space(path))
    )


def test_a_layout_that_cannot_tell_blocks_apart_is_refused(tmp_path):
    path = tmp_path / "space.yaml"
    stage = "  - {channels: [24], depth: 2, kernel: [3], expand: [3], activation: hardswish}\n"
    path.write_text(SPACE.replace("once-for-all", "proxylessnas").replace("final_expand", stage + "final_expand"))
    with pytest.raises(BadOptionError, match="layout: once-for-all"):
        latency_table(load_space(path), in_microseconds)


def test_rows_hold_kernel_time_and_the_fixed_cost_stands_once(space_file):
    table = latency_table(load_space(space_file), in_microseconds)
    rows = {row.key: row for row in table.rows}
    stem = rows["Conv-input:32x32x3-output:16x16x16"]
    assert stem.mean_s == pytest.approx(3e-6)  # conv, norm, activation
    assert table.fixed_s == pytest.approx(5e-6)
    deviation = (1.2 - 0.9) * 3e-6 / 2.563
    assert stem.spread_s == pytest.approx(deviation)


def test_a_block_that_fits_two_places_is_counted_twice(space_file):
    rows = {row.key: row for row in latency_table(load_space(space_file), in_microseconds).rows}
    key = "expanded_conv-input:8x8x24-output:8x8x24-expand:72-kernel:3-stride:1-idskip:1-se:1-hs:0"
    assert rows[key].count == 2  # depth 3: the second and the third block


def test_the_yaml_reads_back_in_milliseconds(space_file):
    table = latency_table(load_space(space_file), in_microseconds)
    text = table_yaml(table, "a header\nof two lines")
    assert text.startswith("# a header\n# of two lines\n")
    document = yaml.safe_load(text)
    assert document["Conv-input:32x32x3-output:16x16x16"]["mean"] == pytest.approx(0.003)
    assert document[FIXED_KEY]["mean"] == pytest.approx(0.005)
    assert list(document) == [*(row.key for row in table.rows), FIXED_KEY]


def test_macs_of_an_inverted_bottleneck_add_up_by_hand():
    source, target = Extent(8, 8, 16), Extent(4, 4, 24)
    block = MobileBlock(source, target, 96, 5, 2, "relu", squeeze_excite=True, skip=False)
    expand, depthwise, project = 8 * 8 * 16 * 96, 4 * 4 * 96 * 25, 4 * 4 * 96 * 24
    squeeze_and_excite = 2 * 96 * rounded_channels(96 / 4)
    assert graph_cost(block.graph()).total.macs == expand + depthwise + squeeze_and_excite + project


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 12), st.sampled_from([1, 2]), st.sampled_from([3, 5, 7]))
def test_every_block_is_a_valid_graph_of_the_stated_shape(height, width, channels, stride, kernel_extent):
    source = Extent(height, width, channels)
    target = source.after(8, stride)
    graphs = [
        MobileBlock(source, target, 16, kernel_extent, stride, "relu6", True, False).graph(2),
        ConvBlock(source, target, kernel_extent, stride, "hardswish").graph(2),
    ]
    for graph in graphs:
        out = validate(graph).tensors[graph.outputs[0]]
        assert out.shape == (2, target.channels, target.height, target.width)
    assert validate(Pool(source).graph()).tensors["pool"].shape == (1, channels, 1, 1)
    assert validate(Classifier(source, 10).graph(2)).tensors["classifier"].shape == (2, 10)


@given(st.floats(1, 5000))
def test_rounded_channels_are_multiples_of_eight_and_lose_at_most_a_tenth(channels):
    assert rounded_channels(channels) % 8 == 0
    assert rounded_channels(channels) >= 0.9 * channels


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "the whole file is no mapping"),
        (SPACE.replace("depth:", "depht:"), r"unknown key 'stages\.0\.depht'"),
        (SPACE.replace("classes:", "classes: 10 #") + "stem: 3\n", "stem is no mapping"),
        (SPACE.replace("schema_version: 1", ""), "key 'schema_version' is missing"),
        ("[1, 2", "YAML"),
        ("a: &x [1]\nb: *x\n", "YAML"),
        (SPACE.replace("kernel: [3, 5]", "kernel: []"), "kernel"),
        (SPACE.replace("classes: 10", "classes: -1"), "classes"),
        (SPACE + "colour: red\n", "colour"),
        (SPACE.replace("relu,", "mish,"), "activation"),
        ("[" * 5000, "YAML"),
        ("x" * (MAX_SPACE_BYTES + 1), "larger"),
    ],
)
def test_a_bad_space_is_refused_with_the_field(tmp_path, text, named):
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(ModelFileError, match=named):
        load_space(path)


def test_the_help_of_the_command_shows_a_space(tmp_path, capsys):
    assert run(["table", "--help"]) == 0
    shown = capsys.readouterr().out
    path = tmp_path / "space.yaml"
    path.write_text(textwrap.dedent(shown[shown.index("  schema_version") : shown.index("Options:")]))
    assert load_space(path).stages[0].kernel == (3, 5)


def test_bytes_that_are_not_text_are_refused(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ModelFileError):
        load_space(path)


def test_a_missing_space_is_refused(tmp_path):
    with pytest.raises(ModelFileError, match="cannot read"):
        load_space(tmp_path / "nowhere.yaml")


def test_a_space_without_feature_mix_pools_in_its_classifier_row(space_file):
    document = yaml.safe_load(space_file.read_text())
    del document["feature_mix"]
    keys = [key for key, _ in blocks(Space.model_validate(document))]
    assert keys[-1] == "Logits-input:8x8x96-output:10"
    assert not any(key.startswith("AvgPool2D") for key in keys)
