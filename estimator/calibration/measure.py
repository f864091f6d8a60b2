"""Measure models on the machine at hand, as records that `calibrate` and `validate` read.

The only file outside `frontends` that runs a framework. A measurement is the median of whole forward
passes, each timed from call to result (synchronised on a GPU), after warm-up, without gradients.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from estimator.calibration.records import Record
from estimator.catalogue.loader import HERE, load_device, split_reference
from estimator.dtypes import Precision
from estimator.engine import LAYOUTS
from estimator.errors import (
    BadOptionError,
    MissingDependencyError,
    ModelFileError,
    TraceError,
    UnknownRuntimeError,
)
from estimator.frontends.input_shape import InputShape, parse_input_shapes
from estimator.frontends.kernel_source import SCHEME as KERNEL_SCHEME
from estimator.ir.graph import Graph
from estimator.ir.tensor import Shape
from estimator.lowering.precision import stored_precision

if TYPE_CHECKING:
    from estimator.frontends.torch_source import InputSpec

TORCH_RUNTIMES: Final = ("torch-eager", "torch-compile")
FILE_RUNTIMES: Final = {".onnx": "onnxruntime", ".tflite": "tflite"}
"""What measures files of a suffix."""
RUNTIMES: Final = (*TORCH_RUNTIMES, *FILE_RUNTIMES.values())
MEASURED_UNITS: Final = ("cpu", "gpu")
_SEED: Final = 0


@dataclass(frozen=True, slots=True)
class MeasureOptions:
    """How long and how to measure.

    Attributes
    ----------
    precision : Precision or None
        None takes what there is: fp32 of a torch model, a file's own.
    warmup_count : int
        Passes thrown away: caches fill, compilers compile, clocks settle.
    min_count, budget_s : int, float
        Timed passes go on until both are reached.
    thread_count : int or None
        Threads of the runtime; None leaves its default.
    """

    runtime: str = "torch-eager"
    precision: Precision | None = None
    layout: str = "nchw"
    warmup_count: int = 5
    min_count: int = 10
    budget_s: float = 3.0
    thread_count: int | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model ready to run.

    Attributes
    ----------
    run : callable
        One whole forward pass, returning when the result is there.
    input_shape : Shape
        Of the first input, batch first.
    precision : Precision
        Of what runs.
    versions : str
        Of what runs it, for the record's conditions.
    """

    run: Callable[[], object]
    input_shape: Shape
    precision: Precision
    versions: str


def measured_unit(reference: str) -> tuple[str, str]:
    """Say what records call this machine: the device, as it was named, and the unit that runs.

    Parameters
    ----------
    reference : str
        As for ``--device``; ``here`` alone is this machine's CPU.

    Raises
    ------
    UnknownDeviceError
        No such device.
    BadOptionError
        A unit that no runtime of ours reaches.
    """
    name, unit = split_reference(reference)
    unit = (unit or "cpu").lower() if name.lower() == HERE else load_device(reference)[1].name
    if unit not in MEASURED_UNITS:
        raise BadOptionError(
            f"{name}/{unit} cannot be measured from here",
            where="--device",
            expected=" or ".join(f"{name}/{one}" for one in MEASURED_UNITS) + ", run by this machine",
            hint="time the models with the device's own tools and write the records yourself",
        )
    return name, unit


