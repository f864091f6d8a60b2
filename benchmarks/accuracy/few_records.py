"""A device without records, and with five or ten of its own: each known from the records of another alone.

::

    python -m benchmarks.accuracy.few_records                    the table on the screen, few_records.csv beside this
    python -m benchmarks.accuracy.few_records cpu-torch-compile        the other CPU alone, nothing written
    python -m benchmarks.accuracy.few_records --without vit,regnet     without some families, in fit and score

Every eager GPU domain is fitted on the records of one GPU; the other is then estimated from its datasheet, and again
after `calibration.device_fit` has seen some of its records: at random (twenty draws), or the most telling of a random
third (`calibration.choose`, five draws). All other records of that GPU are scored. For compiled code, which is
recorded on one GPU, a framework version stands for a device: that shows how little ten records spoil where there is
no device to be found, not what they buy on one.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.accuracy.fit import all_records
from benchmarks.accuracy.wording import percent, share, signed
from estimator.calibration.choose import most_telling
from estimator.calibration.device_fit import OffsetFit, OffsetPrior
from estimator.calibration.domains import Domain, device_context, domain
from estimator.calibration.fit import fit_once, recentred
from estimator.calibration.observe import Usable, observe, usable_records
from estimator.calibration.optimise import select_records
from estimator.calibration.records import Record, read_records
from estimator.calibration.score import score
from estimator.catalogue.calibration import Response
from estimator.engine import Site, place_at
from estimator.frontends.zoo_family import family_of
from estimator.lowering.kernel import IntArray
from estimator.timing.coefficients import DATASHEET_SPREAD, Coefficients
from estimator.timing.response import combined_offset

RESULTS: Final = Path(__file__).parent / "few_records.csv"
GPU_DOMAINS: Final = ("gpu-torch-eager-nhwc", "gpu-torch-eager-nchw", "gpu-torch-compile")
CPU_DOMAIN: Final = "cpu-torch-compile"
DOMAIN_NAMES: Final = (*GPU_DOMAINS, CPU_DOMAIN)
OTHER_CPU: Final = Path(__file__).parent / "other_cpu"
COUNTS: Final = (5, 10, 20)
RANDOM_DRAWS: Final = 20
CHOSEN_DRAWS: Final = 5


@dataclass(frozen=True)
class FewRecordsRow:
    """Means over draws of the error figures of the records that were not drawn; `own_records` 0: none were."""

    domain: str
    known: str
    estimated: str
    own_records: int
    drawn: str
    scored: int
    median_ape: float
    p90_ape: float
    within_10: float
    bias: float


def study(one: Domain, usable: Usable, group_of: Callable[[Record], str]) -> list[FewRecordsRow]:
    """Estimate every group of records by a fit of each other group."""
    observations = observe(usable, one)
    groups = np.array([group_of(record) for record in usable.records])
    rows: list[FewRecordsRow] = []
    for known in np.unique(groups):
        of_known = np.flatnonzero(groups == known)
        response = fit_once(one, select_records(observations, of_known)).response
        shared = _without_unseen(response, usable.records[of_known[0]].device)
        for estimated in np.unique(groups[groups != known]):
            target = usable.select(np.flatnonzero(groups == estimated))
            rows += _from_few(one.name, str(known), str(estimated), target, _always(shared, one.name), OffsetPrior())
    return rows


def study_other_cpu(workers: int) -> list[FewRecordsRow]:
    """Estimate the CPU that no fit has seen, by vector width and framework version."""
    records = [replace(r, device=str(OTHER_CPU / f"{r.device}.yaml")) for r in read_records(OTHER_CPU / "records.csv")]
    usable = usable_records(records, worker_count=workers)
    groups = np.array([f"{Path(r.device).stem}, {r.conditions.partition(';')[0]}" for r in usable.records])
    rows: list[FewRecordsRow] = []
    for group in np.unique(groups):
        target = usable.select(np.flatnonzero(groups == group))
        rows += _from_few(CPU_DOMAIN, "i9-10940x", str(group), target, lambda site: place_at(site).coefficients, None)
    return rows


def _always(response: Response, name: str) -> Callable[[Site], Coefficients]:
    offset = combined_offset((), len(response.class_names))
    coefficients = Coefficients(response, offset, "family", DATASHEET_SPREAD, response.records, name)
    return lambda _: coefficients


def _without_unseen(response: Response, device: str) -> Response:
    """Keep what was fitted, with the device's own offset folded into it."""
    own = device_context(device)
    kept = {name: o for name, o in response.contexts.items() if name == own or not name.startswith(device_context(""))}
    return recentred(replace(response, contexts=kept))


