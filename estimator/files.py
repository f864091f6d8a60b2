"""Write files whole or not at all, by renaming a temporary neighbour; read keys; name files near a missing one."""

from __future__ import annotations

import difflib
import errno
import os
import sys
import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from estimator.errors import BadOptionError, OutputError

STANDARD_OUTPUT: Final = Path("-")
_LISTED_FILES: Final = 1000
"""How many files of a folder are looked at for a name near a missing one."""


def near_files(missing: Path, suffixes: Sequence[str]) -> tuple[str, ...]:
    """Files of these suffixes, in the folder of a missing one, whose names are nearly its own."""
    try:
        listed = [path.name for path in islice(missing.parent.iterdir(), _LISTED_FILES)]
    except OSError:
        return ()
    stems = {name: Path(name).stem for name in sorted(listed) if Path(name).suffix.lower() in suffixes}
    near = difflib.get_close_matches(missing.stem, stems.values(), cutoff=0.6)
    return tuple(str(missing.with_name(name)) for name in stems if stems[name] in near)


def check_writable(path: Path) -> None:
    """Fail now where `write_whole` would only fail once its content is made.

    Raises
    ------
    OutputError
        The folder is missing or not writable, or the path is a folder.
    """
    if path == STANDARD_OUTPUT:
        return
    if path.is_dir():
        raise _output_error(path, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))
    handle, temporary = _neighbour(path)
    os.close(handle)
    os.unlink(temporary)


def read_pem(path: Path, kind: str, where: str) -> bytes:
    """Read a PEM file that holds a ``CERTIFICATE`` or ``PRIVATE KEY``; `where` names the option that it comes from.

    Raises
    ------
    BadOptionError
        It cannot be read, or holds nothing of that kind.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadOptionError(
            f"cannot read the file: {error.strerror}", where=f"{where} {path}", expected="a PEM file"
        ) from None
    if kind.encode() not in data:
        raise BadOptionError(f"no {kind} in the file", where=f"{where} {path}", expected=f"a PEM file with a {kind}")
    return data


def write_whole(path: Path, content: str | bytes) -> None:
    """Write `content` (text as UTF-8, its line ends kept); a reader sees the old file or the new, never half.

    The path ``-`` is standard output.

    Raises
    ------
    OutputError
        The folder is missing or not writable, or the disk is full. The old file is as it was.
    """
    data = content.encode() if isinstance(content, str) else content
    if path == STANDARD_OUTPUT:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    handle, temporary = _neighbour(path)
    try:
        with open(handle, "wb") as stream:
            stream.write(data)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise _output_error(path, error) from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def _neighbour(path: Path) -> tuple[int, str]:
    """Open a temporary file beside a path."""
    try:
        return tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise _output_error(path, error) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _output_error(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot write {str(path)!r}: {error.strerror}",
        expected="a path in an existing, writable folder",
        hint="make that folder, or choose another path",
    )
