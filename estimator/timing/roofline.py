"""Ceilings of a unit, and each kernel's two roofline times under them.

t_compute = 2·MACs ÷ product ceiling + other FLOPs ÷ vector ceiling;  t_memory = bytes moved ÷ DRAM bandwidth.
Source: Williams, Waterman, Patterson (2009), CACM 52(4).  What the ceilings leave out is `timing.response`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from estimator.catalogue.device import Basis, MemoryLevel, Unit, UnitKind
from estimator.dtypes import Precision
from estimator.errors import MissingCeilingError
from estimator.lowering.kernel import CLASS_INDEX, FloatArray, KernelClass, KernelTable
from estimator.timing.cpu_cores import (
    dispatch_slowness,
    fast_core_ratio,
    matrix_product_gain,
    narrow_core_gain,
    shared_fraction,
)

PRODUCT_CLASSES: Final = frozenset(
    {
        KernelClass.CONV_DENSE,
        KernelClass.CONV_POINTWISE,
        KernelClass.CONV_DEPTHWISE,
        KernelClass.CONV_GROUPED,
        KernelClass.CONV_STEM,
        KernelClass.CONV_3D,
        KernelClass.CONV_TRANSPOSED,
        KernelClass.MATMUL,
        KernelClass.MATVEC,
        KernelClass.BATCHED_MATMUL,
        KernelClass.ATTENTION,
        KernelClass.RECURRENT,
    }
)
_IS_PRODUCT = np.zeros(len(CLASS_INDEX), dtype=bool)
_IS_PRODUCT[[CLASS_INDEX[c] for c in PRODUCT_CLASSES]] = True
_MATRIX_PRODUCTS = [
    CLASS_INDEX[c]
    for c in (KernelClass.MATMUL, KernelClass.BATCHED_MATMUL, KernelClass.ATTENTION, KernelClass.RECURRENT)
]
_DEPTHWISE = CLASS_INDEX[KernelClass.CONV_DEPTHWISE]
_DENSE = CLASS_INDEX[KernelClass.CONV_DENSE]
_GROUPED = CLASS_INDEX[KernelClass.CONV_GROUPED]

DVFS_EXPONENT: Final = 1 / 2
"""Dynamic power is C·V²·f: P^(1/3) while V follows f, P where V is at its floor and for what leaks. Half lies between.

