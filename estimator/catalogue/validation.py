"""Check a device document against the schema and its own cross-references, with file and line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from estimator.catalogue.document import Document, KeyPath, Value
from estimator.catalogue.facts import SI_FACTOR
from estimator.catalogue.schema import DeviceFile
from estimator.errors import CatalogueError

IDENTITY_KEYS: Final = ("schema_version", "id", "display_name", "vendor", "aliases")
"""First keys of a file, so that names are looked up without reading the rest."""


def validate_document(document: Document) -> DeviceFile:
    """Check a document and return its model.

    Raises
    ------
    CatalogueError
        The first thing that is wrong, with file and line; the hint counts the others.
    """
    problems = list(document_problems(document))
    if problems:
        first = problems[0]
        if len(problems) > 1:
            first.hint = f"{len(problems) - 1} more: estimator-cli devices validate {document.name}"
        raise first
    return DeviceFile.model_validate(document.root)


def document_problems(document: Document) -> Iterator[CatalogueError]:
    """Everything that is wrong with a document, in no particular order."""
    try:
        model = DeviceFile.model_validate(document.root)
    except ValidationError as error:
        for details in error.errors(include_url=False, include_input=True):
            if not _is_noise(details, error):
                yield _problem(document, details)
        return
    yield from _source_problems(document, set(model.sources))
    if model.default_unit not in model.units:
        yield CatalogueError(
            f"default_unit {model.default_unit!r} is not a unit of the file",
            where=document.where(("default_unit",)),
            expected=f"one of {', '.join(model.units)}",
        )
    leading = [key for key in document.root if key in IDENTITY_KEYS]
    if list(document.root)[: len(leading)] != leading:
        yield CatalogueError(
            "names must come first",
            where=document.where(("aliases",)),
            expected=f"{', '.join(IDENTITY_KEYS)} before any other key",
        )


def _source_problems(document: Document, sources: set[str]) -> Iterator[CatalogueError]:
    used: set[str] = set()
    for path, name in _source_references(document.root, ()):
        used.add(name)
        if name not in sources:
            yield CatalogueError(
                f"source {name!r} is not defined",
                where=document.where(path),
                expected=f"one of {', '.join(sorted(sources)) or 'the keys of `sources:`'}",
            )
    if "extends" in document.root:
        return  # a variant keeps its parent's sources, cited or not
    for name in sorted(sources - used):
        yield CatalogueError(f"source {name!r} is never cited", where=document.where(("sources", name)))


def _source_references(value: Value, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(value, Mapping):
        for key, below in value.items():
            if key == "source" and isinstance(below, str):
                yield (*path, key), below
            elif path or key != "sources":
                yield from _source_references(below, (*path, key))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, below in enumerate(value):
            yield from _source_references(below, (*path, index))


def _is_noise(details: ErrorDetails, error: ValidationError) -> bool:
    """Whether another error of the same value says it better: a union reports each of its members."""
    if details["type"] != "literal_error" or details["loc"][-1] != "literal['unknown']":
        return False
    same = [other for other in error.errors() if other["loc"][:-1] == details["loc"][:-1]]
    return len(same) > 1


def _problem(document: Document, details: ErrorDetails) -> CatalogueError:
    path = _document_path(document.root, details["loc"])
    where = document.where(path)
    key = ".".join(str(part) for part in path)
    match details["type"]:
        case "extra_forbidden":
            what, expected = f"unknown key {path[-1]!r}", _unit_hint(str(path[-1]))
        case "missing":
            missing = details["loc"][-1]
            what, expected = f"{key + ': ' if key else ''}key {missing!r} is missing", ""
            if missing == "value":
                expected = "{value: NUMBER, source: KEY, where: PAGE}; see docs/model/devices.md"
        case "value_error":
            what, expected = f"{key}: {details['msg'].removeprefix('Value error, ')}", ""
        case _:
            what, expected = f"{key}: {_shown(details['input'])} is not accepted", details["msg"]
    return CatalogueError(what, where=where, expected=expected)


def _document_path(root: Value, location: tuple[int | str, ...]) -> KeyPath:
    """Find the part of a schema location that exists in the document (unions and aliases add parts of their own)."""
    path: list[int | str] = []
    here: Value = root
    for part in location:
        if isinstance(here, Mapping) and part in here:
            here = here[str(part)]
        elif isinstance(here, Sequence) and not isinstance(here, str) and isinstance(part, int) and part < len(here):
            here = here[part]
        else:
            break
        path.append(part)
    return tuple(path)


def _unit_hint(key: str) -> str:
    stem, _, _ = key.rpartition("_")
    for suffix in SI_FACTOR:
        if key.endswith(f"_{suffix}"):
            stem = key.removesuffix(f"_{suffix}")
    return f"a key of the schema; a quantity carries its unit, as in {stem or key}_… (docs/model/devices.md)"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
