"""Measured records: one line of CSV per (model, device, runtime, precision) with its latency.

Columns: ``model,input_shape,device,unit,runtime,precision,layout,latency_ms,source,conditions``.
`input_shape` starts with the batch; `latency_ms` is for the whole batch.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import math
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from estimator.dtypes import Precision
from estimator.engine import LAYOUTS
from estimator.errors import RecordError, UnknownPrecisionError
from estimator.files import write_whole
from estimator.ir.tensor import Shape
from estimator.units import ms_from_s, s_from_ms

COLUMNS = (
    "model", "input_shape", "device", "unit", "runtime", "precision", "layout", "latency_ms", "source", "conditions",
)  # fmt: skip
_REQUIRED = ("model", "input_shape", "device", "runtime", "latency_ms")
_MAX_FILE_BYTES = 1 << 30
_NEXT = "correct that cell, or delete the line"
_TIMM_RESULTS = "pytorch-image-models results"
_TIMM_MERGES_FROM = (2, 9)
"""PyTorch of the first of timm's own benchmark runs that merged branches before timing (``benchmark.py --reparam``): in
those of 2.9 every network that can merge something is faster than its layers allow, in those of 2.4 none (ADR 0010)."""
_TIMM_1_0_16_FROM = (2, 8)
"""PyTorch that was current when timm 1.0.16 came out, whose networks run differently (ADR 0011)."""
_TORCH_VERSION = re.compile(r"\btorch (\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Record:
    """One measurement; `latency_s` is for the whole batch.

    Attributes
    ----------
    line : int or None
        Of the file that it was read from, so that a message can point at it; no part of what was measured.
    """

    model: str
    input_shape: Shape
    device: str
    unit: str
    runtime: str
    precision: Precision
    layout: str
    latency_s: float
    source: str = ""
    conditions: str = ""
    line: int | None = field(default=None, compare=False)

    @property
    def batch(self) -> int:
        """Leading extent of the input."""
        return self.input_shape[0] if self.input_shape else 1

    @property
    def network(self) -> str:
        """Reference of what was timed: `model` with what the record's source is known to have made of it."""
        version = self.torch_version
        if version is None or self.source != _TIMM_RESULTS or not self.model.startswith("timm:") or "?" in self.model:
            return self.model
        if version >= _TIMM_MERGES_FROM:
            return f"{self.model}?branches=merged"
        return self.model if version >= _TIMM_1_0_16_FROM else f"{self.model}?release=1.0.15"

    @property
    def torch_version(self) -> tuple[int, int] | None:
        """PyTorch's major and minor version, where `conditions` name it."""
        version = _TORCH_VERSION.search(self.conditions)
        return (int(version[1]), int(version[2])) if version else None

    @property
    def device_reference(self) -> str:
        """``device/unit``, as ``--device`` takes it."""
        return f"{self.device}/{self.unit}" if self.unit else self.device


def read_records(path: Path) -> tuple[Record, ...]:
    """Read a record file, plain or gzipped.

    Raises
    ------
    RecordError
        Unreadable, wrong header, no line below it, a line with more or fewer cells than the header or with a value
        that makes no sense; says file and line.
    """
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = _gunzip(data)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise RecordError(
            f"cannot read records: {error.strerror or error}",
            where=str(path),
            expected="a file of records, as estimator-cli measure writes it: .csv or .csv.gz",
        ) from None
    except (UnicodeDecodeError, EOFError, zlib.error) as error:
        raise RecordError(
            f"records are not {'gzipped ' * (path.suffix == '.gz')}CSV text: {error}", where=str(path)
        ) from None
    lines = _cells(text, path)
    _, header = next(lines, (1, []))
    missing = [c for c in _REQUIRED if c not in header]
    if missing:
        raise RecordError(
            f"records lack the column{'s' * (len(missing) > 1)} {', '.join(missing)}",
            where=f"{path}:1",
            expected=",".join(COLUMNS),
        )
    records = tuple(_record(_row(header, cells, f"{path}:{number}"), path, number) for number, cells in lines)
    if not records:
        raise RecordError("no records", where=str(path), expected="a line per measurement below the header")
    return records


