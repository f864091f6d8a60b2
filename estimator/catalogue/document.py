"""Read a YAML file as plain data, strictly.

The catalogue's YAML is a small subset on purpose: mappings with text keys, sequences, quoted or plain
text, plain decimal numbers, ``true`` and ``false``. What YAML 1.1 reads in a surprising way is refused
with file and line instead: ``1:30`` (ninety), ``on`` (true), ``010`` (eight), ``3.35e12`` (text), dates
in numbers' clothes, tags, anchors and aliases (a few of them can stand for gigabytes), duplicate keys,
several documents in one file, files that are too large, too deep, or not UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import yaml

from estimator.errors import CatalogueError

Value: TypeAlias = "str | int | float | bool | Sequence[Value] | Mapping[str, Value] | None"
KeyPath: TypeAlias = tuple[str | int, ...]

MAX_BYTES: Final = 1_000_000
MAX_DEPTH: Final = 24

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_BOOLEANS: Final = {"true": True, "false": False}
_AMBIGUOUS = re.compile(
    r"(?i)(y|n|yes|no|on|off|~|null|[-+]?\.(inf|nan))"  # YAML 1.1 booleans, nulls and specials
    r"|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"  # sexagesimal
    r"|[-+]?0[xob]?[0-9a-f_]+"  # octal, hexadecimal, binary
    r"|[-+]?(\.[0-9]+|[0-9][0-9_,]*\.?[0-9_]*)(e[-+]?[0-9]+)?"  # exponents, underscores, a bare point
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}[t ].*"  # timestamps
)


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file.

    Attributes
    ----------
    name : str
        File name as errors print it.
    text : str
        Source text; kept so that a line is looked up only when an error needs it.
    root : Mapping
        Plain data.
    """

    name: str
    text: str
    root: Mapping[str, Value]

    def where(self, path: KeyPath) -> str:
        """``file:line`` of a key path, or of its closest enclosing key that the file has."""
        lines: dict[KeyPath, int] = {}
        _Builder(self.name, lines).build(_events(self.name, self.text))
        while path and path not in lines:
            path = path[:-1]
        return f"{self.name}:{lines.get(path, 1)}"


def read_document(path: Path, name: str | None = None) -> Document:
    """Read a device or calibration file.

    Parameters
    ----------
    path : Path
        File to read.
    name : str, optional
        What errors call it; the path itself by default.

    Raises
    ------
    CatalogueError
        The file cannot be read, or is not the YAML subset of this module.
    """
    name = name or str(path)
    try:
        size_bytes = path.stat().st_size
        if size_bytes > MAX_BYTES:
            raise CatalogueError("file is too large", where=name, expected=f"at most {MAX_BYTES} bytes")
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise CatalogueError("file is not UTF-8 text", where=f"{name}, byte {error.start}", expected="UTF-8") from None
    except OSError as error:
        raise CatalogueError(f"cannot read file: {error.strerror}", where=name) from None
    return parse_document(text, name)


def parse_document(text: str, name: str) -> Document:
    """Parse YAML text; see `read_document`."""
    if len(text) > MAX_BYTES:
        raise CatalogueError("file is too large", where=name, expected=f"at most {MAX_BYTES} bytes")
    root = _Builder(name).build(_events(name, text))
    if not isinstance(root, Mapping):
        raise CatalogueError("file does not hold a mapping", where=f"{name}:1", expected="`key: value` lines")
    return Document(name, text, root)


def leading_values(text: str, stop_after: str, name: str) -> dict[str, Value]:
    """Top-level keys of a document up to and including `stop_after`, without parsing the rest.

    Aliases are resolved from the heads of all files this way: a tenth of the cost of reading them.
    """
    builder = _Builder(name)
    for event in _events(name, text):
        builder.feed(event)
        if builder.has_top_level(stop_after):
            break
    return builder.partial()


