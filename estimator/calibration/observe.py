"""From records to the long tables that fits read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from estimator.calibration.domains import Domain
from estimator.calibration.graph_cache import GraphCache, LoweredModel, Workload
from estimator.calibration.objective import Observations, concatenate_features
from estimator.calibration.predict import Failure, features_of, find_sites, workloads_of
from estimator.calibration.records import Record
from estimator.calibration.workload import DEFAULT_WORKERS, Lowered, Progress, Unlowered, lower_workloads, workload_of
from estimator.engine import Site
from estimator.errors import CalibrationError
from estimator.lowering.kernel import IntArray


@dataclass(frozen=True, slots=True)
class Usable:
    """Records that a fit can use, each with its site and its kernels, and those that it cannot."""

    records: tuple[Record, ...]
    sites: tuple[Site, ...]
    lowered: tuple[LoweredModel, ...]
    failures: tuple[Failure, ...]

    def __len__(self) -> int:
        return len(self.records)

    def select(self, indices: IntArray) -> Usable:
        """Keep some records, in the given order, and all failures."""
        return Usable(
            tuple(self.records[i] for i in indices),
            tuple(self.sites[i] for i in indices),
            tuple(self.lowered[i] for i in indices),
            self.failures,
        )


def usable_records(
    records: Sequence[Record],
    *,
    source: str | None = "family",
    cache: GraphCache | None = None,
    worker_count: int = DEFAULT_WORKERS,
    progress: Progress | None = None,
) -> Usable:
    """Trace and lower what the records measured; sites allow no better coefficients than `source`."""
    site_of = find_sites(records, source)
    lowered = lower_workloads(workloads_of(records, site_of), cache=cache, worker_count=worker_count, progress=progress)
    return _sorted_out(records, site_of, lowered)


def _sorted_out(
    records: Sequence[Record], site_of: Callable[[Record], Site | str], lowered: Mapping[Workload, Lowered]
) -> Usable:
    kept: list[tuple[Record, Site, LoweredModel]] = []
    failures: list[Failure] = []
    for record in records:
        site = site_of(record)
        if isinstance(site, str):
            failures.append(Failure(record, site))
            continue
        model = lowered[workload_of(record, site.unit.kind)]
        if isinstance(model, Unlowered):
            failures.append(Failure(record, model.reason))
        else:
            kept.append((record, site, model))
    return Usable(
        tuple(record for record, _, _ in kept),
        tuple(site for _, site, _ in kept),
        tuple(model for _, _, model in kept),
        tuple(failures),
    )


def observe(usable: Usable, domain: Domain) -> Observations:
    """Stack the features of all kernels of all records, with the contexts that the domain names.

    Raises
    ------
    CalibrationError
        There are no records.
    """
    if not usable.records:
        raise CalibrationError(f"no usable record for {domain.name}", expected="records of this domain")
    parts = [features_of(model, site) for model, site in zip(usable.lowered, usable.sites, strict=True)]
    shares = [domain.context_shares(record) for record in usable.records]
    contexts = tuple(sorted({name for row in shares for name in row}))
    column = {name: index for index, name in enumerate(contexts)}
    membership = np.zeros((len(shares), len(contexts)))
    for row, record_shares in enumerate(shares):
        for name, share in record_shares.items():
            membership[row, column[name]] = share
    return Observations(
        features=concatenate_features(parts),
        record_index=np.repeat(np.arange(len(parts)), [len(part) for part in parts]),
        log_measured=np.log([record.latency_s for record in usable.records]),
        contexts=contexts,
        membership=membership,
    )
