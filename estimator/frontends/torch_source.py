"""A torch model before it is traced: how to build it, and what its inputs look like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch

from estimator.dtypes import DType
from estimator.errors import TraceError
from estimator.frontends.aten import DTYPES
from estimator.frontends.input_shape import InputShape
from estimator.ir.tensor import Shape

TORCH_DTYPES: dict[DType, torch.dtype] = {DTYPES[t]: t for t in reversed(DTYPES)}
_INTEGER_NAMES = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "decoder_input_ids", "ids", "tokens")


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One argument of ``forward``.

    Attributes
    ----------
    name : str or None
        Passed by keyword if given, else by position.
    upper : int
        Integers are drawn from [0, upper) when real data is needed.
    """

    shape: Shape
    dtype: torch.dtype = torch.float32
    name: str | None = None
    upper: int = 2

    def meta(self, layout: str) -> torch.Tensor:
        """Make it without data, channels-last where asked for and possible."""
        last = layout == "nhwc" and len(self.shape) == 4
        order = torch.channels_last if last else torch.contiguous_format
        return torch.empty(self.shape, dtype=self.dtype, device="meta", memory_format=order)

    def real(self, generator: torch.Generator) -> torch.Tensor:
        """Make it with reproducible random data."""
        if self.dtype.is_floating_point:
            return torch.rand(self.shape, generator=generator).to(self.dtype)
        return torch.randint(0, self.upper, self.shape, generator=generator).to(self.dtype)


@dataclass(frozen=True, slots=True)
class TorchSource:
    """A model reference, resolved.

    Attributes
    ----------
    construct : callable
        Builds the module; called under weightless construction, or plainly when real data is needed.
    inputs : tuple of InputSpec
        Defaults; the user's shapes replace them.
    data_dependent : bool
        Known to need real tensors (detection heads, quantised modules).
    takes_image_list : bool
        ``forward`` wants a list of [c, h, w] images (torchvision detection).
    construct_at : callable, optional
        Builds the module for another image size, for models that fix it at construction.
    guess_inputs : callable, optional
        Finds default inputs by looking at the built module.
    warm_start : str
        Name of the argument that a first forward pass produces and the recorded one consumes
        (``past_key_values``), or "".
    """

    name: str
    construct: Callable[[], torch.nn.Module]
    inputs: tuple[InputSpec, ...]
    data_dependent: bool = False
    takes_image_list: bool = False
    construct_at: Callable[[tuple[int, int]], torch.nn.Module] | None = None
    guess_inputs: Callable[[torch.nn.Module], tuple[InputSpec, ...]] | None = None
    warm_start: tuple[InputSpec, ...] = ()
    notes: tuple[str, ...] = field(default=())


def resolve_inputs(
    defaults: tuple[InputSpec, ...], wanted: tuple[InputShape, ...], batch: int | None, name: str
) -> tuple[InputSpec, ...]:
    """Lay the user's shapes over the defaults, by name or by position, and rescale the batch.

    Raises
    ------
    TraceError
        A shape has another rank than the model takes.
    """
    specs = list(defaults)
    for position, shape in enumerate(wanted):
        index = next((i for i, s in enumerate(specs) if shape.name is not None and s.name == shape.name), None)
        if index is None and shape.name is None and position < len(defaults):
            index = position
        if index is None:
            guessed = torch.int64 if shape.name in _INTEGER_NAMES else torch.float32
            specs.append(InputSpec(shape.shape, guessed, shape.name))
            index = len(specs) - 1
        elif len(specs[index].shape) != len(shape.shape):
            raise TraceError(
                f"{name} takes an input of {len(specs[index].shape)} dimensions, not {len(shape.shape)}",
                where=f"--input-shape {'x'.join(map(str, shape.shape))}",
                expected=f"a shape like {'x'.join(map(str, specs[index].shape))}",
            )
        dtype = TORCH_DTYPES[shape.dtype] if shape.dtype is not None else specs[index].dtype
        specs[index] = replace(specs[index], shape=shape.shape, dtype=dtype)
    if batch is not None:
        specs = [replace(s, shape=(batch, *s.shape[1:])) if s.shape else s for s in specs]
    return tuple(specs)
