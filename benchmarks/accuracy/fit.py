"""Refit every domain from the records: responses, calibrations, and predictions for records that were left out.

::

    python -m benchmarks.accuracy.fit                       all domains (about an hour on two cores)
    python -m benchmarks.accuracy.fit npu cpu-mobile        some of them
    python -m benchmarks.accuracy.fit --held-out-only npu   errors on the screen, nothing written

Writes ``devices/calibration`` and ``benchmarks/accuracy/heldout/<domain>.csv.gz``, which `report` reads. The same
records and the same date give the same bytes. Models are traced once per machine (the cache of traced graphs).
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from estimator.calibration.domains import DOMAINS, Domain, domain
from estimator.calibration.fit import DomainFit, HeldOut, fit_domain, hold_out
from estimator.calibration.observe import observe, usable_records
from estimator.calibration.records import Record, read_records, shape_text
from estimator.calibration.score import Score
from estimator.catalogue.calibration_file import calibration_directory, dump_calibration, dump_response
from estimator.dtypes import Precision
from estimator.units import ms_from_s

HERE = Path(__file__).parent
RECORD_FILES = sorted((HERE / "records").glob("*.csv.gz"))
HELD_OUT = HERE / "heldout"
_KINDS = ("model", "family", "device")
_KEY = ("model", "input_shape", "device", "unit", "runtime", "precision", "layout", "measured_ms")


@dataclass(frozen=True)
class HeldOutRow:
    """One record and what fits said that did not see its model, its family, its device (None: never left out).

    Attributes
    ----------
    novelty : dict
        How unlike its network was to those that the same fits saw, in [0, 1]; None like the predictions.
    """

    model: str
    input_shape: str
    device: str
    unit: str
    runtime: str
    precision: str
    layout: str
    measured_ms: float
    predicted_ms: dict[str, float | None]
    novelty: dict[str, float | None]

    def belongs_to(self, one: Domain) -> bool:
        """Whether it is a row of this domain."""
        return one.covers(self.unit, self.runtime, self.layout, Precision(self.precision))


def all_records() -> tuple[Record, ...]:
    return tuple(record for path in RECORD_FILES for record in read_records(path))


def write_held_out(name: str, held_out: HeldOut) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow((*_KEY, *(f"without_{kind}_ms" for kind in _KINDS), *(f"novelty_{kind}" for kind in _KINDS)))
    columns = (held_out.by_model, held_out.by_family, held_out.by_device)
    for index, r in enumerate(held_out.records):
        key = (r.model, shape_text(r.input_shape), r.device, r.unit, r.runtime, r.precision.value, r.layout)
        predicted = ("" if c is None else f"{ms_from_s(c.latency_s[index]):.5g}" for c in columns)
        novelty = ("" if c is None else f"{c.novelty[index]:.3f}" for c in columns)
        writer.writerow((*key, f"{ms_from_s(r.latency_s):.6g}", *predicted, *novelty))
    HELD_OUT.mkdir(exist_ok=True)
    packed = gzip.compress(stream.getvalue().encode(), mtime=0)
    (HELD_OUT / f"{name}.csv.gz").write_bytes(packed)


def read_held_out() -> Iterator[HeldOutRow]:
    """Rows of every domain that was fitted, in the domains' order."""
    for one in DOMAINS:
        path = HELD_OUT / f"{one.name}.csv.gz"
        if not path.exists():
            continue
        for row in csv.DictReader(io.StringIO(gzip.decompress(path.read_bytes()).decode())):
            yield HeldOutRow(
                *(row[name] for name in _KEY[:-1]),
                measured_ms=float(row["measured_ms"]),
                predicted_ms={kind: _number(row[f"without_{kind}_ms"]) for kind in _KINDS},
                novelty={kind: _number(row[f"novelty_{kind}"]) for kind in _KINDS},
            )


def _number(text: str) -> float | None:
    return float(text) if text else None


def write_catalogue(one: Domain, fit: DomainFit) -> list[Path]:
    folder = calibration_directory()
    written = [folder / "shared" / f"{one.name}.json"]
    written[0].parent.mkdir(parents=True, exist_ok=True)
    dump_response(fit.response, written[0])
    for calibration in fit.calibrations:
        layout = f"-{one.layout}" if one.layout else ""
        path = folder / calibration.device / f"{one.unit}-{calibration.runtime}{layout}.yaml"
        path.parent.mkdir(exist_ok=True)
        comment = "Fitted by benchmarks/accuracy/fit.py; the spread is of models that the fit did not see."
        dump_calibration(calibration, fit.response.class_names, path, comment)
        written.append(path)
    return written


def figures(score: Score) -> str:
    values = (score.median_ape, score.p90_ape, score.within_10, score.within_20, score.bias, score.spearman)
    if any(v is None for v in values):
        return "–"
    median, p90, w10, w20, bias, rho = (float(v or 0.0) for v in values)
    return (
        f"median {100 * median:5.1f} %  p90 {100 * p90:5.1f} %  ±10 % {100 * w10:3.0f} %  ±20 % {100 * w20:3.0f} %  "
        f"bias {100 * bias:+5.1f} %  ρ {rho:.3f}"
    )


def _held_out_only(one: Domain, records: Sequence[Record], workers: int) -> HeldOut:
    usable = usable_records(one.select(records), worker_count=workers)
    return hold_out(one, usable, observe(usable, one), _log)


def _log(text: str) -> None:
    print(f"  {datetime.now(tz=UTC):%H:%M:%S} {text}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("domains", nargs="*", help=", ".join(d.name for d in DOMAINS))
    parser.add_argument("--held-out-only", action="store_true", help="print errors, write nothing")
    parser.add_argument("--date", default=datetime.now(tz=UTC).date().isoformat(), help="to write into calibrations")
    parser.add_argument("--workers", type=int, default=2, help="processes that trace models")
    options = parser.parse_args()
    records = all_records()
    for one in [domain(name) for name in options.domains] or DOMAINS:
        start = time.monotonic()
        if options.held_out_only:
            held_out = _held_out_only(one, records, options.workers)
        else:
            fit = fit_domain(one, records, date=options.date, worker_count=options.workers, progress=_log)
            held_out = fit.held_out
            write_held_out(one.name, held_out)
            for path in write_catalogue(one, fit):
                _log(f"wrote {path.relative_to(calibration_directory())}")
            for reason in sorted({f"{f.record.model}: {f.reason}" for f in fit.failures}):
                _log(f"left out {reason}")
        print(f"{one.name}: {len(held_out.records)} records, {time.monotonic() - start:.0f} s")
        for kind, score in held_out.scores().items():
            print(f"  without its {kind:7s} {figures(score)}", flush=True)


if __name__ == "__main__":
    main()
