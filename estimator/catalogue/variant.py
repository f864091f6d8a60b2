"""A user's variant of a device: ``extends: rtx4090`` and the values that differ.

The merge is flat: a mapping is merged key by key, a fact is replaced whole, and an entry of a list
(ceiling, memory level, runtime, cluster) replaces the entry with the same name. Nothing is scaled:
a variant that lowers a clock lists its own ceilings, and `devices validate` says when it does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from estimator.catalogue.document import Document, Value, read_document
from estimator.catalogue.location import devices_directory
from estimator.catalogue.validation import validate_document
from estimator.errors import CatalogueError, UnknownDeviceError, near_names

MAX_DEPTH: Final = 4
_ENTRY_KEYS: Final = ("name", "level", "engine", "dtype", "accumulate")


def resolve_variant(document: Document, path: Path) -> Mapping[str, Value]:
    """Merge a file over what it extends, and validate the result.

    Parameters
    ----------
    document : Document
        The user's file.
    path : Path
        Where it is; `extends` may name a file relative to it.

    Returns
    -------
    Mapping
        A complete device, with `extends` naming the catalogue entry at the bottom of the chain.

    Raises
    ------
    CatalogueError
        The chain is too long or circular, or the merged device is wrong.
    """
    merged = merged_document(document, path)
    validate_document(merged)
    return merged.root


def merged_document(document: Document, path: Path) -> Document:
    """Merge a file over what it extends, without validating the result; see `resolve_variant`."""
    chain = [document]
    seen = {path.resolve()}
    while (parent := chain[-1].root.get("extends")) is not None:
        where = chain[-1].where(("extends",))
        if len(chain) > MAX_DEPTH:
            raise CatalogueError("`extends` goes too deep", where=where, expected=f"at most {MAX_DEPTH} files")
        path = _parent_path(parent, path, where)
        if path.resolve() in seen:
            raise CatalogueError("`extends` goes in a circle", where=where, expected="a device that stands on its own")
        seen.add(path.resolve())
        chain.append(read_document(path))
    merged = chain[-1].root
    for child in reversed(chain[:-1]):
        merged = _merge(_without_names(merged), child.root)
    if len(chain) == 1:
        return document
    base = chain[-1].root.get("id")
    merged = {**merged, "extends": base if isinstance(base, str) else ""}
    return Document(document.name, document.text, _identity_first(merged))


def _parent_path(parent: Value, path: Path, where: str) -> Path:
    from estimator.catalogue.loader import resolve

    if not isinstance(parent, str):
        raise CatalogueError("`extends` must be text", where=where, expected="a device id or a YAML file")
    if parent.endswith((".yaml", ".yml")):
        return path.parent / parent
    try:
        return devices_directory() / f"{resolve(parent)}.yaml"
    except UnknownDeviceError as error:
        near = near_names(error.name, error.known)
        raise CatalogueError(
            f"`extends` names an unknown device {parent!r}",
            where=where,
            expected=f"an ID of the catalogue{', such as ' + ', '.join(near) if near else ', or a YAML file'}",
            hint=error.list_command,
        ) from None


def _without_names(root: Mapping[str, Value]) -> Mapping[str, Value]:
    """Drop what stays with the parent: a variant is another product."""
    return {key: value for key, value in root.items() if key not in ("aliases", "extends")}


def _identity_first(root: Mapping[str, Value]) -> Mapping[str, Value]:
    from estimator.catalogue.validation import IDENTITY_KEYS

    first = {key: root[key] for key in IDENTITY_KEYS if key in root}
    return {**first, **root}


def _merge(parent: Value, child: Value) -> Mapping[str, Value]:
    merged = _merged(parent, child)
    if not isinstance(merged, Mapping):
        raise TypeError("a document is a mapping")
    return merged


def _merged(parent: Value, child: Value) -> Value:
    if isinstance(parent, Mapping) and isinstance(child, Mapping) and "value" not in child:
        below = {key: _merged(parent[key], value) if key in parent else value for key, value in child.items()}
        return {**parent, **below}
    if isinstance(parent, list) and isinstance(child, list):
        return _merged_entries(parent, child)
    return child


def _merged_entries(parent: Sequence[Value], child: Sequence[Value]) -> Sequence[Value]:
    changed = {_entry_key(entry): entry for entry in child}
    if None in changed:
        return child
    kept = [changed.pop(_entry_key(entry), entry) for entry in parent]
    return [*kept, *changed.values()]


def _entry_key(entry: Value) -> tuple[Value, ...] | None:
    if not isinstance(entry, Mapping):
        return None
    return tuple(entry.get(key) for key in _ENTRY_KEYS)
