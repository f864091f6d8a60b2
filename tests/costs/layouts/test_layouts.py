from __future__ import annotations

import pytest

from estimator.costs.conventions import convention_names, count, explain
from estimator.costs.layouts import Per, render, rows_of
from estimator.costs.layouts.explanation import explanation_text
from estimator.costs.layouts.module_table import size
from estimator.costs.layouts.render import clever_format
from estimator.costs.layouts.scope_view import float_ops_lines, number, parameter_lines
from estimator.costs.layouts.stat_table import short
from estimator.costs.layouts.text_columns import shortened
from tests.costs.conventions.networks import CONV_MACS, CONV_OUT, PARAMS, small_cnn

GRAPH = small_cnn()


@pytest.mark.parametrize("name", convention_names())
@pytest.mark.parametrize("per", [None, *Per])
def test_every_convention_renders_at_every_granularity(name: str, per: Per | None) -> None:
    text = render(count(GRAPH, name), GRAPH, per)
    assert text
    assert not text.endswith("\n")


@pytest.mark.parametrize("per", list(Per))
def test_plain_tables_fit_a_hundred_columns(per: Per) -> None:
    assert all(len(line) <= 100 for line in render(count(GRAPH, "native"), GRAPH, per).split("\n"))


def test_thop_prints_its_pair_raw_and_shortened() -> None:
    found = count(GRAPH, "thop")
    first, second = render(found, GRAPH).split("\n")
    assert first == f"macs, params = ({found.total}.0, {PARAMS}.0)"
    assert second == f"{clever_format(found.total)} {clever_format(PARAMS)}"


def test_torchstat_prints_one_row_per_leaf_module_and_four_totals() -> None:
    lines = render(count(GRAPH, "torchstat"), GRAPH).split("\n")
    assert lines[0].split() == [
        "module", "name", "input", "shape", "output", "shape", "params", "memory(MB)", "MAdd", "Flops", "MemRead(B)",
        "MemWrite(B)", "duration[%]", "MemR+W(B)",
    ]  # fmt: skip
    conv = lines[1].split()
    assert conv[:8] == ["0", "conv", "3", "8", "8", "4", "8", "8"]
    madd = (2 * 27 - 1 + 1) * 4 * 8 * 8  # multiplies, additions and the bias, of one sample
    read = 4 * (2 * 3 * 8 * 8 + 2 * (4 * 27 + 4))  # the input, and the weights once per sample
    assert conv[8:] == [
        f"{4 * 27 + 4}.0", "0.00", f"{madd:,}.0", f"{CONV_MACS + CONV_OUT:,}.0", f"{read}.0", f"{4 * CONV_OUT}.0", "-",
        f"{read + 4 * CONV_OUT}.0",
    ]  # fmt: skip
    assert len([line for line in lines if line[:1].isdigit()]) == 6
    assert [line.partition(":")[0] for line in lines[-5:] if ":" in line] == [
        "Total memory", "Total MAdd", "Total Flops", "Total MemR+W",
    ]  # fmt: skip


def test_torchstat_takes_shares_of_time_from_elsewhere() -> None:
    text = render(count(GRAPH, "torchstat"), GRAPH, duration_share={"conv": 0.75, "fc": 0.25})
    assert "75.00%" in text
    assert "100.00%" in text


def test_the_profiler_view_nests_by_name_and_sorts_by_size() -> None:
    lines = float_ops_lines(count(GRAPH, "tf-profiler"))
    assert lines[0] == f"_TFProfRoot (--/{number(count(GRAPH, 'tf-profiler').total)} flops)"
    assert lines[1] == f"  small_cnn/conv/Conv2D ({number(2 * CONV_MACS)}/{number(2 * CONV_MACS)} flops)"
    names = [line.split()[0] for line in lines[1:]]
    assert set(names) == {
        "small_cnn/conv/Conv2D", "small_cnn/conv/BiasAdd", "small_cnn/pool", "small_cnn/fc/MatMul",
        "small_cnn/fc/BiasAdd", "small_cnn/Add",
    }  # fmt: skip


def test_the_profiler_view_shows_filters_in_tensorflow_s_order() -> None:
    lines = [line.strip() for line in parameter_lines(GRAPH)]
    assert f"conv/weight (3x3x3x4, {3 * 3 * 3 * 4}/{3 * 3 * 3 * 4} params)" in lines
    assert "fc/weight (4x5, 20/20 params)" in lines
    assert f"conv (--/{4 * 27 + 4} params)" in lines


def test_layers_gather_what_ran_in_one_module() -> None:
    rows = {row.name: row for row in rows_of(count(GRAPH, "ptflops"), GRAPH, "layer")}
    assert rows["relu"].value == CONV_OUT // 2 + CONV_OUT  # hook per sample and function for all
    assert rows["relu"].type_name == "ReLU"


def test_modules_add_up_to_the_root() -> None:
    found = count(GRAPH, "native")
    root, *below = rows_of(found, GRAPH, "module")
    assert (root.value, root.params) == (found.total, PARAMS)
    in_root = 2 * 5  # the last addition runs in no child
    assert root.value == sum(row.value for row in below) + in_root


def test_an_explanation_shows_every_reason_and_the_remainder() -> None:
    text = explanation_text(explain(GRAPH, "thop", "deepspeed"), GRAPH.name)
    assert "unit" in text
    assert any(line.split() == ["remainder", "0"] for line in text.split("\n"))
    assert all(len(line) <= 100 for line in text.split("\n"))


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        (number, 864, "864"), (number, 16_384, "16.38k"), (number, 2_390_000, "2.39m"),
        (number, 16_029_570_368, "16.03b"),
        (size, 9_408, "9.408K"), (size, 147_968, "0.148M"), (size, 4_111_512_576, "4.112G"), (size, 64, "64"),
        (clever_format, 4_133_742_592, "4.13G"), (clever_format, 512, "512.00B"),
        (short, 1_821_399_040, "1.82G"), (short, 999, "999"),
    ],
)  # fmt: skip
def test_each_tool_shortens_numbers_in_its_own_way(function, value: int, text: str) -> None:  # type: ignore[no-untyped-def]
    assert function(value) == text


def test_a_long_name_keeps_its_end() -> None:
    assert shortened("layer4.2.downsample.conv", 12) == "laye…le.conv"
    assert shortened("conv1", 12) == "conv1"
