"""Ten measurements rank NAS-Bench-201 on a device that the prior does not know (leave one device out)."""

import csv
import gzip
import io
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from estimator.calibration.cell_work import Execution, cell_features
from estimator.calibration.few_shot import FloatArray, choose_measurements, fit_few, rank_prior
from estimator.calibration.nasbench201 import Cell

RECORDS = Path(__file__).parents[2] / "benchmarks" / "nas" / "nasbench201.csv.gz"
DEVICES = ("1080ti_1", "1080ti_256", "pixel3", "raspi4", "gold_6226", "samsung_a50")
EVERY_NTH = 5


@cache
def records() -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    rows = list(csv.DictReader(io.StringIO(gzip.decompress(RECORDS.read_bytes()).decode())))[::EVERY_NTH]
    cells = [Cell.parse(row["arch_str"]) for row in rows]
    features = {e.value: cell_features(cells, e) for e in Execution}
    return features, {d: np.array([float(row[d]) for row in rows]) for d in DEVICES}


@pytest.mark.parametrize("device", DEVICES)
def test_ten_chosen_measurements_rank_an_unseen_device_at_0_95(device):
    features, latency = records()
    prior = rank_prior(features, [latency[d] for d in DEVICES if d != device])
    measured = list(choose_measurements(prior, features, 10))
    fit = fit_few(prior, {n: x[measured] for n, x in features.items()}, latency[device][measured])
    rest = np.setdiff1d(np.arange(len(latency[device])), measured)
    predicted = fit.predict({n: x[rest] for n, x in features.items()})
    assert spearmanr(predicted, latency[device][rest]).statistic > 0.95
    compiled = device in ("pixel3", "raspi4")
    assert fit.most_likely.name == (Execution.FOLDED if compiled else Execution.EVERY_EDGE)


def test_networks_that_ignore_their_input_are_the_fastest_of_a_compiled_device():
    features, latency = records()
    idle = features[Execution.FOLDED][:, 0] == 0
    assert 0 < idle.sum() < 0.05 * len(idle)
    for device in ("pixel3", "raspi4"):
        assert latency[device][idle].max() < np.percentile(latency[device][~idle], 5)
