"""torch's own `FlopCounterMode` on meta tensors, forward alone and with the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from estimator.costs.conventions import count, count_training
from estimator.frontends.torch_recorder import record_module


def zoo(name: str) -> Callable[[], nn.Module]:
    return lambda: getattr(torchvision.models, name)(weights=None)


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "resnet18": (zoo("resnet18"), (2, 3, 64, 64)),
    "mobilenet_v2": (zoo("mobilenet_v2"), (2, 3, 64, 64)),
    "densenet121": (zoo("densenet121"), (1, 3, 64, 64)),
    "convnext_tiny": (zoo("convnext_tiny"), (1, 3, 64, 64)),
    "swin_t": (zoo("swin_t"), (1, 3, 64, 64)),
    "vit": (lambda: torchvision.models.VisionTransformer(32, 8, 2, 4, 64, 128), (2, 3, 32, 32)),
    "lstm": (lambda: nn.LSTM(12, 16, 2, batch_first=True, bidirectional=True), (3, 5, 12)),
    "gru": (lambda: nn.GRU(12, 16), (5, 3, 12)),
    "projected_lstm": (lambda: nn.LSTM(12, 16, proj_size=8), (5, 3, 12)),
    "encoder": (
        lambda: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(64, 4, 128, batch_first=True), 2, enable_nested_tensor=False
        ),
        (2, 10, 64),
    ),
    "grouped": (
        lambda: nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.ConvTranspose2d(8, 6, 3, stride=2, groups=2)),
        (2, 4, 9, 9),
    ),
    "bilinear": (
        lambda: nn.Sequential(nn.Linear(8, 6), nn.LayerNorm(6), nn.GELU(), nn.Linear(6, 4, bias=False)),
        (3, 7, 8),
    ),
}


def tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors(item)


@pytest.mark.parametrize("name", MODELS)
def test_the_convention_equals_torch_forward_and_backward(name: str) -> None:
    build, shape = MODELS[name]
    with torch.device("meta"):
        module, x = build().eval(), torch.empty(shape)
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        module(x)
    with FlopCounterMode(display=False) as both:
        loss = torch.stack([t.sum() for t in tensors(module(x))]).sum()
        loss.backward()
    graph = record_module(module, [x], name=name)
    assert count(graph, "torch").total == forward.get_total_flops()
    assert count_training(graph, "torch").total == both.get_total_flops()
