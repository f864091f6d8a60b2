"""ONNX Runtime: extended graph optimisations; on a Qualcomm NPU its QNN execution provider compiles the graph."""

from __future__ import annotations

from collections.abc import Iterable

from estimator.catalogue.device import UnitKind
from estimator.dtypes import DType, Precision
from estimator.ir.op import Op, OpKind
from estimator.lowering.kernel import Kernel, KernelClass, moving_kernel
from estimator.lowering.rule import Expansion, OpContext, RuntimeRules, Target
from estimator.lowering.runtimes.mobile import (
    ACTIVATION_EPILOGUE,
    CLAMP_EPILOGUE,
    CONCATENATED_BLOCKS,
    DECOMPOSED_ATTENTION,
    FOLD_BATCH_NORM,
    FOLD_SPELLED_NORM,
    PAD_INTO_WINDOW,
    POINTWISE_CHAIN,
    RESIDUAL_EPILOGUE,
    SCALE_INTO_PRODUCT,
    SELF_GATE_EPILOGUE,
    is_anchor,
    is_free,
    is_materialised_view,
    is_unmoved_copy,
)


def simulates(target: Target) -> bool:
    """Whether quantisation is only simulated: CPUs have no kernels of 16-bit activations."""
    return target.unit_kind is UnitKind.CPU and target.precision is Precision.W8A16


def activations_in(target: Target) -> DType | None:
    """Return the type of activations between a DequantizeLinear and a QuantizeLinear."""
    return DType.F32 if simulates(target) else None


def is_free_here(op: Op, context: OpContext) -> bool:
    """Match what launches nothing; a simulated graph's own conversions are those that `conversions` counts."""
    is_conversion = op.kind in (OpKind.QUANTIZE, OpKind.DEQUANTIZE)
    return is_free(op, context) or (is_conversion and simulates(context.target))


def is_simulated(op: Op, context: OpContext) -> bool:
    """Match everything where quantisation is only simulated."""
    return simulates(context.target)


def conversions(op: Op, context: OpContext, kernel: Kernel) -> Iterable[Kernel]:
    """Quantise what a kernel wrote, dequantise it for the next, and dequantise the kernel's weights."""
    elements = kernel.bytes_written * 8 // DType.F32.bits
    if op.kind is OpKind.ATTENTION:
        elements += 2 * kernel.gemm.batch * kernel.gemm.m * kernel.gemm.n  # scores and softmax are tensors of their own
    yield moving_kernel(
        kernel, "requantise", KernelClass.CAST, bytes_read=(4 + 2) * elements, bytes_written=(2 + 4) * elements,
        other_flops=2 * elements,
    )  # fmt: skip
    weights = sum(context.graph.tensors[name].numel for name in op.inputs if context.is_constant(name))
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
        SCALE_INTO_PRODUCT,
        FOLD_BATCH_NORM,
        FOLD_SPELLED_NORM,
        CLAMP_EPILOGUE,
        SELF_GATE_EPILOGUE,
        ACTIVATION_EPILOGUE,
        RESIDUAL_EPILOGUE,
        ACTIVATION_EPILOGUE,
        POINTWISE_CHAIN,
    ),
    anchor=is_anchor,
    expansions=(CONCATENATED_BLOCKS, DECOMPOSED_ATTENTION, SIMULATED_QUANTISATION),
    activations_in=activations_in,
    free=is_free_here,
    materialises=is_materialised_view,
    elides=is_unmoved_copy,
    folds_constants=True,
)
