"""What a kernel is, and the columnar kernel table that timing reads.

A `Kernel` is what a runtime launches once: one or more ops, with the traffic that crosses its
boundary and the geometry that decides its efficiency. `KernelTable` holds many kernels as arrays,
so that timing is one numpy call whether it is given one model or a thousand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from estimator.dtypes import DType


class KernelClass(StrEnum):
    """Kernels that share coefficients because the same code runs them."""

    CONV_DENSE = "conv_dense"
    CONV_POINTWISE = "conv_pointwise"
    CONV_DEPTHWISE = "conv_depthwise"
    CONV_GROUPED = "conv_grouped"
    CONV_STEM = "conv_stem"
    """Dense convolution over so few input channels (images) that vector lanes stay empty."""
    CONV_3D = "conv_3d"
    CONV_TRANSPOSED = "conv_transposed"
    MATMUL = "matmul"
    """Activation × weight."""
    MATVEC = "matvec"
    """The same with few rows, on a GPU: reading the weight is what takes time (decoding, a classifier at batch 1)."""
    BATCHED_MATMUL = "batched_matmul"
    """Activation × activation."""
    ATTENTION = "attention"
    RECURRENT = "recurrent"
    NORM = "norm"
    """Batch norm at inference: a pointwise scale and shift."""
    NORM_REDUCE = "norm_reduce"
    """Layer, group, RMS norm: a reduction, then a pointwise pass."""
    SOFTMAX = "softmax"
    POINTWISE = "pointwise"
    REDUCE = "reduce"
    POOL = "pool"
    RESIZE = "resize"
    COPY = "copy"
    TRANSPOSE = "transpose"
    LAYOUT = "layout"
    """nchw ↔ nhwc conversion that a library inserts around a convolution."""
    CONCAT = "concat"
    CAST = "cast"
    CAST_WEIGHT = "cast_weight"
    GATHER = "gather"
    OTHER = "other"


CLASS_INDEX = {kernel_class: index for index, kernel_class in enumerate(KernelClass)}


@dataclass(frozen=True, slots=True)
class Gemm:
    """A product seen as `batch` matrix products [m, k] × [k, n]; for a convolution m = n·oh·ow, k = ci/g·taps."""

    batch: int = 0
    m: int = 0
    n: int = 0
    k: int = 0


@dataclass(frozen=True, slots=True)
class Kernel:
    """One launch.

    Attributes
    ----------
    dtype : DType
        Type the arithmetic is fed with.
    macs, other_flops : int
        Totals of its ops.
    bytes_read, bytes_written : int
        Traffic across the kernel's boundary; tensors that stay inside cost nothing.
    weight_bytes : int
        The part of `bytes_read` that is weights.
    taps : int
        Filter or window taps of a convolution or pooling; 1 otherwise.
    """

    name: str
    kernel_class: KernelClass
    ops: tuple[str, ...]
    dtype: DType
    macs: int
    other_flops: int
    bytes_read: int
    bytes_written: int
    weight_bytes: int = 0
    gemm: Gemm = Gemm()
    taps: int = 1
    stride: int = 1
    channels: int = 0
    """Channels per pixel of the main input (the group's, for a grouped convolution)."""
    launches: int = 1
    strided: bool = False
    """Reads a permuted tensor."""
    fused_ops: int = 0
    """Arithmetic ops folded into the main one."""
    serial_steps: int = 0
    """Memory accesses that every thread makes one after another, where a kernel has too few threads to hide them."""
    special_flops: int = 0
    """Vector slots that exp, erf, division and their like take beyond `other_flops`, where a runtime says so."""
    weight_passes: float = 1.0
    """How often a library packs or copies the product's filter, beside what is usual for its class."""
    elements: int = 0
    """Of a generated loop nest, which the runtime's rules spread over cores; 0: a library's kernel."""
    outer_extent: int = 0
    """Independent iterations of that nest; 0: every element is."""
    scope: str = ""

    @property
    def flops(self) -> int:
        """2 · macs + other_flops."""
        return 2 * self.macs + self.other_flops

    @property
    def bytes_moved(self) -> int:
        """Read plus written."""
        return self.bytes_read + self.bytes_written


def moving_kernel(
    beside: Kernel,
    name: str,
    kernel_class: KernelClass,
    *,
    bytes_read: int,
    bytes_written: int,
    other_flops: int = 0,
    elements: int = 0,
) -> Kernel:
    """Make a kernel that a runtime launches beside another one to move its data."""
    return replace(
        beside, name=f"{beside.name}.{name}", kernel_class=kernel_class, macs=0, other_flops=other_flops,
        bytes_read=bytes_read, bytes_written=bytes_written, weight_bytes=0, gemm=Gemm(), taps=1, stride=1,
        strided=False, fused_ops=0, special_flops=0, elements=elements, outer_extent=0,
    )  # fmt: skip


def passing_kernel(
    beside: Kernel, name: str, kernel_class: KernelClass, size_bytes: int, *, other_flops: int = 0, elements: int = 0
) -> Kernel:
    """Make a kernel beside another one that reads and writes a tensor of this size."""
    return moving_kernel(
        beside, name, kernel_class,
        bytes_read=size_bytes, bytes_written=size_bytes, other_flops=other_flops, elements=elements,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class KernelGraph:
    """A graph lowered for one runtime: its launches in order.

    Attributes
    ----------
    uncovered : tuple of str
        Ops without a rule: they appear as kernels of class ``other`` that only move bytes.
    """

    name: str
    runtime: str
    kernels: tuple[Kernel, ...]
    uncovered: tuple[str, ...] = ()
    input_bytes: int = 0
    output_bytes: int = 0


FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
KernelRow = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class KernelTable:
    """Struct of arrays, one entry per kernel; `count` is how many identical kernels a row stands for."""

    class_index: IntArray
    dtype_bits: IntArray
    macs: FloatArray
    other_flops: FloatArray
    bytes_read: FloatArray
    bytes_written: FloatArray
    weight_bytes: FloatArray
    gemm_batch: FloatArray
    gemm_m: FloatArray
    gemm_n: FloatArray
    gemm_k: FloatArray
    taps: FloatArray
    stride: FloatArray
    channels: FloatArray
    launches: FloatArray
    strided: FloatArray
    fused_ops: FloatArray
    serial_steps: FloatArray
    special_flops: FloatArray
    weight_passes: FloatArray
    elements: FloatArray
    outer_extent: FloatArray
    count: FloatArray

    def __len__(self) -> int:
        return len(self.class_index)

    @classmethod
    def from_kernels(cls, kernels: Sequence[Kernel]) -> KernelTable:
        """One row per kernel, in order."""
        return cls.from_rows([kernel_row(kernel) for kernel in kernels])

    @classmethod
    def from_rows(cls, rows: Sequence[KernelRow]) -> KernelTable:
        """Rows as `kernel_row` makes them."""
        matrix = np.array(rows, dtype=np.float64).reshape(len(rows), len(_COLUMNS))
        return cls.from_matrix(matrix)

    @classmethod
    def from_matrix(cls, matrix: FloatArray) -> KernelTable:
        """Columns in field order; inverse of `matrix`."""
        arrays = {
            name: matrix[:, i].astype(np.int64) if name in ("class_index", "dtype_bits") else matrix[:, i]
            for i, name in enumerate(_COLUMNS)
        }
        return cls(**arrays)  # type: ignore[arg-type]  # columns are typed by name above

    def taken(self, rows: IntArray) -> KernelTable:
        """Return these rows, in this order."""
        return KernelTable(**{name: getattr(self, name)[rows] for name in _COLUMNS})

    def matrix(self) -> FloatArray:
        """All columns as one float matrix [kernel, column]."""
        return np.stack([getattr(self, name).astype(np.float64) for name in _COLUMNS], axis=1)

    def deduplicated(self) -> KernelTable:
        """Merge identical rows, adding up `count`."""
        matrix = self.matrix()
        unique, inverse = np.unique(matrix[:, :-1], axis=0, return_inverse=True)
        counts = np.bincount(inverse.ravel(), weights=matrix[:, -1])
        return KernelTable.from_matrix(np.column_stack([unique, counts]))


_COLUMNS = tuple(f.name for f in fields(KernelTable))


def kernel_row(kernel: Kernel) -> KernelRow:
    """Return what the table holds of a kernel: everything but names."""
    gemm = kernel.gemm
    return (
        CLASS_INDEX[kernel.kernel_class], kernel.dtype.bits, kernel.macs, kernel.other_flops,
        kernel.bytes_read, kernel.bytes_written, kernel.weight_bytes,
        gemm.batch, gemm.m, gemm.n, gemm.k, kernel.taps, kernel.stride, kernel.channels,
        kernel.launches, kernel.strided, kernel.fused_ops, kernel.serial_steps,
        kernel.special_flops, kernel.weight_passes, kernel.elements, kernel.outer_extent, 1,
    )  # fmt: skip
