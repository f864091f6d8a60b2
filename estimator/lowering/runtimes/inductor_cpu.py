"""What inductor's C++ backend makes of a kernel: loops over threads, vector functions, and layouts of convolutions.

Sources are PyTorch 2.4: torch/_inductor/codegen/cpp.py (loops), torch/_inductor/kernel/conv.py (convolutions).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from estimator.ir.graph import SpecBook
from estimator.ir.op import ConvAttrs, NormAttrs, Op, OpKind, ReduceAttrs, SoftmaxAttrs
from estimator.lowering.aten_convolution import needs_columns, takes_onednn
from estimator.lowering.group import channels_last
from estimator.lowering.kernel import Kernel, KernelClass, moving_kernel, passing_kernel
from estimator.lowering.patterns import PRODUCT_KINDS, computes_statistics
from estimator.lowering.rule import Expansion, KernelContext, OpContext, passes_input
from estimator.lowering.runtimes.inductor_loops import on_cpu
from estimator.lowering.runtimes.special_functions import CPU_COSTS, special_flops

ALIASED_STRIDE_BYTES: Final = 4096
"""Rows of a filter this far apart (or a multiple) fall into one set of a first-level cache of 64 sets of 64 bytes."""
ALIASED_WEIGHT_PASSES: Final = 4.0
"""Packing such rows evicts lines before all of them is used; the number is chosen on held-out families."""
FLOATS_PER_LINE: Final = 16
"""Of a cache line of 64 bytes, which is what one step of a loop over channels reads."""


def _loop_extents(op: Op, graph: SpecBook) -> tuple[int, int]:
    """(elements of the loop nest, independent iterations of its outer loops; 0 where all elements are)."""
    shapes = [graph.tensors[n].numel for n in op.inputs if not graph.tensors[n].is_weight]
    result = graph.tensors[op.outputs[0]]
    elements = max([*shapes, result.numel]) if op.inputs else result.numel
    if isinstance(op.attrs, SoftmaxAttrs):
        return elements, max(1, elements // max(1, result.shape[op.attrs.axis]))
    if isinstance(op.attrs, NormAttrs):
        return elements, _norm_rows(op, op.attrs, graph)
    if op.kind in (OpKind.REDUCE, OpKind.ADAPTIVE_POOL):
        inner = isinstance(op.attrs, ReduceAttrs) and _reduces_innermost(op, op.attrs, graph)
        return elements, result.numel if inner else math.ceil(result.numel / FLOATS_PER_LINE)
    return elements, 0


def _reduces_innermost(op: Op, attrs: ReduceAttrs, graph: SpecBook) -> bool:
    """Whether the axis that is contiguous in memory (channels, of an image) is among those reduced."""
    rank = len(graph.tensors[op.inputs[0]].shape)
    return (1 if rank == 4 else rank - 1) in attrs.axes


def _norm_rows(op: Op, attrs: NormAttrs, graph: SpecBook) -> int:
    x = graph.tensors[op.inputs[0]]
    match attrs.function:
        case "batch":
            return (x.shape[1] if len(x.shape) > 1 else 1) if computes_statistics(op, graph) else 0
        case "layer" | "rms" | "l2":
            return max(1, x.numel // max(1, math.prod(x.shape[-attrs.normalized_rank :])))
        case "group":
            return x.shape[0] * attrs.groups
        case "instance":
            return x.shape[0] * x.shape[1]
    return 0


def _computes_parts(ops: Sequence[Op]) -> bool:
    """Whether every concatenation has a part that the same loops compute, which they write into its slice.

    Source: torch/_inductor/ir.py, ConcatKernel.realize_into. A part that a library computed is copied.
    """
    computed = {name for op in ops for name in op.outputs}
    return all(not computed.isdisjoint(op.inputs) for op in ops if op.kind is OpKind.CONCAT)


def refine(kernel: Kernel, ops: Sequence[Op], context: OpContext) -> Kernel:
    """Add what a CPU's timing asks of a kernel beyond traffic and FLOPs."""
    graph = context.graph
    product = next((op for op in ops if op.kind in PRODUCT_KINDS), None)
    if product is not None:
        if _is_matrix_product(product, graph):
            kernel = replace(kernel, kernel_class=KernelClass.MATMUL, taps=1, stride=1)
        if product.kind is OpKind.CONV and not kernel.weight_bytes:
            return replace(kernel, weight_bytes=graph.tensors[product.inputs[1]].size_bytes)
        if product.kind is OpKind.LINEAR and kernel.gemm.k * kernel.dtype.bits % (8 * ALIASED_STRIDE_BYTES) == 0:
            return replace(kernel, weight_passes=ALIASED_WEIGHT_PASSES)
        if product.kind is OpKind.ATTENTION:
            return _in_query_blocks(kernel)
        return kernel
    extents = [_loop_extents(op, graph) for op in ops]
    limits = [outer for _, outer in extents if outer]
    standardises = any(computes_statistics(op, graph) for op in ops)
    kernel_class = kernel.kernel_class
    if standardises:
        kernel_class = KernelClass.CAST_WEIGHT
    elif kernel_class is KernelClass.CONCAT and _computes_parts(ops):
        kernel_class = KernelClass.POINTWISE
    return replace(
        kernel,
        kernel_class=kernel_class,
        bytes_read=kernel.bytes_read * (2 if standardises else 1),
        special_flops=sum(special_flops(op, graph, CPU_COSTS) for op in ops),
        elements=max(elements for elements, _ in extents),
        outer_extent=min(limits, default=0),
    )


