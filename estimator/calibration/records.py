"""Measured records: one line of CSV per (model, device, runtime, precision) with its latency.

Columns: ``model,input_shape,device,unit,runtime,precision,layout,latency_ms,source,conditions``.
`input_shape` starts with the batch; `latency_ms` is for the whole batch.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from estimator.dtypes import Precision
from estimator.errors import EstimatorError, RecordError
from estimator.files import write_whole
from estimator.ir.tensor import Shape
from estimator.units import ms_from_s, s_from_ms

COLUMNS = (
    "model", "input_shape", "device", "unit", "runtime", "precision", "layout", "latency_ms", "source", "conditions",
)  # fmt: skip
_REQUIRED = ("model", "input_shape", "device", "runtime", "latency_ms")
_MAX_FILE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Record:
    """One measurement; `latency_s` is for the whole batch."""

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

    @property
    def batch(self) -> int:
        """Leading extent of the input."""
        return self.input_shape[0] if self.input_shape else 1

    @property
    def device_reference(self) -> str:
        """``device/unit``, as ``--device`` takes it."""
        return f"{self.device}/{self.unit}" if self.unit else self.device


def read_records(path: Path) -> tuple[Record, ...]:
    """Read a record file, plain or gzipped.

    Raises
    ------
    RecordError
        Unreadable, wrong header, no line below it, or a line with a value that makes no sense; says file and line.
    """
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = _gunzip(data)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise RecordError(f"cannot read records: {error.strerror or error}", where=str(path)) from None
    except (UnicodeDecodeError, EOFError, zlib.error) as error:
        raise RecordError(
            f"records are not {'gzipped ' * (path.suffix == '.gz')}CSV text: {error}", where=str(path)
        ) from None
    reader = csv.DictReader(text.splitlines())
    missing = [c for c in _REQUIRED if c not in (reader.fieldnames or ())]
    if missing:
        raise RecordError(
            f"records lack the column{'s' * (len(missing) > 1)} {', '.join(missing)}",
            where=f"{path}:1",
            expected=",".join(COLUMNS),
        )
    records = tuple(_record(row, f"{path}:{number}") for number, row in enumerate(reader, start=2))
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


def _record(row: dict[str, str | None], where: str) -> Record:
    def value(column: str) -> str:
        return (row.get(column) or "").strip()

    try:
        latency_ms = float(value("latency_ms"))
    except ValueError:
        raise RecordError(f"latency_ms is not a number: {value('latency_ms')!r}", where=where) from None
    if not (math.isfinite(latency_ms) and latency_ms > 0):
        raise RecordError(f"latency_ms must be positive: {latency_ms}", where=where)
    for column in ("model", "device", "runtime"):
        if not value(column):
            raise RecordError(f"{column} is empty", where=where)
    try:
        precision = Precision.parse(value("precision") or "fp32")
    except EstimatorError as error:
        raise RecordError(str(error), where=where) from None
    return Record(
        model=value("model"),
        input_shape=_shape(value("input_shape"), where),
        device=value("device"),
        unit=value("unit"),
        runtime=value("runtime"),
        precision=precision,
        layout=value("layout"),
        latency_s=s_from_ms(latency_ms),
        source=value("source"),
        conditions=value("conditions"),
    )


def _shape(text: str, where: str) -> Shape:
    try:
        shape = tuple(int(part) for part in text.split("x"))
    except ValueError:
        shape = ()
    if not shape or min(shape) <= 0:
        raise RecordError(f"input_shape is not a shape: {text!r}", where=where, expected="like 1x3x224x224")
    return shape


def shape_text(shape: Sequence[int]) -> str:
    """``1x3x224x224``."""
    return "x".join(str(extent) for extent in shape)


def write_records(records: Iterable[Record], path: Path) -> None:
    """Write records as CSV, as a whole or not at all.

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
    write_whole(path, stream.getvalue())


def records_digest(records: Iterable[Record]) -> str:
    """SHA-256 over the records' content, order-independent, so that a calibration can name its data."""
    lines = sorted(
        f"{r.model}|{shape_text(r.input_shape)}|{r.device_reference}|{r.runtime}|{r.precision}|{r.layout}|{r.latency_s!r}"
        for r in records
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
