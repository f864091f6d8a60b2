"""ONNX operators that work element by element, and quantisation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from estimator.dtypes import DType
from estimator.frontends.onnx_importer import Node, NodeProblem, rule
from estimator.frontends.onnx_schema import ELEMENT_TYPES
from estimator.frontends.shape_arithmetic import broadcast
from estimator.ir.op import FunctionAttrs, OpKind
from estimator.ir.tensor import TensorRole

Array = NDArray[np.generic]

_ACTIVATIONS = {
    "Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "HardSigmoid": "hardsigmoid", "HardSwish": "hardswish",
    "Elu": "elu", "Selu": "selu", "Celu": "celu", "LeakyRelu": "leaky_relu", "Softplus": "softplus",
    "Softsign": "softsign", "Mish": "mish", "Swish": "silu", "ThresholdedRelu": "threshold", "Shrink": "hardshrink",
}  # fmt: skip
_UNARY: dict[str, tuple[str, Callable[..., Array]]] = {
    "Abs": ("abs", np.abs), "Neg": ("neg", np.negative), "Floor": ("floor", np.floor), "Ceil": ("ceil", np.ceil),
    "Round": ("round", np.rint), "Sqrt": ("sqrt", np.sqrt), "Exp": ("exp", np.exp), "Log": ("log", np.log),
    "Sin": ("sin", np.sin), "Cos": ("cos", np.cos), "Tan": ("tan", np.tan), "Asin": ("asin", np.arcsin),
    "Acos": ("acos", np.arccos), "Atan": ("atan", np.arctan), "Sinh": ("sinh", np.sinh), "Cosh": ("cosh", np.cosh),
    "Asinh": ("asinh", np.arcsinh), "Acosh": ("acosh", np.arccosh), "Atanh": ("atanh", np.arctanh),
    "Sign": ("sign", np.sign), "Not": ("logical_not", np.logical_not), "BitwiseNot": ("bitwise_not", np.invert),
    "Reciprocal": ("reciprocal", np.reciprocal),
}  # fmt: skip
_COMPARISONS: dict[str, tuple[str, Callable[[Array, Array], Array]]] = {
    "Equal": ("eq", np.equal), "Less": ("lt", np.less), "LessOrEqual": ("le", np.less_equal),
    "Greater": ("gt", np.greater), "GreaterOrEqual": ("ge", np.greater_equal), "And": ("logical_and", np.logical_and),
    "Or": ("logical_or", np.logical_or), "Xor": ("logical_xor", np.logical_xor),
}  # fmt: skip


def _divide(a: Array, b: Array) -> Array:
    """ONNX division: of integers it truncates towards zero."""
    if np.issubdtype(a.dtype, np.integer):
        return np.asarray(np.sign(a) * np.sign(b) * (np.abs(a) // np.maximum(np.abs(b), 1)), dtype=a.dtype)
    return np.divide(a, b)


_BINARY: dict[str, tuple[str, Callable[[Array, Array], Array]]] = {
    "Add": ("add", np.add), "Sub": ("sub", np.subtract), "Mul": ("mul", np.multiply), "Div": ("div", _divide),
    "Pow": ("pow", np.power), "Mod": ("remainder", np.mod), "BitwiseAnd": ("bitwise_and", np.bitwise_and),
    "BitwiseOr": ("bitwise_or", np.bitwise_or), "BitwiseXor": ("bitwise_xor", np.bitwise_xor),
}  # fmt: skip
_VARIADIC: dict[str, tuple[str, Callable[[Array, Array], Array]]] = {
    "Max": ("maximum", np.maximum), "Min": ("minimum", np.minimum), "Sum": ("add", np.add), "Mean": ("add", np.add),
}  # fmt: skip


@rule(*_ACTIVATIONS)
def _activation(node: Node) -> None:
    value = node.compute(lambda a: np.maximum(a, 0), 0) if node.op_type == "Relu" else None
    node.emit(OpKind.ACTIVATION, node.input(0).shape, FunctionAttrs(_ACTIVATIONS[node.op_type]), value=value)


@rule("Gelu")
def _gelu(node: Node) -> None:
    function = "gelu_tanh" if node.text_attr("approximate", "none") == "tanh" else "gelu"
    node.emit(OpKind.ACTIVATION, node.input(0).shape, FunctionAttrs(function))


@rule("PRelu")
def _prelu(node: Node) -> None:
    node.as_weight(1)
    node.emit(OpKind.ACTIVATION, node.input(0).shape, FunctionAttrs("prelu"))


@rule("Clip")
def _clip(node: Node) -> None:
    """relu6 when it clips to [0, 6], relu when to [0, ∞); a clamp otherwise. Bounds moved to inputs in opset 11."""
    low, high = node.float_attr("min", -np.inf), node.float_attr("max", np.inf)
    if node.has(1):
        low = _scalar(node.value(1))
    if node.has(2):
        high = _scalar(node.value(2))
    shape = node.input(0).shape
    bounded = not np.isnan([low, high]).any()
    value = node.compute(lambda a: np.clip(a, low, high).astype(a.dtype), 0) if bounded else None
    if (low, high) == (0.0, 6.0):
        node.emit(OpKind.ACTIVATION, shape, FunctionAttrs("relu6"), inputs=(0,), value=value)
    elif low == 0.0 and high > 1e30:
        node.emit(OpKind.ACTIVATION, shape, FunctionAttrs("relu"), inputs=(0,), value=value)
    else:
        node.emit(OpKind.UNARY, shape, FunctionAttrs("clamp"), inputs=(0,), value=value)


def _scalar(values: Array | None) -> float:
    return float("nan") if values is None or values.size != 1 else float(values.reshape(()).astype(np.float64))


@rule(*_UNARY)
def _unary(node: Node) -> None:
    function, compute = _UNARY[node.op_type]
    node.emit(OpKind.UNARY, node.input(0).shape, FunctionAttrs(function), value=node.compute(compute, 0))


@rule("Erf", "IsNaN", "IsInf", "Bernoulli")
def _other_unary(node: Node) -> None:
    code = node.int_attr("dtype", 0)
    dtype = DType.BOOL if node.op_type.startswith("Is") else ELEMENT_TYPES[code].dtype if code else None
    node.emit(OpKind.UNARY, node.input(0).shape, FunctionAttrs(node.op_type.lower()), dtype=dtype)


@rule(*_BINARY)
def _binary(node: Node) -> None:
    function, compute = _BINARY[node.op_type]
    shape = broadcast(node.input(0).shape, _aligned(node))
    dtype = node.input(0).dtype if node.op_type == "Pow" else None
    node.emit(OpKind.BINARY, shape, FunctionAttrs(function), dtype=dtype, value=node.compute(compute, 0, 1))


def _aligned(node: Node) -> tuple[int, ...]:
    """Second operand's shape; before opset 7 `axis` says where it starts."""
    a, b = node.input(0).shape, node.input(1).shape
    if node.opset >= 7 or not node.int_attr("broadcast", 0) or node.attribute("axis") is None:
        return b
    axis = node.int_attr("axis", 0)
    return (*b, *(1,) * (len(a) - len(b) - axis))


