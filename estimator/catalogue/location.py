"""Where the catalogue's files are: in the wheel or in a checkout."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from estimator.errors import CatalogueError

_PACKAGE = Path(__file__).resolve().parent.parent


@lru_cache(maxsize=1)
def devices_directory() -> Path:
    """Find the directory of device files.

    A wheel carries it as ``estimator/_devices``; a checkout has it at the top, as ``devices``.
    Calibrations live below it, in ``calibration/<device>/<runtime>.yaml``.

    Returns
    -------
    Path
        An existing directory.

    Raises
    ------
    CatalogueError
        Neither place exists: the installation is broken.
    """
    for candidate in (_PACKAGE / "_devices", _PACKAGE.parent / "devices"):
        if candidate.is_dir():
            return candidate
    raise CatalogueError(
        "the device catalogue is missing from this installation",
        where=str(_PACKAGE / "_devices"),
        expected="a directory of device files",
        hint="reinstall the package",
    )
