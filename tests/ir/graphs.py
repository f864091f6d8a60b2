"""Makers of graphs: one written by hand, and a strategy that draws valid ones of every kind with awkward names."""

from __future__ import annotations

from dataclasses import fields
from typing import get_type_hints

from hypothesis import strategies as st

from estimator.dtypes import DType
from estimator.ir.graph import Graph, ModuleCall, ModuleSpec
from estimator.ir.op import (
    ATTRS_OF,
    Attrs,
    AxisAttrs,
    ConvAttrs,
    EinsumAttrs,
    FunctionAttrs,
    NormAttrs,
    Op,
    OpKind,
    PoolAttrs,
    ReduceAttrs,
    RnnAttrs,
    SoftmaxAttrs,
)
from estimator.ir.tensor import TensorRole, TensorSpec


def spec(name: str, *shape: int, role: TensorRole = TensorRole.ACTIVATION) -> TensorSpec:
    return TensorSpec(name, shape, DType.F32, role)


def small_graph(**changes: object) -> Graph:
    """conv(x[1,3,8,8], w[4,3,3,3]) → relu in place; keyword arguments replace fields."""
    tensors = [
        spec("x", 1, 3, 8, 8, role=TensorRole.INPUT),
        spec("w", 4, 3, 3, 3, role=TensorRole.PARAMETER),
        spec("y", 1, 4, 8, 8),
        spec("z", 1, 4, 8, 8),
    ]
    made: dict[str, object] = {
        "name": "small",
        "tensors": {t.name: t for t in tensors},
        "inputs": ("x",),
        "outputs": ("z",),
        "ops": (
            Op("y", OpKind.CONV, ("x", "w"), ("y",), ConvAttrs((3, 3), (1, 1), (1, 1), (1, 1)), "conv", "aten.conv2d"),
            Op("z", OpKind.ACTIVATION, ("y",), ("z",), FunctionAttrs("relu"), "act", "aten.relu_", in_place=True),
        ),
        "modules": (
            ModuleSpec("", "Net"),
            ModuleSpec("conv", "torch.nn.Conv2d", ("w",)),
            ModuleSpec("act", "torch.nn.ReLU"),
        ),
        "module_calls": (ModuleCall("conv", ("x",), ("y",)), ModuleCall("act", ("y",), ("z",))),
        "notes": ("made by hand",),
        "source_format": "hand",
    }
    return Graph(**(made | changes))  # type: ignore[arg-type]


names = st.one_of(
    st.from_regex(r"[a-z_][a-z0-9_.]{0,8}", fullmatch=True),
    st.sampled_from(
        ["input", "output", "true", "in_place", "as", "a b", 'quo"te', "new\nline", "back\\slash", "(", "é,="]
    ),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=6),
)
_SHAPE = (2, 4, 6, 6)
_TYPED: dict[object, st.SearchStrategy[object]] = {
    int: st.integers(1, 2**40),
    bool: st.booleans(),
    str: names,
    tuple[int, ...]: st.lists(st.integers(0, 9), max_size=3).map(tuple),
    tuple[str, ...]: st.lists(names, max_size=3).map(tuple),
}
# Kinds whose attributes must fit their tensors: weights they read besides a [2, 4, 6, 6] activation, and attributes.
_FITTING: dict[OpKind, tuple[tuple[tuple[int, ...], ...], Attrs]] = {
    OpKind.CONV: (((8, 2, 3, 3), (8,)), ConvAttrs((3, 3), (1, 1), (1, 1), (1, 1), groups=2)),
    OpKind.LINEAR: (((5, 6),), ATTRS_OF[OpKind.LINEAR]()),
    OpKind.MATMUL: (((6, 7),), ATTRS_OF[OpKind.MATMUL]()),
    OpKind.EINSUM: ((), EinsumAttrs("abcd->abcd")),
    OpKind.ATTENTION: ((_SHAPE, _SHAPE), ATTRS_OF[OpKind.ATTENTION]()),
    OpKind.RNN: (((8, 6), (8, 2)), RnnAttrs("lstm", 2)),
    OpKind.NORM: (((4,), (4,)), NormAttrs("batch")),
    OpKind.SOFTMAX: ((), SoftmaxAttrs(3)),
    OpKind.CONCAT: ((_SHAPE,), AxisAttrs(1)),
    OpKind.REDUCE: ((), ReduceAttrs("sum", (2, 3), keepdim=True)),
    OpKind.POOL: ((), PoolAttrs("max", (2, 2), (2, 2), (0, 0))),
}


@st.composite
def attributes(draw: st.DrawFn, kind: OpKind) -> Attrs:
    """Any well-typed attributes of a kind, whether or not they make sense."""
    cls = ATTRS_OF[kind]
    hints = get_type_hints(cls)
    return cls(**{f.name: draw(_TYPED[hints[f.name]]) for f in fields(cls)})  # type: ignore[return-value]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """A chain of ops of random kinds over a [2, 4, 6, 6] activation, all names distinct and awkward."""
    kinds = draw(st.lists(st.sampled_from(OpKind), min_size=1, max_size=6))
    pool = iter(draw(st.lists(names, min_size=40, max_size=40, unique=True)))
    dtypes = st.sampled_from(DType)
    tensors: dict[str, TensorSpec] = {}

    def add(shape: tuple[int, ...], role: TensorRole) -> str:
        strides = draw(st.none() | st.just(tuple(range(len(shape)))))
        made = TensorSpec(next(pool), shape, draw(dtypes), role, draw(st.booleans()), strides)
        tensors[made.name] = made
        return made.name

    current = add(_SHAPE, TensorRole.INPUT)
    source = current
    ops = []
    for kind in kinds:
        shapes, attrs = _FITTING.get(kind, ((_SHAPE, _SHAPE), draw(attributes(kind))))
        roles = st.sampled_from([TensorRole.PARAMETER, TensorRole.BUFFER, TensorRole.CONSTANT])
        weights = tuple(add(shape, draw(roles)) for shape in shapes)
        result = add(_SHAPE, TensorRole.ACTIVATION)
        op_name = draw(st.sampled_from([result, next(pool)]))
        scope, origin = draw(names | st.just("")), draw(names | st.just(""))
        ops.append(Op(op_name, kind, (current, *weights), (result,), attrs, scope, origin, draw(st.booleans())))
        current = result
    path = next(pool)
    return Graph(
        name=draw(names),
        tensors=tensors,
        inputs=(source,),
        outputs=(current,),
        ops=tuple(ops),
        modules=(ModuleSpec(path, draw(names)),),
        module_calls=(ModuleCall(path, (source,), (current,)),),
        notes=tuple(draw(st.lists(names, max_size=2))),
        source_format=draw(names | st.just("")),
    )
