"""fvcore itself, run on real weights, must say what the fvcore convention says of the same model on meta tensors."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import nn

from estimator.costs.conventions import count
from estimator.costs.layouts import render
from estimator.frontends.torch_recorder import record_module

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # fvcore compiles with torch.jit.script on import
    from fvcore.nn import FlopCountAnalysis, flop_count_table

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated:DeprecationWarning"),  # fvcore traces with torch.jit
    pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]


class Blocks(nn.Module):
    """What zoo models have too little of: einsum, matmul, resizing, other norms, grouped and transposed convs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, groups=1)
        self.grouped = nn.Conv2d(8, 16, 3, groups=4)
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2, groups=2)
        self.group_norm, self.instance_norm = nn.GroupNorm(4, 8), nn.InstanceNorm2d(8, affine=True)
        self.plain_norm = nn.BatchNorm2d(8, affine=False)
        self.pool = nn.AdaptiveAvgPool2d(5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.instance_norm(self.group_norm(self.up(self.grouped(self.conv(x)))))
        x = self.plain_norm(torch.nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear"))
        x = self.pool(torch.nn.functional.interpolate(x, size=(24, 24), mode="nearest")).flatten(2)
        scores = torch.einsum("bcn,bdn->bcd", x, x) + torch.matmul(x, x.transpose(1, 2))
        return torch.einsum("bcd,bdn->bcn", scores, x)


def zoo(name: str, **options: object) -> Callable[[], nn.Module]:
    return lambda: getattr(torchvision.models, name)(weights=None, **options)


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "resnet18": (zoo("resnet18"), (1, 3, 64, 64)),
    "mobilenet_v2": (zoo("mobilenet_v2"), (2, 3, 64, 64)),
    "mobilenet_v3_small": (zoo("mobilenet_v3_small"), (1, 3, 64, 64)),
    "shufflenet_v2_x0_5": (zoo("shufflenet_v2_x0_5"), (1, 3, 64, 64)),
    "squeezenet1_1": (zoo("squeezenet1_1"), (1, 3, 64, 64)),
    "mnasnet0_5": (zoo("mnasnet0_5"), (1, 3, 64, 64)),
    "densenet121": (zoo("densenet121"), (1, 3, 64, 64)),
    "efficientnet_b0": (zoo("efficientnet_b0"), (1, 3, 64, 64)),
    "regnet_y_400mf": (zoo("regnet_y_400mf"), (1, 3, 64, 64)),
    "convnext_tiny": (zoo("convnext_tiny"), (1, 3, 64, 64)),
    "swin_t": (zoo("swin_t"), (1, 3, 64, 64)),
    "vit": (
        lambda: torchvision.models.VisionTransformer(32, 8, 2, 4, 64, 128),
        (2, 3, 32, 32),
    ),
    "encoder": (
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(64, 4, 128), 2, enable_nested_tensor=False),
        (5, 2, 64),
    ),
    "lstm": (lambda: nn.LSTM(16, 32, 2), (5, 2, 16)),
    "gru_cell": (lambda: nn.GRUCell(16, 32), (2, 16)),
    "deeplab": (
        lambda: torchvision.models.segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None),
        (1, 3, 64, 64),
    ),
    "video": (lambda: torchvision.models.video.r3d_18(weights=None), (1, 3, 4, 32, 32)),
    "blocks": (Blocks, (2, 3, 16, 16)),
}


def analysis(module: nn.Module, shape: tuple[int, ...]) -> FlopCountAnalysis:
    found = FlopCountAnalysis(module, torch.rand(shape))
    return found.unsupported_ops_warnings(False).uncalled_modules_warnings(False)


@pytest.mark.parametrize("name", MODELS)
def test_the_convention_equals_fvcore_to_the_unit(name: str) -> None:
    build, shape = MODELS[name]
    module = build().eval()
    oracle = analysis(module, shape)
    graph = record_module(copy.deepcopy(module).to("meta"), [torch.empty(shape, device="meta")], name=name)
    assert count(graph, "fvcore").total == oracle.total()


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "vit", "encoder"])
def test_the_table_equals_fvcore_s_line_by_line(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    build, shape = MODELS[name]
    module = build().eval()
    graph = record_module(copy.deepcopy(module).to("meta"), [torch.empty(shape, device="meta")], name=name)
    assert render(count(graph, "fvcore"), graph).split("\n") == flop_count_table(analysis(module, shape)).split("\n")
