"""Small valid networks for tests of the wire."""

from estimator.dtypes import DType
from estimator.ir.graph import Graph
from estimator.ir.op import (
    AdaptivePoolAttrs,
    AttentionAttrs,
    AxisAttrs,
    ConvAttrs,
    CopyAttrs,
    EinsumAttrs,
    FunctionAttrs,
    MatmulAttrs,
    NoAttrs,
    NormAttrs,
    Op,
    OpKind,
    PoolAttrs,
    ReduceAttrs,
    ResizeAttrs,
    RnnAttrs,
    SoftmaxAttrs,
    UnknownAttrs,
)
from estimator.ir.tensor import TensorRole, TensorSpec


def mlp(depth=2, width=8, name="mlp"):
    """x[1, width] → `depth` × (linear without bias, relu)."""
    tensors = {"x": TensorSpec("x", (1, width), DType.F32, TensorRole.INPUT)}
    ops, last = [], "x"
    for i in range(depth):
        tensors[f"w{i}"] = TensorSpec(f"w{i}", (width, width), DType.F32, TensorRole.PARAMETER)
        for made in (f"y{i}", f"z{i}"):
            tensors[made] = TensorSpec(made, (1, width), DType.F32)
        ops.append(Op(f"linear{i}", OpKind.LINEAR, (last, f"w{i}"), (f"y{i}",)))
        ops.append(Op(f"relu{i}", OpKind.ACTIVATION, (f"y{i}",), (f"z{i}",), FunctionAttrs("relu")))
        last = f"z{i}"
    return Graph(name, tensors, ("x",), (last,), tuple(ops))


def with_unknown_op():
    """One operator that nobody has a rule for."""
    tensors = {
        "x": TensorSpec("x", (1, 8), DType.F32, TensorRole.INPUT),
        "y": TensorSpec("y", (1, 8), DType.F32),
    }
    op = Op("strange", OpKind.UNKNOWN, ("x",), ("y",), UnknownAttrs("no rule for Strange"), source="Strange")
    return Graph("strange", tensors, ("x",), ("y",), (op,))


def with_two_uses_of_one_weight(width=8):
    """x → linear(w) → linear(w): the weight is counted once."""
    tensors = {
        "x": TensorSpec("x", (1, width), DType.F32, TensorRole.INPUT),
        "w": TensorSpec("w", (width, width), DType.F32, TensorRole.PARAMETER),
        "y": TensorSpec("y", (1, width), DType.F32),
        "z": TensorSpec("z", (1, width), DType.F32),
    }
    ops = (Op("a", OpKind.LINEAR, ("x", "w"), ("y",)), Op("b", OpKind.LINEAR, ("y", "w"), ("z",)))
    return Graph("tied", tensors, ("x",), ("z",), ops)


def with_every_kind_of_arithmetic():
    """One small operator of each kind that a cost rule looks into: a target for mutations."""
    tensors, ops = {}, []

    def tensor(name, shape, role=TensorRole.ACTIVATION, dtype=DType.F32):
        tensors[name] = TensorSpec(name, shape, dtype, role)
        return name

    def add(kind, inputs, shape, attrs=None):
        output = tensor(f"t{len(ops)}", shape)
        ops.append(Op(f"op{len(ops)}", kind, tuple(inputs), (output,), attrs or NoAttrs()))
        return output

    def weight(shape):
        return tensor(f"w{len(tensors)}", shape, TensorRole.PARAMETER)

    x = tensor("image", (1, 4, 8, 8), TensorRole.INPUT)
    ids = tensor("ids", (1, 3), TensorRole.INPUT, DType.I64)
    conv = ConvAttrs((3, 3), (1, 1), (1, 1), (1, 1))
    y = add(OpKind.CONV, [x, weight((4, 4, 3, 3)), weight((4,))], (1, 4, 8, 8), conv)
    y = add(OpKind.NORM, [y, weight((4,)), weight((4,))], (1, 4, 8, 8), NormAttrs("batch"))
    y = add(OpKind.ACTIVATION, [y], (1, 4, 8, 8), FunctionAttrs("relu"))
    y = add(OpKind.BINARY, [y, x], (1, 4, 8, 8), FunctionAttrs("add"))
    y = add(OpKind.POOL, [y], (1, 4, 4, 4), PoolAttrs("max", (2, 2), (2, 2), (0, 0)))
    y = add(OpKind.RESIZE, [y], (1, 4, 8, 8), ResizeAttrs("bilinear"))
    y = add(OpKind.CONCAT, [y, x], (1, 8, 8, 8), AxisAttrs(1))
    y = add(OpKind.ADAPTIVE_POOL, [y], (1, 8, 1, 1), AdaptivePoolAttrs("avg", (1, 1)))
    y = add(OpKind.REDUCE, [y], (1, 8), ReduceAttrs("mean", (2, 3)))
    y = add(OpKind.LINEAR, [y, weight((8, 8)), weight((8,))], (1, 8))
    add(OpKind.SOFTMAX, [y], (1, 8), SoftmaxAttrs(1))
    e = add(OpKind.EMBEDDING, [weight((10, 8)), ids], (1, 3, 8))
    e = add(OpKind.RNN, [e, weight((16, 8)), weight((16, 4)), weight((16,))], (1, 3, 4), RnnAttrs("lstm", 4))
    e = add(OpKind.VIEW, [e], (1, 1, 3, 4), FunctionAttrs("view"))
    e = add(OpKind.ATTENTION, [e, e, e], (1, 1, 3, 4), AttentionAttrs())
    e = add(OpKind.MATMUL, [e, weight((4, 5))], (1, 1, 3, 5), MatmulAttrs())
    e = add(OpKind.EINSUM, [e, weight((5, 6))], (1, 1, 3, 6), EinsumAttrs("abcd,de->abce"))
    add(OpKind.COPY, [e], (1, 1, 6, 3), CopyAttrs("transpose", transposing=True))
    outputs = tuple(name for op in ops for name in op.outputs if not any(name in other.inputs for other in ops))
    return Graph("everything", tensors, ("image", "ids"), outputs, tuple(ops))
