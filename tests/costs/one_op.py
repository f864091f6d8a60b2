"""Make graphs of one op, or of a short chain, to cost by hand."""

from __future__ import annotations

from estimator.costs.opcost import OpCost
from estimator.costs.registry import cost_of_op
from estimator.dtypes import DType
from estimator.ir.graph import Graph
from estimator.ir.op import Attrs, NoAttrs, Op, OpKind
from estimator.ir.tensor import Shape, TensorRole, TensorSpec

NO_ATTRS = NoAttrs()
WEIGHT_NAMES = ("w", "b", "scale", "shift", "table")


def one_op_graph(
    kind: OpKind,
    inputs: dict[str, Shape],
    output: Shape,
    attrs: Attrs = NO_ATTRS,
    *,
    dtype: DType = DType.F32,
    source: str = "",
    in_place: bool = False,
) -> Graph:
    """Build a graph of one op; inputs called w, b, scale, shift, table are parameters, others graph inputs."""
    tensors = {
        name: TensorSpec(name, shape, dtype, TensorRole.PARAMETER if name in WEIGHT_NAMES else TensorRole.INPUT)
        for name, shape in inputs.items()
    }
    tensors["out"] = TensorSpec("out", output, dtype)
    op = Op("op", kind, tuple(inputs), ("out",), attrs, source=source, in_place=in_place)
    given = tuple(name for name in inputs if name not in WEIGHT_NAMES)
    return Graph("one", tensors, given, ("out",), (op,))


def cost(
    kind: OpKind,
    inputs: dict[str, Shape],
    output: Shape,
    attrs: Attrs = NO_ATTRS,
    *,
    dtype: DType = DType.F32,
    in_place: bool = False,
) -> OpCost:
    """Cost one op."""
    graph = one_op_graph(kind, inputs, output, attrs, dtype=dtype, in_place=in_place)
    found = cost_of_op(graph.ops[0], graph)
    assert found is not None
    return found
