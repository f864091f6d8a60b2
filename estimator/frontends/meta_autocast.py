"""``torch.autocast`` while a module is traced without data: which ops run where the module switches it off.

Modules guard arithmetic that half precision would spoil with ``torch.autocast(x.device.type, enabled=False)``. A trace
runs in fp32, under no autocast, on a device type that knows none; what counts is that such ops stay in fp32 when the
graph is lowered for one (`estimator.lowering.precision`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch.utils.weak import WeakIdKeyDictionary

from estimator.ir.op import Attrs, MatmulAttrs


@dataclass(slots=True)
class AutocastRegions:
    """Regions that the trace is inside of, the innermost last: whether each switches autocast on."""

    entered: list[bool] = field(default_factory=list)

    def attrs(self, attrs: Attrs) -> Attrs:
        """Return the attributes of an op that runs now: a product's say whether autocast is switched off."""
        if self.entered and not self.entered[-1] and isinstance(attrs, MatmulAttrs):
            return replace(attrs, outside_autocast=True)
        return attrs


@contextmanager
def meta_autocast() -> Iterator[AutocastRegions]:
    """Let a model name the meta device to ``torch.autocast``, and follow the regions that it opens there.

    A region that switches autocast on changes nothing else, and none counts as enabled to who asks: the precision that
    a graph is lowered for decides. Not thread-safe: torch is patched while it lasts.
    """
    regions = AutocastRegions()
    autocast: Any = torch.autocast
    init, enter, leave = autocast.__init__, autocast.__enter__, autocast.__exit__
    on_meta: WeakIdKeyDictionary = WeakIdKeyDictionary()

    def made(self: Any, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: Any = None) -> None:
        if device_type == "meta":
            on_meta[self] = enabled
        else:
            init(self, device_type, dtype, enabled, cache_enabled)

    def entered(self: Any) -> Any:
        if self not in on_meta:
            return enter(self)
        regions.entered.append(on_meta[self])
        return self

    def left(self: Any, *error: Any) -> Any:
        if self not in on_meta:
            return leave(self, *error)
        regions.entered.pop()
        return False

    def is_enabled(*device_type: str) -> bool:
        return "meta" not in device_type and asked(*device_type)

    asked = torch.is_autocast_enabled
    autocast.__init__, autocast.__enter__, autocast.__exit__ = made, entered, left
    torch.is_autocast_enabled = is_enabled
    try:
        yield regions
    finally:
        torch.is_autocast_enabled = asked
        autocast.__init__, autocast.__enter__, autocast.__exit__ = init, enter, leave
