from __future__ import annotations

import pytest

from estimator.costs.conventions import count_training
from estimator.costs.training import Optimiser, gradient_tensors, optimiser_cost, training_cost
from estimator.dtypes import DType
from estimator.errors import BadOptionError
from estimator.ir.graph import Graph
from estimator.ir.op import FunctionAttrs, Op, OpKind
from estimator.ir.tensor import TensorRole, TensorSpec
from tests.costs.conventions.networks import CONV_MACS, CONV_OUT, HEAD_MACS, PARAMS, small_cnn


def test_the_first_layer_needs_no_gradient_of_its_input() -> None:
    found = training_cost(small_cnn())
    assert found.forward.macs == CONV_MACS + HEAD_MACS
    assert found.backward.macs == CONV_MACS + 2 * HEAD_MACS  # weights; weights and input


def test_gradients_flow_downstream_of_parameters_and_upstream_of_outputs() -> None:
    wanted = gradient_tensors(small_cnn())
    assert {"conv", "bn", "relu", "flat", "sum", "conv.weight", "fc.bias"} <= wanted
    assert not wanted & {"x", "bn.running_mean", "bn.running_var"}


def test_nothing_flows_back_through_a_detach() -> None:
    tensors = {
        "x": TensorSpec("x", (2, 3), DType.F32, TensorRole.INPUT),
        "w": TensorSpec("w", (3, 3), DType.F32, TensorRole.PARAMETER),
        "y": TensorSpec("y", (2, 3), DType.F32),
        "z": TensorSpec("z", (2, 3), DType.F32),
    }
    ops = (
        Op("y", OpKind.LINEAR, ("x", "w"), ("y",)),
        Op("z", OpKind.IDENTITY, ("y",), ("z",), FunctionAttrs("detach")),
    )
    found = training_cost(Graph("stopped", tensors, ("x",), ("z",), ops))
    assert found.backward.macs == 0


def test_training_mode_batch_norm_computes_its_statistics() -> None:
    graph = small_cnn()
    forward = {op.name: step.forward for op, step in zip(graph.ops, training_cost(graph).per_op, strict=True) if step}
    assert forward["bn"].other_flops == 7 * CONV_OUT


@pytest.mark.parametrize(
    ("optimiser", "flops", "words"), [(Optimiser.SGD, 2, 3), (Optimiser.MOMENTUM, 4, 5), (Optimiser.ADAMW, 15, 7)]
)
def test_an_optimiser_touches_every_parameter_once(optimiser: Optimiser, flops: int, words: int) -> None:
    found = optimiser_cost(small_cnn(), optimiser)
    assert found.other_flops == flops * PARAMS
    assert found.bytes_moved == words * 4 * PARAMS  # weight, gradient and state read; weight and state written


def test_a_step_is_forward_backward_and_optimiser() -> None:
    found = training_cost(small_cnn(), Optimiser.SGD)
    made = count_training(small_cnn(), "native", Optimiser.SGD)
    assert found.total == found.forward + found.backward + found.optimiser
    assert made.total == found.total.flops
    assert made.layers[-1].name == "optimiser"


def test_torch_counts_products_of_both_passes() -> None:
    assert count_training(small_cnn(), "torch").total == 2 * (2 * CONV_MACS + 3 * HEAD_MACS)


def test_tools_that_count_a_forward_pass_only_are_refused() -> None:
    with pytest.raises(BadOptionError, match="counts a forward pass only"):
        count_training(small_cnn(), "thop")


def test_the_activations_kept_for_the_backward_pass_are_counted_once() -> None:
    kept = training_cost(small_cnn()).saved_bytes
    image, wide, pooled = 2 * 3 * 8 * 8, 3 * CONV_OUT, 2 * 4 * 4 * 4
    head_input, head_output = 2 * 4, 2 * 5
    assert kept == 4 * (image + wide + pooled + head_input + head_output)
