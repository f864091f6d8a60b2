"""Storages are alive from the step that writes them to the last step that may read them."""

from hypothesis import given
from hypothesis import strategies as st

from estimator.dtypes import DType
from estimator.ir.graph import Graph, ModuleCall
from estimator.ir.op import OpKind
from estimator.ir.storage import is_alias, storage_of
from estimator.ir.tensor import TensorRole, TensorSpec
from estimator.memory.executor import EXECUTORS, ExecutorModel, executor_model
from estimator.memory.liveness import lifetimes, schedule
from estimator.memory.peak import plan_memory
from tests.memory.graphs import graph, op, random_graphs, relu, view

GRAPH = executor_model("torch-export")
EAGER = executor_model("torch-eager")


def spans(g: Graph, model: ExecutorModel = GRAPH, fused: list[list[str]] | None = None) -> dict[str, tuple[int, int]]:
    return {x.storage: (x.first_step, x.end_step) for x in lifetimes(g, schedule(g, fused), model)}


def test_a_chain_keeps_two_neighbours_alive():
    g = graph([op("a", "x"), op("b", "a"), op("c", "b")], {"x": 1, "a": 1, "b": 1, "c": 1}, outputs=("c",))
    assert spans(g) == {"x": (0, 3), "a": (0, 2), "b": (1, 3), "c": (2, 3)}


def test_the_caller_holds_inputs_and_outputs_to_the_end():
    g = graph([op("a", "x"), op("b", "x"), op("c", "b")], {"x": 1, "a": 1, "b": 1, "c": 1}, outputs=("a", "c"))
    assert spans(g)["x"] == (0, 3)
    assert spans(g)["a"] == (0, 3)


def test_a_residual_connection_keeps_its_source_alive():
    ops = [op("a", "x"), op("b", "a"), op("c", "b"), op("sum", "c", "a")]
    g = graph(ops, {"x": 1, "a": 1, "b": 1, "c": 1, "sum": 1}, outputs=("sum",))
    assert spans(g)["a"] == (0, 4)


def test_a_view_keeps_its_base_alive_and_has_no_storage():
    ops = [op("a", "x"), view("v", "a"), view("w", "v"), op("b", "x"), op("c", "w", "b")]
    g = graph(ops, {"x": 1, "a": 4, "v": 4, "w": 2, "b": 1, "c": 1}, outputs=("c",))
    assert storage_of(g) == {"v": "a", "w": "a"}
    assert spans(g) == {"x": (0, 3), "a": (0, 3), "b": (1, 3), "c": (2, 3)}


def test_an_in_place_result_lives_in_its_operand():
    ops = [op("a", "x"), relu("r", "a", in_place=True), op("b", "r")]
    g = graph(ops, {"x": 1, "a": 4, "r": 4, "b": 1}, outputs=("b",))
    assert spans(g) == {"x": (0, 3), "a": (0, 3), "b": (2, 3)}


def test_a_result_that_nobody_reads_lives_for_its_own_step():
    g = graph([op("a", "x"), op("dead", "x"), op("b", "a")], {"x": 1, "a": 1, "dead": 8, "b": 1}, outputs=("b",))
    assert spans(g)["dead"] == (1, 2)


def test_tensors_inside_a_kernel_are_never_materialised():
    ops = [op("conv", "x"), relu("r", "conv"), op("next", "r")]
    g = graph(ops, {"x": 1, "conv": 8, "r": 8, "next": 1}, outputs=("next",))
    assert spans(g, fused=[["conv", "r"], ["next"]]) == {"x": (0, 2), "r": (0, 2), "next": (1, 2)}


def test_a_tensor_that_leaves_its_kernel_as_well_is_materialised():
    ops = [op("conv", "x"), relu("r", "conv"), op("next", "r", "conv")]
    g = graph(ops, {"x": 1, "conv": 8, "r": 8, "next": 1}, outputs=("next",))
    assert "conv" in spans(g, fused=[["conv", "r"], ["next"]])