@rule("BitShift")
def _shift(node: Node) -> None:
    direction = "left" if node.text_attr("direction", "LEFT") == "LEFT" else "right"
    shape = broadcast(node.input(0).shape, node.input(1).shape)
    node.emit(OpKind.BINARY, shape, FunctionAttrs(f"bitwise_{direction}_shift"))


@rule(*_COMPARISONS)
def _comparison(node: Node) -> None:
    function, compute = _COMPARISONS[node.op_type]
    shape = broadcast(node.input(0).shape, _aligned(node))
    value = node.compute(compute, 0, 1)
    node.emit(OpKind.BINARY, shape, FunctionAttrs(function), dtype=DType.BOOL, value=value, quantised=False)


@rule(*_VARIADIC)
def _variadic(node: Node) -> None:
    """Max, Min, Sum, Mean of one to many operands: a chain of binary ops is one op that reads them all."""
    function, compute = _VARIADIC[node.op_type]
    specs = node.inputs()
    shape = broadcast(*(s.shape for s in specs))
    if len(specs) == 1:
        node.emit(OpKind.IDENTITY, shape, FunctionAttrs("identity"))
        return
    value = node.compute(compute, 0, 1) if len(specs) == 2 and node.op_type != "Mean" else None
    node.emit(OpKind.BINARY, shape, FunctionAttrs(function), value=value)


def _select(condition: Array, a: Array, b: Array) -> Array:
    return np.asarray(np.where(condition.astype(bool), a, b))


@rule("Where")
def _where(node: Node) -> None:
    shape = broadcast(*(s.shape for s in node.inputs()))
    value = node.compute(_select, 0, 1, 2)
    node.emit(OpKind.TERNARY, shape, FunctionAttrs("where"), dtype=node.input(1).dtype, value=value, quantised=False)


@rule("Cast", "CastLike", "BitCast")
def _cast(node: Node) -> None:
    """Import a cast; one of a weight is done at load time, and the op then reads the weight as it is stored."""
    x = node.input(0)
    if node.op_type == "CastLike":
        target, numpy_name = node.input(1).dtype, None
    else:
        code = node.int_attr("to", 1)
        if code not in ELEMENT_TYPES:
            raise NodeProblem(f"it casts to the unknown element type {code}")
        target, numpy_name = ELEMENT_TYPES[code].dtype, ELEMENT_TYPES[code].numpy_name
    value = node.compute(lambda a: a.astype(numpy_name), 0) if numpy_name and node.op_type == "Cast" else None
    stored = x.dtype if x.is_weight and x.numel > 1 and x.dtype.is_float and target.is_float else target
    kind = OpKind.IDENTITY if target is x.dtype else OpKind.CAST
    if kind is OpKind.IDENTITY:
        node.emit(kind, x.shape, FunctionAttrs("cast"), dtype=stored, inputs=(0,), value=value)
    else:
        node.emit(kind, x.shape, dtype=stored, inputs=(0,), value=value)


@rule("QuantizeLinear")
def _quantise(node: Node) -> None:
    """Output type is the zero point's, or `output_dtype`, or uint8."""
    zero = node.optional(2)
    dtype = zero.dtype if zero else ELEMENT_TYPES[node.int_attr("output_dtype", 0) or 2].dtype
    node.emit(OpKind.QUANTIZE, node.input(0).shape, dtype=dtype, inputs=(0,), quantised=True)


@rule("DynamicQuantizeLinear")
def _dynamic_quantise(node: Node) -> None:
    shape = node.input(0).shape
    outputs = [(shape, DType.U8), ((), DType.F32), ((), DType.U8)]
    node.emit_many(OpKind.QUANTIZE, outputs, quantised=True)


@rule("DequantizeLinear")
def _dequantise(node: Node) -> None:
    """On a weight it leaves no op: the consumer reads the stored integers (see `emit_many`)."""
    x = node.input(0)
    if x.is_weight and node.input(1).is_weight:
        node.as_weight(0)
        node.as_weight(1, TensorRole.CONSTANT)
        node.emit(OpKind.DEQUANTIZE, x.shape, dtype=x.dtype, quantised=True)
        return
    scale = node.input(1).dtype
    node.emit(OpKind.DEQUANTIZE, x.shape, dtype=scale if scale.is_float else DType.F32, inputs=(0,), quantised=True)