Pure products, which draw most, come out near 1: a T4 (70 W) attains 0.38 of its fp32 peak in products of over 4 GFLOP
where a V100 attains 0.81 (medians of 4,074 pairs in NeuSight's kernels, github.com/sitar-lab/NeuSight), and an RTX 5090
held to 400 W 167 of the 254 TFLOP/s that it does at 575 W (`devices/rtx5090.yaml`). Networks draw less; no record of a
network on a power-limited GPU decides."""


@dataclass(frozen=True, slots=True)
class HeldClock:
    """A card that holds its clock: what its silicon needs for that.

    Attributes
    ----------
    core_w : float
        Board power per SM, without the memory's.
    clock_hz : float
    core_flops_per_cycle : float
        Dense fp16 products with fp32 accumulation, per SM.
    """

    core_w: float
    clock_hz: float
    core_flops_per_cycle: float


MEMORY_W_PER_BYTE_PER_S: Final = 8 * 6e-12
"""6 pJ a bit moved, GDDR or HBM with its interface, at full bandwidth (assumed; published figures are 4 to 7.5)."""


def _holding(board_w: float, bytes_per_s: float, cores: int, clock_hz: float, core_flops_per_cycle: float) -> HeldClock:
    return HeldClock((board_w - MEMORY_W_PER_BYTE_PER_S * bytes_per_s) / cores, clock_hz, core_flops_per_cycle)


GEFORCE_FLOPS_PER_CYCLE: Final = 512
"""Dense fp16 products with fp32 accumulation per SM and cycle of GeForce cards since Turing, half of what their silicon
does on RTX PRO cards; what every GPU with records here has."""
_RTX_4090: Final = _holding(450, 1008e9, 128, 2.520e9, GEFORCE_FLOPS_PER_CYCLE)
HELD_CLOCKS: Final = {
    "ada": _RTX_4090,
    "blackwell": _RTX_4090,
    "ampere": _holding(350, 936.2e9, 82, 1.695e9, GEFORCE_FLOPS_PER_CYCLE),
    "ampere-ga100": _holding(400, 1555e9, 108, 1.410e9, 2048),
    "turing": _holding(250, 616e9, 68, 1.545e9, GEFORCE_FLOPS_PER_CYCLE),
    "volta": _holding(300, 900e9, 80, 1.530e9, 1024),
    "hopper": _holding(700, 3350e9, 132, 1.980e9, 4096),
}
"""By architecture, the card whose power limit hardly bites: RTX 4090 (TSMC 4N, and so for Blackwell, made in the same
process), RTX 3090 (Samsung 8 nm), A100 SXM, RTX 2080 Ti, V100 SXM2, H100 SXM. The figures are the catalogue's; that
each holds its clock is an assumption, which the fitted efficiencies absorb for the two that have records."""
HELD_BOOST_W_PER_SM: Final = 3.4
"""Board power per SM at which a GPU of any other architecture is assumed to hold its own rated boost."""
WIDE_VECTOR_BITS: Final = 512
TENSOR_POWER_SHARE: Final = 0.25
"""Share of a network's board power that grows with the tensor rate per SM and cycle.

Under pure products it is 0.75: 254 TFLOP/s at 575 W on 170 SMs (RTX 5090, fp32 accumulation at half rate) and
457 TFLOP/s at 600 W on 188 SMs (RTX PRO 6000, at full rate; both github.com/xzwgit/gpu-flops-bench) are
P ÷ SM ÷ f³ in the ratio 1 to 1.75. A third of that, since networks keep tensor units busy about a third of the time
(assumed)."""


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What one unit can do at most in one precision, base SI.

    Attributes
    ----------
    product_flops_per_s : float
        Matrix or convolution rate of the compute dtype, at the clock that the power budget lets the unit hold.
    rated_flops_per_s : float
        The advertised dense peak of the same dtype: what naive FLOPs ÷ peak uses.
    fastest_flops_per_s : float
        That peak at the highest clock the part may reach, as far as its power lets it: nothing runs faster.
    special_flops_per_s : float
        Vector rate of generated loops that evaluate functions; see `SPECIAL_INTENSITY`.
    core_count : int
        SMs or cores that a kernel's tiles are spread over.
    cache_bytes : float
        Last on-chip level.
    core_rate : float
        Product FLOPs per core and cycle, in those of the GPUs that saturation was fitted on; at least 1. What a tile
        needs to fill and drain its pipeline is cycles, in which a faster core could have done that much more.
    channel_lanes : int
        Channels whose taps one step of the vector unit reduces in a depthwise convolution.
    weight_bandwidth_bytes_per_s : float or None
        Of the level that weights come from; None: the same.
    kept_weight_bytes : float
        Weights that stay on chip from one inference to the next.
    streams_weights : bool
        Weights come from DRAM once per inference beside the kernels that use them: they are no part of a kernel's
        memory time, which is activations alone (local memory), but of its weight passes.
    depthwise_in_lanes : bool
        Depthwise convolutions run on vector units with channels in their lanes; see `runs_in_lanes`.
    fast_core_ratio : float
        Rate of the fastest core ÷ the rate per core that `vector_flops_per_s` counts; above 1 on hybrid CPUs.
    narrow_core_gain, matrix_product_gain : float
        Efficiency on a CPU's cores ÷ that on the cores it was fitted on: of everything, and of matrix products.
    dispatch_slowness : float
        Time of a launch ÷ that on the CPU that launches were fitted on.
    shortest_kernel_s : float
        See `SHORTEST_GPU_KERNEL_S`; 0 on other units.
    spilt_share : float
        See `SPILT_SHARE`.
    dispatch_s : float
        Time that a GPU's host takes to launch one kernel: see `HOST_DISPATCH_S`; 0 where there is no such host.
    tiles_groups : bool
        Grouped convolutions run on tensor cores, in whole tiles; see `group_padding`.
    uses_winograd : bool
        3×3 convolutions of stride 1 run in Winograd's form; see `WINOGRAD_REDUCTION`.
    """

    product_flops_per_s: float
    rated_flops_per_s: float
    fastest_flops_per_s: float
    vector_flops_per_s: float
    special_flops_per_s: float
    bandwidth_bytes_per_s: float
    core_count: int
    cache_bytes: float
    channel_lanes: int = 1
    streams_weights: bool = False
    weight_bandwidth_bytes_per_s: float | None = None
    kept_weight_bytes: float = 0.0
    depthwise_in_lanes: bool = False
    core_rate: float = 1.0
    fast_core_ratio: float = 1.0
    narrow_core_gain: float = 1.0
    matrix_product_gain: float = 1.0
    dispatch_slowness: float = 1.0
    tiles_groups: bool = False
    uses_winograd: bool = False
    dispatch_s: float = 0.0
    shortest_kernel_s: float = 0.0
    spilt_share: float = 0.0

    @property
    def dram_bytes_per_s(self) -> float:
        """Bandwidth of the outermost level, where weights come from and what spills goes to."""
        return self.weight_bandwidth_bytes_per_s or self.bandwidth_bytes_per_s


_DTYPES_OF: dict[Precision, tuple[str, ...]] = {
    Precision.FP32: ("fp32",),
    Precision.TF32: ("tf32", "fp32"),
    Precision.FP16: ("fp16", "fp32"),
    Precision.BF16: ("bf16", "fp16", "fp32"),
    Precision.AMP_FP16: ("fp16", "fp32"),
    Precision.AMP_BF16: ("bf16", "fp16", "fp32"),
    Precision.INT8: ("int8", "fp16", "fp32"),
    Precision.W8A16: ("int16", "int8", "fp16", "fp32"),
    Precision.W4A16: ("fp16", "int16", "int8", "fp32"),
}
"""Input dtypes to look up for a precision, the exact one first, then what the hardware would run instead.

Floats run at the best of these rates: where half precision is a fraction of fp32 (1/64 on Pascal's GeForce), libraries
store halves and compute in fp32."""


def dtypes_of(precision: Precision, kind: UnitKind) -> tuple[str, ...]:
    """Input dtypes whose rates a precision may run at; CPUs have no products of 8-bit weights by 16-bit activations."""
    simulated = precision is Precision.W8A16 and kind is UnitKind.CPU
    return ("fp32",) if simulated else _DTYPES_OF[precision]


NO_LEVEL: Final = MemoryLevel("none", None, None, Basis.UNKNOWN)
PYTORCH_DISPATCH_S: Final = 15e-6
HOST_DISPATCH_S: Final[Mapping[str, float]] = {
    "torch-eager": PYTORCH_DISPATCH_S, "torch-compile": PYTORCH_DISPATCH_S, "onnxruntime": 10e-6,
}  # fmt: skip
"""Time between two launches, by runtime: the host queues kernels, and a GPU that is through with them waits for it.

No network of some 6,700 that were timed on an RTX 3090 or 4090 took less than 16 µs per launch, whatever its size,
though the smallest (tinynet_e, 106 × 106) has half of that to do. A slow host takes several times as long. ONNX
Runtime's, which runs no Python, is assumed (a ResNet-50 of batch 1 takes about 1 ms on any fast GPU, recalled);
TensorRT's and captured graphs' launches cost the device more than the host."""


def ceilings_of(unit: Unit, precision: Precision, runtime: str = "") -> Ceilings:
    """Ceilings of `unit` in `precision`, and how fast the host of `runtime` feeds it.

    Raises
    ------
    MissingCeilingError
        The unit lists no rate for any dtype that the precision could run in.
    """
    dtypes = dtypes_of(precision, unit.kind)
    rates = [rate for rate in (_rate(unit, dtype) for dtype in dtypes) if rate]
    if not rates:
        raise MissingCeilingError(
            f"{unit.display_name} ({unit.name}) lists no compute rate for {precision.value}",
            expected=f"a ceiling of dtype {' or '.join(dtypes)}",
            hint="estimator-cli devices show <device> lists what is known",
        )
    rated = rates[0] if precision.has_integer_weights else max(rates)
    vector = unit.ceiling("fp32", engine="vector") or unit.ceiling("fp16", engine="vector")
    held = held_clock_fraction(unit)
    on_chip = next((level for level in unit.memory if level.keeps_weights), NO_LEVEL)
    product = rated * held * shared_fraction(unit) * _tensor_engine_fraction(unit)
    gpu = unit.kind is UnitKind.GPU
    vector_rate = vector.flops_per_s * product / rated if vector else rated * held * _vector_fraction(unit)
    bandwidth = on_chip.bandwidth_bytes_per_s or unit.dram_bandwidth_bytes_per_s
    return Ceilings(
        product_flops_per_s=product,
        rated_flops_per_s=rated,
        fastest_flops_per_s=rated * _fastest_clock_ratio(unit, held),
        vector_flops_per_s=vector_rate,
        special_flops_per_s=math.sqrt(vector_rate * SPECIAL_INTENSITY * bandwidth) if gpu else vector_rate,
        bandwidth_bytes_per_s=bandwidth,
        core_count=unit.core_count or 1,
        cache_bytes=_last_cache_bytes(unit),
        channel_lanes=NPU_CHANNEL_LANES if unit.kind is UnitKind.NPU else 1,
        streams_weights=unit.kind is UnitKind.NPU,
        weight_bandwidth_bytes_per_s=unit.dram_bandwidth_bytes_per_s,
        kept_weight_bytes=float(on_chip.size_bytes or 0),
        depthwise_in_lanes=unit.kind is not UnitKind.CPU or runtime == "tflite",
        core_rate=_core_rate(unit, rated),
        fast_core_ratio=fast_core_ratio(unit),
        narrow_core_gain=narrow_core_gain(unit),
        matrix_product_gain=matrix_product_gain(unit),
        dispatch_slowness=dispatch_slowness(unit),
        dispatch_s=_dispatch_s(unit, runtime) if gpu else 0.0,
        tiles_groups=gpu and precision is not Precision.FP32 and unit.ceiling("fp16", engine="tensor") is not None,
        uses_winograd=is_like_measured_kernels(unit, precision),
        shortest_kernel_s=SHORTEST_GPU_KERNEL_S if gpu else 0.0,
        spilt_share=SPILT_SHARE[unit.kind],
    )


SPECIAL_INTENSITY: Final = 82.58e12 / 1008e9
"""Vector FLOPs per byte of an RTX 4090, the only GPU with records of compiled code.

How loops that evaluate functions run elsewhere is not known: by their instructions an A100 would take 4 times as long
as an RTX 4090, by their traffic 0.6 times. The geometric mean of both rates is assumed."""
SPILT_SHARE: Final[Mapping[UnitKind, float]] = {UnitKind.CPU: 1.0, UnitKind.NPU: 0.5, UnitKind.GPU: 0.0}
"""Of a kernel's traffic beyond what the last on-chip level holds, the share that DRAM must carry at its bandwidth.

An NPU's compiler tiles layer after layer, so that part of it never leaves (half, assumed: with all of it
EfficientNet-B4 is 12 % slower on a QCS6490, away from its records). How much of a GPU's stays on chip is fitted."""
SHORTEST_GPU_KERNEL_S: Final = 2e-6
"""Body of a kernel that does next to nothing, beside its launch: blocks start, wait for memory once and retire
(assumed; profilers show 1.5 to 3 µs). No record of a batch of 64 or more decides."""


def _dispatch_s(unit: Unit, runtime: str) -> float:
    """Host time per launch: what the device's file says of PyTorch, or a fast desktop's; see `HOST_DISPATCH_S`."""
    slowness = (unit.launch_overhead_s or PYTORCH_DISPATCH_S) / PYTORCH_DISPATCH_S
    return HOST_DISPATCH_S.get(runtime, 0.0) * slowness


WINOGRAD_REDUCTION: Final = 2.25
"""Multiplications of a 3×3 convolution ÷ those of F(2×2, 3×3): 36 ÷ 16. Source: Lavin & Gray (2016), CVPR, section 4.1.
cuDNN takes it for fp32 on CUDA cores (scudnn_winograd kernels in NeuSight's records); tensor cores do not."""
MEASURED_KERNELS_BYTES_PER_S: Final = 300e9
"""Bandwidth of the slowest GPU whose single kernels were measured (a T4's 320 GB/s, rounded down). What they say of
weights, 23 passes over a dense convolution's, would take a Jetson or an Apple GPU far from what is published."""


def is_like_measured_kernels(unit: Unit, precision: Precision) -> bool:
    """Whether single kernels were measured on units like this one: GPUs in fp32."""
    if unit.kind is not UnitKind.GPU or precision is not Precision.FP32:
        return False
    return unit.dram_bandwidth_bytes_per_s >= MEASURED_KERNELS_BYTES_PER_S


NPU_CHANNEL_LANES: Final = 32
"""Channels whose taps one step of a vector unit reduces in a depthwise convolution: blocks of a Hexagon HTP tensor
(recalled, not checked against a source; kept for its held-out error)."""
HEXAGON_VECTOR_FRACTION: Final = 1 / 16
"""Vector ÷ product rate assumed where no vector rate is published: a 1024-bit vector unit beside a 32×32 array; the
calibrated response absorbs the rest."""
VECTOR_FRACTION: Final = 1 / 4
"""The same on other makes, whose arrays run depthwise convolutions themselves, at part of their width (assumed: at a
sixteenth, MobileNetV2 on an Ethos-U55 took four times the 7 ms that are published, recalled)."""


def _vector_fraction(unit: Unit) -> float:
    return HEXAGON_VECTOR_FRACTION if unit.architecture.startswith("hexagon") else VECTOR_FRACTION


def _rate(unit: Unit, dtype: str) -> float | None:
    """Dense rate with fp32 accumulation, as frameworks ask for it; any accumulator for integers."""
    ceiling = unit.ceiling(dtype, accumulate="fp32" if dtype in ("fp16", "bf16", "tf32", "fp8") else None)
    return ceiling.flops_per_s if ceiling else None


def held_clock_fraction(unit: Unit) -> float:
    """Sustained ÷ boost clock under load.

    Published sustained clocks are taken as they are. For a GPU without one, its power per SM decides, against a card
    of like silicon that holds its clock: a 300 W Max-Q board feeds 188 SMs with what a desktop board gives half as
    many. Only a stated maximum clock lets a card rated below its silicon's clock exceed 1. A CPU with 512-bit vectors
    falls back to about its base clock while all cores use them; boost is the clock of one core.
    Source: Intel, Xeon Scalable specification update, "AVX-512 turbo frequencies" (recalled, not checked).
    """
    boost = unit.boost_clock_hz
    if unit.sustained_clock_hz and boost:
        return min(1.0, unit.sustained_clock_hz / boost)
    wide = unit.kind is UnitKind.CPU and (unit.vector_bits or 0) >= WIDE_VECTOR_BITS
    if wide and unit.base_clock_hz and boost:
        return min(1.0, unit.base_clock_hz / boost)
    tensor = unit.ceiling("fp16", engine="tensor", accumulate="fp32")
    if unit.kind is not UnitKind.GPU or not unit.power_w or not unit.core_count or tensor is None:
        return 1.0
    known = HELD_CLOCKS.get(unit.architecture)
    if known is None or not boost:
        return float(min(1.0, (unit.power_w / unit.core_count / HELD_BOOST_W_PER_SM) ** DVFS_EXPONENT))
    core_w = (unit.power_w - MEMORY_W_PER_BYTE_PER_S * unit.dram_bandwidth_bytes_per_s) / unit.core_count
    tensor_rate = tensor.flops_per_s / unit.core_count / boost / known.core_flops_per_cycle
    demand = known.core_w * (1 + TENSOR_POWER_SHARE * (tensor_rate - 1))
    held = known.clock_hz * (core_w / demand) ** DVFS_EXPONENT
    highest = max(boost, min(known.clock_hz, unit.max_clock_hz or boost))
    return float(min(held, highest) / boost)


def _core_rate(unit: Unit, rated_flops_per_s: float) -> float:
    if unit.kind is not UnitKind.GPU or not unit.core_count or not unit.boost_clock_hz:
        return 1.0
    return max(1.0, rated_flops_per_s / unit.core_count / unit.boost_clock_hz / GEFORCE_FLOPS_PER_CYCLE)


def _fastest_clock_ratio(unit: Unit, held: float) -> float:
    """Highest ÷ boost clock; on a GPU that its power keeps below its boost, that share of it."""
    highest = _highest_clock_ratio(unit)
    return max(held, highest * min(1.0, held)) if unit.kind is UnitKind.GPU else highest


def _highest_clock_ratio(unit: Unit) -> float:
    """Highest ÷ boost clock, at least 1; 1 where nobody states a higher one."""
    if unit.max_clock_hz and unit.boost_clock_hz:
        return max(1.0, unit.max_clock_hz / unit.boost_clock_hz)
    return 1.0


PRE_HTP_TENSOR_FRACTION: Final = 0.08
"""Of the advertised rate, the share that convolutions can reach on Hexagons before HTP (v65, v66): the claim adds
up CPU, GPU, vector unit and tensor accelerator. 1.7 ms per GMAC (ResNets on Snapdragon 865) are 1.2 of 15 TOPS."""


def _tensor_engine_fraction(unit: Unit) -> float:
    """Share of an NPU's advertised rate that belongs to its tensor engine; 1 unless known to be less."""
    pre_htp = unit.kind is UnitKind.NPU and unit.architecture in ("hexagon-v65", "hexagon-v66")
    return PRE_HTP_TENSOR_FRACTION if pre_htp else 1.0


def _last_cache_bytes(unit: Unit) -> float:
    level = unit.memory_level("vtcm", "sram") if unit.kind is UnitKind.NPU else unit.memory_level("l3", "l2", "slc")
    return float(level.size_bytes) if level and level.size_bytes else DEFAULT_CACHE_BYTES


DEFAULT_CACHE_BYTES: Final = 2.0 * 1024 * 1024
"""Assumed where no cache size is published."""


@dataclass(frozen=True, slots=True)
class RooflineTimes:
    """Per kernel, seconds: arrays [kernel]."""

    compute_s: FloatArray
    memory_s: FloatArray


def roofline_times(table: KernelTable, ceilings: Ceilings) -> RooflineTimes:
    """Compute both roofline times of every kernel: products at the product rate, all else at the vector rate."""
    product = _IS_PRODUCT[table.class_index]
    on_tensor_engine = product & ~runs_in_lanes(table, ceilings)
    product_rate = np.where(on_tensor_engine, ceilings.product_flops_per_s, ceilings.vector_flops_per_s)
    vector_rate = np.where(table.special_flops > 0, ceilings.special_flops_per_s, ceilings.vector_flops_per_s)
    vector_flops = table.other_flops + table.special_flops
    macs = multiplied_macs(table, ceilings) * group_padding(table, ceilings)
    compute = 2 * macs / product_rate + vector_flops / vector_rate
    memory = awaited_bytes(table, ceilings) / ceilings.bandwidth_bytes_per_s
    slowdown = loop_slowdown(table, ceilings)
    return RooflineTimes(compute * slowdown.compute, memory * slowdown.memory)


def awaited_bytes(table: KernelTable, ceilings: Ceilings) -> FloatArray:
    """Bytes that a kernel itself waits for [kernel]: all it moves, but for weights that are streamed beside it."""
    return table.bytes_read + table.bytes_written - table.weight_bytes * ceilings.streams_weights


def multiplied_macs(table: KernelTable, ceilings: Ceilings) -> FloatArray:
    """Multiply-adds that a unit carries out [kernel]: fewer than the textbook's where it uses Winograd's form."""
    shrinks = (table.class_index == _DENSE) & (table.taps == 9) & (table.stride == 1) & ceilings.uses_winograd
    return np.where(shrinks, table.macs / WINOGRAD_REDUCTION, table.macs)


def spilled_share(weight_bytes: FloatArray, ceilings: Ceilings) -> FloatArray:
    """Share of a network's weights [network] that does not stay on chip."""
    kept = ceilings.kept_weight_bytes / np.maximum(weight_bytes, 1.0)
    return np.asarray(np.maximum(1.0 - kept, 0.0), dtype=np.float64)


GROUP_TILE: Final = 32
"""Channels of a group that a tensor-core convolution takes at once, of input and of output.

RegNets of 24, 40 and 56 channels a group take 1.3 to 1.5 times what those of 64 and 128 promise (docs/adr/0007).
Narrower groups than half a tile share one (assumed)."""


def group_padding(table: KernelTable, ceilings: Ceilings) -> FloatArray:
    """Multiply-adds of whole tiles ÷ those of the groups of a grouped convolution [kernel]; 1 for others."""
    pads = (table.class_index == _GROUPED) & (table.gemm_n > GROUP_TILE / 2) & ceilings.tiles_groups
    out_channels, in_channels = np.maximum(table.gemm_n, 1.0), np.maximum(table.channels, 1.0)
    return np.where(pads, _padding(out_channels) * _padding(in_channels), 1.0)


def _padding(channels: FloatArray) -> FloatArray:
    padding: FloatArray = np.ceil(channels / GROUP_TILE) * GROUP_TILE / channels
    return padding


def weight_pass_s(table: KernelTable, ceilings: Ceilings, spilled: FloatArray) -> FloatArray:
    """Seconds of one pass over every kernel's weights [kernel], but for the share that stays on chip.

    Parameters
    ----------
    spilled : array [kernel] or []
        `spilled_share` of the kernel's network.
    """
    return np.asarray(table.weight_bytes * spilled / ceilings.dram_bytes_per_s, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class LoopSlowdown:
    """Per kernel, how much longer its work takes than spread over all cores: arrays [kernel], 1 or more."""

    compute: FloatArray
    memory: FloatArray


MIN_CHUNK: Final = 4096
"""Elements per thread below which inductor runs a loop nest on one thread (torch/_inductor/config.py of PyTorch
2.4: cpp.min_chunk_size; the division in CppKernel.decide_parallel_depth)."""
CORE_BANDWIDTH_BYTES_PER_S: Final = 30e9
"""What one core draws from the last cache level, where the data of a short loop was just written: 16 cache lines in
flight at about 35 ns (Little's law)."""


def loop_slowdown(table: KernelTable, ceilings: Ceilings) -> LoopSlowdown:
    """Slow down generated loop nests that are too short or too narrow for all cores; 1 for everything else.

    A short nest runs on the thread that calls it, which the system puts on a fast core. A narrow one deals out its
    outer iterations evenly, so that n of them over c cores take as long as ⌈n ÷ c⌉ on one.
    """
    cores = ceilings.core_count
    serial = is_serial_loop(table, cores)
    outer = np.maximum(table.outer_extent, 1.0)
    narrow = (table.outer_extent > 0) & (table.elements > 0) & ~serial
    busy = np.where(serial, 1.0, np.where(narrow, outer / np.ceil(outer / cores), cores))
    compute = np.where(serial, cores / ceilings.fast_core_ratio, cores / busy)
    memory = np.maximum(ceilings.bandwidth_bytes_per_s / CORE_BANDWIDTH_BYTES_PER_S / busy, 1.0)
    return LoopSlowdown(np.where(serial | narrow, compute, 1.0), np.where(serial | narrow, memory, 1.0))


def is_serial_loop(table: KernelTable, core_count: int) -> np.ndarray:
    """Boolean [kernel]: generated loop nests that inductor gives to one thread."""
    serial: np.ndarray = (table.elements > 0) & (np.floor(table.elements / core_count) < MIN_CHUNK)
    return serial


def runs_in_lanes(table: KernelTable, ceilings: Ceilings) -> np.ndarray:
    """Boolean [kernel]: products that do not run as matrix products.

    A depthwise convolution is none: GPUs run it on CUDA cores, NPUs on their vector units, XNNPACK with channels in
    vector lanes (its dwconv micro-kernels). ONNX Runtime's CPU kernels unfold it all the same, one product per channel
    (MLAS; 35 ms for EfficientNet-B0 on a QCS6490), and what PyTorch's cost is fitted as if they did.
    """
    in_lanes: np.ndarray = is_depthwise(table) & ceilings.depthwise_in_lanes
    return in_lanes


def is_depthwise(table: KernelTable) -> np.ndarray:
    """Boolean [kernel]: depthwise convolutions."""
    depthwise: np.ndarray = table.class_index == _DEPTHWISE
    return depthwise


def core_gain(table: KernelTable, ceilings: Ceilings) -> FloatArray:
    """Efficiency of every kernel on a CPU's cores ÷ that on the cores it was fitted on [kernel]; 1 on other units."""
    matrix = np.isin(table.class_index, _MATRIX_PRODUCTS)
    return np.where(matrix, ceilings.matrix_product_gain, ceilings.narrow_core_gain)


def is_product(table: KernelTable) -> np.ndarray:
    """Boolean [kernel]: classes that run on the product engine."""
    return _IS_PRODUCT[table.class_index]
