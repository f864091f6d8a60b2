"""Scratch memory of kernels: bytes beyond operands and result, while the kernel runs.

One rule per cause, each with its source. A library that is not listed has no known scratch, which
is not the same as none: `docs/model/memory.md` says where.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from estimator.catalogue.device import UnitKind
from estimator.ir.graph import Graph
from estimator.ir.op import ConvAttrs, Op, OpKind, RnnAttrs
from estimator.ir.strides import merge, strides_of
from estimator.ir.tensor import TensorSpec
from estimator.lowering.aten_convolution import needs_columns, takes_onednn

CUBLAS_WORKSPACE_BYTES: Final = 2 * 4096 * 1024 + 8 * 16 * 1024
"""One cuBLAS handle and stream on GPUs before Hopper (":4096:2:16:8").

Source: PyTorch notes on CUDA semantics, "cuBLAS workspaces" (Hopper: 32 MiB instead)."""

PLAIN_INPUT_CHANNELS_MAX: Final = 3
"""oneDNN's first-layer convolutions read so few channels from the plain layout (oneDNN, jit *_1st_conv)."""

POINTER_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class WorkspaceRule:
    """Scratch of one kind of op in one library.

    Attributes
    ----------
    bytes_of : callable
        Bytes for an op, from its shapes alone; 0 where the op needs none.
    """

    name: str
    kinds: frozenset[OpKind]
    bytes_of: Callable[[Op, Graph], int]
    why: str
    source: str


def _is_depthwise(attrs: ConvAttrs, weight: TensorSpec) -> bool:
    return attrs.groups > 1 and weight.shape[1] == 1


def _torch_cpu_conv(op: Op, graph: Graph) -> int:
    x, weight, out = graph.tensors[op.inputs[0]], graph.tensors[op.inputs[1]], graph.tensors[op.outputs[0]]
    if not isinstance(op.attrs, ConvAttrs):
        return 0
    if not takes_onednn(op.attrs, x):
        return _columns_bytes(op.attrs, x, out)
    channels_in = x.shape[1] if len(x.shape) > 2 else x.shape[0]
    reordered_input = 0 if channels_in <= PLAIN_INPUT_CHANNELS_MAX else x.size_bytes
    return max(reordered_input + weight.size_bytes, out.size_bytes)


def _columns_bytes(attrs: ConvAttrs, x: TensorSpec, out: TensorSpec) -> int:
    """Input unfolded to [channels · taps, output pixels]; a 1×1 window in the plane needs no copy."""
    if not needs_columns(attrs):
        return 0
    pixels = out.numel // max(1, out.shape[1])
    return (x.shape[1] * math.prod(attrs.kernel) * pixels * x.dtype.bits + 7) // 8


def _cudnn_layout_copies(op: Op, graph: Graph) -> int:
    x, weight, out = graph.tensors[op.inputs[0]], graph.tensors[op.inputs[1]], graph.tensors[op.outputs[0]]
    if not isinstance(op.attrs, ConvAttrs) or _is_depthwise(op.attrs, weight):
        return 0
    return x.size_bytes + weight.size_bytes + out.size_bytes


def _batch_folding_copies(op: Op, graph: Graph) -> int:
    """Operands whose batch axes cannot be merged without a copy."""
    specs = [graph.tensors[name] for name in op.inputs[:2]]
    if any(len(t.shape) < 4 for t in specs):
        return 0
    return sum(t.size_bytes for t in specs if not merge(t.shape[:-2], strides_of(t)[:-2]))


def _attention_statistics(op: Op, graph: Graph) -> int:
    """Log-sum-exp of each query row, fp32."""
    query = graph.tensors[op.inputs[0]]
    return 4 * query.numel // max(1, query.shape[-1])


def _recurrent_gates(op: Op, graph: Graph) -> int:
    """Pre-activations of all gates for the whole sequence of one layer."""
    if not isinstance(op.attrs, RnnAttrs):
        return 0
    x = graph.tensors[op.inputs[0]]
    gates = {"lstm": 4, "gru": 3}.get(op.attrs.cell, 1)
    rows = x.numel // max(1, x.shape[-1])
    return (rows * gates * op.attrs.hidden_size * x.dtype.bits + 7) // 8


def _indirection_buffer(op: Op, graph: Graph) -> int:
    """One pointer per tap and output pixel; pixels of a batch share them."""
    attrs, out = op.attrs, graph.tensors[op.outputs[0]]
    if not isinstance(attrs, ConvAttrs):
        return 0
    taps = math.prod(attrs.kernel)
    if taps == 1 or len(out.shape) < 3:
        return 0
    pixels = out.numel // max(1, out.shape[0] * out.shape[1])
    return POINTER_BYTES * taps * pixels


