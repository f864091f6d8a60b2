"""Building blocks of mobile search spaces as graphs: what one row of a latency table times.

Spatial kernels are padded by half, as in the networks that these spaces come from.
Source: Sandler et al. (2018), MobileNetV2, arXiv:1801.04381; Howard et al. (2019), MobileNetV3, arXiv:1905.02244.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from estimator.dtypes import DType
from estimator.ir.graph import Graph
from estimator.ir.op import AdaptivePoolAttrs, Attrs, ConvAttrs, FunctionAttrs, NoAttrs, NormAttrs, Op, OpKind
from estimator.ir.tensor import Shape, TensorRole, TensorSpec

SE_REDUCTION = 4
CHANNEL_DIVISOR = 8


@dataclass(frozen=True, slots=True)
class Extent:
    """Height, width and channels of a feature map."""

    height: int
    width: int
    channels: int

    def after(self, channels: int, stride: int) -> Extent:
        """Size of the map after a half-padded window of this stride."""
        return Extent(-(-self.height // stride), -(-self.width // stride), channels)

    def __str__(self) -> str:
        return f"{self.height}x{self.width}x{self.channels}"


@dataclass(frozen=True, slots=True)
class MobileBlock:
    """An inverted bottleneck: expand, depthwise, (squeeze-excite), project, (add the input).

    Attributes
    ----------
    mid_channels : int
        Between the two pointwise convolutions; equal to the input's channels: there is no first one.
    activation : str
        ``relu``, ``relu6`` or ``hardswish``.
    """

    source: Extent
    target: Extent
    mid_channels: int
    kernel: int
    stride: int
    activation: str
    squeeze_excite: bool
    skip: bool

    def graph(self, batch: int = 1) -> Graph:
        """Ops of the block over an input [batch, channels, height, width]."""
        sketch = _BlockSketch(batch)
        x = start = sketch.input(self.source)
        if self.mid_channels != self.source.channels:
            x = sketch.conv_norm("expand", x, self.mid_channels, 1, 1, 1, self.activation)
        x = sketch.conv_norm(
            "depthwise", x, self.mid_channels, self.kernel, self.stride, self.mid_channels, self.activation
        )
        if self.squeeze_excite:
            x = sketch.squeeze_excite(x)
        x = sketch.conv_norm("project", x, self.target.channels, 1, 1, 1, None)
        if self.skip:
            x = sketch.binary("add", (start, x), sketch.shape(x), "skip")
        return sketch.done(f"mobile-{self.source}-{self.target}", x)


@dataclass(frozen=True, slots=True)
class ConvBlock:
    """Convolution, batch norm (left out over pooled features), activation."""

    source: Extent
    target: Extent
    kernel: int
    stride: int
    activation: str
    normalised: bool = True

    def graph(self, batch: int = 1) -> Graph:
        """Ops of the block over an input [batch, channels, height, width]."""
        sketch = _BlockSketch(batch)
        x = sketch.input(self.source)
        window = self.target.channels, self.kernel, self.stride, 1
        if self.normalised:
            x = sketch.conv_norm("conv", x, *window, self.activation)
        else:
            x = sketch.conv("conv", x, *window, bias=False)
            x = sketch.activation(self.activation, x, "conv.activation")
        return sketch.done(f"conv-{self.source}-{self.target}", x)


@dataclass(frozen=True, slots=True)
class Classifier:
    """(Global average pooling and) the linear layer."""

    source: Extent
    classes: int

    def graph(self, batch: int = 1) -> Graph:
        """Ops of the block over an input [batch, channels, height, width]."""
        sketch = _BlockSketch(batch)
        x = sketch.input(self.source)
        if (self.source.height, self.source.width) != (1, 1):
            x = sketch.global_pool(x)
        flat = (batch, self.source.channels)
        x = sketch.emit(OpKind.VIEW, (x,), "features", flat, FunctionAttrs("flatten"))
        weight = sketch.weight("classifier.weight", (self.classes, self.source.channels))
        bias = sketch.weight("classifier.bias", (self.classes,))
        x = sketch.emit(OpKind.LINEAR, (x, weight, bias), "classifier", (batch, self.classes), NoAttrs())
        return sketch.done(f"classifier-{self.source}", x)


@dataclass(frozen=True, slots=True)
class Pool:
    """Global average pooling."""

    source: Extent

    def graph(self, batch: int = 1) -> Graph:
        """Ops of the block over an input [batch, channels, height, width]."""
        sketch = _BlockSketch(batch)
        return sketch.done(f"pool-{self.source}", sketch.global_pool(sketch.input(self.source)))


Block = MobileBlock | ConvBlock | Pool | Classifier


@dataclass(slots=True)
class _BlockSketch:
    """A graph being drawn; tensors and the ops that write them share their names."""

    batch: int
    ops: list[Op] = field(default_factory=list)
    tensors: dict[str, TensorSpec] = field(default_factory=dict)

    def input(self, extent: Extent) -> str:
        shape = (self.batch, extent.channels, extent.height, extent.width)
        self.tensors["input"] = TensorSpec("input", shape, DType.F32, TensorRole.INPUT)
        return "input"

    def weight(self, name: str, shape: Shape, role: TensorRole = TensorRole.PARAMETER) -> str:
        self.tensors[name] = TensorSpec(name, shape, DType.F32, role)
        return name

    def shape(self, name: str) -> Shape:
        return self.tensors[name].shape

    def emit(self, kind: OpKind, inputs: tuple[str, ...], name: str, shape: Shape, attrs: Attrs) -> str:
        self.tensors[name] = TensorSpec(name, shape, DType.F32)
        self.ops.append(Op(name, kind, inputs, (name,), attrs, name))
        return name

    def binary(self, function: str, inputs: tuple[str, ...], shape: Shape, name: str) -> str:
        return self.emit(OpKind.BINARY, inputs, name, shape, FunctionAttrs(function))

    def activation(self, function: str, x: str, name: str) -> str:
        return self.emit(OpKind.ACTIVATION, (x,), name, self.shape(x), FunctionAttrs(function))

    def conv(self, name: str, x: str, channels: int, kernel: int, stride: int, groups: int, *, bias: bool) -> str:
        batch, channels_in, height, width = self.shape(x)
        weights = [self.weight(f"{name}.weight", (channels, channels_in // groups, kernel, kernel))]
        if bias:
            weights.append(self.weight(f"{name}.bias", (channels,)))
        shape = (batch, channels, -(-height // stride), -(-width // stride))
        window = (kernel, kernel), (stride, stride), (kernel // 2, kernel // 2)
        return self.emit(OpKind.CONV, (x, *weights), name, shape, ConvAttrs(*window, (1, 1), groups))

    def conv_norm(
        self, name: str, x: str, channels: int, kernel: int, stride: int, groups: int, function: str | None
    ) -> str:
        x = self.conv(name, x, channels, kernel, stride, groups, bias=False)
        learned = [self.weight(f"{name}.norm.{part}", (channels,)) for part in ("weight", "bias")]
        running = [self.weight(f"{name}.norm.{part}", (channels,), TensorRole.BUFFER) for part in ("mean", "var")]
        x = self.emit(OpKind.NORM, (x, *learned, *running), f"{name}.norm", self.shape(x), NormAttrs("batch"))
        return x if function is None else self.activation(function, x, f"{name}.activation")

    def global_pool(self, x: str) -> str:
        shape = (*self.shape(x)[:2], 1, 1)
        return self.emit(OpKind.ADAPTIVE_POOL, (x,), "pool", shape, AdaptivePoolAttrs("avg", (1, 1)))

    def squeeze_excite(self, x: str) -> str:
        channels = self.shape(x)[1]
        gate = self.global_pool(x)
        gate = self.conv("squeeze", gate, rounded_channels(channels / SE_REDUCTION), 1, 1, 1, bias=True)
        gate = self.activation("relu", gate, "squeeze.activation")
        gate = self.conv("excite", gate, channels, 1, 1, 1, bias=True)
        gate = self.activation("hardsigmoid", gate, "excite.activation")
        return self.binary("mul", (x, gate), self.shape(x), "scale")

    def done(self, name: str, output: str) -> Graph:
        return Graph(name, self.tensors, ("input",), (output,), tuple(self.ops), source_format="block")


def rounded_channels(channels: float) -> int:
    """Nearest multiple of 8, not below 90 % (`make_divisible` of the MobileNets)."""
    rounded = max(CHANNEL_DIVISOR, int(channels + CHANNEL_DIVISOR / 2) // CHANNEL_DIVISOR * CHANNEL_DIVISOR)
    return rounded + CHANNEL_DIVISOR if rounded < 0.9 * channels else rounded
