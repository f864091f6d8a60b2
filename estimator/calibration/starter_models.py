"""Models to measure on a new machine: small and large, wide and deep, products and traffic."""

from __future__ import annotations

from typing import Final

STARTER_COUNT: Final = 10
"""How many of them a calibration of this machine measures unless told."""
GPU_BATCH: Final = 64
"""Of each on a GPU: at batch 1 it is the host's launches that are timed, which say nothing of the GPU's rates."""

CANDIDATE_MODELS: Final = tuple(
    f"torchvision:{name}"
    for name in (
        "alexnet", "convnext_tiny", "convnext_small", "densenet121", "densenet169", "efficientnet_b0",
        "efficientnet_b2", "efficientnet_b4", "efficientnet_v2_s", "googlenet", "inception_v3", "maxvit_t",
        "mnasnet0_5", "mnasnet1_0", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "regnet_x_400mf",
        "regnet_x_3_2gf", "regnet_y_400mf", "regnet_y_1_6gf", "regnet_y_8gf", "resnet18", "resnet34", "resnet50",
        "resnet101", "resnext50_32x4d", "shufflenet_v2_x0_5", "shufflenet_v2_x1_5", "squeezenet1_0", "squeezenet1_1",
        "swin_t", "swin_v2_t", "vgg11", "vgg16_bn", "vit_b_16", "vit_b_32", "vit_l_32", "wide_resnet50_2",
    )
)  # fmt: skip
"""What `suggest` chooses from unless told: every family of that zoo, light enough to measure in seconds."""
