"""Rank NAS-Bench-201 networks on an unseen device, with 0, 5 and 10 measurements of it.

Leave-one-device-out: the prior is learned on the columns of the other devices. Scores are taken on the networks that
were not measured. ``--records`` takes any table with a column ``arch_str`` and a latency column per device.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr

from estimator.calibration.cell_work import Execution, cell_features
from estimator.calibration.few_shot import CoefficientPrior, choose_measurements, fit_few, rank_prior
from estimator.calibration.nasbench201 import Cell

FloatArray = NDArray[np.float64]
RowArray = NDArray[np.int64]
RECORDS = Path(__file__).parent / "nasbench201.csv.gz"
BUDGETS = (5, 10)


@dataclass(frozen=True)
class Records:
    """Networks, their features per execution hypothesis, and latency [network] in ms per device."""

    features: Mapping[str, FloatArray]
    latency_ms: Mapping[str, FloatArray]


@dataclass(frozen=True)
class Score:
    """Rank correlations: mean Spearman and Kendall, and the worst Spearman over repetitions."""

    rho: float
    tau: float
    worst_rho: float

    @classmethod
    def of(cls, pairs: Sequence[tuple[float, float]]) -> Score:
        """Average repetitions of (ρ, τ)."""
        rhos, taus = zip(*pairs, strict=True)
        return cls(float(np.mean(rhos)), float(np.mean(taus)), min(rhos))

    def __str__(self) -> str:
        return f"{self.rho:6.4f} {self.tau:6.4f} {self.worst_rho:6.4f}"


def read_records(path: Path) -> Records:
    raw = path.read_bytes()
    text = gzip.decompress(raw).decode() if path.suffix == ".gz" else raw.decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    cells = [Cell.parse(row["arch_str"]) for row in rows]
    devices = [name for name in rows[0] if name not in ("index", "arch_str")]
    latency = {d: np.array([float(row[d] or "nan") for row in rows]) for d in devices}
    return Records({e.value: cell_features(cells, e) for e in Execution}, latency)


def score_once(prior: CoefficientPrior, records: Records, device: str, measured: RowArray) -> tuple[float, float]:
    """(ρ, τ) on every network with a record that was not measured."""
    latency = records.latency_ms[device]
    fit = fit_few(prior, {n: x[measured] for n, x in records.features.items()}, latency[measured])
    held_out = np.setdiff1d(np.flatnonzero(np.isfinite(latency)), measured)
    predicted = fit.predict({n: x[held_out] for n, x in records.features.items()})
    rho, tau = spearmanr(predicted, latency[held_out]), kendalltau(predicted, latency[held_out])
    return float(rho.statistic), float(tau.statistic)


def score_device(
    known: Records, records: Records, device: str, seeds: int, candidates: int
) -> list[tuple[int, Score, Score | None]]:
    """Per budget: (measurements, drawn at random, chosen from random candidate pools)."""
    prior = rank_prior(known.features, [y for name, y in known.latency_ms.items() if name != device])
    rows = np.flatnonzero(np.isfinite(records.latency_ms[device]))
    none = np.array([], dtype=np.int64)
    result: list[tuple[int, Score, Score | None]] = [(0, Score.of([score_once(prior, records, device, none)]), None)]
    for budget in BUDGETS:
        drawn, chosen = [], []
        for seed in range(seeds):
            pool = np.random.default_rng(seed).permutation(rows)[:candidates]
            drawn.append(score_once(prior, records, device, pool[:budget]))
            picks = choose_measurements(prior, {n: x[pool] for n, x in records.features.items()}, budget)
            chosen.append(score_once(prior, records, device, pool[list(picks)]))
        result.append((budget, Score.of(drawn), Score.of(chosen)))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=Path, default=RECORDS, help="table with the devices to rank on")
    parser.add_argument("--known", type=Path, default=RECORDS, help="table with the devices that the prior may know")
    parser.add_argument("--target", action="append", help="device column; default: every one of --records")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--candidates", type=int, default=2000, help="networks that measurements are chosen from")
    args = parser.parse_args()
    records = read_records(args.records)
    known = records if args.known == args.records else read_records(args.known)
    print(f"{'':14s} {'':>8s}  {'drawn at random':^20s}   {'chosen':^20s}")
    print(f"{'device':14s} {'measured':>8s}  {'ρ':>6s} {'τ':>6s} {'worst':>6s}   {'ρ':>6s} {'τ':>6s} {'worst':>6s}")
    for device in args.target or records.latency_ms:
        for budget, drawn, chosen in score_device(known, records, device, args.seeds, args.candidates):
            print(f"{device:14s} {budget:8d}  {drawn}   {chosen or ''}", flush=True)


if __name__ == "__main__":
    main()
