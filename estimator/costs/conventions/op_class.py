"""The coarse classes by which two conventions are compared."""

from __future__ import annotations

from collections.abc import Mapping

from estimator.ir.op import NormAttrs, Op, OpKind

_CLASS_OF_KIND: Mapping[OpKind, str] = {
    OpKind.CONV: "convolution",
    OpKind.DEFORM_CONV: "convolution",
    OpKind.LINEAR: "linear",
    OpKind.MATMUL: "matmul",
    OpKind.EINSUM: "matmul",
    OpKind.ATTENTION: "attention",
    OpKind.RNN: "recurrent",
    OpKind.SOFTMAX: "softmax",
    OpKind.ACTIVATION: "activation",
    OpKind.POOL: "pooling",
    OpKind.ADAPTIVE_POOL: "adaptive pooling",
    OpKind.RESIZE: "resize",
    OpKind.GRID_SAMPLE: "resize",
    OpKind.REDUCE: "reduction",
    OpKind.UNARY: "elementwise",
    OpKind.BINARY: "elementwise",
    OpKind.TERNARY: "elementwise",
}
_CLASS_OF_MODULE: Mapping[str, str] = {
    "Linear": "linear",
    "NonDynamicallyQuantizableLinear": "linear",
    "MultiheadAttention": "attention",
    "Attention": "attention",
    "Softmax": "softmax",
    "Upsample": "resize",
    "UpsamplingBilinear2d": "resize",
    "UpsamplingNearest2d": "resize",
    **dict.fromkeys(("RNN", "GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell"), "recurrent"),
    **dict.fromkeys(("ReLU", "ReLU6", "PReLU", "LeakyReLU", "ELU", "GELU", "SiLU"), "activation"),
}


def class_of_op(op: Op) -> str:
    """Class of an op; norms are split, since tools treat batch norm apart."""
    if op.kind is OpKind.NORM:
        function = op.attrs.function if isinstance(op.attrs, NormAttrs) else ""
        return "batch norm" if function == "batch" else "other norm"
    return _CLASS_OF_KIND.get(op.kind, "other")


def class_of_module(type_name: str) -> str:
    """Class of a torch module by its bare type name."""
    if type_name in _CLASS_OF_MODULE:
        return _CLASS_OF_MODULE[type_name]
    if "Conv" in type_name:
        return "convolution"
    if "BatchNorm" in type_name:
        return "batch norm"
    if "Norm" in type_name:
        return "other norm"
    if "Adaptive" in type_name:
        return "adaptive pooling"
    return "pooling" if "Pool" in type_name else "other"
