"""Which name each tensor object of a running model has, and which meta tensor stands for it."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from estimator.frontends.aten import DTYPES, QUANTISED_DTYPES
from estimator.ir.tensor import TensorRole, TensorSpec


class TensorBook:
    """Names tensors by identity while a model runs, and collects their specs.

    Parameters
    ----------
    is_meta : bool
        The model's inputs are meta tensors, so real ones that meet them are replaced by meta twins.
    channels_last : bool
        Twins of four-dimensional weights get channels-last strides.
    """

    def __init__(self, is_meta: bool, channels_last: bool) -> None:
        self.specs: dict[str, TensorSpec] = {}
        self._is_meta = is_meta
        self._channels_last = channels_last
        self._name_of: dict[int, str] = {}
        self._twin_of: dict[int, Tensor] = {}
        self._kept: list[Tensor] = []
        self._watches: dict[int, weakref.ref[Tensor]] = {}
        self._constant_count = 0

    # ---------------------------------------------------------------- names
    def add(self, name: str, tensor: Tensor, role: TensorRole) -> str:
        """Enter a tensor under a name; a tensor overwritten in place gets its new name this way."""
        dtype = tensor.dtype
        quantised = dtype in QUANTISED_DTYPES
        self.specs[name] = TensorSpec(name, tuple(tensor.shape), DTYPES[dtype], role, quantised, _strides(tensor))
        self.remember(tensor, name)
        return name

    def add_weight(self, name: str, tensor: Tensor, role: TensorRole) -> str:
        """Enter a parameter or buffer, once however often it is shared, with its meta twin if it needs one."""
        known = self._name_of.get(id(tensor))
        if known is not None:
            return known
        self.add(name, tensor, role)
        real = not tensor.is_meta and tensor.is_floating_point()
        if self._is_meta and (real or (self._channels_last and tensor.ndim == 4)):
            self._make_twin(tensor)
        return name

    def name(self, tensor: Tensor) -> str:
        """Name of a tensor; one never seen before is a constant of the model's code."""
        known = self._name_of.get(id(tensor))
        if known is not None:
            return known
        name = self.unused(f"constant_{self._constant_count}")
        self._constant_count += 1
        return self.add(name, tensor, TensorRole.CONSTANT)

    def known_names(self, value: Any) -> tuple[str, ...]:
        """Names of the tensors inside a value, those without a name left out."""
        names = self._name_of
        if type(value) is tuple and len(value) == 1 and type(value[0]) is Tensor:
            known = names.get(id(value[0]))
            return (known,) if known is not None else ()
        return tuple(names[id(t)] for t in flat_tensors(value) if id(t) in names)

    def unused(self, name: str) -> str:
        """Lengthen a name until nothing else has it."""
        while name in self.specs:
            name += "_"
        return name

    def remember(self, tensor: Tensor, name: str) -> None:
        """Name an object for as long as its id means it: meta tensors are kept alive, real ones are watched."""
        key = id(tensor)
        self._name_of[key] = name
        if tensor.is_meta:
            self._kept.append(tensor)
        elif key not in self._watches:
            self._watches[key] = weakref.ref(tensor, lambda _: self._forget(key))

    def _forget(self, key: int) -> None:
        self._watches.pop(key, None)
        self._name_of.pop(key, None)
        self._twin_of.pop(key, None)

    # ---------------------------------------------------------------- twins
    def must_swap(self, tensors: list[Tensor]) -> bool:
        """Whether any of an operator's tensors is to be replaced by its twin."""
        if not self._is_meta:
            return False
        twins, last = self._twin_of, self._channels_last
        real = False
        for tensor in tensors:
            if not tensor.is_meta or (last and id(tensor) in twins):
                real = True
                break
        return real and any(t.is_meta or id(t) in twins for t in tensors)

    def swap(self, value: Any) -> Any:
        """Replace the real tensors inside arguments by meta twins."""
        if isinstance(value, Tensor):
            twin = self._twin_of.get(id(value))
            if twin is not None or value.is_meta:
                return value if twin is None else twin
            return self._make_twin(value)
        if isinstance(value, (list, tuple)):
            return type(value)(self.swap(v) for v in value)
        return value

    def _make_twin(self, tensor: Tensor) -> Tensor:
        name = self.name(tensor)
        is_weight = self.specs[name].role in (TensorRole.PARAMETER, TensorRole.BUFFER)
        if self._channels_last and tensor.ndim == 4 and is_weight:
            order = torch.channels_last
            twin = torch.empty(tensor.shape, dtype=tensor.dtype, device="meta", memory_format=order)
        else:
            twin = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
        self.specs[name] = replace(self.specs[name], strides=_strides(twin))
        self.remember(twin, name)
        self._twin_of[id(tensor)] = twin
        return twin


def flat_tensors(value: Any, depth: int = 0) -> Iterator[Tensor]:
    """Tensors inside nested lists, mappings, dataclasses and caches, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from flat_tensors(item, depth + 1)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from flat_tensors(item, depth + 1)
    elif depth < 8 and hasattr(value, "__dict__") and not isinstance(value, (torch.nn.Module, type)):
        for item in vars(value).values():
            yield from flat_tensors(item, depth + 1)


def _strides(tensor: Tensor) -> tuple[int, ...] | None:
    return None if tensor.is_contiguous() else tensor.stride()
