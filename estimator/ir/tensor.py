"""What a tensor is: a name, a static shape, an element type and a role. No data, ever."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

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


WEIGHT_ROLES: Final = frozenset({TensorRole.PARAMETER, TensorRole.BUFFER, TensorRole.CONSTANT})


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
    numel: int = field(init=False, repr=False, compare=False)
    """Number of elements; 1 for a scalar."""
    size_bytes: int = field(init=False, repr=False, compare=False)
    """Bytes when stored densely, rounded up to whole bytes."""
    is_weight: bool = field(init=False, repr=False, compare=False)
    """Whether it lives in the model file rather than in the activation arena."""

    def __post_init__(self) -> None:
        """Work out once what every stage reads many times."""
        numel = math.prod(self.shape)
        object.__setattr__(self, "numel", numel)
        object.__setattr__(self, "size_bytes", (numel * self.dtype.bits + 7) // 8)
        object.__setattr__(self, "is_weight", self.role in WEIGHT_ROLES)

    def in_dtype(self, dtype: DType) -> TensorSpec:
        """Return the same tensor with elements of another type."""
        if dtype is self.dtype:
            return self
        return TensorSpec(self.name, self.shape, dtype, self.role, self.quantised, self.strides)
