"""BiSeNetV2 (Yu et al. 2021, IJCV 129) in PyTorch, with the scopes and variables of the TensorFlow graph beside it.

Module and parameter names are TensorFlow's, so that the profiler's rows come out under the same names. Moving
statistics are parameters, as they are trainable variables there. A TensorFlow graph holds its variables' initialisers
and the profiler counts them; a PyTorch graph has none, so `with_initialisers` adds them.
"""

# ruff: noqa: D102  (`forward` is torch's word, its meaning the class's)

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from estimator.dtypes import DType
from estimator.frontends.torch_recorder import record_module
from estimator.ir.graph import Graph
from estimator.ir.op import FunctionAttrs, Op, OpKind
from estimator.ir.tensor import TensorRole, TensorSpec

NAME = "BiSeNetV2"
CLASS_COUNT = 21
SIZE = 512


class BatchNorm(nn.Module):
    """Batch norm whose moving statistics are parameters."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name in ("gamma", "beta", "moving_mean", "moving_variance"):
            setattr(self, name, nn.Parameter(torch.zeros(channels)))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.moving_mean, self.moving_variance, self.gamma, self.beta)


class Conv(nn.Module):
    """Convolution with SAME padding, then batch norm and ReLU, each optional."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, *,
        norm: bool = True, relu: bool = True, bias: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(outputs, inputs, kernel, kernel))
        self.biases = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.BatchNorm = BatchNorm(outputs) if norm else None
        self.stride, self.relu = stride, relu

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.weights, self.biases, self.stride, padding=self.weights.shape[-1] // 2)
        x = self.BatchNorm(x) if self.BatchNorm is not None else x
        return F.relu(x) if self.relu else x


class SeparableConv2d(nn.Module):
    """The depthwise half of a separable convolution, with batch norm."""

    def __init__(self, channels: int, multiplier: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.depthwise_weights = nn.Parameter(torch.zeros(channels * multiplier, 1, 3, 3))
        self.BatchNorm = BatchNorm(channels * multiplier)
        self.stride, self.channels = stride, channels

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.depthwise_weights, None, self.stride, padding=1, groups=self.channels)
        return self.BatchNorm(x)


def numbered(name: str, modules: list[nn.Module]) -> dict[str, nn.Module]:
    """Name modules as TensorFlow does: ``Conv``, then ``Conv_1`` and so on."""
    return {name if i == 0 else f"{name}_{i}": module for i, module in enumerate(modules)}


class DetailBranch(nn.Module):
    """Eight convolutions down to 1/8, wide channels."""

    def __init__(self) -> None:
        super().__init__()
        plan = [
            (3, 64, 2), (64, 64, 1), (64, 64, 2), (64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 128, 1),
        ]  # fmt: skip
        for name, module in numbered("Conv", [Conv(i, o, 3, s) for i, o, s in plan]).items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> Tensor:
        for module in self.children():
            x = module(x)
        return x


class StemBlock(nn.Module):
    """Down to 1/4 twice over, by convolutions and by pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv = Conv(3, 16, 3, 2)
        self.Conv_1 = Conv(16, 8, 1)
        self.Conv_2 = Conv(8, 16, 3, 2)
        self.MaxPool2d = nn.MaxPool2d(3, 2, 1)
        self.Conv_3 = Conv(32, 16)

    def forward(self, x: Tensor) -> Tensor:
        x = self.Conv(x)
        return self.Conv_3(torch.cat((self.Conv_2(self.Conv_1(x)), self.MaxPool2d(x)), 1))


class GatherExpansionLayer(nn.Module):
    """Inverted bottleneck, expansion 6; with stride 2 the shortcut is convolved too."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        wide = 6 * inputs
        self.Conv = Conv(inputs, inputs)
        self.SeparableConv2d = SeparableConv2d(inputs, 6, stride)
        self.SeparableConv2d_1 = SeparableConv2d(wide) if stride == 2 else None
        self.Conv_1 = Conv(wide, outputs, 1, relu=False)
        self.SeparableConv2d_2 = SeparableConv2d(inputs, 1, 2) if stride == 2 else None
        self.Conv_2 = Conv(inputs, outputs, 1, relu=False) if stride == 2 else None

    def forward(self, x: Tensor) -> Tensor:
        wide = self.SeparableConv2d(self.Conv(x))
        if self.SeparableConv2d_1 is not None:
            wide = self.SeparableConv2d_1(wide)
        shortcut = x
        narrow = self.Conv_1(wide)
        if self.SeparableConv2d_2 is not None and self.Conv_2 is not None:
            shortcut = self.Conv_2(self.SeparableConv2d_2(x))
        return F.relu(narrow + shortcut)


