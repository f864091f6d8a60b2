"""Score the estimator against every kind of measured record.

::

    python -m benchmarks.accuracy                     the report on the screen
    python -m benchmarks.accuracy --write docs/accuracy.md       the page, with its pictures beside it
    python -m benchmarks.accuracy --check             exit 1 when a line got worse than reference.json
    python -m benchmarks.accuracy --update-reference
    python -m benchmarks.accuracy --all               every record instead of a sample (half an hour the first time)
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks.accuracy.fit import all_records, read_held_out
from benchmarks.accuracy.lines import make_lines, sample_each_line
from benchmarks.accuracy.page import table, write_page
from benchmarks.accuracy.reference import REFERENCE, worsened, write_reference
from estimator.calibration.validate import validate_records

SAMPLE = 40
"""Records of each line that are scored as shipped: enough to see a change, few enough for ten minutes' tracing."""


def _progress(done: int, total: int) -> None:
    if done % 20 == 0 or done == total:
        print(f"  models traced: {done} of {total}", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, metavar="PAGE.md", help="write the page instead of the screen")
    parser.add_argument("--check", action="store_true", help="compare with reference.json")
    parser.add_argument("--update-reference", action="store_true", help="write reference.json")
    parser.add_argument("--all", action="store_true", help="score every record as shipped")
    parser.add_argument("--workers", type=int, default=2, help="processes that trace models")
    options = parser.parse_args()
    start = time.monotonic()
    records = all_records()
    report = validate_records(
        sample_each_line(records, None if options.all else SAMPLE), worker_count=options.workers, progress=_progress
    )
    rows = tuple(read_held_out())
    lines = make_lines(records, rows, report.predictions)
    if options.write:
        write_page(options.write, lines, rows, report)
        print(f"wrote {options.write}", file=sys.stderr)
    else:
        print(table(lines, rows))
    for failure in report.failures:
        print(f"failed: {failure.record.model} on {failure.record.device_reference}: {failure.reason}", file=sys.stderr)
    print(f"{report.scored} records scored as shipped, {time.monotonic() - start:.0f} s", file=sys.stderr)
    if options.update_reference:
        write_reference(lines)
        print(f"wrote {REFERENCE}", file=sys.stderr)
    if options.check:
        worse = list(worsened(lines))
        for text in worse:
            print(f"worse: {text}")
        if not worse:
            print("no line is worse than the reference")
        return int(bool(worse))
    return 0


if __name__ == "__main__":
    sys.exit(main())