def _gunzip(data: bytes) -> bytes:
    decompressor = zlib.decompressobj(wbits=31)
    text = decompressor.decompress(data, _MAX_FILE_BYTES)
    if decompressor.unconsumed_tail:
        raise EOFError(f"expands to more than {_MAX_FILE_BYTES} bytes")
    if not decompressor.eof:
        raise EOFError("the gzip stream is truncated")
    return text


def _cells(text: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Each line that is not empty, with its number."""
    reader = csv.reader(text.splitlines())
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise RecordError(f"records are not CSV text: {error}", where=f"{path}:{reader.line_num}") from None


def _row(header: Sequence[str], cells: Sequence[str], where: str) -> dict[str, str]:
    if len(cells) != len(header):
        raise RecordError(
            f"{len(cells)} cells, where the header has {len(header)}",
            where=where,
            expected=",".join(header),
            hint='write numbers with a decimal point, put text with a comma in "quotes", leave unknown cells empty',
        )
    return {column: cell.strip() for column, cell in zip(header, cells, strict=True)}


def _record(row: dict[str, str], path: Path, line: int) -> Record:
    where = f"{path}:{line}"

    def value(column: str) -> str:
        return row.get(column, "")

    for column in ("model", "device", "runtime"):
        if not value(column):
            raise RecordError(f"{column} is empty", where=where, hint=_NEXT)
    try:
        precision = Precision.parse(value("precision") or "fp32")
    except UnknownPrecisionError as error:
        raise RecordError(error.what, where=where, expected=", ".join(error.known), hint=_NEXT) from None
    if value("layout") not in ("", *LAYOUTS):
        raise RecordError(
            f"unknown layout {value('layout')!r}", where=where, expected=f"{', '.join(LAYOUTS)} or empty", hint=_NEXT
        )
    return Record(
        model=value("model"),
        input_shape=_shape(value("input_shape"), where),
        device=value("device"),
        unit=value("unit"),
        runtime=value("runtime"),
        precision=precision,
        layout=value("layout"),
        latency_s=_latency_s(value("latency_ms"), where),
        source=value("source"),
        conditions=value("conditions"),
        line=line,
    )


def _latency_s(text: str, where: str) -> float:
    expected = "milliseconds of the whole batch, a decimal number above 0 such as 4.568"
    try:
        latency_ms = float(text)
    except ValueError:
        raise RecordError(f"latency_ms is not a number: {text!r}", where=where, expected=expected, hint=_NEXT) from None
    if not (math.isfinite(latency_ms) and latency_ms > 0):
        raise RecordError(f"latency_ms must be positive: {text}", where=where, expected=expected, hint=_NEXT)
    return s_from_ms(latency_ms)


def _shape(text: str, where: str) -> Shape:
    try:
        shape = tuple(int(part) for part in text.split("x"))
    except ValueError:
        shape = ()
    if not shape or min(shape) <= 0:
        raise RecordError(
            f"input_shape is not a shape: {text!r}",
            where=where,
            expected="extents above 0, batch first, such as 1x3x224x224",
            hint=_NEXT,
        )
    return shape


def shape_text(shape: Sequence[int]) -> str:
    """``1x3x224x224``."""
    return "x".join(str(extent) for extent in shape)


def write_records(records: Iterable[Record], path: Path) -> None:
    """Write records as CSV, gzipped under a name that ends in ``.gz``, as a whole or not at all.

    Raises
    ------
    OutputError
        The folder is missing or not writable.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for r in records:
        writer.writerow(
            (r.model, shape_text(r.input_shape), r.device, r.unit, r.runtime, r.precision.value, r.layout,
             f"{ms_from_s(r.latency_s):.6g}", r.source, r.conditions)
        )  # fmt: skip
    text = stream.getvalue()
    write_whole(path, gzip.compress(text.encode(), mtime=0) if path.suffix == ".gz" else text)


def records_digest(records: Iterable[Record]) -> str:
    """SHA-256 over the records' content, order-independent, so that a calibration can name its data."""
    lines = sorted(
        f"{r.model}|{shape_text(r.input_shape)}|{r.device_reference}|{r.runtime}|{r.precision}|{r.layout}|{r.latency_s!r}"
        for r in records
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
