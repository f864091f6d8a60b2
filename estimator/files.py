"""Write a file as a whole or not at all: to a temporary neighbour, then renamed."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from estimator.errors import OutputError


def write_whole(path: Path, content: str | bytes) -> None:
    """Write `content` (text as UTF-8, its line ends kept); a reader sees the old file or the new, never half.

    Raises
    ------
    OutputError
        The folder is missing or not writable, or the disk is full. The old file is as it was.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise _output_error(path, error) from error
    try:
        with open(handle, "wb") as stream:
            stream.write(data)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise _output_error(path, error) from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _output_error(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot write {str(path)!r}: {error.strerror}",
        expected="a path in an existing, writable folder",
        hint="choose another path with -o",
    )
