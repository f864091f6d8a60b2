"""Fit a response: L-BFGS for the physical terms, then mini-batches for the network on top of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Final

import numpy as np
from scipy.optimize import minimize

from estimator.calibration.objective import Objective, Observations, Priors
from estimator.catalogue.calibration import FloatArray
from estimator.lowering.kernel import IntArray
from estimator.timing.features import KernelFeatures
from estimator.timing.roofline import RooflineTimes

BATCH_RECORDS: Final = 48
PHYSICS_ITERATIONS: Final = 200
EPOCHS: Final = 40
LEARNING_RATE: Final = 0.01

Progress = Callable[[str, float], None]


def select_records(observations: Observations, indices: IntArray) -> Observations:
    """Select the observations of some records, in the given order."""
    order = np.argsort(observations.record_index, kind="stable")
    counts = np.bincount(observations.record_index, minlength=len(observations.log_measured))
    starts = np.concatenate([[0], np.cumsum(counts)])
    rows = np.concatenate([order[starts[i] : starts[i + 1]] for i in indices]) if len(indices) else order[:0]
    f = observations.features
    columns = {field.name: getattr(f, field.name)[rows] for field in fields(KernelFeatures) if field.name != "times"}
    return Observations(
        features=KernelFeatures(times=RooflineTimes(f.times.compute_s[rows], f.times.memory_s[rows]), **columns),
        record_index=np.repeat(np.arange(len(indices)), counts[indices]),
        log_measured=observations.log_measured[indices],
        contexts=observations.contexts,
        membership=observations.membership[indices],
    )


def fit_parameters(
    observations: Observations, priors: Priors, *, epochs: int = EPOCHS, progress: Progress | None = None
) -> tuple[Objective, FloatArray]:
    """Minimise the objective; deterministic.

    Returns
    -------
    (Objective, array)
        The objective over all records and the fitted flat parameter vector.
    """
    physics = Objective(observations, replace(priors, hidden=0))
    solution = _whitened(physics) if priors.whitened_steps else _plain(physics)
    if progress:
        progress("physical terms", 0.2)
    if not priors.hidden:
        return physics, solution
    whole = Objective(observations, priors, (physics.feature_mean, physics.feature_scale))
    start = whole.blocks.start(priors)
    start[: len(solution)] = solution
    return whole, _minibatch(whole, start, epochs, progress)


def _plain(physics: Objective) -> FloatArray:
    solution: FloatArray = minimize(
        physics, physics.blocks.start(physics.priors), jac=True, method="L-BFGS-B",
        options={"maxiter": PHYSICS_ITERATIONS, "maxcor": 20},
    ).x  # fmt: skip
    return solution


def _whitened(physics: Objective) -> FloatArray:
    """Minimise over z, θ = prior mean + σ·z: narrow and wide priors then curve the objective alike."""
    mean, sigma = physics.blocks.prior_mean, physics.blocks.prior_sigma

    def loss(z: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = physics(mean + sigma * z)
        return value, gradient * sigma

    steps = physics.priors.whitened_steps
    result = minimize(
        loss, np.zeros(len(mean)), jac=True, method="L-BFGS-B",
        options={"maxiter": steps, "maxfun": 2 * steps, "maxcor": 30, "ftol": 1e-7},
    )  # fmt: skip
    solution: FloatArray = mean + sigma * np.asarray(result.x, dtype=np.float64)
    return solution


def _minibatch(whole: Objective, start: FloatArray, epochs: int, progress: Progress | None) -> FloatArray:
    """Adam with a one-cycle learning rate over fixed batches in shuffled order."""
    generator = np.random.default_rng(0)
    count = len(whole.observations.log_measured)
    order = generator.permutation(count)
    parts = np.array_split(order, max(1, round(count / BATCH_RECORDS)))
    standard = (whole.feature_mean, whole.feature_scale)
    batches = [
        Objective(select_records(whole.observations, part), whole.priors, standard, len(part) / count) for part in parts
    ]
    vector = start.copy()
    first, second = np.zeros_like(vector), np.zeros_like(vector)
    steps, step = epochs * len(batches), 0
    for epoch in range(epochs):
        for index in generator.permutation(len(batches)):
            step += 1
            _, gradient = batches[index](vector)
            gradient = gradient / len(batches[index].observations.log_measured)
            first += 0.1 * (gradient - first)
            second += 0.01 * (gradient * gradient - second)
            rate = LEARNING_RATE * _one_cycle(step / steps)
            corrected = first / (1 - 0.9**step)
            vector = vector - rate * corrected / (np.sqrt(second / (1 - 0.99**step)) + 1e-8)
        if progress:
            progress("network", 0.2 + 0.8 * (epoch + 1) / epochs)
    return vector


def _one_cycle(done: float) -> float:
    """Warm-up over the first 10 %, then a cosine to zero."""
    if done < 0.1:
        return done / 0.1
    return float(0.5 * (1 + np.cos(np.pi * (done - 0.1) / 0.9)))
