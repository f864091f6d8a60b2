"""ONNX Runtime: extended graph optimisations; on a Qualcomm NPU its QNN execution provider compiles the graph."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from estimator.catalogue.device import UnitKind
from estimator.dtypes import DType, Precision
from estimator.ir.graph import Graph
from estimator.ir.op import Op, OpKind
from estimator.lowering.fuse import Expansion, Lowering, RuntimeRules, Target
from estimator.lowering.kernel import Kernel, KernelClass, moving_kernel
from estimator.lowering.runtimes.mobile import (
    ACTIVATION_EPILOGUE,
    CLAMP_EPILOGUE,
    CONCATENATED_BLOCKS,
    DECOMPOSED_ATTENTION,
    FOLD_BATCH_NORM,
    PAD_INTO_WINDOW,
    POINTWISE_CHAIN,
    RESIDUAL_EPILOGUE,
    is_anchor,
    is_free,
    is_materialised_view,
)


def simulates(target: Target) -> bool:
    """Whether quantisation is only simulated: CPUs have no kernels of 16-bit activations."""
    return target.unit_kind is UnitKind.CPU and target.precision is Precision.W8A16


def in_fp32(graph: Graph, target: Target) -> Graph:
    """Let activations be fp32 between a DequantizeLinear and a QuantizeLinear."""
    if not simulates(target):
        return graph
    tensors = {
        name: replace(tensor, dtype=DType.F32) if tensor.dtype is DType.I16 and not tensor.is_weight else tensor
        for name, tensor in graph.tensors.items()
    }
    return replace(graph, tensors=tensors)


def is_free_here(op: Op, lowering: Lowering) -> bool:
    """Match what launches nothing; a simulated graph's own conversions are those that `conversions` counts."""
    is_conversion = op.kind in (OpKind.QUANTIZE, OpKind.DEQUANTIZE)
    return is_free(op, lowering) or (is_conversion and simulates(lowering.target))


def is_simulated(op: Op, lowering: Lowering) -> bool:
    """Match everything where quantisation is only simulated."""
    return simulates(lowering.target)


def conversions(op: Op, lowering: Lowering, kernel: Kernel) -> Iterable[Kernel]:
    """Quantise what a kernel wrote, dequantise it for the next, and dequantise the kernel's weights."""
    elements = kernel.bytes_written * 8 // DType.F32.bits
    if op.kind is OpKind.ATTENTION:
        elements += 2 * kernel.gemm.batch * kernel.gemm.m * kernel.gemm.n  # scores and softmax are tensors of their own
    yield moving_kernel(
        kernel, "requantise", KernelClass.CAST, bytes_read=(4 + 2) * elements, bytes_written=(2 + 4) * elements,
        other_flops=2 * elements,
    )  # fmt: skip
    weights = sum(lowering.graph.tensors[name].numel for name in op.inputs if lowering.is_constant(name))
    if weights:
        yield moving_kernel(
            kernel, "dequantise", KernelClass.CAST_WEIGHT, bytes_read=weights, bytes_written=4 * weights,
            other_flops=weights,
        )  # fmt: skip


SIMULATED_QUANTISATION = Expansion(
    "simulated quantisation",
    is_simulated,
    conversions,
    "no QLinear kernel takes 16-bit activations, so every DequantizeLinear → op → QuantizeLinear runs as written, in "
    "fp32; weights are dequantised in every run, because constant folding leaves DequantizeLinear alone",
    "onnxruntime/core/optimizer: qdq_transformer/selectors_actions (int8 selectors), constant_folding.cc "
    "skip_dequantize_linear (recalled)",
)

RULES = RuntimeRules(
    name="onnxruntime",
    rules=(
        PAD_INTO_WINDOW,
        FOLD_BATCH_NORM,
        CLAMP_EPILOGUE,
        ACTIVATION_EPILOGUE,
        RESIDUAL_EPILOGUE,
        ACTIVATION_EPILOGUE,
        POINTWISE_CHAIN,
    ),
    anchor=is_anchor,
    expansions=(CONCATENATED_BLOCKS, DECOMPOSED_ATTENTION, SIMULATED_QUANTISATION),
    retype=in_fp32,
    free=is_free_here,
    materialises=is_materialised_view,
    folds_constants=True,
)
