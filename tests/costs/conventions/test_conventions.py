"""Every tool's rules on one small network, worked out by hand.

Elements: convolution output 2·4·8·8, its MACs 27 each; pooled 2·4·4·4; head 2·5 outputs of 4 MACs.
"""

from __future__ import annotations

import itertools

import pytest

from estimator.costs.conventions import convention_names, convention_of, count, explain
from estimator.errors import UnknownConventionError
from tests.costs.conventions.networks import CONV_MACS, CONV_OUT, HEAD_MACS, PARAMS, POOL_OUT, small_cnn

GRAPH = small_cnn()
MACS = CONV_MACS + HEAD_MACS


def test_native_counts_every_op() -> None:
    found = count(GRAPH, "native")
    window = 3 * POOL_OUT  # three comparisons per 2 × 2 window
    assert found.total == 2 * MACS + CONV_OUT + 2 * 5 + 2 * CONV_OUT + CONV_OUT + window + POOL_OUT + 2 * 5
    assert (found.macs, found.params) == (MACS, PARAMS)


def test_textbook_gives_every_layer_a_bias() -> None:
    found = count(GRAPH, "textbook")
    assert found.total == (2 * 8 * 8) * 4 * (3 * 3 * 3 + 1) + 2 * 5 * (4 + 1)
    assert found.params == 4 * (3 * 3 * 3 + 1) + 5 * (4 + 1)


def test_fvcore_counts_products_norms_and_adaptive_pools() -> None:
    found = count(GRAPH, "fvcore")
    assert found.total == MACS + 2 * CONV_OUT + POOL_OUT
    assert found.unsupported == ("aten::add", "aten::max_pool2d")


def test_thop_hooks_modules_and_forgets_functions() -> None:
    found = count(GRAPH, "thop")
    assert found.total == MACS + 4 * CONV_OUT + (4 * 4 + 1) * (2 * 4)  # bn; window of 4 × 4 and a division
    assert found.params == PARAMS
    assert found.unsupported == ("aten.add.default",)


def test_thop_0_0_23_multiplies_the_bias_by_the_input_channels_and_counts_relu() -> None:
    found = count(GRAPH, "thop-0.0.23")
    conv = 3 * CONV_OUT * (3 * 3 + 1)
    pool = 2 * POOL_OUT  # an int kernel_size of 2 is a window of 2
    gap = (4 * 4 + 1) * (2 * 4)
    assert found.total == conv + 4 * CONV_OUT + CONV_OUT + pool + gap + (2 * 4 - 1) * (2 * 5)


def test_torchstat_counts_the_conv_bias_relu_and_the_pool_input_but_no_adaptive_pool() -> None:
    found = count(GRAPH, "torchstat")
    assert found.total == MACS + CONV_OUT + 2 * CONV_OUT + CONV_OUT + CONV_OUT


def test_ptflops_counts_relu_and_pools_twice_and_hooks_per_sample() -> None:
    found = count(GRAPH, "ptflops")
    hooks = MACS + CONV_OUT + 2 * 5 + 2 * CONV_OUT + CONV_OUT + CONV_OUT + POOL_OUT
    functions = CONV_OUT + CONV_OUT + POOL_OUT
    assert found.total == hooks // 2 + functions  # batch 2: hooks are divided, functions are not


def test_ptflops_aten_counts_products_and_biases() -> None:
    assert count(GRAPH, "ptflops-aten").total == MACS + CONV_OUT + 2 * 5


def test_deepspeed_counts_two_per_mac_and_no_linear_bias() -> None:
    found = count(GRAPH, "deepspeed")
    assert found.total == 2 * MACS + CONV_OUT + 2 * CONV_OUT + CONV_OUT + CONV_OUT + POOL_OUT
    assert found.macs == MACS


def test_torch_counts_products_alone() -> None:
    assert count(GRAPH, "torch").total == 2 * MACS


def test_tf_profiler_counts_biases_windows_and_sums_but_no_relu() -> None:
    found = count(GRAPH, "tf-profiler")
    assert found.total == 2 * MACS + CONV_OUT + 2 * 5 + 4 * POOL_OUT + 2 * 5


def test_an_unknown_convention_is_refused_with_its_neighbours() -> None:
    with pytest.raises(UnknownConventionError, match="thopp") as caught:
        count(GRAPH, "thopp")
    assert "thop" in str(caught.value)


@pytest.mark.parametrize("name", convention_names())
def test_a_total_is_the_sum_of_its_layers(name: str) -> None:
    found = count(GRAPH, name)
    assert found.total == sum(layer.value for layer in found.layers)
    assert found.macs == sum(layer.macs for layer in found.layers)
    assert found.convention == name


@pytest.mark.parametrize("name", convention_names())
def test_a_graph_without_modules_is_counted_as_if_each_op_were_its_layer(name: str) -> None:
    bare = count(small_cnn(with_modules=False), name)
    known = count(GRAPH, name)
    assert bare.macs in (known.macs, known.macs // 2)  # ptflops divides by the batch
    assert bare.total == known.total


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(convention_names(), 2)))
def test_an_explanation_closes_to_zero(first: str, second: str) -> None:
    found = explain(GRAPH, first, second)
    assert found.remainder == 0
    assert found.first.total + sum(row.difference for row in found.rows) == found.second.total
    assert all(row.second - row.first == row.difference != 0 for row in found.rows)


def test_an_explanation_names_the_unit_first() -> None:
    unit = explain(GRAPH, "thop", "deepspeed").rows[0]
    assert (unit.reason, unit.difference) == ("unit", MACS)
    assert (unit.first_rule, unit.second_rule) == ("1 MAC = 1", "1 MAC = 2")


def test_two_equal_conventions_need_no_explanation() -> None:
    assert explain(GRAPH, "thop", "thop").rows == ()


@pytest.mark.parametrize("name", convention_names())
def test_every_class_that_a_convention_counts_has_a_sentence(name: str) -> None:
    convention = convention_of(name)
    counted = {layer.op_class for layer in convention.count(GRAPH).layers if layer.value - layer.bias}
    assert counted <= convention.rules.keys() | {"other"}
