"""The models of `reference_totals.csv`, built as they were when the tools counted them.

Batch 1, 224 × 224 unless said; random weights. Models that can be are recorded on meta tensors; the detector and the
quantised ones run for real, the detector with the seed that gave its proposals.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from estimator.frontends.torch_recorder import record_module
from estimator.ir.graph import Graph

CLASSIFIERS = (
    "resnet50", "mobilenet_v2", "densenet121", "mobilenet_v3_large", "efficientnet_b0", "vit_b_16", "swin_t",
    "convnext_tiny",
)  # fmt: skip
NEEDS_TRANSFORMERS = frozenset({"gpt2_small", "gpt2_small_eager"})
SLOW = frozenset({"fasterrcnn_r50_fpn"})


def _on_meta(build: Callable[[], nn.Module], *shape: int) -> tuple[nn.Module, list[Any], dict[str, Any]]:
    with torch.device("meta"):
        return build().eval(), [torch.empty(*shape)], {}


def _classifier(name: str) -> tuple[nn.Module, list[Any], dict[str, Any]]:
    import torchvision

    return _on_meta(lambda: getattr(torchvision.models, name)(weights=None), 1, 3, 224, 224)


def _deeplab() -> tuple[nn.Module, list[Any], dict[str, Any]]:
    from torchvision.models.segmentation import deeplabv3_resnet50

    return _on_meta(lambda: deeplabv3_resnet50(weights=None, weights_backbone=None), 1, 3, 224, 224)


def _lstm() -> tuple[nn.Module, list[Any], dict[str, Any]]:
    return _on_meta(lambda: nn.LSTM(128, 256, 2, batch_first=True, bidirectional=True), 1, 50, 128)


def _encoder() -> tuple[nn.Module, list[Any], dict[str, Any]]:
    return _on_meta(
        lambda: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(512, 8, 2048, batch_first=True), 6, enable_nested_tensor=False
        ),
        1, 128, 512,
    )  # fmt: skip


def _gpt2(attention: str) -> tuple[nn.Module, list[Any], dict[str, Any]]:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        n_layer=4, n_embd=256, n_head=4, vocab_size=5000, n_positions=256, use_cache=False, bos_token_id=0,
        eos_token_id=0, attn_implementation=attention,
    )  # fmt: skip
    # real tensors: the mask code asks for a value
    return GPT2LMHeadModel(config).eval(), [], {"input_ids": torch.zeros(1, 128, dtype=torch.long)}


def _faster_rcnn() -> tuple[nn.Module, list[Any], dict[str, Any]]:
    from torchvision.models.detection import fasterrcnn_resnet50_fpn

    torch.manual_seed(0)
    model = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, min_size=320, max_size=320).eval()
    return model, [[torch.rand(3, 320, 320)]], {}


def _quantised_mobilenet() -> tuple[nn.Module, list[Any], dict[str, Any]]:
    import torchvision

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.ao's quantisation is deprecated; the reference used it
        model = torchvision.models.quantization.mobilenet_v2(weights=None, quantize=True).eval()
    return model, [torch.rand(1, 3, 224, 224)], {}


def _dynamic_mlp() -> tuple[nn.Module, list[Any], dict[str, Any]]:
    model = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 256)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as above
        model = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    return model, [torch.rand(1, 256)], {}


_BUILDERS: dict[str, Callable[[], tuple[nn.Module, list[Any], dict[str, Any]]]] = {
    **{name: partial(_classifier, name) for name in CLASSIFIERS},
    "lstm": _lstm,
    "encoder": _encoder,
    "gpt2_small": partial(_gpt2, "sdpa"),
    "gpt2_small_eager": partial(_gpt2, "eager"),
    "q_mobilenet_v2": _quantised_mobilenet,
    "q_dynamic_mlp": _dynamic_mlp,
    "deeplabv3_resnet50": _deeplab,
    "fasterrcnn_r50_fpn": _faster_rcnn,
}


def model_names() -> tuple[str, ...]:
    """Names in `reference_totals.csv`."""
    return tuple(_BUILDERS)


def reference_graph(name: str) -> Graph:
    """Record one reference model."""
    module, args, kwargs = _BUILDERS[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what third-party models say of themselves
        return record_module(module, args, name=name, example_kwargs=kwargs)
