import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.report.grouping import group_kernels
from estimator.result import Bound, KernelEstimate
from tests.report.estimates import kernel, kernels


def test_kernels_of_one_class_bound_and_size_are_one_group_named_after_the_first():
    (group,) = group_kernels([kernel("a"), kernel("b"), kernel("c")])
    assert (group.name, group.label, group.count) == ("a", "conv_dense ×3", 3)
    assert group.time_s == pytest.approx(3 * 1e-3)
    assert group.share == pytest.approx(3 * 0.25)
    assert group.flops == 1_000_000  # of one, not of three


@pytest.mark.parametrize(
    "change",
    [{"kernel_class": "matmul"}, {"bound": Bound.OVERHEAD}, {"flops": 1_000_001}, {"bytes_moved": 10_001}],
)
def test_kernels_that_differ_in_class_bound_or_size_stay_apart(change: dict[str, object]):
    assert len(group_kernels([kernel(), kernel(**change)])) == 2  # type: ignore[arg-type]


def test_utilisation_of_a_group_is_weighted_by_time():
    (group,) = group_kernels([kernel(time_s=1.0, utilisation=0.2), kernel(time_s=3.0, utilisation=0.6)])
    assert group.utilisation == pytest.approx((1 * 0.2 + 3 * 0.6) / 4)


@given(st.lists(kernels(), max_size=8))
def test_grouping_loses_neither_time_nor_kernels_and_sorts_by_time(made: list[KernelEstimate]):
    groups = group_kernels(made)
    assert sum(group.count for group in groups) == len(made)
    assert sum(group.time_s for group in groups) == pytest.approx(sum(k.time_s for k in made))
    assert [group.time_s for group in groups] == sorted((group.time_s for group in groups), reverse=True)
