"""The fit's objective and its exact gradient, in numpy.

Minimises  Σ_records huber(log predicted − log measured) + Σ_parameters (θ − prior)² ÷ 2σ².
The forward pass is `timing.response.kernel_times`, written over all records at once; a test checks that
the two agree and that the gradient equals finite differences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from estimator.catalogue.calibration import STEEP_CACHE_EXPONENT, ContextOffset, FloatArray, Network, Response
from estimator.lowering.kernel import CLASS_INDEX, IntArray, KernelClass
from estimator.timing.features import FLOOR_S, NETWORK_FEATURES, KernelFeatures
from estimator.timing.response import SMOOTH_MAX, cache_hit
from estimator.timing.roofline import PRODUCT_CLASSES, RooflineTimes

CLASS_NAMES: Final = tuple(c.value for c in CLASS_INDEX)
_CLASS_COUNT = len(CLASS_NAMES)
_FEATURE_COUNT = len(NETWORK_FEATURES)
_ON_TENSOR_ENGINE = np.array([c in PRODUCT_CLASSES and c is not KernelClass.CONV_DEPTHWISE for c in CLASS_INDEX])
_OFFSET_WIDTH = 4 + _CLASS_COUNT


@dataclass(frozen=True, slots=True)
class Observations:
    """Records as one long table.

    Attributes
    ----------
    record_index : array [row]
        Which record a kernel row belongs to.
    log_measured : array [record]
    contexts : tuple of str
        Names of the columns of `membership`, array [record, context]: 0 or 1, or how much of a context's offset
        applies where the context is a quantity (the size of a unit).
    """

    features: KernelFeatures
    record_index: IntArray
    log_measured: FloatArray
    contexts: tuple[str, ...]
    membership: FloatArray


@dataclass(frozen=True, slots=True)
class Priors:
    """Prior standard deviations of the log parameters, and the size of the network (0: none)."""

    efficiency: float = 1.0
    half_extent: float = 1.0
    weight_cost: float = 1.5
    overhead: float = 1.0
    scalar: float = 0.5
    context_rate: float = 0.3
    context_class: float = 0.1
    network_weight: float = 1.0
    hidden: int = 24
    limit: float = 1.0
    noise: float = 0.05
    launch_s: float = 5e-6
    fixed_s: float = 1e-6
    weight_cost_prior: float = 0.05
    launch_by_class: float = 0.0
    """Of each class's launch overhead around the common one; 0 leaves it common."""
    tensor_efficiency: float | None = None
    """Of the compute efficiency of products on the tensor engine (not depthwise ones); None: `efficiency`."""
    tensor_efficiency_prior: float = 0.6
    compute_efficiency_prior: float = 0.6
    memory_efficiency_prior: float = 0.8
    half_extent_prior: float = 16.0
    held_memory_efficiency: tuple[tuple[KernelClass, float], ...] = ()
    """Classes, and deviations of their memory efficiency, that records of large batches cannot tell from launches."""
    memory_efficiency_priors: tuple[tuple[KernelClass, float], ...] = ()
    """Classes whose memory efficiency is expected elsewhere than the rest's."""
    cache_exponent: float = STEEP_CACHE_EXPONENT
    """Not fitted; see `timing.response.cache_hit`."""
    contexts: tuple[tuple[str, tuple[float, float, float, float, float]], ...] = ()
    """By kind of context, or by the name of one, deviations of (compute, memory, overhead, fixed, every class) of its
    offsets, instead of `context_rate` and `context_class`."""
    whitened_steps: int = 0
    """L-BFGS steps in units of prior deviations, where contexts outnumber models; 0: the usual steps, unscaled."""
    fits_under_floor: bool = True
    """Whether records are fitted under the floor that predictions keep to. A kernel at its floor tells a fit nothing,
    so a rate that is itself assumed should not hide what records say."""
    records_per_model: float = 1.0
    """Records that share one model's error count as one: the priors weigh this much more."""

    def context_deviations(self, context: str) -> tuple[float, float, float, float, float]:
        """Deviations of (compute, memory, overhead, fixed, every class) of a context: its own, or its kind's."""
        rate, named = self.context_rate, dict(self.contexts)
        usual = named.get(context_kind(context), (rate, rate, rate, rate, self.context_class))
        return named.get(context, usual)