_CONV = frozenset({OpKind.CONV})
_ONEDNN = WorkspaceRule(
    "oneDNN blocked layout or im2col",
    _CONV,
    _torch_cpu_conv,
    why="plain nchw operands are copied to the blocked layout, and the blocked result back; first the input's and the "
    "weight's copies are alive, then the result's (measured with torch's memory profiler, two or more threads)",
    source="ATen/native/Convolution.cpp, mkldnn/Conv.cpp, ConvolutionMM2d.cpp, ConvolutionMM3d.cpp",
)
_CUDNN = WorkspaceRule(
    "cuDNN layout copies",
    _CONV,
    _cudnn_layout_copies,
    why="assumed: tensor-core convolutions compute in nhwc; for nchw operands cuDNN transposes in its workspace",
    source="NVIDIA, Convolutional layers user's guide, section Tensor layouts",
)
_FOLDING = WorkspaceRule(
    "matmul batch folding",
    frozenset({OpKind.MATMUL}),
    _batch_folding_copies,
    why="torch.matmul merges batch axes to call bmm, which copies permuted operands",
    source="ATen/native/LinearAlgebra.cpp, _matmul_impl",
)
_FLASH = WorkspaceRule(
    "attention statistics",
    frozenset({OpKind.ATTENTION}),
    _attention_statistics,
    why="fused attention keeps one fp32 log-sum-exp per query row instead of the scores",
    source="Dao et al. (2022), FlashAttention, arXiv:2205.14135, algorithm 1",
)
_RNN = WorkspaceRule(
    "recurrent gates",
    frozenset({OpKind.RNN}),
    _recurrent_gates,
    why="the input product of all time steps is one matrix product",
    source="ATen/native/RNN.cpp, pre_compute_input",
)
_XNNPACK = WorkspaceRule(
    "XNNPACK indirection buffer",
    _CONV,
    _indirection_buffer,
    why="im2col is replaced by pointers to input pixels",
    source="Dukhan (2019), The Indirect Convolution Algorithm, arXiv:1907.02129",
)

WORKSPACE_RULES: Mapping[tuple[str, UnitKind], tuple[WorkspaceRule, ...]] = {
    ("torch-eager", UnitKind.CPU): (_ONEDNN, _FOLDING, _FLASH, _RNN),
    ("torch-export", UnitKind.CPU): (_ONEDNN, _FOLDING, _FLASH, _RNN),
    ("torch-compile", UnitKind.CPU): (_FLASH, _RNN),
    ("torch-eager", UnitKind.GPU): (_CUDNN, _FOLDING, _FLASH, _RNN),
    ("torch-export", UnitKind.GPU): (_CUDNN, _FOLDING, _FLASH, _RNN),
    ("torch-compile", UnitKind.GPU): (_CUDNN, _FLASH, _RNN),
    ("tflite", UnitKind.CPU): (_XNNPACK,),
}
"""Per runtime and unit kind; nothing is known of the others."""

_PRODUCTS = frozenset({OpKind.LINEAR, OpKind.MATMUL, OpKind.EINSUM})


def resident_workspace_bytes(graph: Graph, runtime: str, unit_kind: UnitKind) -> int:
    """Scratch that a library keeps between kernels: cuBLAS's, once a matrix product has run on a GPU."""
    if unit_kind is not UnitKind.GPU or not runtime.startswith("torch-"):
        return 0
    return CUBLAS_WORKSPACE_BYTES if any(op.kind in _PRODUCTS for op in graph.ops) else 0


def workspace_rules(runtime: str, unit_kind: UnitKind, layout: str = "nchw") -> tuple[WorkspaceRule, ...]:
    """Rules that apply to a runtime on a unit; channels-last operands need no layout copies."""
    rules = WORKSPACE_RULES.get((runtime, unit_kind), ())
    return tuple(r for r in rules if layout == "nchw" or r not in (_CUDNN, _ONEDNN))


def workspace_bytes(op: Op, graph: Graph, rules: tuple[WorkspaceRule, ...]) -> int:
    """Scratch of one op under `rules`."""
    return sum([rule.bytes_of(op, graph) for rule in rules if op.kind in rule.kinds])


def scratch_bytes(steps: Sequence[Sequence[Op]], graph: Graph, rules: tuple[WorkspaceRule, ...]) -> list[int]:
    """Scratch of each step: its kernel's most demanding op's."""
    kinds = frozenset[OpKind]().union(*[rule.kinds for rule in rules])
    return [max([workspace_bytes(op, graph, rules) if op.kind in kinds else 0 for op in ops]) for ops in steps]
