"""PyTorch eager: one launch per operator, plus what cuDNN and ATen add around convolutions and norms."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from estimator.catalogue.device import UnitKind
from estimator.ir.op import Op, OpKind, ResizeAttrs
from estimator.ir.strides import is_contiguous
from estimator.lowering.aten_products import as_aten_multiplies
from estimator.lowering.cudnn_layouts import COPIED_SLICES, both_ways, is_nhwc, runs_on_tensor_cores
from estimator.lowering.kernel import Kernel, KernelClass, passing_kernel
from estimator.lowering.patterns import is_depthwise, is_norm_reduction
from estimator.lowering.rule import Expansion, OpContext, RuntimeRules, passes_input


def _has_bias(op: Op, context: OpContext) -> bool:
    return op.kind is OpKind.CONV and len(op.inputs) > 2 and not _native_depthwise(op, context)


def _native_depthwise(op: Op, context: OpContext) -> bool:
    """ATen's own depthwise kernel, which adds the bias itself (fp32, or nchw fp16 with an odd geometry)."""
    return is_depthwise(op, context) and context.target.layout == "nchw"


def _on_gpu(context: OpContext) -> bool:
    return context.target.unit_kind is UnitKind.GPU


def _bias_add(op: Op, context: OpContext, kernel: Kernel) -> Iterable[Kernel]:
    out = context.graph.tensors[op.outputs[0]]
    yield passing_kernel(kernel, "bias", KernelClass.POINTWISE, out.size_bytes, other_flops=out.numel)


def _converts_both_ways(op: Op, context: OpContext) -> bool:
    return runs_on_tensor_cores(op, context) and context.target.layout == "nchw" and not is_nhwc(op, context)


def _converts_input(op: Op, context: OpContext) -> bool:
    if context.target.layout != "nhwc" or not runs_on_tensor_cores(op, context):
        return False
    x = context.graph.tensors[op.inputs[0]]
    return math.prod(x.shape[2:]) > 1 and x.shape[1] > 1 and not is_nhwc(op, context)


def _reduces_strided(op: Op, context: OpContext) -> bool:
    if not (is_norm_reduction(op) or op.kind is OpKind.SOFTMAX):
        return False
    return not is_contiguous(context.graph.tensors[op.inputs[0]])


def _interpolates_planes(op: Op, context: OpContext) -> bool:
    """Match bilinear and bicubic resizing on a GPU of what is not stored channels-last."""
    if not (_on_gpu(context) and isinstance(op.attrs, ResizeAttrs) and op.attrs.mode in ("bilinear", "bicubic")):
        return False
    return not is_nhwc(op, context)


def _one_thread_per_pixel(op: Op, context: OpContext, kernel: Kernel) -> Iterable[Kernel]:
    images, channels = context.graph.tensors[op.outputs[0]].shape[:2]
    yield replace(kernel, serial_steps=images * channels)


RULES = RuntimeRules(
    name="torch-eager",
    rules=(),
    rewrite=lambda graph, target: as_aten_multiplies(graph, target.unit_kind, target.torch_version),
    expansions=(
        Expansion(
            "conv bias",
            _has_bias,
            _bias_add,
            why="cuDNN's convolution runs without bias; ATen adds it in a pointwise kernel of its own",
            source="aten/src/ATen/native/Convolution.cpp, ConvBackend::Cudnn: output.add_(reshape_bias(...))",
        ),
        COPIED_SLICES,
        Expansion(
            "nchw convolution layout",
            _converts_both_ways,
            both_ways,
            why="tensor-core convolutions are written for nhwc; on nchw data cuDNN converts input and output",
            source="cuDNN developer guide, 'Tensor Core operations': nchwToNhwcKernel, nhwcToNchwKernel in profiles",
        ),
        Expansion(
            "nchw input of an nhwc convolution",
            _converts_input,
            passes_input("to_nhwc", KernelClass.LAYOUT),
            why="a channels-last weight makes the convolution channels-last; a contiguous input is copied first",
            source="aten/src/ATen/native/cudnn/ConvShared.cpp: input.contiguous(backend_memory_format)",
        ),
        Expansion(
            "norm or softmax of a view",
            _reduces_strided,
            passes_input("contiguous", KernelClass.TRANSPOSE),
            why="layer_norm, group_norm and softmax call contiguous() on their input",
            source="aten/src/ATen/native/layer_norm.cpp: X = input.expect_contiguous(); cuda/SoftMax.cu: host_softmax",
        ),
        Expansion(
            "interpolation of planes",
            _interpolates_planes,
            _one_thread_per_pixel,
            replaces=True,
            why="a thread makes one output pixel of all images and channels in turn: 14 × 14 pixels are 196 threads",
            source="aten/src/ATen/native/cuda/UpSampleBilinear2d.cu: upsample_bilinear2d_out_frame, "
            "num_kernels = output_height * output_width",
        ),
    ),
)
