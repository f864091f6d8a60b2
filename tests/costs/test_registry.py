from __future__ import annotations

import pytest

from estimator.costs import registry
from estimator.costs.opcost import OpCost
from estimator.costs.registry import GraphCost, cost_of, cost_of_op, graph_cost, zero_cost
from estimator.dtypes import DType
from estimator.ir.graph import Graph
from estimator.ir.op import FunctionAttrs, Op, OpKind, UnknownAttrs
from estimator.ir.tensor import TensorRole, TensorSpec
from tests.costs.one_op import one_op_graph


@pytest.mark.parametrize("kind", list(OpKind))
def test_every_kind_has_a_rule_or_says_why_it_has_none(kind: OpKind) -> None:
    reason = registry.declaration(kind)
    assert reason == "rule" or (reason is not None and len(reason.split()) >= 3)


def test_a_second_declaration_of_a_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="two cost declarations"):
        cost_of(OpKind.CONV)(lambda op, inputs, outputs: OpCost())
    with pytest.raises(ValueError, match="two cost declarations"):
        zero_cost(OpKind.CONV, because="it is not")


def test_relu_is_not_free() -> None:
    graph = one_op_graph(OpKind.ACTIVATION, {"x": (2, 3)}, (2, 3), FunctionAttrs("relu"))
    assert graph_cost(graph).total.flops == 2 * 3


def chain(*kinds: tuple[OpKind, str]) -> Graph:
    """A chain of shape-preserving ops on x[4]."""
    tensors = {"x": TensorSpec("x", (4,), DType.F32, TensorRole.INPUT)}
    ops, last = [], "x"
    for i, (kind, function) in enumerate(kinds):
        name = f"t{i}"
        tensors[name] = TensorSpec(name, (4,), DType.F32)
        attrs = UnknownAttrs("test") if kind is OpKind.UNKNOWN else FunctionAttrs(function)
        ops.append(Op(name, kind, (last,), (name,), attrs, source=f"aten.{function}.default"))
        last = name
    return Graph("chain", tensors, ("x",), (last,), tuple(ops))


def test_an_unknown_op_lowers_coverage_and_is_listed_but_never_taken_for_zero() -> None:
    graph = chain((OpKind.UNARY, "exp"), (OpKind.UNKNOWN, "mystery"), (OpKind.UNARY, "log"), (OpKind.UNKNOWN, "riddle"))
    found = graph_cost(graph)
    assert found.per_op[1] is None
    assert found.coverage == 2 / 4
    assert found.unsupported == ("aten.mystery.default", "aten.riddle.default")


def test_metadata_ops_do_not_enter_coverage() -> None:
    graph = chain(
        (OpKind.VIEW, "view"), (OpKind.UNKNOWN, "mystery"), (OpKind.IDENTITY, "dropout"), (OpKind.UNARY, "exp")
    )
    assert graph_cost(graph).coverage == 1 / 2


def test_an_empty_graph_is_covered_and_costs_nothing() -> None:
    assert graph_cost(Graph("empty", {}, (), (), ())) == GraphCost(OpCost(), (), 1.0, ())


def test_a_graph_costs_the_sum_of_its_ops_and_its_own_parameters_once() -> None:
    tensors = {
        "x": TensorSpec("x", (2, 3), DType.F32, TensorRole.INPUT),
        "w": TensorSpec("w", (3, 3), DType.F32, TensorRole.PARAMETER),
        "unused": TensorSpec("unused", (7,), DType.F32, TensorRole.PARAMETER),
        "y": TensorSpec("y", (2, 3), DType.F32),
        "z": TensorSpec("z", (2, 3), DType.F32),
    }
    ops = (Op("y", OpKind.LINEAR, ("x", "w"), ("y",)), Op("z", OpKind.LINEAR, ("y", "w"), ("z",)))
    graph = Graph("tied", tensors, ("x",), ("z",), ops)
    total = graph_cost(graph).total
    assert total.macs == 2 * (2 * 3 * 3)
    assert total.bytes_moved == 2 * 4 * (2 * 3 + 3 * 3 + 2 * 3)
    assert total.params == 3 * 3 + 7


def test_an_operand_named_twice_is_read_once() -> None:
    graph = one_op_graph(OpKind.BINARY, {"x": (5,)}, (5,), FunctionAttrs("mul"))
    squared = Op("op", OpKind.BINARY, ("x", "x"), ("out",), FunctionAttrs("mul"))
    found = cost_of_op(squared, graph)
    assert found is not None
    assert found.bytes_read == 5 * 4
