"""What may follow a model's name in a zoo: ``NAME?option=value``, several joined by ``&``."""

from __future__ import annotations

import re
from collections.abc import Mapping

from estimator.errors import BadOptionError

RELEASE = "1.0.15 (or another)"
_SPELLINGS = {RELEASE: re.compile(r"\d+(\.\d+){1,3}")}


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
        if key in options or not any(_reads(value, spelling) for spelling in allowed.get(key, ())):
            expected = " or ".join(f"?{k}={v}" for k, values in allowed.items() for v in values)
            raise BadOptionError(f"cannot read {part!r}", where=f"{scheme}:{rest}", expected=expected)
        options[key] = value
    return name, options


def _reads(value: str, spelling: str) -> bool:
    pattern = _SPELLINGS.get(spelling)
    return value == spelling if pattern is None else pattern.fullmatch(value) is not None
