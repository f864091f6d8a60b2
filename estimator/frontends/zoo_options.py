"""What may follow a model's name in a zoo: ``NAME?option=value``, several joined by ``&``."""

from __future__ import annotations

import re
from collections.abc import Mapping

from estimator.errors import BadOptionError

RELEASE = "1.0.15 (or another)"
_VERSION = re.compile(r"\d+(\.\d+){1,3}")


def split_options(scheme: str, rest: str, allowed: Mapping[str, tuple[str, ...]]) -> tuple[str, dict[str, str]]:
    """Split what follows ``scheme:`` into a name and its options.

    Parameters
    ----------
    allowed : mapping of str to tuple of str
        Values that each option may have; `RELEASE` stands for any version number.

    Raises
    ------
    BadOptionError
        An option that is not allowed, a value that it cannot have, or one given twice.
    """
    name, _, query = rest.partition("?")
    options: dict[str, str] = {}
    for part in query.split("&") if query else ():
        key, _, value = part.partition("=")
        if key in options or not any(_is(value, choice) for choice in allowed.get(key, ())):
            expected = " or ".join(f"?{k}={v}" for k, values in allowed.items() for v in values)
            raise BadOptionError(f"cannot read {part!r}", where=f"{scheme}:{rest}", expected=expected)
        options[key] = value
    return name, options


def _is(value: str, choice: str) -> bool:
    return _VERSION.fullmatch(value) is not None if choice == RELEASE else value == choice