def _from_few(
    name: str,
    known: str,
    estimated: str,
    target: Usable,
    of_site: Callable[[Site], Coefficients],
    prior: OffsetPrior | None,
) -> list[FewRecordsRow]:
    fit = OffsetFit(target, of_site, prior)
    everything = np.arange(len(target))
    measured = np.exp(fit.log_measured)

    def row(drawn: str, draws: Sequence[IntArray]) -> FewRecordsRow:
        figures = []
        for draw in draws:
            others = np.setdiff1d(everything, draw)
            own = (
                OffsetFit(target.select(draw), of_site, fit.prior).offset(np.arange(len(draw)))
                if len(draw)
                else combined_offset((), fit.class_count)
            )
            s = score(fit.predict(own, others), measured[others])
            figures.append((s.median_ape, s.p90_ape, s.within_10, s.bias))
        means = [round(float(value), 4) for value in np.mean(np.array(figures, dtype=np.float64), axis=0)]
        count = len(draws[0])
        return FewRecordsRow(name, known, estimated, count, drawn, len(target) - count, *means)

    rows = [row("", [everything[:0]])]
    covariance = fit.departure_covariance()
    for count in (n for n in COUNTS if n <= len(target) // 2):
        shuffled = [np.random.default_rng(seed).permutation(len(target)) for seed in range(RANDOM_DRAWS)]
        rows.append(row("at random", [order[:count] for order in shuffled]))
        pools = [np.sort(order[: len(target) // 3]) for order in shuffled[:CHOSEN_DRAWS]]
        chosen = [most_telling(covariance, pool, count, fit.prior.noise) for pool in pools]
        rows.append(row("most telling", chosen))
    return rows


def table(rows: Sequence[FewRecordsRow]) -> str:
    """One line per domain, direction and kind of draw, as Markdown."""
    lines = [
        "| domain | known | estimated | own records | median | p90 | ±10 % | bias |",
        "| --- | --- | --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for r in rows:
        own = f"{r.own_records} {r.drawn}" if r.own_records else "none"
        figures = (percent(r.median_ape), percent(r.p90_ape), share(r.within_10), signed(r.bias))
        lines.append("| " + " | ".join((r.domain, r.known, r.estimated, own, *figures)) + " |")
    return "\n".join(lines) + "\n"


def write_rows(rows: Sequence[FewRecordsRow], path: Path = RESULTS) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        names = list(FewRecordsRow.__dataclass_fields__)
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: getattr(row, name) for name in names} for row in rows)


def read_rows(path: Path = RESULTS) -> list[FewRecordsRow]:
    """Rows written before; none where the study has not been run."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [
            FewRecordsRow(
                r["domain"], r["known"], r["estimated"], int(r["own_records"]), r["drawn"], int(r["scored"]),
                float(r["median_ape"]), float(r["p90_ape"]), float(r["within_10"]), float(r["bias"]),
            )
            for r in csv.DictReader(file)
        ]  # fmt: skip


def group_of(one: Domain) -> Callable[[Record], str]:
    """Devices; framework versions where the records are of one device."""
    return (lambda record: record.conditions) if one.name == "gpu-torch-compile" else (lambda record: record.device)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("domains", nargs="*", default=DOMAIN_NAMES, metavar="DOMAIN")
    parser.add_argument("--without", default="", metavar="FAMILY,…", help="families to leave out of fit and score")
    parser.add_argument("--workers", type=int, default=2, help="processes that trace models")
    options = parser.parse_args()
    left_out = set(options.without.split(","))
    records = [record for record in all_records() if family_of(record.model) not in left_out]
    rows: list[FewRecordsRow] = []
    for name in options.domains:
        if name == CPU_DOMAIN:
            rows += study_other_cpu(options.workers)
            continue
        one = domain(name)
        usable = usable_records(one.select(records), worker_count=options.workers)
        rows += study(one, usable, group_of(one))
    print(table(rows))
    if tuple(options.domains) == DOMAIN_NAMES and not options.without:
        write_rows(rows)
        print(f"wrote {RESULTS}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
