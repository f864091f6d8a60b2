"""Read flatbuffer tables with every offset checked against the file.

The flatbuffers package does not verify in Python: a flipped bit there is a wild read, a struct error or a
vector of four billion entries. Here a table, a vector or a string that does not lie inside the file is a
`WireError`, and nothing is copied before its length is known to be real.

Source: flatbuffers internals (flatbuffers.dev/internals).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAX_VECTOR = 1_000_000
"""Entries of one vector of tables or numbers; weight data are never read as a vector."""


class WireError(ValueError):
    """The bytes are not the table that they should be."""


@dataclass(frozen=True, slots=True)
class Table:
    """One flatbuffer table; fields are addressed by their index in the schema."""

    data: memoryview
    at: int

    @staticmethod
    def root(data: memoryview, identifier: bytes) -> Table:
        """Open the root table of a file that carries an identifier."""
        if len(data) < 8 or bytes(data[4:8]) != identifier:
            raise WireError(f"the identifier {identifier.decode()} is missing")
        return Table(data, _u32(data, 0))

    def _field(self, index: int) -> int:
        """Position of a field's value; 0 if the field is absent."""
        vtable = self.at - _scalar(self.data, self.at, "<i")
        size = _scalar(self.data, vtable, "<H")
        slot = 4 + 2 * index
        if slot + 2 > size:
            return 0
        offset = _scalar(self.data, vtable + slot, "<H")
        return self.at + offset if offset else 0

    def scalar(self, index: int, code: str, default: int = 0) -> int:
        """Integer field; `code` is its struct code."""
        at = self._field(index)
        return _scalar(self.data, at, "<" + code) if at else default

    def flag(self, index: int) -> bool:
        """Boolean field, false by default."""
        return bool(self.scalar(index, "b"))

    def table(self, index: int) -> Table | None:
        """Nested table."""
        at = self._field(index)
        return Table(self.data, at + _u32(self.data, at)) if at else None

    def text(self, index: int) -> str:
        """Text field, "" if absent; bytes that are not UTF-8 are replaced."""
        at, size = self._vector(index, 1)
        return str(self.data[at : at + size], "utf-8", "replace") if size else ""

    def _vector(self, index: int, width: int) -> tuple[int, int]:
        """Position of the first element and the number of elements."""
        at = self._field(index)
        if not at:
            return 0, 0
        start = at + _u32(self.data, at)
        count = _u32(self.data, start)
        if start + 4 + count * width > len(self.data):
            raise WireError(f"a list at byte {start} claims {count} entries, the file ends before")
        return start + 4, count

    def numbers(self, index: int, code: str) -> tuple[int, ...]:
        """Integer-list field."""
        width = struct.calcsize(code)
        at, count = self._vector(index, width)
        if count > MAX_VECTOR:
            raise WireError(f"a list at byte {at} has {count} entries")
        return struct.unpack_from(f"<{count}{code}", self.data, at) if count else ()

    def span(self, index: int) -> memoryview | None:
        """Return the bytes of a byte-list field, not copied; None if absent."""
        at, count = self._vector(index, 1)
        return self.data[at : at + count] if count else None

    def tables(self, index: int) -> list[Table]:
        """List-of-tables field."""
        at, count = self._vector(index, 4)
        if count > MAX_VECTOR:
            raise WireError(f"a list at byte {at} has {count} tables")
        return [Table(self.data, p + _u32(self.data, p)) for p in range(at, at + 4 * count, 4)]


def _scalar(data: memoryview, at: int, code: str) -> int:
    if at < 0:
        raise WireError("an offset points before the start of the file")
    try:
        value: int = struct.unpack_from(code, data, at)[0]
    except struct.error:
        raise WireError(f"an offset points to byte {at}, past the end of the file") from None
    return value


def _u32(data: memoryview, at: int) -> int:
    return _scalar(data, at, "<I")
