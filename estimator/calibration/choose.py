"""Which networks to measure on a new device: those whose times tell most about all the others'."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from estimator.calibration.device_fit import OffsetFit
from estimator.calibration.observe import Usable
from estimator.calibration.records import Record
from estimator.calibration.workload import lower_graph
from estimator.catalogue.calibration import FloatArray
from estimator.engine import Site, place_at
from estimator.errors import CalibrationError
from estimator.ir.graph import Graph
from estimator.lowering.kernel import IntArray


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A network to measure.

    Attributes
    ----------
    latency_s : float
        As estimated without any record of the device.
    left : float
        Expected departure of a candidate from its estimate (root mean square of the log) once this network and those
        before it are measured.
    """

    model: str
    latency_s: float
    left: float


def suggest(candidates: Mapping[str, Graph], site: Site, count: int) -> tuple[float, tuple[Suggestion, ...]]:
    """Choose the networks to measure, the most telling first.

    Parameters
    ----------
    candidates : mapping of model reference to Graph
        All of them count among those to be estimated afterwards.
    site : Site
        Where they will be measured.

    Returns
    -------
    tuple of float and tuple of Suggestion
        Expected departure without any measurement, and up to `count` networks.

    Raises
    ------
    CalibrationError
        No candidate.
    """
    if not candidates:
        raise CalibrationError("no model to choose from", expected="one MODEL or more")
    fit = OffsetFit(_unmeasured(candidates, site), lambda one: place_at(one).coefficients)
    covariance = fit.departure_covariance()
    chosen = most_telling(covariance, np.arange(len(candidates)), count, fit.prior.noise)
    names, latency_s = list(candidates), np.exp(fit.log_before)
    suggestions, left = [], covariance
    for index in chosen:
        left = _once_measured(left, index, fit.prior.noise)
        suggestions.append(Suggestion(names[index], float(latency_s[index]), _deviation(left)))
    return _deviation(covariance), tuple(suggestions)


def _deviation(covariance: FloatArray) -> float:
    return float(np.sqrt(np.diag(covariance).mean()))


def _once_measured(covariance: FloatArray, index: int, noise: float) -> FloatArray:
    """Covariance that is left once one network is measured."""
    left: FloatArray = covariance - np.outer(covariance[:, index], covariance[:, index]) / (
        covariance[index, index] + noise**2
    )
    return left


def _unmeasured(candidates: Mapping[str, Graph], site: Site) -> Usable:
    """Candidates as records whose times nobody has looked at yet."""
    records, lowered = [], []
    for model, graph in candidates.items():
        shape = graph.tensors[graph.inputs[0]].shape if graph.inputs else ()
        records.append(
            Record(
                model, shape, site.device.id, site.unit.name, site.target.runtime, site.target.precision,
                site.target.layout, latency_s=1.0,
            )
        )  # fmt: skip
        lowered.append(lower_graph(graph, site.unit.kind, site.target))
    return Usable(tuple(records), (site,) * len(records), tuple(lowered), ())


def most_telling(covariance: FloatArray, candidates: IntArray, count: int, noise: float) -> IntArray:
    """Choose, one after another, what leaves least variance in everything.

    Greedy A-optimal design: measuring j takes cov(i, j)² ÷ (cov(j, j) + noise²) off the variance of every i; what is
    left is conditioned on j before the next choice. Source: Krause, Singh, Guestrin (2008), JMLR 9, section 3.

    Parameters
    ----------
    covariance : array [network, network]
        Prior covariance of log departures from what the family says.
    candidates : array
        Indices of networks that can be measured; all of them count among those to be predicted.
    noise : float
        Standard deviation of one measurement.

    Returns
    -------
    array [count]
        In order of choice; fewer where there are fewer candidates.
    """
    left = covariance.copy()
    chosen: list[int] = []
    open_to_choice = [int(index) for index in candidates]
    for _ in range(min(count, len(open_to_choice))):
        columns = left[:, open_to_choice]
        gain = (columns**2).sum(axis=0) / (left[open_to_choice, open_to_choice] + noise**2)
        best = open_to_choice.pop(int(np.argmax(gain)))
        chosen.append(best)
        left = _once_measured(left, best, noise)
    return np.array(chosen, dtype=np.int64)
