from __future__ import annotations

import pytest

from estimator.dtypes import DType
from estimator.ir.op import (
    AdaptivePoolAttrs,
    AttentionAttrs,
    AxisAttrs,
    ConvAttrs,
    CopyAttrs,
    EinsumAttrs,
    FunctionAttrs,
    MatmulAttrs,
    NormAttrs,
    OpKind,
    PoolAttrs,
    ReduceAttrs,
    ResizeAttrs,
    RnnAttrs,
    SoftmaxAttrs,
)
from tests.costs.one_op import cost


def conv(kernel: int, *, groups: int = 1, transposed: bool = False) -> ConvAttrs:
    return ConvAttrs((kernel, kernel), (1, 1), (kernel // 2,) * 2, (1, 1), groups, transposed)


# ---------------------------------------------------------------- products
def test_conv2d_counts_macs_once_per_output_and_tap() -> None:
    found = cost(OpKind.CONV, {"x": (2, 3, 8, 8), "w": (4, 3, 3, 3)}, (2, 4, 8, 8), conv(3), dtype=DType.F16)
    assert found.macs == (2 * 4 * 8 * 8) * (3 * 3 * 3)  # outputs × taps
    assert found.other_flops == 0
    assert found.bytes_read == 2 * (2 * 3 * 8 * 8 + 4 * 3 * 3 * 3)  # x + w
    assert found.bytes_written == 2 * (2 * 4 * 8 * 8)
    assert found.params == 4 * 3 * 3 * 3


def test_a_conv_bias_is_one_addition_per_output() -> None:
    found = cost(OpKind.CONV, {"x": (1, 3, 8, 8), "w": (4, 3, 1, 1), "b": (4,)}, (1, 4, 8, 8), conv(1))
    assert found.flops == 2 * (4 * 8 * 8 * 3) + 4 * 8 * 8


def test_a_depthwise_conv_meets_only_its_own_channel() -> None:
    found = cost(OpKind.CONV, {"x": (1, 6, 8, 8), "w": (6, 1, 3, 3)}, (1, 6, 8, 8), conv(3, groups=6))
    assert found.macs == (6 * 8 * 8) * (3 * 3)


def test_a_transposed_conv_counts_once_per_input_and_tap() -> None:
    found = cost(
        OpKind.CONV, {"x": (1, 8, 5, 5), "w": (8, 3, 2, 2)}, (1, 6, 10, 10), conv(2, groups=2, transposed=True)
    )
    assert found.macs == (8 * 5 * 5) * (3 * 2 * 2)  # each input reaches co/g filters of 2 × 2


def test_a_channels_last_conv_costs_the_same() -> None:
    first = cost(OpKind.CONV, {"x": (1, 3, 8, 8), "w": (4, 3, 3, 3)}, (1, 4, 8, 8), conv(3))
    last = cost(
        OpKind.CONV, {"x": (1, 8, 8, 3), "w": (4, 3, 3, 3)}, (1, 8, 8, 4),
        ConvAttrs((3, 3), (1, 1), (1, 1), (1, 1), channels_last=True),
    )  # fmt: skip
    assert first == last


def test_a_deformable_conv_adds_the_sampling_of_every_tap() -> None:
    shapes = {"x": (1, 2, 4, 4), "w": (3, 2, 3, 3), "offset": (1, 18, 4, 4), "mask": (1, 9, 4, 4), "b": (3,)}
    found = cost(OpKind.DEFORM_CONV, shapes, (1, 3, 4, 4), conv(3))
    assert found.macs == (3 * 4 * 4) * (2 * 3 * 3)
    assert found.other_flops == (4 * 4 * 2 * 3 * 3) * (7 + 1) + 3 * 4 * 4  # bilinear, mask; bias


def test_linear_counts_k_macs_per_output() -> None:
    found = cost(OpKind.LINEAR, {"x": (2, 5, 8), "w": (3, 8), "b": (3,)}, (2, 5, 3))
    assert found.macs == (2 * 5 * 3) * 8
    assert found.other_flops == 2 * 5 * 3


@pytest.mark.parametrize(
    ("a", "b", "out", "k"),
    [
        ((4, 5), (5, 6), (4, 6), 5),
        ((2, 3, 4, 5), (2, 3, 5, 6), (2, 3, 4, 6), 5),
        ((7, 4, 5), (5, 6), (7, 4, 6), 5),
        ((5,), (5, 6), (6,), 5),
        ((4, 5), (5,), (4,), 5),
        ((5,), (5,), (), 5),
    ],
)
def test_a_matmul_counts_k_macs_per_output(
    a: tuple[int, ...], b: tuple[int, ...], out: tuple[int, ...], k: int
) -> None:
    outputs = 1
    for extent in out:
        outputs *= extent
    assert cost(OpKind.MATMUL, {"a": a, "c": b}, out, MatmulAttrs()).macs == outputs * k


def test_a_matmul_operand_stored_transposed_counts_the_same() -> None:
    found = cost(OpKind.MATMUL, {"a": (5, 4), "c": (5, 6)}, (4, 6), MatmulAttrs(transpose_a=True))
    assert found.macs == (4 * 6) * 5


def test_a_matmul_addend_is_one_addition_per_output() -> None:
    assert cost(OpKind.MATMUL, {"a": (4, 5), "c": (5, 6), "d": (6,)}, (4, 6), MatmulAttrs()).other_flops == 4 * 6


def test_an_einsum_with_a_summed_index_counts_macs() -> None:
    found = cost(OpKind.EINSUM, {"a": (2, 3, 4), "c": (2, 5, 4)}, (2, 3, 5), EinsumAttrs("abc,adc->abd"))
    assert (found.macs, found.other_flops) == (2 * 3 * 5 * 4, 0)


def test_an_einsum_without_a_summed_index_counts_products_only() -> None:
    found = cost(OpKind.EINSUM, {"a": (3,), "c": (4,)}, (3, 4), EinsumAttrs("a,b->ab"))
    assert (found.macs, found.other_flops) == (0, 3 * 4)


def test_an_einsum_of_three_operands_is_contracted_from_the_left() -> None:
    shapes = {"a": (2, 3), "c": (3, 4), "d": (4, 5)}
    found = cost(OpKind.EINSUM, shapes, (2, 5), EinsumAttrs("ab,bc,cd->ad"))
    assert found.macs == 2 * 3 * 4 + 2 * 4 * 5


def test_an_einsum_ellipsis_stands_for_the_axes_it_hides() -> None:
    found = cost(OpKind.EINSUM, {"a": (6, 7, 2, 3), "c": (6, 7, 3, 4)}, (6, 7, 2, 4), EinsumAttrs("...ab,...bc->...ac"))
    assert found.macs == 6 * 7 * (2 * 3 * 4)


def test_attention_counts_both_products_and_the_softmax_of_every_score() -> None:
    shapes = {"q": (2, 4, 6, 8), "k": (2, 4, 10, 8), "v": (2, 4, 10, 16), "mask": (6, 10)}
    found = cost(OpKind.ATTENTION, shapes, (2, 4, 6, 16), AttentionAttrs())
    scores = 2 * 4 * 6 * 10
    assert found.macs == scores * (8 + 16)
    assert found.other_flops == scores * (1 + 5 + 1)  # scale, softmax, mask
    assert found.bytes_read == 4 * (2 * 4 * 6 * 8 + 2 * 4 * 10 * 8 + 2 * 4 * 10 * 16 + 6 * 10)  # no score matrix


def test_grouped_query_attention_counts_query_heads() -> None:
    shapes = {"q": (1, 8, 3, 4), "k": (1, 2, 5, 4), "v": (1, 2, 5, 4)}
    assert cost(OpKind.ATTENTION, shapes, (1, 8, 3, 4), AttentionAttrs(grouped_query=True)).macs == 8 * 3 * 5 * (4 + 4)


def test_a_bidirectional_lstm_counts_every_layer_with_its_own_input_width() -> None:
    attrs = RnnAttrs("lstm", hidden_size=5, layers=2, bidirectional=True)
    found = cost(OpKind.RNN, {"x": (7, 3, 4)}, (7, 3, 10), attrs)
    first, second = 4 * 5 * (4 + 5), 4 * 5 * (10 + 5)
    assert found.macs == (7 * 3) * 2 * (first + second)
    gates = 4 * 5 * 3 + 5 * 9  # two biases and the sum of both products; cell
    assert found.other_flops == (7 * 3) * 2 * 2 * gates


def test_a_gru_has_three_gates_and_a_plain_rnn_one() -> None:
    gru = cost(OpKind.RNN, {"x": (7, 3, 4)}, (7, 3, 5), RnnAttrs("gru", 5))
    rnn = cost(OpKind.RNN, {"x": (7, 3, 4)}, (7, 3, 5), RnnAttrs("rnn_tanh", 5))
    assert gru.macs == 3 * rnn.macs == 3 * (7 * 3) * 5 * (4 + 5)


def test_an_lstm_projection_narrows_the_state_and_costs_its_own_product() -> None:
    found = cost(OpKind.RNN, {"x": (7, 3, 4)}, (7, 3, 2), RnnAttrs("lstm", 5, projection_size=2))
    assert found.macs == (7 * 3) * (4 * 5 * (4 + 2) + 5 * 2)


# ---------------------------------------------------------------- normalisation, elementwise
@pytest.mark.parametrize(
    ("function", "affine", "per_element"),
    [
        ("layer", True, 7), ("layer", False, 5), ("group", True, 7), ("instance", False, 5), ("rms", True, 4),
        ("rms", False, 3),
    ],
)  # fmt: skip
def test_norms_cost_so_much_per_element(function: str, affine: bool, per_element: int) -> None:
    found = cost(OpKind.NORM, {"x": (2, 6, 4)}, (2, 6, 4), NormAttrs(function, affine))
    assert found.flops == (2 * 6 * 4) * per_element


def test_batch_norm_with_stored_statistics_is_two_operations_and_without_them_as_instance_norm() -> None:
    stored = {"x": (2, 6, 4, 4), "scale": (6,), "shift": (6,), "mean": (6,), "var": (6,)}
    fresh = {"x": (2, 6, 4, 4), "scale": (6,), "shift": (6,)}
    assert cost(OpKind.NORM, stored, (2, 6, 4, 4), NormAttrs("batch")).flops == 2 * (2 * 6 * 4 * 4)
    assert cost(OpKind.NORM, fresh, (2, 6, 4, 4), NormAttrs("batch")).flops == 7 * (2 * 6 * 4 * 4)


def test_softmax_costs_five_per_element() -> None:
    assert cost(OpKind.SOFTMAX, {"x": (3, 7)}, (3, 7), SoftmaxAttrs(1)).flops == 5 * 3 * 7


@pytest.mark.parametrize(
    ("function", "per_element"),
    [("relu", 1), ("relu6", 2), ("sigmoid", 4), ("silu", 5), ("gelu", 5), ("never_heard", 1)],
)
def test_activations_cost_so_much_per_element(function: str, per_element: int) -> None:
    found = cost(OpKind.ACTIVATION, {"x": (3, 7)}, (3, 7), FunctionAttrs(function))
    assert found.flops == per_element * 3 * 7
    assert found.bytes_moved == 2 * 4 * 3 * 7


def test_a_broadcast_addition_is_one_per_output_and_reads_the_small_operand_small() -> None:
    found = cost(OpKind.BINARY, {"x": (2, 3, 4), "c": (4,)}, (2, 3, 4), FunctionAttrs("add"))
    assert found.flops == 2 * 3 * 4
    assert found.bytes_read == 4 * (2 * 3 * 4 + 4)


def test_a_cast_moves_bytes_and_computes_nothing() -> None:
    found = cost(OpKind.CAST, {"x": (10,)}, (10,), dtype=DType.F16)
    assert (found.flops, found.bytes_moved) == (0, 2 * 2 * 10)


# ---------------------------------------------------------------- reductions and windows
@pytest.mark.parametrize(("function", "flops"), [("sum", 24 - 6), ("mean", 24), ("max", 24 - 6), ("var", 4 * 24)])
def test_reductions_fold_every_input_into_an_output(function: str, flops: int) -> None:
    assert cost(OpKind.REDUCE, {"x": (6, 4)}, (6,), ReduceAttrs(function, (1,))).flops == flops


def test_a_sort_compares_log_n_times_per_element() -> None:
    assert cost(OpKind.SORT, {"x": (3, 8)}, (3, 8), FunctionAttrs("sort")).flops == 3 * 8 * 3


def test_max_pool_compares_and_average_pool_adds_and_divides() -> None:
    window = {"kernel": (3, 3), "stride": (2, 2), "padding": (1, 1)}
    assert cost(OpKind.POOL, {"x": (1, 4, 8, 8)}, (1, 4, 4, 4), PoolAttrs("max", **window)).flops == (4 * 4 * 4) * 8
    assert cost(OpKind.POOL, {"x": (1, 4, 8, 8)}, (1, 4, 4, 4), PoolAttrs("avg", **window)).flops == (4 * 4 * 4) * 9


def test_adaptive_average_pool_touches_every_input_once() -> None:
    found = cost(OpKind.ADAPTIVE_POOL, {"x": (1, 4, 7, 7)}, (1, 4, 1, 1), AdaptivePoolAttrs("avg", (1, 1)))
    assert found.flops == 4 * 7 * 7


@pytest.mark.parametrize(("mode", "per_output"), [("nearest", 0), ("bilinear", 7), ("bicubic", 31)])
def test_resizing_costs_so_much_per_output(mode: str, per_output: int) -> None:
    assert cost(OpKind.RESIZE, {"x": (1, 2, 4, 4)}, (1, 2, 8, 8), ResizeAttrs(mode)).flops == per_output * 2 * 8 * 8


def test_an_fft_costs_five_n_log_n() -> None:
    assert cost(OpKind.FFT, {"x": (3, 16)}, (3, 16), FunctionAttrs("fft"), dtype=DType.C64).flops == 5 * 3 * 16 * 4


def test_nms_compares_every_pair_of_boxes() -> None:
    assert cost(OpKind.NMS, {"boxes": (10, 4), "scores": (10,)}, (5,)).flops == 13 * (10 * 9 // 2)


# ---------------------------------------------------------------- movement
def test_an_embedding_reads_the_rows_it_needs_and_not_the_table() -> None:
    found = cost(OpKind.EMBEDDING, {"table": (50_000, 8), "ids": (3,)}, (3, 8))
    assert found.flops == 0
    assert found.bytes_read == 4 * (3 * 8 + 3)
    assert found.params == 50_000 * 8


def test_a_gather_reads_what_it_writes_and_the_indices() -> None:
    found = cost(OpKind.GATHER, {"x": (1000,), "index": (5,)}, (5,), FunctionAttrs("index"))
    assert (found.bytes_read, found.bytes_written) == (4 * (5 + 5), 4 * 5)


def test_a_scatter_in_place_touches_only_the_updates() -> None:
    shapes = {"x": (1000,), "index": (5,), "updates": (5,)}
    here = cost(OpKind.SCATTER, shapes, (1000,), FunctionAttrs("index_put"), in_place=True)
    copied = cost(OpKind.SCATTER, shapes, (1000,), FunctionAttrs("scatter_add"))
    assert (here.flops, here.bytes_moved) == (0, 4 * (5 + 5 + 5))
    assert (copied.flops, copied.bytes_moved) == (5, 4 * (1000 + 5 + 5 + 1000))


def test_concat_reads_and_writes_everything_once() -> None:
    found = cost(OpKind.CONCAT, {"x": (2, 3), "y": (4, 3)}, (6, 3), AxisAttrs(0))
    assert (found.flops, found.bytes_moved) == (0, 2 * 4 * 6 * 3)


def test_a_repeat_reads_its_input_once_and_a_slice_no_more_than_it_writes() -> None:
    repeat = cost(OpKind.COPY, {"x": (2,)}, (8,), CopyAttrs("repeat"))
    narrow = cost(OpKind.COPY, {"x": (8,)}, (2,), CopyAttrs("contiguous"))
    assert (repeat.bytes_read, repeat.bytes_written) == (4 * 2, 4 * 8)
    assert (narrow.bytes_read, narrow.bytes_written) == (4 * 2, 4 * 2)


@pytest.mark.parametrize("kind", [OpKind.VIEW, OpKind.IDENTITY, OpKind.SHAPE])
def test_metadata_moves_nothing(kind: OpKind) -> None:
    found = cost(kind, {"x": (8,)}, (8,), FunctionAttrs("view"))
    assert (found.flops, found.bytes_moved) == (0, 0)
