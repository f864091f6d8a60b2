"""What is kept of a TFLite file: subgraphs, operators, tensors, and where constant data lie.

Source: TFLite schema version 3a (tensorflow/compiler/mlir/lite/schema/schema.fbs, TensorFlow 2.21, Apache-2.0):
field indices below are positions of fields in its tables.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from estimator.dtypes import DType
from estimator.frontends.tflite_wire import Table, WireError

MAX_ITEMS = 500_000
"""Operators, tensors and their links in all subgraphs together."""
MAX_RANK = 32
MAX_VALUE_COUNT = 4096
CUSTOM = 32
_INT2 = 19
_PLACEHOLDER = 127
"""Operator codes from here on are in the newer, wider field."""

_OPERATOR_NAMES = """
    ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP FLOOR
    FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC LSH_PROJECTION
    LSTM MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH SVDF TANH
    CONCAT_EMBEDDINGS SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN GATHER
    BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE
    BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM
    ARG_MAX MINIMUM LESS NEG PADV2 GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV SPARSE_TO_DENSE TILE
    EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT RSQRT SHAPE POW ARG_MIN FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK LOGICAL_OR
    ONE_HOT LOGICAL_AND LOGICAL_NOT UNPACK REDUCE_MIN FLOOR_DIV REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE
    RESIZE_NEAREST_NEIGHBOR LEAKY_RELU SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N GATHER_ND
    COS WHERE RANK ELU REVERSE_SEQUENCE MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG ROUND HARD_SWISH IF WHILE
    NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 SCATTER_ND SELECT_V2 DENSIFY SEGMENT_SUM BATCH_MATMUL
    PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO RFFT2D CONV_3D IMAG REAL COMPLEX_ABS HASHTABLE
    HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE
    BROADCAST_ARGS RANDOM_STANDARD_NORMAL BUCKETIZE RANDOM_UNIFORM MULTINOMIAL GELU DYNAMIC_UPDATE_SLICE RELU_0_TO_1
    UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_SUM ATAN2 UNSORTED_SEGMENT_MIN SIGN BITCAST BITWISE_XOR
    RIGHT_SHIFT STABLEHLO_LOGISTIC STABLEHLO_ADD STABLEHLO_DIVIDE STABLEHLO_MULTIPLY STABLEHLO_MAXIMUM STABLEHLO_RESHAPE
    STABLEHLO_CLAMP STABLEHLO_CONCATENATE STABLEHLO_BROADCAST_IN_DIM STABLEHLO_CONVOLUTION STABLEHLO_SLICE
    STABLEHLO_CUSTOM_CALL STABLEHLO_REDUCE STABLEHLO_ABS STABLEHLO_AND STABLEHLO_COSINE STABLEHLO_EXPONENTIAL
    STABLEHLO_FLOOR STABLEHLO_LOG STABLEHLO_MINIMUM STABLEHLO_NEGATE STABLEHLO_OR STABLEHLO_POWER STABLEHLO_REMAINDER
    STABLEHLO_RSQRT STABLEHLO_SELECT STABLEHLO_SUBTRACT STABLEHLO_TANH STABLEHLO_SCATTER STABLEHLO_COMPARE
    STABLEHLO_CONVERT STABLEHLO_DYNAMIC_SLICE STABLEHLO_DYNAMIC_UPDATE_SLICE STABLEHLO_PAD STABLEHLO_IOTA
    STABLEHLO_DOT_GENERAL STABLEHLO_REDUCE_WINDOW STABLEHLO_SORT STABLEHLO_WHILE STABLEHLO_GATHER STABLEHLO_TRANSPOSE
    DILATE STABLEHLO_RNG_BIT_GENERATOR REDUCE_WINDOW STABLEHLO_COMPOSITE STABLEHLO_SHIFT_LEFT STABLEHLO_CBRT
    STABLEHLO_CASE
