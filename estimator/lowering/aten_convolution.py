"""Which of its convolutions PyTorch calls on a CPU: oneDNN's, or its own of columns and a matrix product."""

from __future__ import annotations

import math
from typing import Final

from estimator.dtypes import DType
from estimator.ir.op import ConvAttrs
from estimator.ir.tensor import TensorSpec

SMALL_INPUT_NUMEL: Final = 20480
"""Up to so many elements along the first four axes, one input without groups does not go to oneDNN.

Source: ATen/native/Convolution.cpp, ConvParams::use_mkldnn."""


def takes_onednn(attrs: ConvAttrs, x: TensorSpec) -> bool:
    """Whether a convolution of `x` on two or more threads goes to oneDNN; see `SMALL_INPUT_NUMEL`.

    Half precision always does, where the processor has instructions for it.
    """
    if x.dtype is not DType.F32:
        return True
    large_window = len(attrs.kernel) > 1 and min(attrs.kernel[-2:]) > 3
    return attrs.groups > 1 or large_window or x.shape[0] > 1 or math.prod(x.shape[:4]) > SMALL_INPUT_NUMEL


def needs_columns(attrs: ConvAttrs) -> bool:
    """Whether PyTorch's own convolution unfolds its input: unless a window is one element of every row of it."""
    return math.prod(attrs.kernel) > 1 or len(attrs.kernel) == 3 or max(attrs.stride) > 1
