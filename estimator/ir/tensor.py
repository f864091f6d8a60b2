"""What a tensor is: a name, a static shape, an element type and a role. No data, ever."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from estimator.dtypes import DType

Shape = tuple[int, ...]


class TensorRole(StrEnum):
    """Where a tensor comes from, which decides how memory is accounted."""

    INPUT = "input"
    PARAMETER = "parameter"
    """Learned weight: counted in params."""
    BUFFER = "buffer"
    """Persistent but not learned (running statistics, position tables); weights memory, not params."""
    CONSTANT = "constant"
    """Literal in the graph."""
    ACTIVATION = "activation"


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor.

    Attributes
    ----------
    shape : tuple of int
        Static extents, all ≥ 0. Symbolic dimensions were bound by the front-end.
    strides : tuple of int or None
        Element strides when they are not row-major contiguous (channels-last, permuted, expanded views);
        None means contiguous or unknown.
    quantised : bool
        The front-end saw real quantisation parameters on it (QDQ, TFLite, quantised torch).
    """

    name: str
    shape: Shape
    dtype: DType
    role: TensorRole = TensorRole.ACTIVATION
    quantised: bool = False
    strides: Shape | None = None

    @property
    def numel(self) -> int:
        """Number of elements; 1 for a scalar."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Bytes when stored densely, rounded up to whole bytes."""
        return (self.numel * self.dtype.bits + 7) // 8

    @property
    def is_weight(self) -> bool:
        """Whether it lives in the model file rather than in the activation arena."""
        return self.role in (TensorRole.PARAMETER, TensorRole.BUFFER, TensorRole.CONSTANT)
