"""What the response model sees of a kernel: its own geometry, and where that stands on the device.

Every feature is a ratio or a logarithm: how full the last tile is, how many waves of tiles the cores run,
how the working set compares with the cache, where the kernel stands on the roofline. None is a name.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np

from estimator.lowering.kernel import CLASS_INDEX, FloatArray, IntArray, KernelClass, KernelTable
from estimator.timing.roofline import (
    Ceilings,
    RooflineTimes,
    awaited_bytes,
    core_gain,
    is_product,
    multiplied_macs,
    roofline_times,
    runs_in_lanes,
    spilled_share,
    weight_pass_s,
)

FLOOR_S: Final = 1e-12
"""Keeps logarithms finite for kernels that compute or move nothing."""
TILE: Final = 128
"""Rows and columns of a matrix-product tile (cuBLAS and oneDNN use 64 to 256)."""
MEMORY_LATENCY_S: Final = 200e-9
"""Of one access to a GPU's global memory: 466 to 542 cycles on A100, RTX 4090 and H100. Source: Luo et al. (2024),
'Benchmarking and Dissecting the Nvidia Hopper GPU Architecture via Microbenchmarking', table III (recalled)."""
STAGE_DEPTH: Final = 256
"""Reduction steps of a tile between two waits for memory, in a kernel with few tiles (assumed: three or four stages of
64 in flight)."""
_LAYOUT: Final = CLASS_INDEX[KernelClass.LAYOUT]
FEATURE_NAMES: Final = (
    "log2_k", "log2_n", "log2_m", "log2_batch", "log2_taps", "stride", "log2_channels",
    "log2_bytes", "log2_bytes_written", "log2_intensity_over_ridge", "log2_weight_bytes", "strided", "fused_ops",
    "dtype_bits", "n_mod_8", "channels_mod_8", "n_mod_64", "k_mod_64", "m_mod_8", "log2_cache_over_bytes",
    "n_fill_64", "n_fill_128", "k_fill_32", "m_fill_128", "wave_fill", "log2_waves",
)  # fmt: skip

DEVICE_RELATIVE: Final = frozenset({"log2_intensity_over_ridge", "log2_cache_over_bytes", "wave_fill", "log2_waves"})
"""Features that stand for rates, cache size or core count as soon as a kernel is given."""
NETWORK_FEATURES: Final = tuple(name for name in FEATURE_NAMES if name not in DEVICE_RELATIVE)
"""What a network is fitted on: the kernel's geometry. Ridge, cache and waves are left to the physical terms, since
records of one or two devices cannot tell log(cache ÷ bytes) from −log(bytes): a network fitted on both carries over to
a third device at random (docs/adr/0007-time-model.md)."""
_COLUMN: Final = {name: index for index, name in enumerate(FEATURE_NAMES)}


@dataclass(frozen=True, slots=True)
class KernelFeatures:
    """Arrays [kernel] that the response model reads; `matrix` is [kernel, feature] in `FEATURE_NAMES` order.

    Attributes
    ----------
    fill_growth : array [kernel]
        How much longer k and n must be to fill a core half: √`Ceilings.core_rate` each, so that a faster core loses no
        more by filling than it gains by its rate; 1 for what does not run on tensor units.
    core_gain : array [kernel]
        See `roofline.core_gain`.
    roofline_s : array [kernel]
        The longer of both roofline times, weights that are streamed beside a kernel included.
    weight_s : array [kernel]
        Of a kernel's passes over its weights.
    k, n : array [kernel]
        Reduction length and output width of a product. Lanes of a vector unit are channels: a depthwise convolution
        there is as wide as its channels, and one step reduces its taps in every lane.
    dispatch_s : array [kernel]
        Time of the host for its launches; see `Ceilings.dispatch_s`. A library's own copies between layouts have none.
    busy_floor_s : array [kernel]
        What arithmetic and memory take at least: FLOPs ÷ the product ceiling at the highest clock, and traffic beyond
        what the last on-chip level holds ÷ DRAM's bandwidth (see `SPILT_SHARE`).
    floor_s : array [kernel]
        That, or the latency of what waits for one another: accesses to memory, and on GPUs a kernel's start and a
        product's way through k.
    """

    class_index: IntArray
    times: RooflineTimes
    busy_floor_s: FloatArray
    floor_s: FloatArray
    roofline_s: FloatArray
    weight_s: FloatArray
    k: FloatArray
    n: FloatArray
    is_product: np.ndarray
    fill_growth: FloatArray
    core_gain: FloatArray
    unaligned: FloatArray
    wave_fill: FloatArray
    cache_ratio_log2: FloatArray
    launches: FloatArray
    dispatch_s: FloatArray
    count: FloatArray
    matrix: FloatArray

    def __len__(self) -> int:
        return len(self.class_index)

    def taken(self, rows: IntArray) -> KernelFeatures:
        """Return these rows, in this order."""
        times = RooflineTimes(self.times.compute_s[rows], self.times.memory_s[rows])
        return replace(self, times=times, **{name: getattr(self, name)[rows] for name in _ARRAYS})

    def columns(self, names: tuple[str, ...]) -> FloatArray:
        """Columns of `matrix` by name [kernel, name]."""
        return self.matrix if names == FEATURE_NAMES else self.matrix[:, [_COLUMN[name] for name in names]]


_ARRAYS: Final = tuple(field.name for field in fields(KernelFeatures) if field.name != "times")


def kernel_features(table: KernelTable, ceilings: Ceilings, spilled: FloatArray | None = None) -> KernelFeatures:
    """Compute the features of every kernel of `table` on a unit with these ceilings.

    Parameters
    ----------
    spilled : array [kernel], optional
        `spilled_share` of the network that launches a kernel; without it the table is one network's.
    """
    if spilled is None:
        spilled = spilled_share((table.weight_bytes * table.count).sum(), ceilings)
    times = roofline_times(table, ceilings)
    weight_s = weight_pass_s(table, ceilings, spilled)
    busy_floor_s = _busy_floor_s(table, ceilings)
    product = is_product(table)
    bytes_moved = np.maximum(table.bytes_read + table.bytes_written, 1.0)
    k, n, m, batch = (np.maximum(a, 1.0) for a in (table.gemm_k, table.gemm_n, table.gemm_m, table.gemm_batch))
    channels = np.maximum(table.channels, 1.0)
    tiles = np.ceil(m / TILE) * np.ceil(n / TILE) * batch
    waves = np.where(tiles < 1, 1.0, np.maximum(tiles / ceilings.core_count, 1e-3))
    wave_fill = waves / np.ceil(waves)
    n_odd, channels_odd = (n % 8 != 0) * 1.0, (channels % 8 != 0) * 1.0
    in_lanes = runs_in_lanes(table, ceilings)
    cache_ratio_log2 = np.log2(ceilings.cache_bytes / bytes_moved)
    matrix = np.stack(
        [
            np.log2(k), np.log2(n), np.log2(m), np.log2(batch),
            np.log2(np.maximum(table.taps, 1.0)), table.stride, np.log2(channels),
            np.log2(bytes_moved), np.log2(np.maximum(table.bytes_written, 1.0)),
            np.log2((times.compute_s + FLOOR_S) / (times.memory_s + FLOOR_S)),
            np.log2(np.maximum(table.weight_bytes, 1.0)),
            table.strided, np.minimum(table.fused_ops, 6.0), table.dtype_bits / 16.0,
            n_odd, channels_odd, (n % 64 != 0) * 1.0, (k % 64 != 0) * 1.0, (m % 8 != 0) * 1.0,
            cache_ratio_log2,
            _log2_fill(n, 64), _log2_fill(n, TILE), _log2_fill(k, 32), _log2_fill(m, TILE),
            wave_fill, np.minimum(np.log2(waves), 6.0),
        ],
        axis=1,
    )  # fmt: skip
    return KernelFeatures(
        class_index=table.class_index,
        times=times,
        busy_floor_s=busy_floor_s,
        floor_s=np.maximum(busy_floor_s, _latency_floor_s(table, ceilings, product)),
        roofline_s=np.maximum(times.compute_s, times.memory_s + weight_s * ceilings.streams_weights),
        weight_s=weight_s * table.weight_passes,
        k=np.where(in_lanes, k * ceilings.channel_lanes, k),
        n=np.where(in_lanes, batch, n),
        is_product=product,
        fill_growth=np.where(in_lanes, 1.0, np.sqrt(ceilings.core_rate)),
        core_gain=core_gain(table, ceilings),
        unaligned=(n_odd + channels_odd) * product,
        wave_fill=np.clip(wave_fill, 0.05, 1.0),
        cache_ratio_log2=cache_ratio_log2,
        launches=table.launches * ceilings.dispatch_slowness,
        dispatch_s=table.launches * ceilings.dispatch_s * (table.class_index != _LAYOUT),
        count=table.count,
        matrix=matrix,
    )


def _busy_floor_s(table: KernelTable, ceilings: Ceilings) -> FloatArray:
    arithmetic = (2 * multiplied_macs(table, ceilings) + table.other_flops) / ceilings.fastest_flops_per_s
    spilt = np.maximum(awaited_bytes(table, ceilings) - ceilings.cache_bytes, 0.0) * ceilings.spilt_share
    floor: FloatArray = np.maximum(arithmetic, spilt / ceilings.dram_bytes_per_s)
    return floor


def _latency_floor_s(table: KernelTable, ceilings: Ceilings, product: np.ndarray) -> FloatArray:
    stages = np.ceil(table.gemm_k / STAGE_DEPTH) * product * (ceilings.shortest_kernel_s > 0)
    floor: FloatArray = ceilings.shortest_kernel_s + (table.serial_steps + stages) * MEMORY_LATENCY_S
    return floor


def _log2_fill(extent: FloatArray, tile: int) -> FloatArray:
    """log₂ of the used share of the last-tile-padded extent; 0 when it divides."""
    fill: FloatArray = np.log2(extent / (np.ceil(extent / tile) * tile))
    return fill