def _in_query_blocks(kernel: Kernel) -> Kernel:
    """Attention is a product of one block of queries after another, each a task for one thread.

    Source: aten/src/ATen/native/cpu/FlashAttentionKernel.cpp: blocks of 256 queries from 768 on, 64 from 192 on, 32.
    A single query is as wide as the vectors that its values fill.
    """
    gemm = kernel.gemm
    block = min(gemm.m, 256 if gemm.m >= 768 else 64 if gemm.m >= 192 else 32)
    return replace(kernel, gemm=replace(gemm, n=max(FLOATS_PER_LINE, block)))


def _runs_plain(op: Op, context: OpContext) -> bool:
    """Whether a convolution runs in plain nchw although layout optimisation asked for channels last.

    A view of tokens or of an nhwc buffer carries no batch stride at batch 1, and a filter of one channel or one tap
    has no order of its own: neither tells channels-last from contiguous, and then contiguous is what ATen takes.
    """
    if not (on_cpu(context) and op.kind is OpKind.CONV):
        return False
    x, weight = context.graph.tensors[op.inputs[0]], context.graph.tensors[op.inputs[1]]
    ambiguous = weight.shape[1] == 1 or math.prod(weight.shape[2:]) == 1
    stored = context.graph.tensors[context.root(op.inputs[0])]
    is_view = (stored.shape, stored.strides) != (x.shape, x.strides)
    return ambiguous and is_view and x.shape[0] == 1 and channels_last(x.strides, x.shape)


def _plain_layout_copies(op: Op, context: OpContext, kernel: Kernel) -> Iterable[Kernel]:
    x, out = context.graph.tensors[op.inputs[0]], context.graph.tensors[op.outputs[0]]
    for name, tensor in (("to_nchw", x), ("from_nchw", out)):
        yield passing_kernel(kernel, name, KernelClass.LAYOUT, tensor.size_bytes)


def _is_matrix_product(op: Op, graph: SpecBook) -> bool:
    """Whether PyTorch's own convolution runs, whose time is that of a matrix product."""
    if not isinstance(op.attrs, ConvAttrs) or op.kind is not OpKind.CONV or op.attrs.transposed:
        return False
    return not takes_onednn(op.attrs, graph.tensors[op.inputs[0]])


def _unfolds(op: Op, context: OpContext) -> bool:
    return (
        on_cpu(context)
        and _is_matrix_product(op, context.graph)
        and isinstance(op.attrs, ConvAttrs)
        and needs_columns(op.attrs)
    )


def _columns(op: Op, context: OpContext, kernel: Kernel) -> Iterable[Kernel]:
    elements = kernel.gemm.m * kernel.gemm.k
    yield moving_kernel(
        kernel, "columns", KernelClass.TRANSPOSE,
        bytes_read=context.graph.tensors[op.inputs[0]].size_bytes,
        bytes_written=elements * kernel.dtype.bits // 8,
        elements=elements,
    )  # fmt: skip


COLUMNS: Final = Expansion(
    "columns of a small convolution",
    _unfolds,
    _columns,
    why="a single small input does not go to oneDNN: its windows are unfolded, then multiplied",
    source="ATen/native/Convolution.cpp: ConvParams::use_mkldnn; ATen/native/ConvolutionMM2d.cpp",
)
PLAIN_CONVOLUTION: Final = Expansion(
    "convolution of a view at batch 1",
    _runs_plain,
    _plain_layout_copies,
    why="neither input nor filter is recognised as channels-last: ATen copies the input to nchw and returns nchw",
    source="c10/core/MemoryFormat.h: is_channels_last_strides_2d_s4; aten/src/ATen/native/ConvUtils.h: "
    "mkldnn_conv_use_channels_last",
)


