"""Results of pure operators on meta tensors, remembered by signature.

A meta kernel computes nothing but shape, stride and type, yet takes 100 to 1,000 µs of Python; networks repeat the same
few signatures. The memo is a cache of a pure function: it cannot change a result.

Two results are corrected, since meta tensors belong to no device and torch's meta kernels leave the layout of:

- attention as [b, h, m, d], while the fused kernels (flash on CPU and CUDA, cuDNN) keep the layout of the query, which
  mostly comes out of a projection as [b, m, h, d]. ``transpose(1, 2).reshape(b, m, h * d)`` after attention copies in
  the first case and is free in the second, on devices;
- convolution as row-major (since PyTorch 2.10 or so), while cuDNN and oneDNN give a channels-last result when the input
  or the weight is channels-last (aten/src/ATen/native/ConvUtils.h: cudnn_conv_suggest_memory_format,
  mkldnn_conv_use_channels_last). Without it every layer of a channels-last network would seem to convert its input.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_ATTENTION = torch.ops.aten.scaled_dot_product_attention.default
_CONVOLUTIONS = frozenset(
    {
        torch.ops.aten.convolution.default,
        torch.ops.aten.conv2d.default,
        torch.ops.aten.conv2d.padding,
        torch.ops.aten.conv_transpose2d.input,
    }
)
_LIMIT = 20_000
_memo: dict[Any, tuple[Any, ...]] = {}


def remembered_result(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a pure operator on meta tensors, or rebuild what it gave for arguments of the same form.

    Parameters
    ----------
    operator : OpOverload
        Must write no argument and return no view of one.
    """
    key = (operator, _signature(args), _signature(tuple(kwargs.items())) if kwargs else None)
    known = _memo.get(key)
    if known is not None:
        return _materialise(known)
    result = _laid_out(operator, args, operator(*args, **kwargs))
    form = _form_of(result)
    if form is not None:
        if len(_memo) >= _LIMIT:
            _memo.clear()
        _memo[key] = form
    return result


def _laid_out(operator: Any, args: tuple[Any, ...], result: Any) -> Any:
    """Give a result the layout that devices give it."""
    if operator is _ATTENTION and result.shape == args[0].shape:
        return torch.empty_like(args[0])
    if operator in _CONVOLUTIONS and result.ndim == 4 and (_is_channels_last(args[0]) or _is_channels_last(args[1])):
        return torch.empty_like(result, memory_format=torch.channels_last)
    return result


def _is_channels_last(tensor: Tensor) -> bool:
    """Tell a [n, c, h, w] tensor that only its strides make channels-last; what fits both orders counts as row-major.

    Source: c10/core/MemoryFormat.h, is_channels_last_strides_2d.
    """
    if tensor.ndim != 4 or tensor.stride(1) == 0:
        return False
    least = 0
    for axis in (1, 3, 2, 0):
        extent, stride = tensor.shape[axis], tensor.stride(axis)
        if extent == 0 or stride < least or (axis == 0 and least == tensor.stride(1)):
            return False
        least = stride * max(extent, 1)
    return True


def _signature(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Hashable form of arguments: tensors by shape, stride and type."""
    parts: list[Any] = []
    for arg in args:
        if isinstance(arg, Tensor):
            parts.append((arg.shape, arg.stride(), arg.dtype))
        elif isinstance(arg, (list, tuple)):
            parts.append(_signature(tuple(arg)))
        else:
            parts.append((type(arg), arg))
    return tuple(parts)


def _form_of(result: Any) -> tuple[Any, ...] | None:
    """Shape, stride and type of a result, or ``None`` if it is not made of dense tensors."""
    if isinstance(result, Tensor):
        return ("one", result.shape, result.stride(), result.dtype)
    if isinstance(result, (tuple, list)) and all(isinstance(t, Tensor) for t in result):
        return ("many", type(result), tuple((t.shape, t.stride(), t.dtype) for t in result))
    return None


def _materialise(form: tuple[Any, ...]) -> Any:
    if form[0] == "one":
        return torch.empty_strided(form[1], form[2], dtype=form[3], device="meta")
    return form[1](torch.empty_strided(s, st, dtype=d, device="meta") for s, st, d in form[2])
