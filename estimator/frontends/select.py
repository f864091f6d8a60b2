"""From a model reference to a `Graph`: which front-end reads it.

This file imports no framework; each front-end is imported when its kind of reference is met, so that an ONNX file
is estimated without ever loading torch.

References
----------
``file.onnx`` · ``file.tflite`` · ``file.pt2`` · ``saved_model/`` · ``file.{pb,meta,keras}`` · ``graph.json``
    A file; the suffix (or the directory's content) decides.
``torchvision:NAME`` · ``timm:NAME[?option=value]`` · ``transformers:CONFIG.json[?phase=prefill|decode]``
    A model zoo; weights are random and never allocated.
``pkg.module:callable``
    The user's own code, imported from the working directory; returns an ``nn.Module``. Runs code: never for a service.
``kernel:OP``
    One op, for records of single kernels: ``kernel:linear-768``; see `frontends.kernel_source`.
``NAME``
    torchvision first, then timm.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from estimator.errors import BadOptionError, EstimatorError, ModelFileError, UnknownModelError
from estimator.files import near_files
from estimator.frontends.input_shape import InputShape, parse_input_shapes, shapes_by_name
from estimator.frontends.kernel_source import SCHEME as KERNEL_SCHEME
from estimator.frontends.kernel_source import load_kernel
from estimator.ir.graph import Graph

LAYOUTS = ("nchw", "nhwc")
TOKEN_SCHEME = "transformers"
ZOOS = ("torchvision", "timm", TOKEN_SCHEME)
SCHEMES = (*ZOOS, KERNEL_SCHEME)
_FILE_SUFFIXES = (".onnx", ".tflite", ".lite", ".pt2", ".pb", ".pbtxt", ".meta", ".keras", ".h5", ".json")
_FOREIGN_SUFFIXES = {
    ".pt": "a pickled checkpoint", ".pth": "a pickled checkpoint", ".ckpt": "a pickled checkpoint",
    ".bin": "bare weights", ".safetensors": "bare weights", ".pkl": "a pickle", ".pickle": "a pickle",
    ".mlmodel": "a Core ML model", ".mlpackage": "a Core ML model", ".engine": "a TensorRT engine",
    ".gguf": "a GGUF file",
}  # fmt: skip
MAX_REFERENCE = 4096
MAX_GRAPH_DOCUMENT_BYTES = 512 * 1024 * 1024
_MODULE_CALLABLE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_][\w.]*")


def load_graph(
    reference: str,
    *,
    input_shapes: Sequence[str] = (),
    batch: int | None = None,
    layout: str = "nchw",
    seq_len: int | None = None,
    prune: bool = True,
) -> Graph:
    """Read a model.

    Parameters
    ----------
    reference : str
        See the module docstring.
    input_shapes : sequence of str
        ``1x3x224x224``, or ``name=1x3x224x224`` for each of several inputs.
    batch : int, optional
        Replaces the leading extent of every input.
    layout : str
        ``nchw`` or ``nhwc`` (channels-last strides); only torch models have a choice.
    seq_len : int, optional
        Tokens of a ``transformers:`` model: prompt length, or cache length when decoding.
    prune : bool
        False keeps every node of a TensorFlow file, initialisers too, as its profiler counts.

    Returns
    -------
    Graph
        Validated.

    Raises
    ------
    UnknownModelError
        No such zoo model, module or file.
    BadOptionError
        A shape, batch, layout or sequence length makes no sense.
    ModelError
        The model exists and cannot be read or traced; the subclass says which.
    """
    _check_options(batch, layout, seq_len)
    if seq_len is not None and not reference.startswith(f"{TOKEN_SCHEME}:"):
        raise BadOptionError(
            f"{reference} takes no --seq-len", expected="a transformers: model, or --input-shape for its inputs"
        )
    if len(reference) > MAX_REFERENCE or "\0" in reference:
        raise UnknownModelError(f"{reference[:60]}…")
    shapes = parse_input_shapes(input_shapes)
    path = Path(reference)
    if looks_like_file(reference, path):
        graph = _load_file(path, shapes, batch, prune)
    elif reference.startswith(f"{KERNEL_SCHEME}:"):
        graph = load_kernel(reference, shapes, batch)
    else:
        from estimator.frontends.torch_model import load_torch

        try:
            graph = load_torch(reference, input_shapes=shapes, batch=batch, layout=layout, seq_len=seq_len)
        except UnknownModelError:
            if not (reference and _exists(path) and path.is_dir()):
                raise
            graph = _load_file(path, shapes, batch, prune)  # says what such a folder lacks
    from estimator.ir.validate import validate

    return validate(graph)


def is_user_code(reference: str) -> bool:
    """Whether resolving the reference would run code of the caller's choosing (a service must refuse it)."""
    scheme = reference.partition(":")[0]
    return scheme not in SCHEMES and _MODULE_CALLABLE.fullmatch(reference) is not None


