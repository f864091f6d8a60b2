"""timm's fast norms: layer, group and RMS norms that run in autocast's type, where PyTorch's own would cast to fp32.

``timm.layers.set_fast_norm`` decides for the modules that are made after it; each keeps the answer in an attribute.
timm's own benchmark turns it on (``benchmark.py --amp --fast-norm``), and its records show that it was (ADR 0007).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from torch.nn import Module

_FLAGS: Final = ("_fast_norm", "fast_norm")
"""Source: timm/layers/norm.py, norm_act.py."""


def make_norms_fast(model: Module) -> Module:
    """Turn it on in a model that was made without; return the model."""
    for norm, flag in _flags(model, on=False):
        setattr(norm, flag, True)
    return model


@contextmanager
def norms_made_slow(model: Module) -> Iterator[frozenset[int]]:
    """Turn it off for as long as a model is traced, and hand out the identities of the modules that had it on.

    Fast norms ask for an autocast of their input's device type, which meta has none of.
    """
    fast = _flags(model, on=True)
    for norm, flag in fast:
        setattr(norm, flag, False)
    try:
        yield frozenset([id(norm) for norm, _ in fast])
    finally:
        for norm, flag in fast:
            setattr(norm, flag, True)


def _flags(model: Module, *, on: bool) -> list[tuple[Module, str]]:
    return [(module, flag) for module in model.modules() for flag in _FLAGS if getattr(module, flag, None) is on]
