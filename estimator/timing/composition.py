"""What a network looks like to the hardware: a short vector of where its time goes.

Two networks with the same composition (time by kernel class, how much is compute-bound, how wide its products
are, how long it runs) are timed alike whatever they are called; `timing.residual` corrects a prediction by what
was measured on networks of like composition.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from estimator.catalogue.calibration import FloatArray
from estimator.lowering.kernel import CLASS_INDEX, IntArray
from estimator.timing.features import FEATURE_NAMES, KernelFeatures
from estimator.timing.response import KernelTimes

_CLASS_COUNT = len(CLASS_INDEX)
SHARE_WEIGHT: Final = 2.0
"""Square roots of time shares, so that small shares still tell networks apart (Hellinger distance)."""
EXTENT_SCALE: Final = 8.0
LATENCY_WEIGHT: Final = 0.15
COUNT_WEIGHT: Final = 0.3
REFERENCE_CACHE_LOG2: Final = 26.0
"""log₂ of 64 MiB, the same on every device: the composition tells networks apart, the response devices."""
_LOG2_BYTES: Final = FEATURE_NAMES.index("log2_bytes")
COMPOSITION_SIZE: Final = _CLASS_COUNT + 8


def compositions(features: KernelFeatures, times: KernelTimes, record_index: IntArray, record_count: int) -> FloatArray:
    """Composition of every record.

    Parameters
    ----------
    features, times
        Rows of all records, one after another.
    record_index : array [row]
        Which record a row belongs to.

    Returns
    -------
    array [record, COMPOSITION_SIZE]
    """
    row_s = times.kernel_s * features.count
    by_class = np.bincount(
        record_index * _CLASS_COUNT + features.class_index, weights=row_s, minlength=record_count * _CLASS_COUNT
    ).reshape(record_count, _CLASS_COUNT)
    total = np.maximum(by_class.sum(axis=1), 1e-12)

    def time_weighted(values: FloatArray) -> FloatArray:
        mean: FloatArray = np.bincount(record_index, weights=row_s * values, minlength=record_count) / total
        return mean

    launches = np.bincount(record_index, weights=features.count, minlength=record_count)
    means = (
        time_weighted((times.compute_s > times.memory_s).astype(np.float64)),
        time_weighted(np.log2(features.k) / EXTENT_SCALE * features.is_product),
        time_weighted(np.log2(features.n) / EXTENT_SCALE * features.is_product),
        time_weighted((features.unaligned > 0).astype(np.float64)),
        time_weighted((REFERENCE_CACHE_LOG2 - features.matrix[:, _LOG2_BYTES]) / EXTENT_SCALE),
        time_weighted(times.overhead_s / np.maximum(times.kernel_s, 1e-15)),
        LATENCY_WEIGHT * np.log(total),
        COUNT_WEIGHT * np.log(np.maximum(launches, 1.0)),
    )
    return np.column_stack([SHARE_WEIGHT * np.sqrt(by_class / total[:, None]), *means])
