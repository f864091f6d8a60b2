"""Build torch models without the memory or the time of their weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.modules import module as module_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.weak import WeakIdKeyDictionary

_INIT_FUNCTIONS = (
    "uniform_", "normal_", "trunc_normal_", "constant_", "ones_", "zeros_", "eye_", "dirac_", "xavier_uniform_",
    "xavier_normal_", "kaiming_uniform_", "kaiming_normal_", "orthogonal_", "sparse_", "_no_grad_trunc_normal_",
)  # fmt: skip


def build_weightless(constructor: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """Call a model constructor so that no weight takes memory.

    A constructor that computes with its own parameters meets meta and real tensors in one operator; it is run
    again with every such operator moved to meta as a whole (slower, so not the first try).
    """
    try:
        with weightless():
            return constructor()
    except (RuntimeError, NotImplementedError):
        with weightless(), _MixedToMeta():
            return constructor()


class _MixedToMeta(TorchDispatchMode):  # type: ignore[misc]
    """Let meta win wherever meta and real tensors meet."""

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        found: list[torch.Tensor] = []
        tree_map_only(torch.Tensor, found.append, (args, kwargs or {}))
        if any(t.is_meta for t in found) and not all(t.is_meta for t in found):
            args, kwargs = tree_map_only(torch.Tensor, lambda t: t.to("meta"), (args, kwargs or {}))
        return operator(*args, **(kwargs or {}))


@contextmanager
def weightless() -> Iterator[None]:
    """Build modules whose parameters live on the meta device.

    Code under construction sees ordinary CPU tensors (so ``torch.linspace(...).tolist()`` and index tables work),
    but each parameter becomes a meta tensor at the moment it is registered, and the initialisers of
    ``torch.nn.init`` do nothing. Not thread-safe: hooks and initialisers are process-wide while it lasts.
    """
    twins = WeakIdKeyDictionary()

    def to_meta(module: torch.nn.Module, name: str, parameter: torch.nn.Parameter | None) -> Any:
        if parameter is None or parameter.is_meta or isinstance(parameter, torch.nn.parameter.UninitializedParameter):
            return parameter
        twin = twins.get(parameter)
        if twin is None:
            empty = torch.empty_strided(parameter.shape, parameter.stride(), dtype=parameter.dtype, device="meta")
            twin = torch.nn.Parameter(empty, requires_grad=parameter.requires_grad)
            twins[parameter] = twin
        return twin

    saved = {name: getattr(torch.nn.init, name) for name in _INIT_FUNCTIONS if hasattr(torch.nn.init, name)}
    hook = module_hooks.register_module_parameter_registration_hook(to_meta)
    try:
        for name in saved:
            setattr(torch.nn.init, name, _keep)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zoo constructors warn about deprecations of their own
            yield
    finally:
        hook.remove()
        for name, function in saved.items():
            setattr(torch.nn.init, name, function)


def _keep(tensor: torch.Tensor, *_args: Any, **_kwargs: Any) -> torch.Tensor:
    return tensor


def parameter_bytes(module: torch.nn.Module) -> int:
    """Bytes that a module's weights would take if they were real."""
    return sum(p.numel() * p.element_size() for p in module.parameters())