def test_a_kernel_runs_when_its_last_op_may():
    ops = [op("a", "x"), op("b", "x"), op("c", "b"), op("d", "a", "c")]
    g = graph(ops, {"x": 1, "a": 1, "b": 1, "c": 1, "d": 1}, outputs=("d",))
    order = [[o.name for o in step] for step in schedule(g, [["a", "d"], ["c"]]).steps]
    assert order == [["b"], ["c"], ["a", "d"]]


def test_an_op_belongs_to_the_first_kernel_that_names_it():
    g = graph([op("a", "x"), op("b", "a")], {"x": 1, "a": 1, "b": 1}, outputs=("b",))
    steps = schedule(g, [["a"], ["a", "b"], ["no such op"]]).steps
    assert [[o.name for o in step] for step in steps] == [["a"], ["b"]]


def test_eager_holds_a_call_s_argument_until_the_call_returns():
    ops = [op("a", "x"), op("b", "a"), op("c", "b"), op("d", "c")]
    call = ModuleCall("block", inputs=("a",), outputs=("c",))
    g = graph(ops, {"x": 1, "a": 1, "b": 1, "c": 1, "d": 1}, outputs=("d",), calls=(call,))
    assert spans(g, GRAPH)["a"] == (0, 2)
    assert spans(g, EAGER)["a"] == (0, 3)


def test_a_compiled_pointwise_kernel_writes_over_an_operand_that_dies():
    ops = [op("a", "x"), relu("r", "a"), op("b", "r")]
    g = graph(ops, {"x": 1, "a": 4, "r": 4, "b": 1}, outputs=("b",))
    assert spans(g, executor_model("torch-compile")) == {"x": (0, 3), "a": (0, 3), "b": (2, 3)}


def test_a_graph_input_is_never_written_over():
    g = graph([relu("r", "x"), op("b", "r")], {"x": 4, "r": 4, "b": 1}, outputs=("b",))
    assert "r" in spans(g, executor_model("onnxruntime"))


def test_sizes_are_rounded_up_to_the_allocator_s_alignment():
    tensors = {
        "x": TensorSpec("x", (3,), DType.F32, TensorRole.INPUT),
        "a": TensorSpec("a", (17,), DType.F32),
        "b": TensorSpec("b", (0,), DType.F32),
    }
    g = Graph("g", tensors, ("x",), ("a", "b"), (op("a", "x"), op("b", "x")))
    sizes = {x.storage: x.size_bytes for x in lifetimes(g, schedule(g), GRAPH)}
    assert sizes == {"x": 64, "a": 2 * 64, "b": 0}


@given(random_graphs(), st.sampled_from(sorted(EXECUTORS)))
def test_every_read_meets_a_live_storage(g, runtime):
    model = executor_model(runtime)
    plan = schedule(g)
    alive = spans(g, model)
    owner = storage_of(g)
    for index, ops in enumerate(plan.steps):
        for o in ops:
            for name in (*o.inputs, *o.outputs):
                first, end = alive.get(owner.get(name, name), (0, len(plan.steps)))
                if not model.reuses_inputs:
                    assert first <= index < end


@given(random_graphs())
def test_eager_never_needs_less_than_a_static_graph(g):
    assert plan_memory(g, runtime="torch-eager").peak_bytes >= plan_memory(g, runtime="torch-export").peak_bytes


@given(random_graphs(), st.data())
def test_fusing_never_needs_more_distinct_storages(g, data):
    names = [o.name for o in g.ops if o.kind is not OpKind.VIEW]
    cut = data.draw(st.integers(0, len(names)))
    fused = [names[:cut], names[cut:]]
    assert set(spans(g, fused=fused)) <= set(spans(g))


@given(random_graphs())
def test_every_op_has_a_step_and_aliases_launch_nothing(g):
    plan = schedule(g)
    assert set(plan.step_of) == {o.name for o in g.ops}
    launched = {o.name for step in plan.steps for o in step}
    assert launched == {o.name for o in g.ops if o.in_place or not is_alias(o)}