def measure(
    reference: str,
    device: str,
    unit: str,
    options: MeasureOptions,
    *,
    input_shapes: Sequence[str] = (),
    batch: int | None = None,
) -> Record:
    """Measure one model on this machine.

    Parameters
    ----------
    reference : str
        A torch model for the torch runtimes, ``.onnx`` for onnxruntime, ``.tflite`` for tflite.
    device, unit : str
        What the record calls this machine; ``unit`` gpu runs on the first CUDA device.

    Returns
    -------
    Record
        Median latency of the batch. The spread is in its conditions.

    Raises
    ------
    UnknownRuntimeError
        Not a runtime that can be measured here.
    MissingDependencyError
        The runtime is not installed.
    BadOptionError
        The options are not those of the file, or of what the runtime can do.
    ModelError
        The model cannot be built or run.
    """
    prepared = _prepare(reference, unit, options, parse_input_shapes(input_shapes), batch)
    _try(prepared, reference)
    times_s = time_passes(prepared.run, options)
    deciles = statistics.quantiles(times_s, n=10) if len(times_s) > 1 else [times_s[0]] * 9
    conditions = (
        f"{prepared.versions}; {options.thread_count or os.cpu_count()} threads; {len(times_s)} passes; "
        f"p10 {1e3 * deciles[0]:.4g} ms; p90 {1e3 * deciles[8]:.4g} ms"
    )
    return Record(
        model=reference,
        input_shape=prepared.input_shape,
        device=device,
        unit=unit,
        runtime=options.runtime,
        precision=prepared.precision,
        layout=options.layout,
        latency_s=statistics.median(times_s),
        source=f"measured here, {platform.system()} {platform.machine()}",
        conditions=conditions,
    )


def _try(prepared: Prepared, reference: str) -> None:
    try:
        prepared.run()
    except Exception as error:  # a framework, or the user's own module, may raise anything
        raise TraceError(
            f"{reference} does not run: {type(error).__name__}: {str(error)[:300]}",
            where=f"first input {_joined(prepared.input_shape)}, {prepared.precision.value}, {prepared.versions}",
            expected="inputs that the model accepts",
            hint="set them with --input-shape, or leave out --batch and --precision",
        ) from error


def time_passes(run: Callable[[], object], options: MeasureOptions) -> list[float]:
    """Time passes until both the count and the time are reached; seconds each."""
    for _ in range(options.warmup_count):
        run()
    times_s: list[float] = []
    spent_s = 0.0
    while len(times_s) < options.min_count or spent_s < options.budget_s:
        start = time.perf_counter()
        run()
        times_s.append(time.perf_counter() - start)
        spent_s += times_s[-1]
    return times_s


def _prepare(
    reference: str, unit: str, options: MeasureOptions, shapes: tuple[InputShape, ...], batch: int | None
) -> Prepared:
    match options.runtime:
        case "torch-eager" | "torch-compile":
            return _prepare_torch(reference, unit, options, shapes, batch)
        case "onnxruntime":
            return _prepare_onnxruntime(_file(reference, ".onnx", unit, options.runtime), options, shapes, batch)
        case "tflite":
            return _prepare_tflite(_file(reference, ".tflite", unit, options.runtime), options, shapes, batch)
        case _:
            raise UnknownRuntimeError(options.runtime, RUNTIMES)


def _file(reference: str, suffix: str, unit: str, runtime: str) -> Path:
    path = Path(reference)
    if unit != "cpu":
        raise BadOptionError(
            f"{runtime} is measured on a cpu, not on a {unit}", where="--device", expected="a cpu unit"
        )
    if path.suffix.lower() != suffix:
        raise BadOptionError(f"{runtime} measures {suffix} files, not {reference!r}", where="--runtime")
    if not path.is_file():
        raise ModelFileError(f"no such file: {reference}", where=reference)
    return path