class ContextEmbedding(nn.Module):
    """Global context added back to every position."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gap = nn.Module()
        self.gap.BatchNorm = BatchNorm(channels)
        self.Conv = Conv(channels, channels, 1)
        self.Conv_1 = Conv(channels, channels, norm=False, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        context = self.Conv(self.gap.BatchNorm(x.mean((2, 3), keepdim=True)))
        return self.Conv_1(context + x)


class SemanticBranch(nn.Module):
    """Narrow and deep, down to 1/32; returns the features at 1/4, 1/8, 1/16, 1/32 and the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.StemBlock = StemBlock()
        plan = [
            (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 128, 1),
            (128, 128, 1),
        ]  # fmt: skip
        for name, module in numbered("GatherExpansionLayer", [GatherExpansionLayer(*p) for p in plan]).items():
            self.add_module(name, module)
        self.ContextEmbedding = ContextEmbedding(128)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.StemBlock(x)
        features = [x]
        layers = [m for m in self.children() if isinstance(m, GatherExpansionLayer)]
        for i, layer in enumerate(layers):
            x = layer(x)
            if i in (1, 3, 7):
                features.append(x)
        return [*features, self.ContextEmbedding(x)]


class AggregationLayer(nn.Module):
    """Each branch gates the other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.SeparableConv2d = SeparableConv2d(channels)
        self.AggConv1 = Conv(channels, channels, 1, norm=False, relu=False)
        self.AggConv2 = Conv(channels, channels, 3, 2, relu=False)
        self.AvgPool = nn.AvgPool2d(3, 2, 1)
        self.SeparableConv2d_1 = SeparableConv2d(channels)
        self.AggConv3 = Conv(channels, channels, 1, norm=False, relu=False)
        self.AggConv4 = Conv(channels, channels, relu=False)
        self.AggConv5 = Conv(channels, channels, relu=False)

    def forward(self, detail: Tensor, semantic: Tensor) -> Tensor:
        size = detail.shape[2:]
        detail_keep = self.AggConv1(self.SeparableConv2d(detail))
        detail_down = self.AvgPool(self.AggConv2(detail))
        semantic_keep = torch.sigmoid(self.AggConv3(self.SeparableConv2d_1(semantic)))
        semantic_up = torch.sigmoid(F.interpolate(self.AggConv4(semantic), size, mode="bilinear"))
        high = detail_keep * semantic_up
        low = F.interpolate(detail_down * semantic_keep, size, mode="bilinear")
        return self.AggConv5(high + low)


class SegHead(nn.Module):
    """Classes per pixel, at the input's size."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.Conv = Conv(inputs, 64)
        self.Conv_1 = Conv(64, CLASS_COUNT, 1, norm=False, relu=False, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.Conv_1(self.Conv(x)), (SIZE, SIZE), mode="bilinear")


class BiSeNetV2(nn.Module):
    """Both branches, their aggregation and five heads."""

    def __init__(self) -> None:
        super().__init__()
        self.DetailBranch = DetailBranch()
        self.SemanticBranch = SemanticBranch()
        self.AggregationLayer = AggregationLayer(128)
        for name, channels in (("S4", 16), ("S8", 32), ("S16", 64), ("S32", 128), ("End", 128)):
            self.add_module(f"SegHead{name}", SegHead(channels))

    def forward(self, image: Tensor) -> list[Tensor]:
        detail = self.DetailBranch(image)
        *features, semantic = self.SemanticBranch(image)
        features.append(self.AggregationLayer(detail, semantic))
        heads = [m for m in self.children() if isinstance(m, SegHead)]
        return [head(x) for head, x in zip(heads, features, strict=True)]


def bisenetv2_graph() -> Graph:
    """Record the model on one 512 × 512 image, without weights or data."""
    with torch.device("meta"):
        model = BiSeNetV2().eval()
    return record_module(model, [torch.empty(1, 3, SIZE, SIZE, device="meta")], name=NAME)


def with_initialisers(graph: Graph) -> Graph:
    """Add what TensorFlow's truncated-normal initialiser does to every filter: times σ, plus μ."""
    tensors, ops = dict(graph.tensors), []
    for weight in graph.tensors.values():
        if weight.role is not TensorRole.PARAMETER or not weight.name.endswith("weights"):
            continue
        stem = f"{weight.name.replace('.', '/')}/Initializer/truncated_normal"
        source = f"{stem}/TruncatedNormal"
        tensors[source] = TensorSpec(source, weight.shape, DType.F32)
        ops.append(Op(source, OpKind.FILL, (), (source,), FunctionAttrs("randn"), source="TruncatedNormal"))
        steps = ((f"{stem}/mul", "mul", "Mul", source), (stem, "add", "AddV2", f"{stem}/mul"))
        for name, function, node, operand in steps:
            tensors[name] = TensorSpec(name, weight.shape, DType.F32)
            ops.append(Op(name, OpKind.BINARY, (operand,), (name,), FunctionAttrs(function), source=node))
    return replace(graph, tensors=tensors, ops=(*ops, *graph.ops))