def context_kind(name: str) -> str:
    """``runtime`` of ``runtime:tflite``, ``runtime:precision`` of ``runtime:tflite:int8``."""
    kind, *values = name.split(":")
    return f"{kind}:precision" if kind in ("runtime", "generation") and len(values) > 1 else kind


class Blocks:
    """Names, shapes, prior means and deviations of the parameter blocks in one flat vector."""

    def __init__(self, contexts: Sequence[str], priors: Priors) -> None:
        h = priors.hidden
        shapes: dict[str, tuple[tuple[int, ...], float, float]] = {
            "compute_efficiency": ((_CLASS_COUNT,), np.log(priors.compute_efficiency_prior), priors.efficiency),
            "memory_efficiency": ((_CLASS_COUNT,), np.log(priors.memory_efficiency_prior), priors.efficiency),
            "k_half": ((_CLASS_COUNT,), np.log(priors.half_extent_prior), priors.half_extent),
            "n_half": ((_CLASS_COUNT,), np.log(priors.half_extent_prior), priors.half_extent),
            "weight_cost": ((_CLASS_COUNT,), np.log(priors.weight_cost_prior), priors.weight_cost),
            "launch": ((1,), np.log(priors.launch_s), priors.overhead),
            "fixed": ((1,), np.log(priors.fixed_s), priors.overhead),
            "shape": ((3,), 0.0, priors.scalar),
            "context": ((len(contexts), _OFFSET_WIDTH), 0.0, priors.context_rate),
        }
        if priors.launch_by_class:
            shapes["launch_by_class"] = ((_CLASS_COUNT,), 0.0, priors.launch_by_class)
        if h:
            shapes |= {
                "hidden": ((_FEATURE_COUNT, h), 0.0, priors.network_weight),
                "hidden_by_class": ((_CLASS_COUNT, h), 0.0, priors.network_weight),
                "second": ((h, h), 0.0, priors.network_weight),
                "second_bias": ((h,), 0.0, priors.network_weight),
                "output": ((h,), 0.0, priors.network_weight),
                "output_bias": ((1,), 0.0, priors.network_weight),
            }
        self.slices: dict[str, tuple[slice, tuple[int, ...]]] = {}
        means, sigmas, start = [], [], 0
        for name, (shape, mean, sigma) in shapes.items():
            size = int(np.prod(shape))
            self.slices[name] = (slice(start, start + size), shape)
            means.append(np.full(size, mean))
            block_sigma = np.full(shape, sigma)
            if name == "context":
                for row, context in enumerate(contexts):
                    *scalars, classes = priors.context_deviations(context)
                    block_sigma[row, :4], block_sigma[row, 4:] = scalars, classes
            elif name == "memory_efficiency":
                for kernel_class, efficiency in priors.memory_efficiency_priors:
                    means[-1][CLASS_INDEX[kernel_class]] = np.log(efficiency)
                for kernel_class, deviation in priors.held_memory_efficiency:
                    block_sigma[CLASS_INDEX[kernel_class]] = deviation
            elif name == "compute_efficiency" and priors.tensor_efficiency is not None:
                means[-1][_ON_TENSOR_ENGINE] = np.log(priors.tensor_efficiency_prior)
                block_sigma[_ON_TENSOR_ENGINE] = priors.tensor_efficiency
            sigmas.append(block_sigma.ravel())
            start += size
        self.prior_mean = np.concatenate(means)
        self.prior_sigma = np.concatenate(sigmas)

    def view(self, vector: FloatArray) -> Mapping[str, FloatArray]:
        """Named, shaped views into a flat vector."""
        return {name: vector[s].reshape(shape) for name, (s, shape) in self.slices.items()}

    def start(self, priors: Priors) -> FloatArray:
        """Prior means, with small deterministic network weights to break symmetry."""
        vector = self.prior_mean.copy()
        views = self.view(vector)
        if priors.hidden:
            generator = np.random.default_rng(0)
            for name in ("hidden", "hidden_by_class", "second"):
                fan_in = views[name].shape[0] if name != "hidden_by_class" else _FEATURE_COUNT
                views[name][...] = generator.normal(0.0, 1.0 / np.sqrt(fan_in), views[name].shape)
            views["output"][...] = generator.normal(0.0, 0.01, views["output"].shape)
        return vector


