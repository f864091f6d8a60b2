"""Check device files as a whole: YAML, schema, sources, consistency, names.

``python -m estimator.catalogue.check`` checks the catalogue and prints what is wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from estimator.catalogue.consistency import consistency_problems
from estimator.catalogue.document import Document, KeyPath, read_document
from estimator.catalogue.facts import Node
from estimator.catalogue.loader import name_key
from estimator.catalogue.location import devices_directory
from estimator.catalogue.validation import document_problems
from estimator.catalogue.variant import merged_document
from estimator.errors import CatalogueError


def file_problems(path: Path) -> Iterator[CatalogueError]:
    """Everything that is wrong with one file, each with file and line.

    Parameters
    ----------
    path : Path
        A device file, the catalogue's or a user's; `extends` is followed.
    """
    try:
        document = merged_document(read_document(path), path)
    except CatalogueError as error:
        yield error
        return
    yield from _problems(document)


def _problems(document: Document) -> Iterator[CatalogueError]:
    """Yield what the schema refuses; else what contradicts something else."""
    refused = list(document_problems(document))
    yield from refused or consistency_problems(document)


def catalogue_problems(paths: Sequence[Path]) -> Iterator[CatalogueError]:
    """Everything that is wrong with files that stand beside each other.

    Besides each file alone: a catalogue file is named after its id, and no name means two products.
    """
    owners: dict[str, str] = {}
    for path in paths:
        try:
            document = merged_document(read_document(path), path)
        except CatalogueError as error:
            yield error
            continue
        problems = list(_problems(document))
        yield from problems or _name_problems(path, document, owners)


def _name_problems(path: Path, document: Document, owners: dict[str, str]) -> Iterator[CatalogueError]:
    root = Node(document.root)
    device_id = root.text("id")
    if path.parent == devices_directory() and path.stem != device_id:
        yield CatalogueError(
            f"id {device_id!r} is not the file's name", where=document.where(("id",)), expected=f"id: {path.stem}"
        )
    names: list[tuple[KeyPath, str]] = [(("id",), device_id)]
    if "extends" not in root.values:
        names.append((("display_name",), root.text("display_name")))
    names += [(("aliases",), alias) for alias in root.texts("aliases")]
    for key, name in names:
        owner = owners.setdefault(name_key(name), device_id)
        if owner != device_id:
            yield CatalogueError(
                f"{name!r} names {owner} too", where=document.where(key), expected="a name that means one product"
            )


def catalogue_files() -> tuple[Path, ...]:
    """List the catalogue's own files, sorted."""
    return tuple(sorted(devices_directory().glob("*.yaml")))


def main() -> int:
    """Check the catalogue; return an exit status."""
    problems = list(catalogue_problems(catalogue_files()))
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(catalogue_files())} device files, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
