"""Torch models by reference: resolve, build without weights, trace.

A model is traced on meta tensors. One whose shapes depend on data (detection heads, quantised modules) is built for
real and recorded with real tensors instead; the graph then carries a note, because another image gives other shapes.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from estimator.errors import EstimatorError, MissingShapeError, ModelFileError, TraceError, UnknownModelError
from estimator.frontends.input_shape import InputShape
from estimator.frontends.torch_build import build_weightless, parameter_bytes
from estimator.frontends.torch_recorder import record_module, run_recorded
from estimator.frontends.torch_source import InputSpec, TorchSource, resolve_inputs
from estimator.frontends.torch_zoo import timm_names, timm_source, torchvision_names, torchvision_source
from estimator.ir.graph import Graph

MAX_REAL_WEIGHTS_BYTES = 6_000_000_000
_SEED = 0
_CACHE_ARGUMENTS = ("past_key_values", "cache_params", "state", "mems")
_NEEDS_DATA = (
    "meta tensor", "meta tensors", "_local_scalar_dense", "data-dependent", "no data", "Meta", "nonzero",
    "is_nonzero", "ScriptObject", "quantized", "unbacked", "D meta", "on meta", "on the same device", "meta device",
    "Expected mat_a to be BFloat16",
)  # fmt: skip
"""Parts of messages that meta tensors cause: missing values, devices that differ, kernels for other devices."""


def load_torch(
    reference: str,
    *,
    input_shapes: tuple[InputShape, ...] = (),
    batch: int | None = None,
    layout: str = "nchw",
    seq_len: int | None = None,
) -> Graph:
    """Build and trace a torch model by reference (see `frontends.select`).

    Raises
    ------
    UnknownModelError
        No zoo model or importable callable of this name.
    TraceError
        The model does not accept these inputs, or cannot be traced.
    MissingShapeError
        The user's own module gives no hint of its input.
    """
    with importable(Path.cwd()):
        source = resolve(reference, seq_len)
        return trace(source, input_shapes, batch, layout)


def resolve(reference: str, seq_len: int | None = None) -> TorchSource:
    """Find what a reference names, without building it (a user's own callable is imported)."""
    scheme, colon, rest = reference.partition(":")
    if scheme == "torchvision" and colon:
        return torchvision_source(rest)
    if scheme == "timm" and colon:
        return timm_source(rest)
    if scheme == "transformers" and colon:
        from estimator.frontends.torch_language import transformers_source

        return transformers_source(rest, seq_len)
    if colon:
        return _user_source(scheme, rest)
    if reference in torchvision_names():
        return torchvision_source(reference)
    try:
        return timm_source(reference)
    except UnknownModelError:
        raise UnknownModelError(reference, tuple(dict.fromkeys((*torchvision_names(), *timm_names())))) from None


def trace(source: TorchSource, wanted: tuple[InputShape, ...], batch: int | None, layout: str) -> Graph:
    """Build the module and record it."""
    if source.data_dependent:
        return _trace_real(source, wanted, batch)
    try:
        module = build_weightless(source.construct)
    except EstimatorError:
        raise
    except Exception:  # constructors of user code may do anything; the real build says what is wrong
        return _trace_real(source, wanted, batch)
    defaults, inputs = inputs_for(module, source, wanted, batch)
    _materialise(module, inputs)
    try:
        return _record_meta(module, source, inputs, layout)
    except TraceError as error:
        resized = _rebuilt_for(source, inputs, defaults)
        if resized is not None:
            return _record_meta(resized, source, inputs, layout)
        if not _wants_data(error):
            raise
    try:
        return _record_meta(module, source, inputs, layout, real_constants=True)
    except TraceError as error:
        if not _wants_data(error) or source.warm_start or parameter_bytes(module) > MAX_REAL_WEIGHTS_BYTES:
            raise
    return _trace_real(source, wanted, batch)


def inputs_for(
    module: torch.nn.Module, source: TorchSource, wanted: tuple[InputShape, ...], batch: int | None
) -> tuple[tuple[InputSpec, ...], tuple[InputSpec, ...]]:
    """Find a module's own inputs, and those with the user's shapes laid over them.

    Raises
    ------
    BadOptionError
        A shape does not go with what `forward` takes.
    MissingShapeError
        Neither the module nor the user says what it takes.
    """
    floating = _floating_type(module)
    defaults = (source.guess_inputs(module) if source.guess_inputs else ()) or source.inputs
    defaults = tuple(replace(d, dtype=floating) if d.dtype is torch.float32 else d for d in defaults)
    inputs = resolve_inputs(defaults, wanted, batch, source.name, module.forward, floating)
    if not inputs:
        raise MissingShapeError(
            f"the input of {source.name} is unknown", expected="--input-shape, once per input of forward"
        )
    return defaults, inputs


def _floating_type(module: torch.nn.Module) -> torch.dtype:
    """Type in which a module takes its data: that of its weights if they agree (``module.half()``), else float32."""
    types = {p.dtype for p in module.parameters() if p.is_floating_point()}
    return types.pop() if len(types) == 1 else torch.float32


def _materialise(module: torch.nn.Module, inputs: tuple[InputSpec, ...]) -> None:
    """Run a module with lazy parameters once: they take their shapes from the first input.

    Raises
    ------
    TraceError
        The module does not accept the inputs.
    """
    if not any(torch.nn.parameter.is_lazy(p) for p in (*module.parameters(), *module.buffers())):
        return
    generator = torch.Generator().manual_seed(_SEED)
    args = [spec.real(generator) for spec in inputs if spec.name is None]
    kwargs = {spec.name: spec.real(generator) for spec in inputs if spec.name is not None}
    training = module.training
    try:
        with torch.no_grad():
            module.eval()(*args, **kwargs)
    except Exception as error:  # a forward may raise anything
        raise TraceError(
            f"{type(module).__name__} could not be run to shape its lazy parameters: {str(error)[:300]}",
            where=_raised_at(error),
            expected="inputs that the model's forward accepts",
        ) from error
    finally:
        module.train(training)


def _record_meta(
    module: torch.nn.Module,
    source: TorchSource,
    inputs: tuple[InputSpec, ...],
    layout: str,
    real_constants: bool = False,
) -> Graph:
    record = partial(
        run_recorded, module, name=source.name, channels_last=layout == "nhwc", real_constants=real_constants
    )
    args = [spec.meta(layout) for spec in inputs if spec.name is None]
    kwargs: dict[str, Any] = {spec.name: spec.meta(layout) for spec in inputs if spec.name is not None}
    if source.warm_start:
        warm = {spec.name or "": spec.meta(layout) for spec in _with_batch_of(inputs, source.warm_start)}
        _, first = record((), example_kwargs={**warm, "use_cache": True})
        kwargs |= _cache_of(first, module, source.name)
    if _accepts(module, "use_cache") and not source.warm_start and "input_ids" in kwargs:
        kwargs["use_cache"] = bool(getattr(getattr(module, "config", None), "use_cache", False))
    graph, _ = record(args, example_kwargs=kwargs, notes=source.remarks(module))
    return graph


def _cache_of(output: Any, module: torch.nn.Module, name: str) -> dict[str, Any]:
    """Find what a first pass leaves for the next token: keys and values, or a recurrent state."""
    for argument in _CACHE_ARGUMENTS:
        cache = getattr(output, argument, None)
        if cache is not None and _accepts(module, argument):
            return {argument: cache, "use_cache": True}
    raise TraceError(f"{name} leaves no cache that a decode step could read", expected=", ".join(_CACHE_ARGUMENTS))


def _with_batch_of(inputs: tuple[InputSpec, ...], warm: tuple[InputSpec, ...]) -> tuple[InputSpec, ...]:
    batch = inputs[0].shape[0]
    return tuple(InputSpec((batch, *s.shape[1:]), s.dtype, s.name, s.upper) for s in warm)


def _accepts(module: torch.nn.Module, argument: str) -> bool:
    try:
        return argument in inspect.signature(module.forward).parameters
    except (TypeError, ValueError):  # compiled code need not have a signature
        return False


def _rebuilt_for(
    source: TorchSource, inputs: tuple[InputSpec, ...], defaults: tuple[InputSpec, ...]
) -> torch.nn.Module | None:
    """Build the module again at the asked image size, if the size differs and the model fixes it."""
    if source.construct_at is None or not defaults or inputs[0].shape[2:] == defaults[0].shape[2:]:
        return None
    height, width = inputs[0].shape[-2:]
    construct_at = source.construct_at
    try:
        return build_weightless(lambda: construct_at((height, width)))
    except (TypeError, ValueError, RuntimeError, AssertionError):
        return None


def _wants_data(error: TraceError) -> bool:
    cause = error.__cause__
    if isinstance(cause, NotImplementedError):
        return True
    text = f"{type(cause).__name__}: {cause}"
    return any(mark in text for mark in _NEEDS_DATA)


def _trace_real(source: TorchSource, wanted: tuple[InputShape, ...], batch: int | None) -> Graph:
    """Build with weights and record with reproducible random data."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        module = build(source)
        _, inputs = inputs_for(module, source, wanted, batch)
        _materialise(module, inputs)
        generator = torch.Generator().manual_seed(_SEED)
        args: list[Any] = [spec.real(generator) for spec in inputs if spec.name is None]
        kwargs = {spec.name: spec.real(generator) for spec in inputs if spec.name is not None}
        if source.takes_image_list:
            args = [list(args[0].unbind(0))]
        note = "recorded with real tensors: its shapes depend on the data"
        notes = (*source.remarks(module), note)
        graph = record_module(module, args, name=source.name, example_kwargs=kwargs, notes=notes)
        return replace(graph, one_input_per_item=True) if source.takes_image_list else graph


def build(source: TorchSource) -> torch.nn.Module:
    """Build the module with its weights.

    Raises
    ------
    EstimatorError
        What the source itself says, or `TraceError` for anything else that its constructor raises.
    """
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations inside the zoo's constructors are not the user's
            return source.construct()
    except EstimatorError:
        raise
    except Exception as error:  # constructors of user code may do anything
        raise TraceError(
            f"{source.name} could not be built: {type(error).__name__}: {str(error)[:300]}",
            where=_raised_at(error),
            expected="a torch.nn.Module, built without arguments",
            hint="call it by itself in Python to see the whole traceback",
        ) from error


def _raised_at(error: Exception) -> str:
    """File, line and function that raised."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}:{frame.lineno}, in {frame.name}"


# ---------------------------------------------------------------- the user's own code
@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Let a folder's modules be imported for a while."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _user_source(module_name: str, attribute: str) -> TorchSource:
    """Import ``pkg.module:callable`` from the working directory."""
    reference = f"{module_name}:{attribute}"
    target = _import_attribute(module_name, attribute)

    def construct() -> torch.nn.Module:
        made = target if isinstance(target, torch.nn.Module) else target()
        if not isinstance(made, torch.nn.Module):
            raise ModelFileError(
                f"{reference} returned {type(made).__name__}",
                where=reference,
                expected="a torch.nn.Module",
            )
        return made

    return TorchSource(name=attribute, construct=construct, inputs=(), guess_inputs=_guess_inputs)


def _import_attribute(module_name: str, attribute: str) -> Any:
    reference = f"{module_name}:{attribute}"
    try:
        value: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and module_name.startswith(error.name):
            known = ("torchvision:NAME", "timm:NAME", "transformers:CONFIG.json")
            where = f"no module named {error.name!r} in the working directory or among the installed packages"
            raise UnknownModelError(reference, known, where=where) from None
        raise ModelFileError(f"importing {module_name} failed: {error}", where=reference) from error
    except Exception as error:  # the user's module may raise anything while it is imported
        raise ModelFileError(
            f"importing {module_name} failed: {type(error).__name__}: {error}", where=reference
        ) from error
    for part in attribute.split("."):
        if not hasattr(value, part):
            names = [n for n in dir(value) if not n.startswith("_") and callable(getattr(value, n))]
            raise UnknownModelError(reference, tuple(f"{module_name}:{n}" for n in names))
        value = getattr(value, part)
    if not callable(value):
        raise ModelFileError(f"{reference} is not callable", where=reference, expected="a function or an nn.Module")
    return value


def _guess_inputs(module: torch.nn.Module) -> tuple[InputSpec, ...]:
    """Guess [1, channels, 224, 224] when the first layer with weights is a 2-D convolution."""
    shape = getattr(module, "example_input_shape", None)
    if shape:
        return (InputSpec(tuple(shape)),)
    for child in module.modules():
        if isinstance(child, torch.nn.Conv2d):
            return (InputSpec((1, child.in_channels, 224, 224), is_guess=True),)
        if list(child.parameters(recurse=False)):
            return ()
    return ()
