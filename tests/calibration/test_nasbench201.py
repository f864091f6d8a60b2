"""Cells from strings equal the same networks written in torch and recorded."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator.calibration.cell_work import FEATURES, Execution, cell_features, cell_work
from estimator.calibration.nasbench201 import CELLS_PER_STAGE, EDGES, STAGES, Cell, EdgeOp, network
from estimator.costs.registry import graph_cost
from estimator.errors import BadOptionError, ModelFileError
from estimator.ir.graph import Graph
from estimator.ir.op import OpKind

CELLS = st.tuples(*[st.sampled_from(EdgeOp)] * len(EDGES)).map(Cell)
ALL_CONV_3X3 = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
MIXED = "|none~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|avg_pool_3x3~1|nor_conv_3x3~2|"


def op_multiset(graph: Graph) -> Counter[object]:
    return Counter(
        (
            op.kind,
            op.attrs,
            op.in_place,
            op.scope,
            op.source.split(".")[1],  # an operator and its function are spelt apart
            tuple((t.shape, t.dtype, t.is_weight) for t in graph.inputs_of(op)),
            tuple((t.shape, t.dtype) for t in graph.outputs_of(op)),
        )
        for op in graph.ops
    )


@given(CELLS)
def test_a_cell_survives_being_printed_and_parsed(cell):
    assert Cell.parse(str(cell)) == cell


@pytest.mark.parametrize(
    "text",
    [
        "",
        "resnet50",
        MIXED[:-1],
        MIXED.replace("~1", "~2"),
        MIXED.replace("none", "nor_conv_5x5"),
        MIXED + "|none~0|",
        MIXED.replace("|+|", "|", 1),
    ],
)
def test_a_malformed_cell_is_refused_with_the_expected_form(text):
    with pytest.raises(ModelFileError, match=r"expected .*\|op~0\|"):
        Cell.parse(text)


def test_a_batch_below_one_is_refused():
    with pytest.raises(BadOptionError, match="batch 0"):
        network(MIXED, batch=0)


def test_macs_of_the_largest_cell_add_up_by_hand():
    cost = graph_cost(network(ALL_CONV_3X3))
    stages = [(16, 32), (32, 16), (64, 8)]
    cells = sum(CELLS_PER_STAGE * len(EDGES) * c * c * 9 * extent**2 for c, extent in stages)
    stem = 16 * 3 * 9 * 32**2
    reductions = sum((c // 2 * c * 9 + c * c * 9 + c // 2 * c) * extent**2 for c, extent in stages[1:])
    assert cost.total.macs == stem + cells + reductions + 64 * 10
    assert cost.coverage == 1.0


def test_batch_multiplies_macs_and_leaves_params():
    one, eight = network(MIXED), network(MIXED, batch=8)
    assert graph_cost(eight).total.macs == 8 * graph_cost(one).total.macs
    assert eight.params == one.params
    assert eight.batch == 8


@given(CELLS)
@settings(max_examples=25, deadline=None)
def test_every_input_was_written_before_it_is_read(cell):
    graph = network(cell)
    known = set(graph.inputs) | {name for name, t in graph.tensors.items() if t.is_weight}
    for op in graph.ops:
        assert known.issuperset(op.inputs)
        known.update(op.outputs)
    assert known == set(graph.tensors)
    assert len({op.name for op in graph.ops}) == len(graph.ops)


@pytest.mark.parametrize("text", [ALL_CONV_3X3, MIXED])
def test_the_graph_equals_the_recorded_torch_network(text):
    torch = pytest.importorskip("torch")
    from estimator.frontends.torch_recorder import record_module
    from tests.calibration.nasbench201_torch import Network

    with torch.device("meta"):
        module = Network([op.value for op in Cell.parse(text).ops])
    recorded = record_module(module, (torch.empty(2, 3, 32, 32, device="meta"),), name="torch")
    built = network(text, batch=2)
    assert op_multiset(built) == op_multiset(recorded)
    assert built.params == recorded.params
    assert graph_cost(built).total == graph_cost(recorded).total


# -- what executes ---------------------------------------------------------------------------------


@given(CELLS)
def test_eager_runs_every_edge(cell):
    row = cell_features([cell], Execution.EVERY_EDGE)[0]
    assert list(row[1:]) == [cell.ops.count(op) for op in EdgeOp]


@given(CELLS)
def test_a_compiler_never_runs_more_than_is_written(cell):
    eager, folded = (cell_features([cell], e)[0] for e in Execution)
    assert (folded <= eager).all()


def edges(text: str) -> tuple[bool, ...]:
    return cell_work(Cell.parse(text), Execution.FOLDED).executed


def test_work_behind_a_zero_is_removed_when_a_sum_is_in_between():
    cell = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_1x1~0|none~1|none~2|"
    assert edges(cell) == (False, False, False, True, False, False)


def test_a_zero_right_after_a_convolution_moves_into_its_weights_and_keeps_it():
    cell = "|avg_pool_3x3~0|+|nor_conv_3x3~0|none~1|+|nor_conv_1x1~0|none~1|none~2|"
    assert edges(cell) == (False, True, False, True, False, True)


def test_a_cell_that_ignores_its_input_leaves_only_the_last_one():
    cell = Cell.parse("|none~0|+|none~0|nor_conv_3x3~1|+|none~0|avg_pool_3x3~1|skip_connect~2|")
    row = dict(zip(FEATURES, cell_features([cell], Execution.FOLDED)[0], strict=True))
    assert row["fixed"] == 0
    assert row["nor_conv_3x3"] == pytest.approx(1 / (STAGES * CELLS_PER_STAGE))


def test_identity_edges_add_no_op_of_their_own():
    skip = network(Cell((EdgeOp.SKIP,) * 6))
    assert not any(op.kind is OpKind.IDENTITY for op in skip.ops)
    assert sum(op.kind is OpKind.BINARY for op in skip.ops) == STAGES * CELLS_PER_STAGE * len(EDGES) + (STAGES - 1)
