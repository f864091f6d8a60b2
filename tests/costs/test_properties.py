from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from estimator.ir.op import AttentionAttrs, ConvAttrs, EinsumAttrs, MatmulAttrs, OpKind
from tests.costs.one_op import cost

small = st.integers(1, 6)


@given(small, small, small, small, st.sampled_from([1, 3, 5]), small)
def test_a_conv_is_linear_in_the_batch(n: int, ci: int, co: int, size: int, kernel: int, times: int) -> None:
    def found(batch: int) -> int:
        attrs = ConvAttrs((kernel,) * 2, (1, 1), (kernel // 2,) * 2, (1, 1))
        shapes = {"x": (batch, ci, size, size), "w": (co, ci, kernel, kernel)}
        return cost(OpKind.CONV, shapes, (batch, co, size, size), attrs).macs

    assert found(n * times) == times * found(n)


@given(small, small, small, st.integers(1, 4))
def test_groups_divide_the_macs_of_a_conv(ci: int, co: int, size: int, groups: int) -> None:
    def found(g: int) -> int:
        attrs = ConvAttrs((3, 3), (1, 1), (1, 1), (1, 1), g)
        shapes = {"x": (1, ci * groups, size, size), "w": (co * groups, ci * groups // g, 3, 3)}
        return cost(OpKind.CONV, shapes, (1, co * groups, size, size), attrs).macs

    assert found(1) == groups * found(groups)


@given(small, small, small, small)
def test_linear_matmul_einsum_and_a_1x1_conv_agree_on_the_same_product(batch: int, m: int, k: int, n: int) -> None:
    linear = cost(OpKind.LINEAR, {"x": (batch, m, k), "w": (n, k)}, (batch, m, n))
    matmul = cost(OpKind.MATMUL, {"a": (batch, m, k), "c": (k, n)}, (batch, m, n), MatmulAttrs())
    einsum = cost(OpKind.EINSUM, {"a": (batch, m, k), "c": (k, n)}, (batch, m, n), EinsumAttrs("abc,cd->abd"))
    conv = cost(
        OpKind.CONV, {"x": (batch, k, m, 1), "w": (n, k, 1, 1)}, (batch, n, m, 1),
        ConvAttrs((1, 1), (1, 1), (0, 0), (1, 1)),
    )  # fmt: skip
    assert linear.macs == matmul.macs == einsum.macs == conv.macs == batch * m * k * n


@given(small, small, small, small, small, small)
def test_attention_is_its_two_products(b: int, h: int, m: int, n: int, d: int, dv: int) -> None:
    whole = cost(
        OpKind.ATTENTION, {"q": (b, h, m, d), "k": (b, h, n, d), "v": (b, h, n, dv)}, (b, h, m, dv), AttentionAttrs()
    )
    scores = cost(OpKind.MATMUL, {"a": (b, h, m, d), "c": (b, h, d, n)}, (b, h, m, n), MatmulAttrs())
    values = cost(OpKind.MATMUL, {"a": (b, h, m, n), "c": (b, h, n, dv)}, (b, h, m, dv), MatmulAttrs())
    assert whole.macs == scores.macs + values.macs
    assert whole.bytes_moved <= scores.bytes_moved + values.bytes_moved  # the scores stay on chip


@given(st.lists(small, min_size=1, max_size=3), st.lists(small, min_size=1, max_size=3))
def test_costs_add_field_by_field(first: list[int], second: list[int]) -> None:
    a = cost(OpKind.LINEAR, {"x": (*first, 2), "w": (3, 2)}, (*first, 3))
    b = cost(OpKind.LINEAR, {"x": (*second, 2), "w": (3, 2)}, (*second, 3))
    both = a + b
    assert both.macs == a.macs + b.macs
    assert both.flops == a.flops + b.flops
    assert both.bytes_moved == a.bytes_moved + b.bytes_moved
