import pytest

from estimator.dtypes import DType
from estimator.errors import BadOptionError
from estimator.ir.graph import Graph
from estimator.ir.op import FunctionAttrs, Op, OpKind
from estimator.ir.tensor import TensorRole, TensorSpec
from estimator.report.explanation import explain_kernel, find_kernel
from tests.report.estimates import estimate, kernel


def relu_graph() -> Graph:
    tensors = {
        "x": TensorSpec("x", (1, 8), DType.F32, TensorRole.INPUT),
        "y": TensorSpec("y", (1, 8), DType.F32),
    }
    op = Op("act", OpKind.ACTIVATION, ("x",), ("y",), FunctionAttrs("relu"))
    return Graph("m", tensors, ("x",), ("y",), (op,))


MADE = estimate(
    peak_flops_per_s=1e12,
    peak_bandwidth_bytes_per_s=1e9,
    kernels=(kernel("first"), kernel("second", ops=("act",), flops=4_000_000, bytes_moved=2_000, scope="head.act")),
)


@pytest.mark.parametrize("wanted", ["second", "act", "head.act", "#1"])
def test_a_kernel_is_found_by_name_op_module_or_place(wanted: str):
    assert find_kernel(MADE, wanted).name == "second"


def test_a_class_stands_for_its_slowest_kernel():
    made = estimate(kernels=(kernel("first"), kernel("slow", time_s=2e-3), kernel("pool", kernel_class="pool")))
    assert find_kernel(made, "conv_dense").name == "slow"


def test_an_unknown_kernel_lists_near_ones():
    with pytest.raises(BadOptionError, match="second") as raised:
        find_kernel(MADE, "secnd")
    assert raised.value.exit_code == 2


def test_the_explanation_shows_the_division_and_the_op_with_its_shapes():
    text = explain_kernel(MADE, "second", relu_graph())
    assert "4.00 M ÷ 1.00 TOP/s = 4.00 µs" in text  # 4e6 ÷ 1e12
    assert "2.00 kB ÷ 1.00 GB/s = 2.00 µs" in text  # 2e3 ÷ 1e9
    assert "act: activation(f32[1,8]) → f32[1,8]" in text
    assert "estimator-cli devices show sd865" in text
