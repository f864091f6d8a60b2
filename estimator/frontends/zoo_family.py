"""Which family a zoo model belongs to: models of one family share code, so that held-out errors must not."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_LEADING_LETTERS = re.compile(r"[a-z]+")


def family_of(reference: str) -> str:
    """Name the family of a model.

    timm knows in which source file an architecture is defined; elsewhere the leading letters of the name stand for
    the family (``resnet50`` and ``resnet18`` are ``resnet``).
    """
    _, _, name = reference.rpartition(":")
    if reference.startswith("timm:"):
        name = name.partition("?")[0].partition(".")[0]
    elif reference.startswith("torchvision:"):
        name = name.rpartition(".")[2]
    else:
        name = Path(name).stem
    if reference.startswith("timm:") and (module := _timm_modules().get(name)):
        return module
    letters = _LEADING_LETTERS.match(name.lower())
    return letters[0] if letters else name


@cache
def _timm_modules() -> dict[str, str]:
    try:
        import timm
    except ImportError:
        return {}
    modules = timm.list_modules()
    return {model: module for module in modules for model in timm.list_models(module=module)}