def _softplus(x: FloatArray) -> FloatArray:
    return np.logaddexp(0.0, x)


def _sigmoid(x: FloatArray) -> FloatArray:
    return 1.0 / (1.0 + np.exp(-x))


class Objective:
    """Callable ``(loss, gradient)`` over the flat parameter vector."""

    def __init__(
        self,
        observations: Observations,
        priors: Priors,
        standard: tuple[FloatArray, FloatArray] | None = None,
        prior_share: float = 1.0,
    ) -> None:
        self.observations = observations
        self.priors = priors
        self.prior_share = prior_share
        self.blocks = Blocks(observations.contexts, priors)
        f = observations.features
        matrix = f.columns(NETWORK_FEATURES)
        mean_and_scale = standard or (matrix.mean(axis=0), matrix.std(axis=0) + 1e-6)
        self.feature_mean: FloatArray = mean_and_scale[0]
        self.feature_scale: FloatArray = mean_and_scale[1]
        self.standard = ((matrix - self.feature_mean) / self.feature_scale).astype(np.float32)
        self.log_compute = np.log((f.times.compute_s + FLOOR_S) / f.core_gain)
        self.log_memory = np.log(f.times.memory_s + FLOOR_S)
        self.hit = cache_hit(f, priors.cache_exponent)
        self.log_wave = np.log(f.wave_fill) * f.is_product
        self.class_one_hot = np.eye(_CLASS_COUNT, dtype=np.float32)[f.class_index]

    def __call__(self, vector: FloatArray) -> tuple[float, FloatArray]:
        """Loss and its gradient at a parameter vector."""
        log_predicted, backward = self.forward(vector)
        residual = log_predicted - self.observations.log_measured
        delta = self.priors.noise
        inside = np.abs(residual) <= delta
        loss = float(np.where(inside, residual**2 / (2 * delta), np.abs(residual) - delta / 2).sum())
        gradient = backward(np.where(inside, residual / delta, np.sign(residual)))
        z = (vector - self.blocks.prior_mean) / self.blocks.prior_sigma
        # a residual of one noise unit weighs as much as one prior deviation
        scale = delta * self.prior_share * self.priors.records_per_model
        return loss + scale * 0.5 * float(z @ z), gradient + scale * z / self.blocks.prior_sigma

    def forward(self, vector: FloatArray) -> tuple[FloatArray, Callable[[FloatArray], FloatArray]]:
        """Predict every record's log latency; also return d loss ÷ d log predicted → gradient."""
        forward = _ForwardPass(self, vector)
        return forward.log_predicted, forward.gradient

    def response(self, vector: FloatArray, name: str) -> Response:
        """Return the fitted parameters as a `Response`."""
        p = self.blocks.view(vector)
        cache_gain, unaligned, wave = (float(v) for v in _softplus(p["shape"]))
        network = None
        if self.priors.hidden:
            network = Network(
                self.feature_mean, self.feature_scale, p["hidden"].copy(), p["hidden_by_class"].copy(),
                p["second"].copy(), p["second_bias"].copy(), p["output"].copy(), float(p["output_bias"][0]),
                self.priors.limit,
            )  # fmt: skip
        return Response(
            name=name,
            class_names=CLASS_NAMES,
            feature_names=NETWORK_FEATURES,
            log_compute_efficiency=p["compute_efficiency"].copy(),
            log_memory_efficiency=p["memory_efficiency"].copy(),
            log_k_half=p["k_half"].copy(),
            log_n_half=p["n_half"].copy(),
            log_weight_cost=p["weight_cost"].copy(),
            log_launch_s=float(p["launch"][0]),
            log_launch_by_class=p["launch_by_class"].copy() if "launch_by_class" in p else np.zeros(_CLASS_COUNT),
            log_fixed_s=float(p["fixed"][0]),
            cache_gain=cache_gain,
            unaligned_cost=unaligned,
            wave_exponent=wave,
            network=network,
            cache_exponent=self.priors.cache_exponent,
            contexts={
                context: ContextOffset.from_vector(p["context"][i])
                for i, context in enumerate(self.observations.contexts)
            },
            records=len(self.observations.log_measured),
        )


