"""A torch model before it is traced: how to build it, and what its inputs look like."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from estimator.dtypes import DType
from estimator.errors import BadOptionError
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
    is_guess : bool
        Made up from the look of the module: a given shape may have another rank.
    sized_by : str
        Option that set the extents after the batch, which ``--input-shape`` must then not contradict; or "".
    """

    shape: Shape
    dtype: torch.dtype = torch.float32
    name: str | None = None
    upper: int = 2
    is_guess: bool = False
    sized_by: str = ""

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
    remarks : callable
        What to say of the built module beside its graph.
    """

    name: str
    construct: Callable[[], torch.nn.Module]
    inputs: tuple[InputSpec, ...]
    data_dependent: bool = False
    takes_image_list: bool = False
    construct_at: Callable[[tuple[int, int]], torch.nn.Module] | None = None
    guess_inputs: Callable[[torch.nn.Module], tuple[InputSpec, ...]] | None = None
    warm_start: tuple[InputSpec, ...] = ()
    remarks: Callable[[torch.nn.Module], tuple[str, ...]] = lambda module: ()


def resolve_inputs(
    defaults: tuple[InputSpec, ...],
    wanted: tuple[InputShape, ...],
    batch: int | None,
    name: str,
    forward: Callable[..., object] | None = None,
    floating: torch.dtype = torch.float32,
) -> tuple[InputSpec, ...]:
    """Lay the user's shapes over the defaults, by name or by position, and rescale the batch.

    Parameters
    ----------
    forward : callable, optional
        What takes the inputs: names are then checked against its parameters, and may stand for a position.
    floating : torch.dtype
        Element type of inputs whose type nobody states.

    Raises
    ------
    BadOptionError
        A shape has another rank than the model takes, names no parameter, or contradicts another option.
    """
    parameters = _Parameters.of(forward)
    specs = list(defaults)
    labels = [spec.name for spec in specs]
    free = (label for label in parameters.positional if label not in labels)
    labels = [label or next(free, None) for label in labels]
    given: set[int] = set()
    for shape in sorted(wanted, key=lambda shape: shape.name is None):  # what is named first, the rest where free
        if shape.name is None:
            index = next((i for i in range(len(defaults)) if i not in given), len(specs))
        else:
            parameters.check(shape.name, name)
            index = labels.index(shape.name) if shape.name in labels else len(specs)
        if index == len(specs):
            guessed = torch.int64 if shape.name in _INTEGER_NAMES else floating
            specs.append(InputSpec(shape.shape, guessed, shape.name))
            labels.append(shape.name)
        given.add(index)
        specs[index] = _resized(specs[index], shape, name)
    if batch is not None:
        specs = [replace(s, shape=(batch, *s.shape[1:])) if s.shape else s for s in specs]
    return tuple(specs)


def _resized(spec: InputSpec, shape: InputShape, name: str) -> InputSpec:
    written = "x".join(map(str, shape.shape))
    if len(spec.shape) != len(shape.shape) and not spec.is_guess:
        raise BadOptionError(
            f"{name} takes an input of {len(spec.shape)} dimensions, not {len(shape.shape)}",
            where=f"--input-shape {written}",
            expected=f"a shape like {'x'.join(map(str, spec.shape))}",
        )
    if spec.sized_by and shape.shape[1:] != spec.shape[1:]:
        raise BadOptionError(
            f"{spec.sized_by} and --input-shape {written} contradict each other",
            where=f"input {spec.name!r} of {name}" if spec.name else name,
            expected=f"one of them; with {spec.sized_by}, --batch scales the leading extent",
        )
    return replace(spec, shape=shape.shape, dtype=TORCH_DTYPES[shape.dtype] if shape.dtype is not None else spec.dtype)


@dataclass(frozen=True, slots=True)
class _Parameters:
    """Names that a ``forward`` takes; `is_open` where it takes any."""

    positional: Sequence[str] = ()
    keyword: Sequence[str] = ()
    is_open: bool = True

    @classmethod
    def of(cls, forward: Callable[..., object] | None) -> _Parameters:
        try:
            known = inspect.signature(forward).parameters.values() if forward is not None else ()
        except (TypeError, ValueError):  # compiled code need not have a signature
            known = ()
        kinds = inspect.Parameter
        positional = [p.name for p in known if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
        keyword = [p.name for p in known if p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)]
        return cls(positional, keyword, not known or any(p.kind is kinds.VAR_KEYWORD for p in known))

    def check(self, name: str, model: str) -> None:
        if not self.is_open and name not in (*self.positional, *self.keyword):
            raise BadOptionError(
                f"{model} has no input {name!r}",
                where="--input-shape",
                expected=f"a parameter of its forward: {', '.join(dict.fromkeys((*self.positional, *self.keyword)))}",
            )
