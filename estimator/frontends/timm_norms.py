"""timm's fast norms: layer, group and RMS norms that run in autocast's type, where PyTorch's own would cast to fp32.

``timm.layers.set_fast_norm`` decides for the modules that are made after it; each keeps the answer in an attribute.
timm's own benchmark turns it on (``benchmark.py --amp --fast-norm``), and its records show that it was (ADR 0007).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from torch.nn import Module

from estimator.ir.op import Attrs, NormAttrs

_FLAGS: Final = ("_fast_norm", "fast_norm")
"""Source: timm/layers/norm.py, norm_act.py."""


def set_fast_norms(model: Module, *, on: bool) -> Module:
    """Turn it on or off in a model that is made already; return the model."""
    for _, norm, flag in _flags(model, on=not on):
        setattr(norm, flag, on)
    return model


@contextmanager
def without_fast_norms(model: Module) -> Iterator[frozenset[str]]:
    """Turn it off for as long as a model is traced, and hand out the paths of the modules that had it on.

    Fast norms ask for an autocast of their input's device type, which meta has none of.
    """
    fast = _flags(model, on=True)
    set_fast_norms(model, on=False)
    try:
        yield frozenset([path for path, _, _ in fast])
    finally:
        for _, norm, flag in fast:
            setattr(norm, flag, True)


def norm_attrs(attrs: Attrs, scope: str, fast_norms: frozenset[str]) -> Attrs:
    """Return the attributes of an op that the module at `scope` ran: a norm's say whether it is fast."""
    if isinstance(attrs, NormAttrs) and scope in fast_norms:
        return replace(attrs, keeps_low_precision=True)
    return attrs


def _flags(model: Module, *, on: bool) -> list[tuple[str, Module, str]]:
    modules = model.named_modules()
    return [(path, module, flag) for path, module in modules for flag in _FLAGS if getattr(module, flag, None) is on]
