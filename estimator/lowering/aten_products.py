"""What PyTorch makes of linear layers, matrix products and attention over tensors that are views or of unusual rank.

A linear layer is one kernel only where its input is contiguous. Otherwise `at::linear` calls `at::matmul` and adds the
bias after it; and a batched product takes one batch axis, so that leading axes which form none are copied into one.
Attention over anything but [batch, heads, rows, width] has no fused kernel and is spelled out, in fp32; on CPUs, which
have one such kernel, so is attention with a mask of three axes or with values of another width. The compiler's
decompositions take the same way, so that this is done to the graph, and what fuses is fused later.

Sources: aten/src/ATen/native/Linear.cpp (linear), LinearAlgebra.cpp (should_fold, _matmul_impl),
transformers/attention.cpp (_scaled_dot_product_attention_math), sdp_utils_cpp.cpp (use_flash_attention_cpp); seen in
what PyTorch 2.4, 2.9 and 2.14 dispatch. They differ in that 2.4 spells out attention in the precision it is
given, with a plain softmax, that 2.14 adds a batch axis to attention over three, and that its eager autocast folds into
weights it casts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from estimator.catalogue.device import UnitKind
from estimator.dtypes import DType
from estimator.ir.graph import Graph
from estimator.ir.op import (
    Attrs,
    CopyAttrs,
    FunctionAttrs,
    MatmulAttrs,
    NoAttrs,
    Op,
    OpKind,
    ReduceAttrs,
    SoftmaxAttrs,
)
from estimator.ir.strides import dense_strides, is_contiguous, merge, reorders, strides_of
from estimator.ir.tensor import Shape, TensorSpec

FUSED_ATTENTION_RANK: Final = 4
BATCHLESS_ATTENTION_FROM: Final = (2, 10)
"""PyTorch from which attention over three axes is fused too: not yet in 2.9, in 2.14 (between them assumed)."""
CURRENT: Final = (2, 14)
SAFE_ATTENTION_FROM: Final = (2, 5)
"""PyTorch from which attention is spelt out in fp32, its softmax with a look for rows that are masked throughout."""


def as_aten_multiplies(graph: Graph, kind: UnitKind, torch_version: tuple[int, int] | None = None) -> Graph:
    """Return `graph` with the copies, batched products and pointwise kernels that its products cost.

    Parameters
    ----------
    graph : Graph
        In the dtypes it runs in: a weight that autocast casts asks for no gradient, which decides how it is used.
    torch_version : tuple of int, optional
        Major and minor; a current one if None.
    """
    rewriter = _Rewriter(graph.tensors, kind, torch_version or CURRENT)
    for op in graph.ops:
        rewriter.visit(op)
    if len(rewriter.ops) == len(graph.ops):  # whatever changes adds ops
        return graph
    return replace(graph, tensors=rewriter.tensors, ops=tuple(rewriter.ops))


class _Rewriter:
    """Walks the ops in execution order."""

    def __init__(self, tensors: Mapping[str, TensorSpec], kind: UnitKind, torch_version: tuple[int, int]) -> None:
        self.tensors = dict(tensors)
        self.is_safe = torch_version >= SAFE_ATTENTION_FROM
        self._on_cpu = kind is UnitKind.CPU
        self._fuses_batchless = torch_version >= BATCHLESS_ATTENTION_FROM
        self.ops: list[Op] = []

    def visit(self, op: Op) -> None:
        """Append what an op is carried out as."""
        if op.kind is OpKind.LINEAR:
            self._linear(op)
        elif op.kind is OpKind.MATMUL:
            self._matmul(op)
        elif op.kind is OpKind.ATTENTION and not self._is_fused(op):
            self._spelt_attention(op)
        else:
            self.ops.append(op)

    def _is_fused(self, op: Op) -> bool:
        """Whether PyTorch has one kernel for an attention."""
        q, _, v, *mask = (self.tensors[name].shape for name in op.inputs)
        missing_axes = FUSED_ATTENTION_RANK - len(q)
        if missing_axes not in ((0, 1) if self._fuses_batchless else (0,)):
            return False
        mask_ranks = [len(shape) + missing_axes for shape in mask if len(shape) > 2]
        return not self._on_cpu or (q[-1] == v[-1] and all(rank == FUSED_ATTENTION_RANK for rank in mask_ranks))

    def _linear(self, op: Op) -> None:
        x, weight = self.tensors[op.inputs[0]], self.tensors[op.inputs[1]]
        if len(x.shape) < 3 or len(weight.shape) != 2 or is_contiguous(x):
            self.ops.append(op)
            return
        out = self.tensors[op.outputs[0]]
        product = replace(out, name=f"{out.name}.product", strides=None) if len(op.inputs) > 2 else out
        self.tensors[product.name] = product
        if _folds(x, weight):
            left = x.name if merge(x.shape[:-1], strides_of(x)[:-1]) else self._copy(op, x)
            self.ops.append(replace(op, inputs=(left, weight.name), outputs=(product.name,)))
        else:
            left = x.name if merge(x.shape[:-2], strides_of(x)[:-2]) else self._copy(op, x)
            inputs = (left, self._expanded(op, weight, x.shape[:-2]))
            self.ops.append(
                replace(op, kind=OpKind.MATMUL, attrs=MatmulAttrs(), inputs=inputs, outputs=(product.name,))
            )
        if product is not out:
            inputs, attrs = (product.name, op.inputs[2]), FunctionAttrs("add")
            name = f"{op.name}.bias"
            self.ops.append(Op(name, OpKind.BINARY, inputs, op.outputs, attrs, scope=op.scope, in_place=True))

    def _matmul(self, op: Op) -> None:
        """Copy operands into one batch axis where their own, broadcast to the result's, form none."""
        operands = [self.tensors[name] for name in op.inputs[:2]]
        ranks = [len(operand.shape) for operand in operands]
        out = self.tensors[op.outputs[0]].shape
        if max(ranks) < 3 or len(out) != max(ranks) or (ranks[1] < 3 and _folds(*operands)):
            self.ops.append(op)
            return
        batch = out[:-2]
        names = [
            operand.name if merge(batch, _broadcast(operand, batch)) else self._copy(op, operand, batch)
            for operand in operands
        ]
        self.ops.append(replace(op, inputs=(*names, *op.inputs[2:])))

    def _spelt_attention(self, op: Op) -> None:
        """softmax((q · √s) (k · √s)ᵀ + mask) v; if safe, in fp32 and with a look for rows masked throughout."""
        out = self.tensors[op.outputs[0]]
        q, k, v = (self.tensors[name] for name in op.inputs[:3])
        if self.is_safe:
            q, k, v = (self._in_f32(op, tensor) for tensor in (q, k, v))
        q = self._add(op, "scaled_q", OpKind.BINARY, (q,), replace(q, strides=dense_strides(q)), FunctionAttrs("mul"))
        k = self._add(op, "scaled_k", OpKind.BINARY, (k,), replace(k, strides=dense_strides(k)), FunctionAttrs("mul"))
        swapped = replace(k, shape=_swapped(k.shape), strides=_swapped(strides_of(k)))
        k = self._add(op, "k_transposed", OpKind.VIEW, (k,), swapped, FunctionAttrs("transpose"))
        scores = self._product(op, "scores", (q, k), TensorSpec("", (*out.shape[:-1], k.shape[-1]), q.dtype))
        if len(op.inputs) > 3:
            mask = self.tensors[op.inputs[3]]
            scores = self._add(op, "masked", OpKind.BINARY, (scores, mask), scores, FunctionAttrs("add"))
        axis = len(scores.shape) - 1
        weights = self._add(op, "softmax", OpKind.SOFTMAX, (scores,), scores, SoftmaxAttrs(axis))
        if self.is_safe:
            hidden = TensorSpec("", scores.shape, DType.BOOL)
            hidden = self._add(op, "hidden", OpKind.BINARY, (scores,), hidden, FunctionAttrs("eq"))
            rows = replace(hidden, shape=(*scores.shape[:-1], 1))
            attrs = ReduceAttrs("all", (axis,), keepdim=True)
            rows = self._add(op, "hidden_rows", OpKind.REDUCE, (hidden,), rows, attrs)
            weights = self._add(op, "weights", OpKind.TERNARY, (rows, weights), scores, FunctionAttrs("where"))
        if out.dtype is scores.dtype:
            self._product(op, "", (weights, v), out)
            return
        mixed = self._product(op, "mixed", (weights, v), replace(out, dtype=scores.dtype))
        self.ops.append(Op(op.name, OpKind.CAST, (mixed.name,), op.outputs, NoAttrs(), scope=op.scope))

    def _in_f32(self, op: Op, tensor: TensorSpec) -> TensorSpec:
        if tensor.dtype.bits >= DType.F32.bits or not tensor.dtype.is_float:
            return tensor
        wide = TensorSpec("", tensor.shape, DType.F32, strides=dense_strides(tensor))
        return self._add(op, "to_f32", OpKind.CAST, (tensor,), wide, NoAttrs())

    def _product(self, op: Op, label: str, operands: tuple[TensorSpec, TensorSpec], out: TensorSpec) -> TensorSpec:
        """Emit a batched product; without a label it is the op's own result."""
        name = f"{op.outputs[0]}.{label}" if label else out.name
        self.tensors[name] = replace(out, name=name)
        inputs = tuple([operand.name for operand in operands])
        op_name = f"{op.name}.{label}" if label else op.name
        self._matmul(Op(op_name, OpKind.MATMUL, inputs, (name,), MatmulAttrs(), scope=op.scope))
        return self.tensors[name]

    def _copy(self, op: Op, source: TensorSpec, batch: Shape | None = None) -> str:
        """Emit a contiguous copy, expanded to these leading axes if any are given."""
        shape = source.shape if batch is None else (*batch, *source.shape[-2:])
        copy = TensorSpec("", shape, source.dtype, quantised=source.quantised)
        attrs = CopyAttrs("clone", transposing=reorders(source))
        return self._add(op, "copy", OpKind.COPY, (source,), copy, attrs).name

    def _expanded(self, op: Op, weight: TensorSpec, batch: Shape) -> str:
        """Emit a view of a weight's transpose with leading axes of stride 0."""
        n, k = weight.shape
        strides = (*(0 for _ in batch), 1, k)
        view = TensorSpec("", (*batch, k, n), weight.dtype, quantised=weight.quantised, strides=strides)
        return self._add(op, "expand", OpKind.VIEW, (weight,), view, FunctionAttrs("expand")).name

    def _add(
        self, op: Op, label: str, kind: OpKind, inputs: Sequence[TensorSpec], result: TensorSpec, attrs: Attrs
    ) -> TensorSpec:
        """Emit an op beside `op`; its result, under a name of its own, is returned."""
        position = len(self.ops)
        result = replace(result, name=f"{op.outputs[0]}.{label}.{position}")
        self.tensors[result.name] = result
        names = tuple([tensor.name for tensor in inputs])
        self.ops.append(Op(f"{op.name}.{label}.{position}", kind, names, (result.name,), attrs, scope=op.scope))
        return result


def _folds(x: TensorSpec, weight: TensorSpec) -> bool:
    """Whether the leading axes of x become rows of one product: if they are, or if the weight asks for a gradient.

    Parameters do even where no gradients are recorded. Source: should_fold.
    """
    return weight.is_weight or merge(x.shape[:-1], strides_of(x)[:-1])


def _swapped(values: Shape) -> Shape:
    return (*values[:-2], values[-1], values[-2])


def _broadcast(tensor: TensorSpec, batch: Shape) -> Shape:
    """Strides of a tensor's leading axes, expanded to `batch`."""
    own = list(zip(tensor.shape, strides_of(tensor), strict=True))[:-2]
    padded = [(1, 0)] * (len(batch) - len(own)) + own
    return tuple(0 if n == 1 and extent > 1 else s for (n, s), extent in zip(padded, batch, strict=True))