def _events(name: str, text: str) -> Iterator[yaml.Event]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        yield from yaml.parse(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise CatalogueError(f"not YAML: {error.problem or error.context}", where=f"{name}:{line}") from None
    except yaml.YAMLError as error:
        raise CatalogueError(f"not YAML: {str(error).splitlines()[0]}", where=name) from None


class _Frame:
    """One open mapping or sequence."""

    __slots__ = ("items", "key", "path", "values")

    def __init__(self, path: KeyPath, mapping: bool) -> None:
        self.path = path
        self.values: dict[str, Value] | None = {} if mapping else None
        self.items: list[Value] = []
        self.key: str | None = None

    @property
    def result(self) -> Value:
        return self.items if self.values is None else self.values


class _Builder:
    """Turn parse events into plain data, with an explicit stack."""

    def __init__(self, name: str, lines: dict[KeyPath, int] | None = None) -> None:
        self._name = name
        self._lines = lines
        self._stack: list[_Frame] = []
        self._root: Value = None
        self._document_count = 0

    def build(self, events: Iterator[yaml.Event]) -> Value:
        for event in events:
            self.feed(event)
        return self._root

    def has_top_level(self, key: str) -> bool:
        return len(self._stack) == 1 and self._stack[0].key is None and key in (self._stack[0].values or {})

    def partial(self) -> dict[str, Value]:
        if self._stack:
            return dict(self._stack[0].values or {})
        return dict(self._root) if isinstance(self._root, Mapping) else {}

    def feed(self, event: yaml.Event) -> None:
        match event:
            case yaml.ScalarEvent():
                self._scalar(event)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._refuse_anchor_and_tag(event, event.anchor, event.tag)
                self._open(event, isinstance(event, yaml.MappingStartEvent))
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                frame = self._stack.pop()
                self._place(frame.result, event)
            case yaml.AliasEvent():
                raise self._error(event, f"alias *{event.anchor} is not allowed", "the value itself, written out")
            case yaml.DocumentStartEvent():
                self._document_count += 1
                if self._document_count > 1:
                    raise self._error(event, "several documents in one file", "one document")
            case _:
                pass

    def _open(self, event: yaml.Event, mapping: bool) -> None:
        if len(self._stack) >= MAX_DEPTH:
            raise self._error(event, "nested too deeply", f"at most {MAX_DEPTH} levels")
        if self._stack and self._stack[-1].values is not None and self._stack[-1].key is None:
            raise self._error(event, "a key must be text", "`key: value`")
        path: KeyPath = ()
        if self._lines is not None:
            path = self._next_path()
            self._lines.setdefault(path, _line(event))
        self._stack.append(_Frame(path, mapping))

    def _next_path(self) -> KeyPath:
        if not self._stack:
            return ()
        frame = self._stack[-1]
        return (*frame.path, frame.key if frame.key is not None else len(frame.items))

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        self._refuse_anchor_and_tag(event, event.anchor, event.tag)
        frame = self._stack[-1] if self._stack else None
        if frame is not None and frame.values is not None and frame.key is None:
            if not event.style and (event.value == "" or _is_not_text(event.value)):
                raise self._error(event, f"key {event.value!r} is not plain text", "a text key")
            if event.value in frame.values:
                raise self._error(event, f"duplicate key {event.value!r}", "each key once")
            frame.key = event.value
            if self._lines is not None:
                self._lines[(*frame.path, frame.key)] = _line(event)
            return
        if self._lines is not None and frame is not None and frame.values is None:
            self._lines[self._next_path()] = _line(event)
        value: Value = event.value if event.style else self._plain(event)
        self._place(value, event)

    def _plain(self, event: yaml.ScalarEvent) -> Value:
        text: str = event.value
        if _INTEGER.fullmatch(text) and len(text) <= 18:
            return int(text)
        if _DECIMAL.fullmatch(text) and len(text) <= 40:
            return float(text)
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        if text == "":
            raise self._error(event, "a value is missing", "a value after the colon, or no key")
        if _AMBIGUOUS.fullmatch(text) and not _DATE.fullmatch(text):
            raise self._error(
                event,
                f"{text!r} is ambiguous in YAML",
                "a plain decimal number such as 3350, true or false, or quoted text",
            )
        return text

    def _place(self, value: Value, event: yaml.Event) -> None:
        if not self._stack:
            self._root = value
            return
        frame = self._stack[-1]
        if frame.values is None:
            frame.items.append(value)
        elif frame.key is not None:
            frame.values[frame.key] = value
            frame.key = None
        else:
            raise self._error(event, "a key must be text", "`key: value`")

    def _refuse_anchor_and_tag(self, event: yaml.Event, anchor: str | None, tag: str | None) -> None:
        if anchor is not None:
            raise self._error(event, f"anchor &{anchor} is not allowed", "each value written out")
        if tag is not None:
            raise self._error(event, f"tag {tag} is not allowed", "plain data without tags")

    def _error(self, event: yaml.Event, what: str, expected: str) -> CatalogueError:
        return CatalogueError(what, where=f"{self._name}:{_line(event)}", expected=expected)


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _is_not_text(text: str) -> bool:
    return bool(_AMBIGUOUS.fullmatch(text)) or text in _BOOLEANS