class _ForwardPass:
    """One prediction of all records, with what its gradient needs.

    Attributes
    ----------
    log_predicted : array [record]
        Natural log of seconds.
    """

    def __init__(self, objective: Objective, vector: FloatArray) -> None:
        self._objective = objective
        self._p = p = objective.blocks.view(vector)
        o, f = objective.observations, objective.observations.features
        c, r = f.class_index, o.record_index
        offset = o.membership @ p["context"]
        self._k_half, self._n_half = f.fill_growth * np.exp(p["k_half"][c]), f.fill_growth * np.exp(p["n_half"][c])
        cache_gain, unaligned, wave = _softplus(p["shape"])
        saturation = f.is_product * (np.log(f.k / (f.k + self._k_half)) + np.log(f.n / (f.n + self._n_half)))
        saturation += wave * objective.log_wave - unaligned * f.unaligned
        log_c = objective.log_compute - p["compute_efficiency"][c] - offset[r, 0] - saturation
        self._cache = 1.0 + cache_gain * objective.hit
        log_m = objective.log_memory - p["memory_efficiency"][c] - offset[r, 1] - np.log(self._cache)
        log_smooth = np.logaddexp(SMOOTH_MAX * log_c, SMOOTH_MAX * log_m)
        self._share_c = np.exp(SMOOTH_MAX * log_c - log_smooth)
        log_body = log_smooth / SMOOTH_MAX + offset[r, 4 + c]
        self._network = _NetworkPass(objective, p) if objective.priors.hidden else None
        if self._network is not None:
            log_body = log_body + objective.priors.limit * self._network.bounded
        self._body = np.exp(log_body) * f.count
        self._passes = f.weight_s * np.exp(p["weight_cost"][c] - offset[r, 1]) * f.count
        floor = f.floor_s * f.count * objective.priors.fits_under_floor
        self._above_floor = self._body + self._passes > floor
        by_class = p["launch_by_class"][c] if "launch_by_class" in p else 0.0
        self._launch = f.launches * np.exp(p["launch"][0] + by_class + offset[r, 2]) * f.count
        self._fixed = np.exp(p["fixed"][0] + offset[:, 3])
        rows = np.maximum(self._body + self._passes, floor) + self._launch
        self._total = np.bincount(r, weights=rows, minlength=len(o.log_measured)) + self._fixed
        self.log_predicted: FloatArray = np.log(self._total)

    def gradient(self, d_log: FloatArray) -> FloatArray:
        """Turn d loss ÷ d log predicted [record] into the gradient over the flat vector."""
        objective, p = self._objective, self._p
        f, r = objective.observations.features, objective.observations.record_index
        gradient = np.zeros(len(objective.blocks.prior_mean))
        g = objective.blocks.view(gradient)
        d_total = d_log / self._total
        d_row = d_total[r]
        d_body, d_passes = (d_row * part * self._above_floor for part in (self._body, self._passes))
        d_launch = d_row * self._launch
        d_c, d_m = d_body * self._share_c, d_body * (1.0 - self._share_c)

        def by_class(values: FloatArray) -> FloatArray:
            return np.bincount(f.class_index, weights=values, minlength=_CLASS_COUNT).astype(np.float64, copy=False)

        g["compute_efficiency"][...] = -by_class(d_c)
        g["memory_efficiency"][...] = -by_class(d_m)
        g["k_half"][...] = by_class(d_c * f.is_product * self._k_half / (f.k + self._k_half))
        g["n_half"][...] = by_class(d_c * f.is_product * self._n_half / (f.n + self._n_half))
        g["weight_cost"][...] = by_class(d_passes)
        g["launch"][0] = d_launch.sum()
        if "launch_by_class" in g:
            g["launch_by_class"][...] = by_class(d_launch)
        g["fixed"][0] = float((d_total * self._fixed).sum())
        slope = _sigmoid(p["shape"])
        g["shape"][0] = -float((d_m * objective.hit / self._cache).sum()) * slope[0]
        g["shape"][1] = float((d_c * f.unaligned).sum()) * slope[1]
        g["shape"][2] = -float((d_c * objective.log_wave).sum()) * slope[2]
        d_offset = self._offset_gradient(d_c, d_m + d_passes, d_launch, d_total * self._fixed, d_body)
        g["context"][...] = objective.observations.membership.T @ d_offset
        if self._network is not None:
            self._network.add_gradient(d_body, g)
        return gradient

    def _offset_gradient(
        self, compute: FloatArray, memory: FloatArray, launch: FloatArray, fixed: FloatArray, body: FloatArray
    ) -> FloatArray:
        """Gradient over each record's summed offset [record, offset]; `fixed` is per record, the rest per row."""
        observations = self._objective.observations
        r, c, count = observations.record_index, observations.features.class_index, len(observations.log_measured)
        d_offset = np.zeros((count, _OFFSET_WIDTH))
        d_offset[:, 0] = -np.bincount(r, weights=compute, minlength=count)
        d_offset[:, 1] = -np.bincount(r, weights=memory, minlength=count)
        d_offset[:, 2] = np.bincount(r, weights=launch, minlength=count)
        d_offset[:, 3] = fixed
        flat = np.bincount(r * _CLASS_COUNT + c, weights=body, minlength=count * _CLASS_COUNT)
        d_offset[:, 4:] = flat.reshape(count, _CLASS_COUNT)
        return d_offset


