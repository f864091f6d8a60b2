"""How cuDNN runs convolutions of fp16 tensors that are not stored channels-last."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from estimator.catalogue.device import UnitKind
from estimator.ir.op import Op, OpKind
from estimator.ir.strides import has_gaps
from estimator.lowering.group import channels_last
from estimator.lowering.kernel import Kernel, KernelClass, passing_kernel
from estimator.lowering.patterns import is_depthwise
from estimator.lowering.rule import Expansion, OpContext, passes_input


def runs_on_tensor_cores(op: Op, context: OpContext) -> bool:
    """Whether a convolution has tensor-core kernels, which are written for channels-last tensors."""
    if context.target.unit_kind is not UnitKind.GPU or op.kind is not OpKind.CONV or is_depthwise(op, context):
        return False
    return context.graph.tensors[op.inputs[0]].dtype.bits == 16


def is_nhwc(op: Op, context: OpContext) -> bool:
    """Whether an op's first input is stored channels-last."""
    x = context.graph.tensors[op.inputs[0]]
    return channels_last(x.strides, x.shape)


def both_ways(op: Op, context: OpContext, kernel: Kernel) -> Iterable[Kernel]:
    """Convert a convolution's input to channels-last and its result back."""
    x, out = context.graph.tensors[op.inputs[0]], context.graph.tensors[op.outputs[0]]
    yield passing_kernel(kernel, "to_nhwc", KernelClass.LAYOUT, x.size_bytes)
    yield passing_kernel(kernel, "to_nchw", KernelClass.LAYOUT, out.size_bytes)


def _convolves_slice(op: Op, context: OpContext) -> bool:
    if context.target.unit_kind is not UnitKind.GPU or op.kind is not OpKind.CONV:
        return False
    return has_gaps(context.graph.tensors[op.inputs[0]])


COPIED_SLICES: Final = Expansion(
    "convolution of a slice",
    _convolves_slice,
    passes_input("contiguous", KernelClass.COPY),
    why="a convolution of some of a tensor's channels copies them first: cuDNN takes dense tensors",
    source="aten/src/ATen/native/Convolution.cpp, _convolution: input.contiguous(backend_memory_format)",
)
