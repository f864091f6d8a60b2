"""Find a device by what people call it, and load its file.

The catalogue's own files were validated when the package was built (``make devices``), so they are read
without the schema; a file that then fails to convert, and every user's file, goes through the schema,
whose errors name file and line.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Final

from estimator.catalogue.conversion import device_from_node
from estimator.catalogue.device import Device, Unit
from estimator.catalogue.document import Document, leading_values, read_document
from estimator.catalogue.facts import Node
from estimator.catalogue.location import devices_directory
from estimator.errors import CatalogueError, UnknownDeviceError
from estimator.files import near_files

HERE: Final = "here"
_SUFFIXES: Final = (".yaml", ".yml")
_SEPARATORS = re.compile(r"[\s_.,()-]+")
_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")


def load_device(reference: str | os.PathLike[str]) -> tuple[Device, Unit]:
    """Load a device and the unit of it that a reference names.

    Parameters
    ----------
    reference : str or path
        ``ID``, an alias, ``ID/UNIT``, ``here``, or the path of a YAML file (``my.yaml``, ``my.yaml/npu``).
        Case, spaces, dashes and underscores do not matter.

    Returns
    -------
    tuple of Device and Unit
        The unit is the device's default when none is named. A kind (``npu``) names the unit of that kind.

    Raises
    ------
    UnknownDeviceError
        No entry, alias, unit or file of this name; the message lists the nearest.
    CatalogueError
        The file is wrong; the message has file and line.
    """
    name, unit_name = split_reference(os.fspath(reference))
    if is_path(name):
        return _with_unit(_load_file(Path(name)), unit_name)
    if name.lower() == HERE:
        from estimator.catalogue.detect import detect_device

        return _with_unit(detect_device(), unit_name)
    return _with_unit(_load_id(resolve(name)), unit_name)


def split_reference(reference: str) -> tuple[str, str]:
    """Split a reference into the device's name or file, and its unit's name ("" where none is named)."""
    reference = reference.strip()
    if is_path(reference):
        return reference, ""
    name, _, unit_name = reference.rpartition("/")
    return (name, unit_name) if name else (unit_name, "")


def device_ids() -> tuple[str, ...]:
    """Ids of the catalogue, sorted."""
    return tuple(sorted(path.stem for path in devices_directory().glob("*.yaml")))


def list_devices() -> tuple[Device, ...]:
    """Every device of the catalogue, sorted by id."""
    return tuple(_load_id(device_id) for device_id in device_ids())


def resolve(name: str) -> str:
    """Id of a catalogue entry from its id or an alias.

    Raises
    ------
    UnknownDeviceError
        Neither.
    """
    if _ID.fullmatch(name.lower()) and (devices_directory() / f"{name.lower()}.yaml").is_file():
        return name.lower()
    found = _names().get(name_key(name))
    if found is None:
        raise UnknownDeviceError(name, device_ids())
    return found


def name_key(name: str) -> str:
    """Make spellings of one name equal: ``NVIDIA GeForce RTX 3090`` and ``nvidia-geforce-rtx-3090``."""
    return _SEPARATORS.sub("", name.casefold())


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """Every id, alias and display name, by `name_key`."""
    names: dict[str, str] = {}
    for device_id in device_ids():
        path = devices_directory() / f"{device_id}.yaml"
        head = Node(leading_values(path.read_text(encoding="utf-8"), "aliases", path.name))
        for name in (device_id, head.text("display_name"), *head.texts("aliases")):
            names.setdefault(name_key(name), device_id)
    return names


@lru_cache(maxsize=256)
def _load_id(device_id: str) -> Device:
    path = devices_directory() / f"{device_id}.yaml"
    document = read_document(path, f"devices/{path.name}")
    try:
        return device_from_node(Node(document.root))
    except (KeyError, TypeError, ValueError) as error:
        _validated(document)
        raise CatalogueError(f"device file cannot be read: {error}", where=f"devices/{path.name}") from error


def _load_file(path: Path) -> Device:
    """Load a user's file: always validated, `extends` resolved, never cached."""
    from estimator.catalogue.variant import resolve_variant

    if not path.exists():
        raise UnknownDeviceError(
            str(path),
            near_files(path, _SUFFIXES),
            what=f"no such file: {path}",
            expected="a device file, or an ID of the catalogue",
        )
    document = read_document(path)
    return device_from_node(Node(resolve_variant(document, path)))


def _validated(document: Document) -> None:
    from estimator.catalogue.validation import validate_document

    validate_document(document)


def is_path(reference: str) -> bool:
    """Whether a device reference names a file rather than an entry of the catalogue."""
    return reference.lower().endswith(_SUFFIXES)


def _with_unit(device: Device, unit_name: str) -> tuple[Device, Unit]:
    wanted = unit_name.lower() or device.default_unit
    if wanted in device.units:
        return device, device.units[wanted]
    of_kind = [unit for unit in device.units.values() if unit.kind == wanted]
    default = device.units[device.default_unit]
    if default in of_kind:
        return device, default
    if of_kind:
        return device, of_kind[0]
    units = tuple(f"{device.id}/{name}" for name in device.units)
    raise UnknownDeviceError(f"{device.id}/{unit_name}", units, what=f"{device.id} has no unit {unit_name!r}")