def _check_options(batch: int | None, layout: str, seq_len: int | None) -> None:
    for option, value in (("--batch", batch), ("--seq-len", seq_len)):
        if value is not None and not 1 <= value <= 2**24:
            raise BadOptionError(f"{option} is {value}", where=option, expected="an integer from 1 to 16777216")
    if layout not in LAYOUTS:
        raise BadOptionError(f"unknown layout {layout!r}", where="--layout", expected=" or ".join(LAYOUTS))


def looks_like_file(reference: str, path: Path) -> bool:
    """Whether a model reference, as a path, can only mean a file or a folder."""
    if reference.partition(":")[0] in SCHEMES and ":" in reference:
        return False
    if path.suffix.lower() in (*_FILE_SUFFIXES, *_FOREIGN_SUFFIXES) or "/" in reference or "\\" in reference:
        return True
    try:
        return ":" not in reference and path.is_dir() and (path / "saved_model.pb").exists()
    except OSError:
        return False


def _load_file(path: Path, shapes: tuple[InputShape, ...], batch: int | None, prune: bool) -> Graph:
    suffix = path.suffix.lower()
    if not _exists(path):
        raise UnknownModelError(
            str(path),
            near_files(path, _FILE_SUFFIXES),
            what=f"no such file: {path}",
            expected="an existing model file, or a name such as torchvision:NAME or pkg.module:callable",
        )
    if suffix in _FOREIGN_SUFFIXES:
        raise ModelFileError(
            f"{path.name} is {_FOREIGN_SUFFIXES[suffix]}, which holds no readable network",
            where=str(path),
            expected=".onnx, .tflite, .pt2 (torch.export.save), a SavedModel, .pb, .meta or graph.json",
            hint="export the model first, or point at its code as pkg.module:callable",
        )
    if path.is_file() and path.stat().st_size == 0:
        raise ModelFileError(f"{path.name} is empty", where=str(path), expected="a model")
    named = shapes_by_name(shapes)
    if suffix == ".onnx":
        from estimator.frontends.onnx_model import load_onnx

        return load_onnx(path, input_shapes=named, batch=batch)
    if suffix in (".tflite", ".lite"):
        from estimator.frontends.tflite_model import load_tflite

        return load_tflite(path, input_shapes=named, batch=batch)
    if suffix == ".pt2":
        from estimator.frontends.pt2_archive import load_pt2

        return load_pt2(path, input_shapes=named, batch=batch)
    if suffix == ".json":
        return _load_graph_document(path, shapes, batch)
    if path.is_dir() or suffix in (".pb", ".pbtxt", ".meta", ".keras", ".h5"):
        from estimator.frontends.tf_model import load_tensorflow

        return load_tensorflow(path, input_shapes=named, batch=batch, prune=prune)
    raise ModelFileError(
        f"{path.name} is of no known model format",
        where=str(path),
        expected=", ".join(_FILE_SUFFIXES),
    )


def _load_graph_document(path: Path, shapes: tuple[InputShape, ...], batch: int | None) -> Graph:
    from estimator.ir.document import graph_from_text

    if path.stat().st_size > MAX_GRAPH_DOCUMENT_BYTES:
        raise ModelFileError(
            f"{path.name} is larger than any graph",
            where=str(path),
            expected=f"at most {MAX_GRAPH_DOCUMENT_BYTES // 1024**2} MiB",
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFileError(f"{path.name} cannot be read: {error}", where=str(path)) from None
    try:
        graph = graph_from_text(text)
    except EstimatorError as error:
        error.where = f"{path}: {error.where}" if error.where else str(path)
        raise
    if batch is not None:
        from estimator.frontends.rebatch import rebatch

        graph = rebatch(graph, batch)
    given = tuple(graph.tensors[name].shape for name in graph.inputs)
    wanted = tuple(s.with_batch(batch).shape for s in shapes)
    if wanted and wanted != given:
        raise BadOptionError(
            "a graph document has its shapes fixed",
            where=f"{path.name}, {', '.join('x'.join(map(str, shape)) for shape in given)}",
            expected="--batch, and no --input-shape other than the ones it was exported with",
            hint="export it again with the wanted --input-shape",
        )
    return graph


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long, a loop of links
        return False
