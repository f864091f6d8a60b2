"""Graphs of one op, named by what the op is: ``kernel:linear-768`` on 1x196x3072.

Records of single kernels (micro-benchmarks) then calibrate and validate like records of networks. The reference holds
what the op makes, the input shape what it reads.

References
----------
``kernel:linear-N``
    [..., k] to [..., N], with a bias.
``kernel:bmm-N``
    [b, m, k] times another activation [b, k, N].
``kernel:conv3x3-N`` · ``kernel:conv3x3-N-s2``
    N filters of that extent, padded by half of it, with a stride where one is named.
``kernel:NAME``
    softmax and layer_norm over the last axis; relu, gelu, tanh; add, mul, div, pow of two tensors, and the same with a
    number: add_scalar, mul_scalar, div_scalar, pow_scalar.
"""

from __future__ import annotations

import re
from typing import Final

from estimator.dtypes import DType
from estimator.errors import BadOptionError, UnknownModelError
from estimator.frontends.graph_builder import NO_ATTRS, GraphBuilder
from estimator.frontends.input_shape import InputShape
from estimator.ir.graph import Graph
from estimator.ir.op import Attrs, ConvAttrs, FunctionAttrs, MatmulAttrs, NormAttrs, OpKind, SoftmaxAttrs
from estimator.ir.tensor import Shape, TensorRole

SCHEME: Final = "kernel"
_ACTIVATIONS: Final = ("relu", "gelu", "tanh")
_BINARIES: Final = ("add", "mul", "div", "pow")
_NAMES: Final = (
    "linear-N", "bmm-N", "conv3x3-N", "softmax", "layer_norm", *_ACTIVATIONS, *_BINARIES,
    *(f"{name}_scalar" for name in _BINARIES),
)  # fmt: skip
_PRODUCT: Final = re.compile(r"(linear|bmm|conv(\d{1,2})x(\d{1,2}))-([1-9]\d{0,6})(?:-s([1-9]))?")


def load_kernel(reference: str, shapes: tuple[InputShape, ...], batch: int | None) -> Graph:
    """Build the graph of one op.

    Parameters
    ----------
    reference : str
        ``kernel:…``, see the module docstring.
    shapes : tuple of InputShape
        One: of the op's (first) activation.

    Raises
    ------
    UnknownModelError
        No such op.
    BadOptionError
        No input shape, or one that the op cannot take.
    """
    name = reference.partition(":")[2]
    if len(shapes) != 1:
        raise BadOptionError(f"{reference} takes one input shape, not {len(shapes)}", where="--input-shape")
    shape = shapes[0].with_batch(batch).shape
    product = _PRODUCT.fullmatch(name)
    builder = GraphBuilder()
    builder.add_tensor("x", shape, DType.F32, TensorRole.INPUT)
    if product:
        _emit_product(builder, reference, shape, product)
    elif name in ("softmax", "layer_norm", *_ACTIVATIONS):
        kind, weights, attrs = _of_one(name, len(shape), shape[-1])
        _emit(builder, kind, ("x", *weights), shape, weights, attrs)
    elif name in _BINARIES:
        builder.add_tensor("y", shape, DType.F32, TensorRole.INPUT)
        _emit(builder, OpKind.BINARY, ("x", "y"), shape, {}, FunctionAttrs(name))
    elif (function := name.removesuffix("_scalar")) in _BINARIES:
        _emit(builder, OpKind.UNARY, ("x",), shape, {}, FunctionAttrs(function))
    else:
        raise UnknownModelError(reference, tuple(f"{SCHEME}:{known}" for known in _NAMES))
    given = [tensor for tensor in ("x", "y") if tensor in builder.tensors]
    return builder.freeze(name, given, ("out",), SCHEME)


def _of_one(name: str, rank: int, width: int) -> tuple[OpKind, dict[str, Shape], Attrs]:
    if name == "softmax":
        return OpKind.SOFTMAX, {}, SoftmaxAttrs(rank - 1)
    if name == "layer_norm":
        return OpKind.NORM, {"scale": (width,), "shift": (width,)}, NormAttrs("layer")
    return OpKind.ACTIVATION, {}, FunctionAttrs(name)


def _emit_product(builder: GraphBuilder, reference: str, shape: Shape, match: re.Match[str]) -> None:
    operator, height, width, count, step = match[1], match[2], match[3], int(match[4]), int(match[5] or 1)
    kind = "conv" if height else operator
    axes = {"linear": "[..., k]", "bmm": "[b, m, k]", "conv": "[n, c, h, w]"}
    rank = {"bmm": 3, "conv": 4}.get(kind, len(shape))
    if len(shape) != rank or (step > 1 and kind != "conv"):
        raise BadOptionError(f"{reference} cannot take {shape}", where="--input-shape", expected=axes[kind])
    if kind == "linear":
        _emit(builder, OpKind.LINEAR, ("x", "w", "b"), (*shape[:-1], count), {"w": (count, shape[-1]), "b": (count,)})
    elif kind == "bmm":
        builder.add_tensor("y", (shape[0], shape[2], count), DType.F32, TensorRole.INPUT)
        _emit(builder, OpKind.MATMUL, ("x", "y"), (*shape[:2], count), {}, MatmulAttrs())
    else:
        taps = (int(height), int(width))
        padding = (taps[0] // 2, taps[1] // 2)
        rows, columns = ((n + 2 * p - k) // step + 1 for n, p, k in zip(shape[2:], padding, taps, strict=True))
        if rows < 1 or columns < 1:
            raise BadOptionError(f"{shape} is smaller than the filter of {reference}", where="--input-shape")
        attrs = ConvAttrs(taps, (step, step), padding, (1, 1))
        out = (shape[0], count, rows, columns)
        _emit(builder, OpKind.CONV, ("x", "w"), out, {"w": (count, shape[1], *taps)}, attrs)


def _emit(
    builder: GraphBuilder,
    kind: OpKind,
    inputs: tuple[str, ...],
    output: Shape,
    weights: dict[str, Shape],
    attrs: Attrs = NO_ATTRS,
) -> None:
    for name, extents in weights.items():
        builder.add_tensor(name, extents, DType.F32, TensorRole.PARAMETER)
    builder.add_tensor("out", output, DType.F32)
    builder.emit(kind, inputs, ("out",), attrs, name=kind.value, source=SCHEME)