CONVERTS_CONCATENATION: Final = "converts a concatenation"
"""Role of the first convolution to read a concatenation that is stored in nchw."""


def layout_roles(context: KernelContext) -> Mapping[str, str]:
    """Find the convolutions that convert a concatenation to channels-last first, by name.

    It is stored in channels-last if an operand is by then: what a convolution has computed or has read, or another
    such concatenation. Operands that its own loops compute, and slices, are not.
    """
    stored_last: set[str] = set()
    plain: set[str] = set()
    roles: dict[str, str] = {}
    for op in context.kernel_ops:
        if op.kind is OpKind.CONV:
            if op.inputs[0] in plain:
                plain.remove(op.inputs[0])
                roles[op.name] = CONVERTS_CONCATENATION
            else:
                stored_last.add(op.inputs[0])
            stored_last.add(op.outputs[0])
        elif op.kind is OpKind.CONCAT:
            (stored_last if stored_last.intersection(op.inputs) else plain).add(op.outputs[0])
    return roles


def _converts_concatenation(op: Op, context: OpContext) -> bool:
    return context.role(op) == CONVERTS_CONCATENATION


CONVERTED_CONCATENATIONS: Final = Expansion(
    "convolution of a concatenation in nchw",
    _converts_concatenation,
    passes_input("to_nhwc", KernelClass.TRANSPOSE, in_loop=True),
    why="a concatenation takes the layout of operands in memory; where loops compute them all there is none yet",
    source="torch/_inductor/ir.py: ConcatKernel.create",
)


def _convolves_slice(op: Op, context: OpContext) -> bool:
    """Match convolutions of a part of a tensor: some of its channels, where channels are innermost."""
    if not on_cpu(context) or op.kind is not OpKind.CONV or _runs_plain(op, context):
        return False
    tensors, name = context.graph.tensors, op.inputs[0]
    return tensors[name].numel < tensors[context.root(name)].numel


COPIED_SLICES: Final = Expansion(
    "convolution of a slice",
    _convolves_slice,
    passes_input("contiguous", KernelClass.COPY, in_loop=True),
    why="oneDNN takes dense tensors: a part of a tensor's channels is copied first",
    source="aten/src/ATen/native/Convolution.cpp, _convolution: input.contiguous(backend_memory_format)",
)


def _is_softmax(op: Op, context: OpContext) -> bool:
    return on_cpu(context) and op.kind is OpKind.SOFTMAX


def _two_loops(op: Op, context: OpContext, kernel: Kernel) -> Iterable[Kernel]:
    out = context.graph.tensors[op.outputs[0]]
    dividing = out.numel * CPU_COSTS.functions["div"]
    yield replace(kernel, special_flops=kernel.special_flops - dividing)
    loop = passing_kernel(kernel, "normalise", KernelClass.SOFTMAX, out.size_bytes, elements=out.numel)
    yield replace(loop, special_flops=dividing, outer_extent=kernel.outer_extent)


SOFTMAX_LOOPS: Final = Expansion(
    "softmax in two loops",
    _is_softmax,
    _two_loops,
    why="its exp is stored, since the sum and the division both read it; a loop of its own sums and divides",
    source="torch/_inductor/ir.py: StorageBox.should_realize_on_reuse",
    replaces=True,
)


def _is_group_norm(op: Op, context: OpContext) -> bool:
    return on_cpu(context) and isinstance(op.attrs, NormAttrs) and op.attrs.function == "group"


def _statistics(op: Op, context: OpContext, kernel: Kernel) -> Iterable[Kernel]:
    x = context.graph.tensors[op.inputs[0]]
    loop = moving_kernel(
        kernel, "statistics", KernelClass.NORM_REDUCE, bytes_read=kernel.bytes_read, bytes_written=0,
        other_flops=2 * x.numel, elements=x.numel,
    )  # fmt: skip
    yield replace(loop, outer_extent=kernel.outer_extent)


GROUP_STATISTICS: Final = Expansion(
    "statistics of a group norm",
    _is_group_norm,
    _statistics,
    why="its rows are groups of channels, its affine runs along channels: two loops over different extents",
    source="torch/_decomp/decompositions.py: native_group_norm",
)
EXPANSIONS: Final = (
    PLAIN_CONVOLUTION, COLUMNS, COPIED_SLICES, CONVERTED_CONCATENATIONS, SOFTMAX_LOOPS, GROUP_STATISTICS,
)  # fmt: skip
