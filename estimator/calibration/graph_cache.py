"""Traced graphs and lowered kernel tables on disk, so that a refit or a second scoring traces nothing.

An entry's name is a digest of all that decides its content: the reference, shape and layout, the versions of torch
and of the zoos, and this package's own sources that trace (and, for a table, lower) it. So nothing is ever stale and
nothing needs to be invalidated; what is never read again may be deleted at any time. A damaged entry is made again.

The folder is ``$ESTIMATOR_CACHE``, or ``estimator`` below ``$XDG_CACHE_HOME``, or ``~/.cache/estimator``.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import numpy as np

from estimator.calibration.graph_columns import graph_from_columns, graph_to_columns
from estimator.errors import EstimatorError, OutputError
from estimator.files import write_whole
from estimator.ir.graph import Graph
from estimator.lowering.kernel import KernelTable

CACHE_VARIABLE: Final = "ESTIMATOR_CACHE"
_PACKAGE: Final = Path(__file__).resolve().parent.parent
_TRACING_ROOMS: Final = ("dtypes.py", "ir", "frontends")
_LOWERING_ROOMS: Final = (*_TRACING_ROOMS, "costs", "lowering")
_ZOOS: Final = ("torch", "torchvision", "timm")
_DIGEST_BYTES: Final = 16
_MAX_BYTES: Final = 1 << 28


@dataclass(frozen=True, slots=True)
class Traced:
    """A model as a record names it: its shape as text (``1x3x224x224``) and ``nchw`` or ``nhwc``."""

    model: str
    input_shape: str
    layout: str


@dataclass(frozen=True, slots=True)
class Workload:
    """A traced model and what decides its kernels; the device does not.

    Attributes
    ----------
    torch_version : tuple of int or None
        See `engine.ResolvedTarget`.
    """

    traced: Traced
    runtime: str
    precision: str
    unit_kind: str
    torch_version: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class LoweredModel:
    """What timing needs of a workload.

    Attributes
    ----------
    table : KernelTable
        Identical kernels merged.
    flops : int
        Of the whole graph by its own convention, for FLOPs ÷ peak.
    uncovered : tuple of str
        Operators without a cost rule.
    """

    table: KernelTable
    flops: int
    uncovered: tuple[str, ...] = ()


def cache_directory() -> Path:
    """Where entries are kept; it need not exist."""
    own = os.environ.get(CACHE_VARIABLE)
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "estimator"


class GraphCache:
    """Entries of one folder. A folder that cannot be written only costs time."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_directory()

    def graph(self, traced: Traced) -> Graph | None:
        """Read a graph, or None."""
        path = self._path("graph", _key(traced, tracing_digest()))
        data = _read(path)
        if data is None:
            return None
        try:
            return graph_from_columns(data)
        except (ValueError, KeyError, IndexError, TypeError, EstimatorError):
            path.unlink(missing_ok=True)
            return None

    def keep_graph(self, traced: Traced, graph: Graph) -> None:
        """Write a graph."""
        _write(self._path("graph", _key(traced, tracing_digest())), graph_to_columns(graph))

    def lowered(self, workload: Workload) -> LoweredModel | None:
        """Read a workload's kernels, or None."""
        path = self._path("table", _key(workload, lowering_digest()))
        data = _read(path)
        if data is None:
            return None
        try:
            head, _, body = data.partition(b"\n")
            fields = json.loads(head)
            matrix = np.frombuffer(body, dtype="<f8").reshape(fields["shape"])
            return LoweredModel(KernelTable.from_matrix(matrix), int(fields["flops"]), tuple(fields["uncovered"]))
        except (ValueError, KeyError, IndexError, TypeError):
            path.unlink(missing_ok=True)
            return None

    def keep_lowered(self, workload: Workload, lowered: LoweredModel) -> None:
        """Write a workload's kernels."""
        matrix = lowered.table.matrix().astype("<f8")
        head = {"shape": matrix.shape, "flops": lowered.flops, "uncovered": lowered.uncovered}
        _write(
            self._path("table", _key(workload, lowering_digest())),
            json.dumps(head).encode() + b"\n" + matrix.tobytes(),
        )

    def _path(self, kind: str, key: str) -> Path:
        return self.folder / kind / key[:2] / key[2:]


def _key(described: Traced | Workload, sources: str) -> str:
    return hashlib.blake2b(f"{described!r}|{sources}".encode(), digest_size=_DIGEST_BYTES).hexdigest()


@cache
def tracing_digest() -> str:
    """Digest of what decides a graph besides its reference: package versions and this package's tracing sources."""
    return f"{_versions()}|{_source_digest(_TRACING_ROOMS)}"


@cache
def lowering_digest() -> str:
    """Digest of what decides a kernel table: as for a graph, with costs and rule lists."""
    return f"{_versions()}|{_source_digest(_LOWERING_ROOMS)}"


def _versions() -> str:
    return ",".join(f"{package} {_installed(package)}" for package in _ZOOS)


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "-"


def _source_digest(rooms: Iterable[str]) -> str:
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for room in rooms:
        path = _PACKAGE / room
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(f"{file.relative_to(_PACKAGE)}\n".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _read(path: Path) -> bytes | None:
    """Unpack an entry; one that is missing or damaged is None."""
    try:
        packed = path.read_bytes()
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(packed[_DIGEST_BYTES:], _MAX_BYTES)
    except (OSError, zlib.error):
        return None
    return data if unpacker.eof and _digest(data) == packed[:_DIGEST_BYTES] else None


def _write(path: Path, data: bytes) -> None:
    """Write an entry as a whole or not at all."""
    with suppress(OSError, OutputError):  # a full or read-only disk costs a trace next time, nothing else
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, _digest(data) + zlib.compress(data, 1))


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()
