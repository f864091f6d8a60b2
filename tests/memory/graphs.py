"""Small graphs by hand, and random ones, for tests of memory."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from estimator.dtypes import DType
from estimator.ir.graph import Graph, ModuleCall
from estimator.ir.op import FunctionAttrs, Op, OpKind
from estimator.ir.tensor import TensorRole, TensorSpec

KIB = 256
"""Elements of an fp32 tensor of 1 KiB."""


def graph(
    ops: Sequence[Op],
    kib: dict[str, int],
    *,
    inputs: tuple[str, ...] = ("x",),
    outputs: tuple[str, ...],
    calls: tuple[ModuleCall, ...] = (),
) -> Graph:
    """A graph whose fp32 tensors have the given sizes in KiB."""
    tensors = {
        name: TensorSpec(name, (size * KIB,), DType.F32, TensorRole.INPUT if name in inputs else TensorRole.ACTIVATION)
        for name, size in kib.items()
    }
    return Graph("g", tensors, inputs, outputs, tuple(ops), module_calls=calls)


def op(output: str, *inputs: str, kind: OpKind = OpKind.REDUCE, in_place: bool = False) -> Op:
    """An op named after its result."""
    return Op(output, kind, inputs, (output,), FunctionAttrs("f"), in_place=in_place)


def view(output: str, base: str) -> Op:
    return op(output, base, kind=OpKind.VIEW)


def relu(output: str, x: str, *, in_place: bool = False) -> Op:
    return op(output, x, kind=OpKind.ACTIVATION, in_place=in_place)


@st.composite
def random_graphs(draw: st.DrawFn) -> Graph:
    """Up to 14 ops, each reading one or two earlier tensors; some make views, some overwrite their operand."""
    sizes = {"x": draw(st.integers(1, 8))}
    names, ops = ["x"], []
    for index in range(draw(st.integers(1, 14))):
        name, read = f"t{index}", draw(st.lists(st.sampled_from(names), min_size=1, max_size=2))
        kind = draw(st.sampled_from([OpKind.REDUCE, OpKind.REDUCE, OpKind.VIEW, OpKind.ACTIVATION, OpKind.BINARY]))
        in_place = kind is OpKind.ACTIVATION and draw(st.booleans())
        same_size = kind in (OpKind.VIEW, OpKind.ACTIVATION, OpKind.BINARY)
        sizes[name] = sizes[read[0]] if same_size else draw(st.integers(0, 8))
        ops.append(op(name, *(read[:1] if kind is OpKind.VIEW else read), kind=kind, in_place=in_place))
        names.append(name)
    outputs = draw(st.lists(st.sampled_from(names[1:]), min_size=1, max_size=3, unique=True))
    return graph(ops, sizes, outputs=tuple(outputs))
