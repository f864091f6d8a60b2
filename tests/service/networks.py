"""Small valid networks for tests of the wire."""

from estimator.dtypes import DType
from estimator.ir.graph import Graph
from estimator.ir.op import FunctionAttrs, Op, OpKind, UnknownAttrs
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
