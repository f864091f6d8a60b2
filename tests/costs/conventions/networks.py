"""A small network written by hand, as a recorder would: a convolution with bias, norm, ReLU, pools and a head."""

from __future__ import annotations

from estimator.dtypes import DType
from estimator.ir.graph import Graph, ModuleCall, ModuleSpec
from estimator.ir.op import (
    AdaptivePoolAttrs,
    Attrs,
    ConvAttrs,
    FunctionAttrs,
    NoAttrs,
    NormAttrs,
    Op,
    OpKind,
    PoolAttrs,
)
from estimator.ir.tensor import Shape, TensorRole, TensorSpec

CONV_OUT = 2 * 4 * 8 * 8
"""x[2, 3, 8, 8] through a 3 × 3 convolution to 4 channels."""
CONV_MACS = CONV_OUT * 3 * 3 * 3
POOL_OUT = 2 * 4 * 4 * 4
HEAD_MACS = 2 * 5 * 4
PARAMS = (4 * 3 * 9 + 4) + (4 + 4) + (5 * 4 + 5)


def small_cnn(*, with_modules: bool = True) -> Graph:
    """conv (bias) → bn → relu → max pool 2 → adaptive average pool 1 → flatten → fc (bias) → add."""
    net = _Net()
    net.tensor("x", (2, 3, 8, 8), TensorRole.INPUT)
    for name, shape in (
        ("conv.weight", (4, 3, 3, 3)), ("conv.bias", (4,)), ("bn.weight", (4,)), ("bn.bias", (4,)),
        ("fc.weight", (5, 4)), ("fc.bias", (5,)),
    ):  # fmt: skip
        net.tensor(name, shape, TensorRole.PARAMETER)
    for name in ("bn.running_mean", "bn.running_var"):
        net.tensor(name, (4,), TensorRole.BUFFER)
    wide, conv = (2, 4, 8, 8), ConvAttrs((3, 3), (1, 1), (1, 1), (1, 1))
    net.layer("conv", "conv.Conv2d", OpKind.CONV, "conv2d", ("x", "conv.weight", "conv.bias"), wide, conv)
    statistics = ("bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")
    net.layer("bn", "batchnorm.BatchNorm2d", OpKind.NORM, "batch_norm", ("conv", *statistics), wide, NormAttrs("batch"))
    net.layer("relu", "activation.ReLU", OpKind.ACTIVATION, "relu", ("bn",), wide, FunctionAttrs("relu"))
    window = PoolAttrs("max", (2, 2), (2, 2), (0, 0))
    net.layer("pool", "pooling.MaxPool2d", OpKind.POOL, "max_pool2d", ("relu",), (2, 4, 4, 4), window)
    whole = AdaptivePoolAttrs("avg", (1, 1))
    net.layer(
        "gap", "pooling.AdaptiveAvgPool2d", OpKind.ADAPTIVE_POOL, "adaptive_avg_pool2d", ("pool",), (2, 4, 1, 1), whole
    )
    net.op("flat", OpKind.VIEW, "flatten", ("gap",), (2, 4), FunctionAttrs("flatten"))
    net.layer("fc", "linear.Linear", OpKind.LINEAR, "linear", ("flat", "fc.weight", "fc.bias"), (2, 5))
    net.op("sum", OpKind.BINARY, "add", ("fc", "fc"), (2, 5), FunctionAttrs("add"))
    return net.graph(with_modules)


class _Net:
    def __init__(self) -> None:
        self.tensors: dict[str, TensorSpec] = {}
        self.ops: list[Op] = []
        self.modules: list[ModuleSpec] = [ModuleSpec("", "tests.SmallCnn")]
        self.calls: list[ModuleCall] = []

    def tensor(self, name: str, shape: Shape, role: TensorRole = TensorRole.ACTIVATION) -> None:
        self.tensors[name] = TensorSpec(name, shape, DType.F32, role)

    def op(
        self, name: str, kind: OpKind, aten: str, inputs: tuple[str, ...], shape: Shape,
        attrs: Attrs = NoAttrs(), scope: str = "",  # noqa: B008  (frozen, without state)
    ) -> None:  # fmt: skip
        self.tensor(name, shape)
        self.ops.append(Op(name, kind, inputs, (name,), attrs, scope, f"aten.{aten}.default"))

    def layer(
        self, path: str, type_name: str, kind: OpKind, aten: str, inputs: tuple[str, ...], shape: Shape,
        attrs: Attrs = NoAttrs(),  # noqa: B008  (frozen, without state)
    ) -> None:  # fmt: skip
        self.op(path, kind, aten, inputs, shape, attrs, path)
        weights = tuple(name for name in inputs if self.tensors[name].role is TensorRole.PARAMETER)
        buffers = tuple(name for name in inputs if self.tensors[name].role is TensorRole.BUFFER)
        self.modules.append(ModuleSpec(path, f"torch.nn.modules.{type_name}", weights, buffers))
        self.calls.append(ModuleCall(path, inputs[:1], (path,)))

    def graph(self, with_modules: bool) -> Graph:
        calls = (*self.calls, ModuleCall("", ("x",), ("sum",)))
        return Graph(
            "small_cnn", self.tensors, ("x",), ("sum",), tuple(self.ops),
            modules=tuple(self.modules) if with_modules else (), module_calls=calls if with_modules else (),
        )  # fmt: skip
