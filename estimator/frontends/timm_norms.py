"""timm's fast norms: layer, group and RMS norms that run in autocast's type, where PyTorch's own would cast to fp32.

``timm.layers.set_fast_norm`` decides for the modules that are made after it; each keeps the answer in an attribute.
timm's own benchmark turns it on (``benchmark.py --amp --fast-norm``), and its records show that it was (ADR 0007).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from torch.nn import Module

from estimator.ir.op import Attrs, NormAttrs

_FLAGS: Final = ("_fast_norm", "fast_norm")
"""Source: timm/layers/norm.py, norm_act.py."""
_VISION_TRANSFORMERS_FAST_FROM: Final = (1, 0, 16)
"""Source: timm/models/vision_transformer.py of 1.0.15 and 1.0.16, the default of `norm_layer`."""


def set_fast_norms(model: Module, *, on: bool) -> Module:
    """Turn it on or off in a model that is made already; return the model."""
    for _, norm, flag in _flags(model, on=not on):
        setattr(norm, flag, on)
    return model


def as_of_release(model: Module, release: str) -> Module:
    """Turn it off where that release of timm had a norm of PyTorch's own; return the model.

    Vision transformers had ``nn.LayerNorm`` unless told otherwise until 1.0.16, fast norm or not: networks of that
    class take 6 % longer in records of 1.0.8 than in those of 1.0.24, others do not (ADR 0011).
    """
    from timm.layers import LayerNorm
    from timm.models.vision_transformer import VisionTransformer

    numbers = tuple(map(int, release.split(".")))
    if numbers < _VISION_TRANSFORMERS_FAST_FROM and isinstance(model, VisionTransformer):
        for path, norm in model.named_modules():
            if type(norm) is LayerNorm and not path.startswith("patch_embed."):  # a backbone's are its own
                norm._fast_norm = False
    return model


def fast_norms(model: Module) -> frozenset[str]:
    """Return the paths of the modules that have it on."""
    return frozenset([path for path, _, _ in _flags(model, on=True)])


def norm_attrs(attrs: Attrs, scope: str, fast: frozenset[str]) -> Attrs:
    """Return the attributes of an op that the module at `scope` ran: a norm's say whether it is fast."""
    if isinstance(attrs, NormAttrs) and scope in fast:
        return replace(attrs, keeps_low_precision=True)
    return attrs


def _flags(model: Module, *, on: bool) -> list[tuple[str, Module, str]]:
    modules = model.named_modules()
    return [(path, module, flag) for path, module in modules for flag in _FLAGS if getattr(module, flag, None) is on]
