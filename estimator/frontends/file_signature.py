"""Open a model file with a clear error, and recognise what a file really is by its first bytes."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from estimator.errors import ModelFileError

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip archive (.pt2, .keras or a torch checkpoint)"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x1f\x8b", "gzip-compressed data"),
    (b"\x7fELF", "a program"),
    (b"version https://git-lfs", "a Git LFS pointer: the real file was not downloaded"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
    (b"{", "JSON"),
)
_PICKLE_PROTOCOLS = range(2, 6)


def signature_of(head: bytes | memoryview) -> str:
    """Name what the first bytes of a file look like; "" if they say nothing."""
    start = bytes(head[:32])
    if len(start) > 2 and start[0] == 0x80 and start[1] in _PICKLE_PROTOCOLS:
        return "a Python pickle, which is never loaded"
    if start[4:8] == b"TFL3":
        return "a TFLite model"
    return next((name for magic, name in _SIGNATURES if start.startswith(magic)), "")


def open_model_file(path: Path, expected: str) -> BinaryIO:
    """Open a file for reading.

    Raises
    ------
    ModelFileError
        It does not exist, is a directory, is empty or cannot be read.
    """
    try:
        if path.is_dir():
            raise ModelFileError(f"{path} is a directory", expected=expected)
        if not path.exists():
            raise ModelFileError(f"{path} does not exist", expected=expected)
        if not path.is_file():
            raise ModelFileError(f"{path} is not a regular file", expected=expected)
        if path.stat().st_size == 0:
            raise ModelFileError(f"{path} is empty", expected=expected, hint="export or copy the file again")
        return path.open("rb")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ModelFileError(f"{path} cannot be read: {reason}", expected=expected) from None
