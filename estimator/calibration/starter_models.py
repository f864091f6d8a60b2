"""Models whose measurement tells most about a new machine: small and large, wide and deep, products and traffic."""

from __future__ import annotations

from typing import Final

STARTER_MODELS: Final = (
    "torchvision:squeezenet1_1",
    "torchvision:mobilenet_v2",
    "torchvision:mobilenet_v3_large",
    "torchvision:shufflenet_v2_x1_0",
    "torchvision:efficientnet_b0",
    "torchvision:resnet18",
    "torchvision:resnet50",
    "torchvision:densenet121",
    "torchvision:regnet_y_1_6gf",
    "torchvision:vit_b_16",
)
"""Ten, of the zoo that is always installed."""
GPU_BATCH: Final = 64
"""Of each on a GPU: at batch 1 it is the host's launches that are timed, which say nothing of the GPU's rates."""