class _NetworkPass:
    """The network's part of a forward pass, in single precision for speed."""

    def __init__(self, objective: Objective, p: Mapping[str, FloatArray]) -> None:
        self._objective, self._p = objective, p
        by_class = p["hidden_by_class"].astype(np.float32)[objective.observations.features.class_index]
        self._hidden = np.tanh(objective.standard @ p["hidden"].astype(np.float32) + by_class)
        self._second = np.tanh(self._hidden @ p["second"].astype(np.float32) + p["second_bias"].astype(np.float32))
        self.bounded = np.tanh(self._second.astype(np.float64) @ p["output"] + p["output_bias"][0])

    def add_gradient(self, d_body: FloatArray, g: Mapping[str, FloatArray]) -> None:
        """Write the network's blocks of the gradient `g`."""
        p, hidden, second = self._p, self._hidden, self._second
        d_out = d_body * self._objective.priors.limit * (1.0 - self.bounded**2)
        g["output"][...] = second.T.astype(np.float64) @ d_out
        g["output_bias"][0] = d_out.sum()
        d_second = (d_out[:, None] * p["output"]).astype(np.float32) * (1.0 - second**2)
        g["second"][...] = hidden.T @ d_second
        g["second_bias"][...] = d_second.sum(axis=0)
        d_hidden = (d_second @ p["second"].astype(np.float32).T) * (1.0 - hidden**2)
        g["hidden"][...] = self._objective.standard.T @ d_hidden
        g["hidden_by_class"][...] = self._objective.class_one_hot.T @ d_hidden


def concatenate_features(parts: Sequence[KernelFeatures]) -> KernelFeatures:
    """Stack the features of many models."""
    times = RooflineTimes(
        np.concatenate([p.times.compute_s for p in parts]), np.concatenate([p.times.memory_s for p in parts])
    )
    columns = {
        field.name: np.concatenate([getattr(p, field.name) for p in parts])
        for field in fields(KernelFeatures)
        if field.name != "times"
    }
    return KernelFeatures(times=times, **columns)
