"""One torch model at several shapes and layouts, built once: what scoring many records of a model needs.

Building takes about as long as recording (70 % of it for the median timm model). What a forward pass leaves behind in
its modules (position biases that are gathered once, say) is undone, so that every variant is traced as the first.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from estimator.errors import EstimatorError
from estimator.frontends.input_shape import parse_input_shapes
from estimator.frontends.torch_model import resolve, trace
from estimator.frontends.torch_source import TorchSource
from estimator.ir.graph import Graph
from estimator.ir.validate import validate


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to feed a model: ``1x3x224x224`` ("" for the model's own) and ``nchw`` or ``nhwc``."""

    input_shape: str
    layout: str


def load_variants(reference: str, variants: Sequence[Variant]) -> Iterator[Graph | EstimatorError]:
    """Trace a zoo model once per variant.

    Yields
    ------
    Graph or EstimatorError
        In the order of `variants`; a failure is handed over, so that one shape does not lose the others.
    """
    try:
        source = _built_once(resolve(reference))
    except EstimatorError as error:
        yield from (error for _ in variants)
        return
    for variant in variants:
        try:
            shapes = parse_input_shapes((variant.input_shape,) if variant.input_shape else ())
            yield validate(trace(source, shapes, None, variant.layout))
        except EstimatorError as error:
            yield error


def _built_once(source: TorchSource) -> TorchSource:
    """Remember modules that were built without weights; real ones are built anew (they are large)."""
    built: dict[object, _Pristine] = {}

    def remembered(key: object, construct: Callable[[], torch.nn.Module]) -> torch.nn.Module:
        if not _building_weightless():
            return construct()
        if key not in built:
            built[key] = _Pristine(construct())
        return built[key].restored()

    construct_at = source.construct_at
    return replace(
        source,
        construct=lambda: remembered(None, source.construct),
        construct_at=construct_at and (lambda size: remembered(size, lambda: construct_at(size))),
    )


class _Pristine:
    """A module and the attributes that its submodules had when it was built."""

    def __init__(self, module: torch.nn.Module) -> None:
        self._module = module
        self._attributes = [(m, {k: _shallow(v) for k, v in vars(m).items()}) for m in module.modules()]

    def restored(self) -> torch.nn.Module:
        """Undo what was set since; dictionaries and lists are compared one level deep."""
        for module, attributes in self._attributes:
            vars(module).clear()
            vars(module).update({k: _shallow(v) for k, v in attributes.items()})
        return self._module


def _shallow(value: object) -> object:
    return copy.copy(value) if type(value) in (dict, list) else value


def _building_weightless() -> bool:
    """Whether parameters that are registered now land on the meta device."""
    return bool(torch.nn.Linear(1, 1).weight.is_meta)
