"""From what people hold in their hands (a reference, a graph, a module) to a `Graph`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from estimator.errors import BadOptionError
from estimator.frontends.select import LAYOUTS, load_graph
from estimator.ir.graph import Graph

if TYPE_CHECKING:
    import torch

Model: TypeAlias = "str | os.PathLike[str] | Graph | torch.nn.Module"
Item = TypeVar("Item")
InputShapes: TypeAlias = (
    "str | Sequence[int] | Sequence[str] | Sequence[Sequence[int]] | Mapping[str, str | Sequence[int]] | None"
)


def graph_of(
    model: Model,
    input_shape: InputShapes = None,
    *,
    batch: int | None = None,
    seq_len: int | None = None,
    layout: str | None = None,
) -> Graph:
    """Make the graph of a model; a graph passes through.

    Raises
    ------
    BadOptionError
        A shape cannot be read, a graph came with one, the batch is no whole number, or `model` is none of the known
        forms.
    ModelError
        The model cannot be read or traced.
    """
    if batch is not None and not _is_whole(batch):
        raise BadOptionError(f"batch is {batch!r}", expected="a whole number")
    if isinstance(model, Graph):
        if input_shape is not None or batch is not None or seq_len is not None:
            raise BadOptionError("a graph has its shapes fixed", expected="no input_shape, batch or seq_len with it")
        return model
    shapes = shape_texts(input_shape)
    if isinstance(model, str | os.PathLike):
        reference = os.fspath(model)
        return load_graph(reference, input_shapes=shapes, batch=batch, layout=layout or LAYOUTS[0], seq_len=seq_len)
    if _is_module(model):
        if seq_len is not None:
            raise BadOptionError("seq_len is for transformers: models", expected="input_shape with a module")
        from estimator.frontends.input_shape import parse_input_shapes
        from estimator.frontends.torch_model import trace
        from estimator.frontends.torch_source import TorchSource

        source = TorchSource(name=type(model).__name__, construct=lambda: model, inputs=())
        return trace(source, parse_input_shapes(shapes), batch, layout or LAYOUTS[0])
    raise BadOptionError(
        f"a {type(model).__name__} is no model", expected="a reference, a path, a Graph or a torch.nn.Module"
    )


def several(items: Iterable[Item], name: str) -> Iterable[Item]:
    """Refuse one text where several items are meant, which would be taken letter by letter.

    Raises
    ------
    BadOptionError
        `items` is a text or a path; `name` is that of the argument.
    """
    if isinstance(items, str | os.PathLike):
        raise BadOptionError(f"{name} is the one {os.fspath(items)!r}", expected="a list, also of one")
    return items


def shape_texts(shapes: InputShapes) -> tuple[str, ...]:
    """Write shapes as the command line has them: ``(1, 3, 224, 224)`` is ``1x3x224x224``.

    A mapping gives each input's shape by name: ``{"ids": (1, 128)}`` is ``ids=1x128``.

    Raises
    ------
    BadOptionError
        Neither a shape, a sequence of shapes nor a mapping to shapes.
    """
    if shapes is None:
        return ()
    if isinstance(shapes, str):
        return (shapes,)
    if isinstance(shapes, Mapping):
        return tuple(f"{name}={_shape_text(shape)}" for name, shape in shapes.items())
    items = list(shapes)
    if items and all(map(_is_whole, items)):
        return (_shape_text(items),)
    return tuple(_shape_text(item) for item in items)


def _shape_text(shape: object) -> str:
    if isinstance(shape, str):
        return shape
    if isinstance(shape, Sequence) and shape and all(map(_is_whole, shape)):
        return "x".join(str(extent) for extent in shape)
    raise BadOptionError(
        f"cannot read the input shape {shape!r}", expected='such as (1, 3, 224, 224), or {"ids": (1, 128)}'
    )


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_module(model: object) -> bool:
    """Whether it is a torch module; where torch was never imported, nothing can be one."""
    framework = sys.modules.get("torch")
    return framework is not None and isinstance(model, framework.nn.Module)
