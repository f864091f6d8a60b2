"""Made-up kernel tables, a made-up response and records of graph files: calibration without any framework."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from estimator.calibration.objective import Objective, Observations, concatenate_features
from estimator.calibration.records import Record
from estimator.catalogue.loader import load_device
from estimator.dtypes import DType, Precision
from estimator.ir.document import graph_to_json
from estimator.ir.graph import Graph
from estimator.ir.op import ConvAttrs, FunctionAttrs, Op, OpKind
from estimator.ir.tensor import TensorRole, TensorSpec
from estimator.lowering.kernel import Gemm, Kernel, KernelClass, KernelTable
from estimator.timing.features import KernelFeatures, kernel_features
from estimator.timing.roofline import ceilings_of

CLASSES = (
    KernelClass.CONV_DENSE, KernelClass.CONV_DEPTHWISE, KernelClass.MATMUL, KernelClass.POINTWISE, KernelClass.SOFTMAX,
)  # fmt: skip


def random_table(seed: int, rows: int = 12) -> KernelTable:
    """Kernels of five classes, from launch-bound to compute-bound, some unaligned, some cache-resident."""
    draw = np.random.default_rng(seed)
    kernels = []
    for index in range(rows):
        m, n, k = (int(v) for v in 2 ** draw.uniform(3, 11, 3))
        moved = int(2 ** draw.uniform(12, 27))
        kernel_class = CLASSES[int(draw.integers(len(CLASSES)))]
        product = kernel_class in CLASSES[:3]
        kernels.append(
            Kernel(
                f"k{index}", kernel_class, (f"k{index}",), DType.F16,
                macs=m * n * k if product else 0, other_flops=moved, bytes_read=moved, bytes_written=moved // 2,
                weight_bytes=2 * n * k if product else 0, gemm=Gemm(1, m, n, k) if product else Gemm(), channels=n,
            )
        )  # fmt: skip
    return KernelTable.from_kernels(kernels).deduplicated()


def features(table: KernelTable, device: str = "rtx4090") -> KernelFeatures:
    _, unit = load_device(device)
    return kernel_features(table, ceilings_of(unit, Precision.AMP_FP16))


def observations(record_count: int, *, contexts: tuple[str, ...] = ("device:a", "device:b")) -> Observations:
    """Records of random tables, alternating between the contexts, measured as 1 ms each."""
    parts = [features(random_table(seed)) for seed in range(record_count)]
    membership = np.zeros((record_count, len(contexts)))
    membership[np.arange(record_count), np.arange(record_count) % len(contexts)] = 1.0
    return Observations(
        concatenate_features(parts),
        np.repeat(np.arange(record_count), [len(part) for part in parts]),
        np.full(record_count, np.log(1e-3)),
        contexts,
        membership,
    )


def random_parameters(objective: Objective, seed: int = 0) -> np.ndarray:
    """A point off the prior, where every term has a slope."""
    draw = np.random.default_rng(seed)
    start = objective.blocks.start(objective.priors)
    return start + 0.2 * draw.standard_normal(len(start))


def small_network(path: Path, channels: int, depth: int, size: int = 32) -> Path:
    """Write `depth` 3×3 convolutions with ReLU, `channels` wide, over a [1, channels, size, size] image."""
    shape = (1, channels, size, size)
    tensors = [TensorSpec("x", shape, DType.F32, TensorRole.INPUT)]
    ops: list[Op] = []
    read = "x"
    for layer in range(depth):
        conv, act, weight = f"conv{layer}", f"act{layer}", f"w{layer}"
        tensors.append(TensorSpec(weight, (channels, channels, 3, 3), DType.F32, TensorRole.PARAMETER))
        tensors += [TensorSpec(name, shape, DType.F32) for name in (conv, act)]
        attrs = ConvAttrs((3, 3), (1, 1), (1, 1), (1, 1))
        ops.append(Op(conv, OpKind.CONV, (read, weight), (conv,), attrs))
        ops.append(Op(act, OpKind.ACTIVATION, (conv,), (act,), FunctionAttrs("relu")))
        read = act
    graph = Graph(path.stem, {t.name: t for t in tensors}, ("x",), (read,), tuple(ops))
    path.write_text(json.dumps(graph_to_json(graph)), encoding="utf-8")
    return path


def record(model: str, latency_s: float, channels: int, *, device: str = "sd865", size: int = 32) -> Record:
    """A measurement of a `small_network` on a phone's NPU."""
    return Record(model, (1, channels, size, size), device, "npu", "tflite", Precision.INT8, "", latency_s, "made", "")