"""
OPERATORS: tuple[str, ...] = tuple(_OPERATOR_NAMES.split())
"""Names of ``BuiltinOperator``, by code."""

_ELEMENT_TYPES: tuple[tuple[DType, str | None], ...] = (
    (DType.F32, "<f4"), (DType.F16, "<f2"), (DType.I32, "<i4"), (DType.U8, "u1"), (DType.I64, "<i8"),
    (DType.STRING, None), (DType.BOOL, "?"), (DType.I16, "<i2"), (DType.C64, None), (DType.I8, "i1"),
    (DType.F64, "<f8"), (DType.C128, None), (DType.U64, "<u8"), (DType.STRING, None), (DType.STRING, None),
    (DType.U32, "<u4"), (DType.U16, "<u2"), (DType.I4, None), (DType.BF16, None), (DType.I4, None),
    (DType.I4, None), (DType.F8, None), (DType.F8, None),
)  # fmt: skip
"""By code of ``TensorType``; resources and variants (13, 14) are handles, one pointer each; INT2 (19) as 4 bits."""


@dataclass(frozen=True, slots=True)
class TfliteTensor:
    """One tensor; `signature` has −1 where the extent is not fixed."""

    name: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    dtype: DType
    numpy_name: str | None
    quantised: bool
    variable: bool
    sparse: bool
    constant: bool
    data: memoryview | None

    def values(self) -> NDArray[np.generic] | None:
        """Decode a small constant; None if it is large, not a constant or of a type that numpy has not."""
        if self.numpy_name is None or self.data is None or math.prod(self.shape) > MAX_VALUE_COUNT:
            return None
        return np.frombuffer(self.data, self.numpy_name).reshape(self.shape)


@dataclass(frozen=True, slots=True)
class TfliteOperator:
    """One operator; inputs that are left out are −1."""

    op_type: str
    custom_name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Table | None


@dataclass(frozen=True, slots=True)
class TfliteSubgraph:
    """One subgraph; the first is the model."""

    name: str
    tensors: tuple[TfliteTensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[TfliteOperator, ...]


@dataclass(frozen=True, slots=True)
class TfliteModel:
    """The whole file."""

    description: str
    subgraphs: tuple[TfliteSubgraph, ...]


def read_model(data: memoryview) -> TfliteModel:
    """Read a TFLite model from its bytes.

    Raises
    ------
    WireError
        An offset, a count, an index or a size contradicts the file.
    """
    root = Table.root(data, b"TFL3")
    codes = [_operator_code(table) for table in root.tables(1)]
    buffers = root.tables(4)
    budget = _Budget()
    subgraphs = tuple(_subgraph(table, codes, buffers, budget) for table in root.tables(2))
    return TfliteModel(root.text(3), subgraphs)


@dataclass(slots=True)
class _Budget:
    """Tables may be listed many times over; this bounds the work that a small file can cause."""

    left: int = MAX_ITEMS

    def spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise WireError(f"more than {MAX_ITEMS} operators and tensors")


def _operator_code(table: Table) -> tuple[str, str]:
    code = max(table.scalar(0, "b"), table.scalar(3, "i"))
    if code >= len(OPERATORS) or code < 0 or code == _PLACEHOLDER:
        return f"BUILTIN_{code}", ""
    return OPERATORS[code], table.text(1) if code == CUSTOM else ""


def _subgraph(table: Table, codes: list[tuple[str, str]], buffers: list[Table], budget: _Budget) -> TfliteSubgraph:
    tensor_tables, operator_tables = table.tables(0), table.tables(3)
    budget.spend(len(tensor_tables) + len(operator_tables))
    tensors = tuple(_tensor(t, buffers) for t in tensor_tables)
    count = len(tensors)
    operators = tuple(_operator(t, codes, count, budget) for t in operator_tables)
    inputs, outputs = table.numbers(1, "i"), table.numbers(2, "i")
    _check_indices((*inputs, *outputs), count, least=0)
    return TfliteSubgraph(table.text(4), tensors, inputs, outputs, operators)


def _check_indices(indices: tuple[int, ...], count: int, least: int) -> None:
    if any(not least <= i < count for i in indices):
        raise WireError(f"a tensor index is outside the {count} tensors of its subgraph")


def _operator(table: Table, codes: list[tuple[str, str]], count: int, budget: _Budget) -> TfliteOperator:
    index = table.scalar(0, "I")
    if index >= len(codes):
        raise WireError(f"operator code {index} of {len(codes)}")
    inputs, outputs = table.numbers(1, "i"), table.numbers(2, "i")
    budget.spend(len(inputs) + len(outputs))
    _check_indices(inputs, count, least=-1)
    _check_indices(outputs, count, least=0)
    op_type, custom_name = codes[index]
    return TfliteOperator(op_type, custom_name, inputs, outputs, table.table(4) or table.table(12))


def _tensor(table: Table, buffers: list[Table]) -> TfliteTensor:
    name = table.text(3)
    shape, signature = table.numbers(0, "i"), table.numbers(7, "i")
    if len(shape) > MAX_RANK or any(extent < 0 for extent in shape):
        raise WireError(f"tensor {name!r} has the impossible shape {list(shape[:8])}")
    code = table.scalar(1, "b")
    if not 0 <= code < len(_ELEMENT_TYPES):
        raise WireError(f"tensor {name!r} has the unknown element type {code}")
    dtype, numpy_name = _ELEMENT_TYPES[code]
    index = table.scalar(2, "I")
    if index >= len(buffers):
        raise WireError(f"tensor {name!r} is in buffer {index} of {len(buffers)}")
    span = buffers[index].span(0) if index else None
    external = bool(index) and buffers[index].scalar(1, "Q") > 1
    sparse = table.table(6) is not None
    if span is not None and not sparse and dtype is not DType.STRING and code != _INT2:
        expected = (math.prod(shape) * dtype.bits + 7) // 8
        if len(span) != expected:
            raise WireError(
                f"tensor {name!r} of shape {list(shape)} needs {expected} bytes, its buffer has {len(span)}"
            )
    quantisation = table.table(4)
    scales = quantisation is not None and bool(quantisation._vector(2, 4)[1])
    return TfliteTensor(
        name=name,
        shape=shape,
        signature=signature if len(signature) == len(shape) else shape,
        dtype=dtype,
        numpy_name=numpy_name,
        quantised=scales and not dtype.is_float,
        variable=table.flag(5),
        sparse=sparse,
        constant=span is not None or external,
        data=None if sparse else span,
    )
