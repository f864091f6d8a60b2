"""Operators of torch's quantised modules (``quantized::conv2d_relu`` …): 8-bit data, weights packed out of sight.

A packed weight is an opaque script object; `unpack` opens it, so that rules and graph see the weight and bias that are
really read. A fused ReLU is free next to its product and is visible only in `Op.source`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from estimator.frontends.aten_call import Call, Mapped, Rule, positive_axis, present
from estimator.ir.op import AxisAttrs, ConvAttrs, FunctionAttrs, MatmulAttrs, NoAttrs, NormAttrs, OpKind


@dataclass(frozen=True, slots=True)
class PackedWeight:
    """An opened packed weight; the geometry is empty for linear layers."""

    weight: torch.Tensor
    bias: torch.Tensor | None
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    transposed: bool = False


def unpack(packed: torch.ScriptObject) -> PackedWeight | None:
    """Open a packed convolution or linear weight; ``None`` for script objects of other kinds."""
    kind = packed._type().qualified_name()
    if "LinearPackedParams" in kind:
        weight, bias = _unpack_linear(packed)
        return PackedWeight(weight, bias)
    if "Conv" in kind and "PackedParams" in kind:
        conv: Any = packed
        weight, bias = conv.unpack()
        geometry = (tuple(conv.stride()), tuple(conv.padding()), tuple(conv.dilation()))
        return PackedWeight(weight, bias, *geometry, groups=int(conv.groups()), transposed=bool(conv.transpose()))
    return None


def _unpack_linear(packed: torch.ScriptObject) -> tuple[torch.Tensor, torch.Tensor | None]:
    for operator in (torch.ops.quantized.linear_unpack, torch.ops.quantized.linear_unpack_fp16):
        try:
            weight, bias = operator(packed)
        except RuntimeError:
            continue
        return weight, bias
    raise ValueError("a packed linear weight of unknown form")


def _packed(call: Call) -> PackedWeight:
    return next(arg for arg in call.args if isinstance(arg, PackedWeight))


def _conv(call: Call) -> Mapped:
    """conv*(qx, packed, …): x, w, (b)."""
    packed = _packed(call)
    rank = len(packed.weight.shape) - 2
    stride, padding, dilation = (v[-rank:] for v in (packed.stride, packed.padding, packed.dilation))
    kernel = tuple(packed.weight.shape[2:])
    attrs = ConvAttrs(kernel, stride, padding, dilation, packed.groups, packed.transposed)
    return Mapped(OpKind.CONV, present((call.tensors[0], packed.weight, packed.bias)), attrs)


def _linear(call: Call) -> Mapped:
    """linear*(qx, packed, …): x, w, (b)."""
    packed = _packed(call)
    return Mapped(OpKind.LINEAR, present((call.tensors[0], packed.weight, packed.bias)), NoAttrs())


def _function(kind: OpKind, function: str) -> Rule:
    def rule(call: Call) -> Mapped:
        return Mapped(kind, call.tensors, FunctionAttrs(function))

    return rule


def _cat(call: Call) -> Mapped:
    axis = positive_axis(int(call.args[1]), len(call.outputs[0].shape))
    return Mapped(OpKind.CONCAT, call.tensors, AxisAttrs(axis))


def _matmul(call: Call) -> Mapped:
    return Mapped(OpKind.MATMUL, call.tensors[:2], MatmulAttrs())


def _batch_norm(call: Call) -> Mapped:
    """batch_norm*(qx, weight, bias, mean, var, …)."""
    return Mapped(OpKind.NORM, call.tensors[:5], NormAttrs("batch", len(call.tensors) >= 5))


RULES: dict[str, Rule] = {
    **dict.fromkeys(
        (f"{stem}{suffix}" for stem in ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
         "conv_transpose3d") for suffix in ("", "_relu", "_dynamic")), _conv),
    **dict.fromkeys(
        ("linear", "linear_relu", "linear_dynamic", "linear_relu_dynamic", "linear_dynamic_fp16",
         "linear_relu_dynamic_fp16", "linear_leaky_relu", "linear_tanh"), _linear),
    **dict.fromkeys(("add", "add_relu", "add_scalar", "add_scalar_relu"), _function(OpKind.BINARY, "add")),
    **dict.fromkeys(("mul", "mul_relu", "mul_scalar", "mul_scalar_relu"), _function(OpKind.BINARY, "mul")),
    "matmul": _matmul,
    **dict.fromkeys(("cat", "cat_relu"), _cat),
    **dict.fromkeys(
        ("batch_norm", "batch_norm_relu", "batch_norm1d", "batch_norm1d_relu", "batch_norm2d", "batch_norm2d_relu",
         "batch_norm3d", "batch_norm3d_relu"), _batch_norm),
    **{name: _function(OpKind.ACTIVATION, name) for name in (
        "hardswish", "leaky_relu", "relu6", "sigmoid", "elu", "celu", "prelu", "gelu")},
}  # fmt: skip
