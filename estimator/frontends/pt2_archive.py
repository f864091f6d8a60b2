"""Programs written by ``torch.export.save`` (``.pt2``): read as data, without torch and without unpickling.

The archive is a zip file whose ``models/*.json`` holds the program; weights and sample inputs beside it are
never opened. Sizes that the zip directory claims are checked before anything is inflated.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from estimator.errors import EstimatorError, ModelFileError
from estimator.frontends.file_signature import open_model_file, signature_of
from estimator.frontends.pt2_program import import_program
from estimator.ir.graph import Graph
from estimator.ir.tensor import Shape

_NO_SHAPES: Mapping[str, Shape] = MappingProxyType({})
_EXPECTED = "an archive written by torch.export.save"
MAX_ENTRIES = 200_000
MAX_PROGRAM_BYTES = 256 * 1024**2
"""A 10,000-operator program is about 30 MB."""
MAX_RATIO = 200
"""Inflated ÷ stored; JSON of programs deflates about 20-fold."""
_OLD_PROGRAM = "serialized_exported_program.json"
_WEIGHT_LIST = "_weights_config.json"


def load_pt2(path: str | Path, *, input_shapes: Mapping[str, Shape] = _NO_SHAPES, batch: int | None = None) -> Graph:
    """Read an exported PyTorch program as a graph.

    Parameters
    ----------
    path : str or Path
        The ``.pt2`` file.
    input_shapes : mapping of input name to shape
        Values for dynamic extents; "" means the first input.
    batch : int, optional
        Leading extent of the inputs. A dynamic one is 1 by default, a fixed one is rescaled.

    Raises
    ------
    ModelFileError
        Not such an archive, damaged, or larger than any program when inflated.
    MissingShapeError
        An extent is dynamic, was not given and the file names no example of it.
    BadOptionError
        `input_shapes` names no input, or contradicts a fixed extent.
    """
    path = Path(path)
    document, weights = _documents(path)
    try:
        return import_program(document, path, input_shapes, batch, _shared(weights))
    except EstimatorError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        detail = f"{type(error).__name__}: {error}"
        raise ModelFileError(
            f"the program in {path} cannot be understood: {detail[:200]}",
            expected="the ExportedProgram schema, version 8",
            hint="save it again with a current PyTorch",
        ) from error


def _shared(weights: Any) -> dict[str, str]:
    """Weights that are stored once under several names, with the first of these."""
    first: dict[str, str] = {}
    names: dict[str, str] = {}
    for name, entry in weights.get("config", {}).items():
        meta = entry["tensor_meta"]
        key = json.dumps([entry["path_name"], meta["sizes"], meta["strides"], meta["storage_offset"]])
        names[name] = first.setdefault(key, name)
    return {name: other for name, other in names.items() if name != other}


def _documents(path: Path) -> tuple[Any, Any]:
    """Find, bound-check, inflate and parse the JSON of the program and of the list of its weights, if there is one."""
    with open_model_file(path, _EXPECTED) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                entry = _program_entry(archive, path)
                data = _inflate(archive, entry, path)
                name = entry.filename.replace("models/", "data/weights/").removesuffix(".json") + _WEIGHT_LIST
                listed = _inflate(archive, archive.getinfo(name), path) if name in archive.namelist() else b"{}"
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            OSError,
            NotImplementedError,
            RuntimeError,
            ValueError,
        ) as error:
            file.seek(0)
            looks_like = signature_of(file.read(32))
            raise ModelFileError(
                f"{path} is not a readable archive: {error}",
                where=f"it looks like {looks_like}" if looks_like and "zip" not in looks_like else "",
                expected=_EXPECTED,
            ) from None
    try:
        return json.loads(data), json.loads(listed)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"the program in {path} is not JSON: {str(error)[:200]}", expected=_EXPECTED) from None


def _program_entry(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise ModelFileError(f"{path} lists {len(entries)} entries", expected=f"at most {MAX_ENTRIES}")
    programs = [e for e in entries if _is_program(e.filename)]
    if programs:
        return min(programs, key=lambda e: (not e.filename.endswith("/model.json"), e.filename))
    names = {e.filename.rpartition("/")[2] for e in entries}
    compiled = any("aotinductor" in e.filename for e in entries)
    found = "a compiled package" if compiled else "a torch checkpoint" if "data.pkl" in names else "another archive"
    raise ModelFileError(
        f"{path} holds no exported program, it is {found}",
        expected=_EXPECTED,
        hint="torch.export.save(torch.export.export(model, inputs), 'model.pt2')",
    )


def _is_program(name: str) -> bool:
    parts = name.split("/")
    return (len(parts) >= 2 and parts[-2] == "models" and name.endswith(".json")) or parts[-1] == _OLD_PROGRAM


def _inflate(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> bytes:
    ratio = entry.file_size / max(entry.compress_size, 1)
    if entry.file_size > MAX_PROGRAM_BYTES or ratio > MAX_RATIO:
        raise ModelFileError(
            f"the program in {path} inflates to {entry.file_size} bytes from {entry.compress_size}",
            expected=f"at most {MAX_PROGRAM_BYTES} bytes and {MAX_RATIO}-fold",
            hint="a file like this is a zip bomb, not a model",
        )
    with archive.open(entry) as stream:
        data = stream.read(MAX_PROGRAM_BYTES + 1)
    if len(data) > entry.file_size:
        raise ModelFileError(f"the program in {path} is larger than its directory entry says", expected=_EXPECTED)
    return data
