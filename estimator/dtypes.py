"""Element types of tensors and the precisions a model runs in.

`DType` is what one tensor holds; `Precision` is what the user asks a whole model to run in
(``amp-fp16`` is autocast: a mixture of dtypes decided op by op in `lowering`).
"""

from __future__ import annotations

from enum import StrEnum

from estimator.errors import UnknownPrecisionError


class DType(StrEnum):
    """Element type of a tensor; the value is the short name printed everywhere."""

    F64 = "f64"
    F32 = "f32"
    F16 = "f16"
    BF16 = "bf16"
    F8 = "f8"
    I64 = "i64"
    I32 = "i32"
    I16 = "i16"
    I8 = "i8"
    U64 = "u64"
    U32 = "u32"
    U16 = "u16"
    U8 = "u8"
    I4 = "i4"
    BOOL = "bool"
    C64 = "c64"
    C128 = "c128"
    STRING = "string"

    @property
    def bits(self) -> int:
        """Storage bits of one element; a string element is counted as one 64-bit pointer."""
        return _BITS[self]

    @property
    def is_float(self) -> bool:
        """Whether autocast and precision changes apply to this type."""
        return self in _FLOATS


_BITS = {
    DType.F64: 64, DType.F32: 32, DType.F16: 16, DType.BF16: 16, DType.F8: 8,
    DType.I64: 64, DType.I32: 32, DType.I16: 16, DType.I8: 8,
    DType.U64: 64, DType.U32: 32, DType.U16: 16, DType.U8: 8,
    DType.I4: 4, DType.BOOL: 8, DType.C64: 64, DType.C128: 128, DType.STRING: 64,
}  # fmt: skip
_FLOATS = frozenset({DType.F64, DType.F32, DType.F16, DType.BF16, DType.F8})


class Precision(StrEnum):
    """Precision of a whole model, as asked for with ``--precision``."""

    FP32 = "fp32"
    TF32 = "tf32"
    FP16 = "fp16"
    BF16 = "bf16"
    AMP_FP16 = "amp-fp16"
    AMP_BF16 = "amp-bf16"
    INT8 = "int8"
    W8A16 = "w8a16"
    W4A16 = "w4a16"

    @property
    def has_integer_weights(self) -> bool:
        """Whether weights are stored as integers."""
        return self in (Precision.INT8, Precision.W8A16, Precision.W4A16)

    @classmethod
    def parse(cls, text: str) -> Precision:
        """Parse a precision name.

        Raises
        ------
        UnknownPrecisionError
            The name is none of the known precisions.
        """
        aliases = {"float32": "fp32", "float16": "fp16", "half": "fp16", "bfloat16": "bf16", "w8a8": "int8"}
        name = aliases.get(text.lower(), text.lower())
        try:
            return cls(name)
        except ValueError:
            raise UnknownPrecisionError(text, tuple(p.value for p in cls)) from None