def _installed(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package


# ---------------------------------------------------------------- torch
def _prepare_torch(
    reference: str, unit: str, options: MeasureOptions, shapes: tuple[InputShape, ...], batch: int | None
) -> Prepared:
    import torch

    from estimator.frontends.timm_norms import set_fast_norms
    from estimator.frontends.torch_model import build, importable, inputs_for, resolve

    _refuse_no_module(reference, options.runtime)
    check_reachable(unit)
    place = "cuda" if unit == "gpu" else "cpu"
    if options.thread_count:
        torch.set_num_threads(options.thread_count)
    torch.manual_seed(_SEED)
    with importable(Path.cwd()):
        source = resolve(reference)
        module: Any = build(source).eval()
    _, inputs = inputs_for(module, source, shapes, batch)
    if source.takes_image_list or source.warm_start:
        raise BadOptionError(f"{source.name} cannot be measured: it takes more than plain tensors")
    precision = options.precision or Precision.FP32
    dtype, autocast = _torch_types(precision)
    if autocast is None:  # then they compute the same, around an autocast that only costs time
        set_fast_norms(module, on=False)
    module = module.to(place, dtype)
    if options.layout == "nhwc":
        module = module.to(memory_format=torch.channels_last)
    arguments, named = _arguments(inputs, place, dtype, options.layout)
    if options.runtime == "torch-compile":
        module = torch.compile(module)

    def run() -> object:
        with torch.inference_mode(), torch.autocast(place, autocast, enabled=autocast is not None):
            result = module(*arguments, **named)
        if place == "cuda":
            torch.cuda.synchronize()
        return result

    return Prepared(run, inputs[0].shape, precision, _installed("torch"))


def check_reachable(unit: str) -> None:
    """Check that torch reaches a unit of this machine.

    Raises
    ------
    BadOptionError
        The unit is a gpu, and there is no CUDA device.
    """
    if unit != "gpu":
        return
    import torch

    if not torch.cuda.is_available():
        raise BadOptionError("there is no CUDA device here", where="--device", expected="a cpu unit")


def _refuse_no_module(reference: str, runtime: str) -> None:
    """Refuse what an estimate can be made of, but torch cannot run."""
    path = Path(reference)
    its_own = FILE_RUNTIMES.get(path.suffix.lower())
    if its_own is None and not path.is_file() and not reference.startswith(f"{KERNEL_SCHEME}:"):
        return
    raise BadOptionError(
        f"{runtime} measures torch models, not {reference!r}",
        where="--runtime",
        expected=(f"--runtime {its_own}, or " if its_own else "")
        + "a model such as torchvision:NAME or pkg.module:callable",
    )


def _torch_types(precision: Precision) -> tuple[Any, Any]:
    """Element type of weights and inputs, and of autocast (None: no autocast)."""
    import torch

    types: dict[Precision, tuple[Any, Any]] = {
        Precision.FP32: (torch.float32, None),
        Precision.FP16: (torch.float16, None),
        Precision.BF16: (torch.bfloat16, None),
        Precision.AMP_FP16: (torch.float32, torch.float16),
        Precision.AMP_BF16: (torch.float32, torch.bfloat16),
    }
    if precision not in types:
        known = ", ".join(one.value for one in types)
        raise BadOptionError(f"torch cannot be measured in {precision.value}", where="--precision", expected=known)
    return types[precision]


def _arguments(inputs: Sequence[InputSpec], place: str, dtype: Any, layout: str) -> tuple[list[Any], dict[str, Any]]:
    import torch

    generator = torch.Generator().manual_seed(_SEED)

    def made(spec: InputSpec) -> Any:
        tensor = spec.real(generator).to(place)
        if tensor.is_floating_point():
            tensor = tensor.to(dtype)
        if layout == "nhwc" and tensor.dim() == 4:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        return tensor

    positional = [made(spec) for spec in inputs if spec.name is None]
    return positional, {spec.name: made(spec) for spec in inputs if spec.name is not None}


# ---------------------------------------------------------------- files
def _prepare_onnxruntime(
    path: Path, options: MeasureOptions, shapes: tuple[InputShape, ...], batch: int | None
) -> Prepared:
    try:
        import onnxruntime
    except ImportError:
        raise MissingDependencyError("onnxruntime", "measuring with onnxruntime", "onnxruntime") from None
    graph, precision = _file_graph(path, options, shapes, batch)
    session_options = onnxruntime.SessionOptions()
    if options.thread_count:
        session_options.intra_op_num_threads = options.thread_count
    try:
        session = onnxruntime.InferenceSession(str(path), session_options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelFileError(f"onnxruntime refuses it: {str(error)[:300]}", where=str(path)) from error
    feed: dict[str, Any] = {}
    for one in session.get_inputs():
        shape = graph.tensors[one.name].shape
        _check_fixed(path, one.name, [n if isinstance(n, int) else None for n in one.shape], shape)
        feed[one.name] = _numbers(shape, one.type)
    first = graph.tensors[session.get_inputs()[0].name].shape
    return Prepared(lambda: session.run(None, feed), first, precision, _installed("onnxruntime"))


def _file_graph(
    path: Path, options: MeasureOptions, shapes: tuple[InputShape, ...], batch: int | None
) -> tuple[Graph, Precision]:
    """Read what a file holds, its unknown extents bound, and refuse what is asked of it in vain."""
    from estimator.frontends.select import load_graph

    if options.layout != LAYOUTS[0]:
        raise BadOptionError(
            f"{path.name} has a layout of its own, not {options.layout} by choice",
            where="--layout",
            expected="no --layout; only torch models have a choice",
        )
    wanted = [f"{s.name}={_joined(s.shape)}" if s.name else _joined(s.shape) for s in shapes]
    graph = load_graph(str(path), input_shapes=wanted, batch=batch)
    stored = stored_precision(graph)
    if options.precision not in (None, stored):
        raise BadOptionError(
            f"{path.name} is {stored.value}, not {options.precision}",
            where="--precision",
            expected=f"no --precision, or {stored.value}",
            hint="convert the model to the wanted precision and measure that file",
        )
    return graph, stored


def _check_fixed(path: Path, name: str, fixed: Sequence[int | None], wanted: Shape) -> None:
    """Refuse a shape that the file does not leave open; None is an open extent."""
    if len(fixed) == len(wanted) and all(f in (None, w) for f, w in zip(fixed, wanted, strict=True)):
        return
    raise BadOptionError(
        f"{path.name} fixes its input {name} to {'x'.join('?' if f is None else str(f) for f in fixed)}, "
        f"not {_joined(wanted)}",
        where="--batch, --input-shape",
        expected="the file's own shape, or neither option",
        hint="export the model again with the wanted shape and measure that file",
    )


def _numbers(shape: Shape, element: str) -> Any:
    import numpy as np

    types = {
        "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64,
        "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(int8)": np.int8, "tensor(uint8)": np.uint8,
        "tensor(bool)": np.bool_,
    }  # fmt: skip
    if element not in types:
        raise BadOptionError(f"cannot make an input of type {element}", expected=", ".join(types))
    return np.random.default_rng(_SEED).integers(0, 2, size=shape).astype(types[element])


def _prepare_tflite(path: Path, options: MeasureOptions, shapes: tuple[InputShape, ...], batch: int | None) -> Prepared:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        raise MissingDependencyError("ai-edge-litert", "measuring with tflite", "tflite") from None
    import numpy as np

    graph, precision = _file_graph(path, options, shapes, batch)
    inputs = [graph.tensors[name].shape for name in graph.inputs]
    try:
        interpreter = Interpreter(model_path=str(path), num_threads=options.thread_count)
        details = interpreter.get_input_details()
        for one, shape in zip(details, inputs, strict=True):
            _check_fixed(path, one["name"], [None if n < 0 else int(n) for n in one["shape_signature"]], shape)
            interpreter.resize_tensor_input(one["index"], shape)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ModelFileError(f"the interpreter refuses it: {str(error)[:300]}", where=str(path)) from error
    generator = np.random.default_rng(_SEED)
    for one, shape in zip(details, inputs, strict=True):
        interpreter.set_tensor(one["index"], generator.integers(0, 2, size=shape).astype(one["dtype"]))
    return Prepared(interpreter.invoke, inputs[0], precision, _installed("ai-edge-litert"))


def _joined(shape: Shape) -> str:
    return "x".join(map(str, shape))
