from __future__ import annotations

import importlib
import io
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.costs.registry import graph_cost
from estimator.errors import BadOptionError, ModelFileError
from estimator.frontends.pt2_archive import MAX_PROGRAM_BYTES, load_pt2
from estimator.frontends.pt2_program import can_view, evaluate
from estimator.frontends.pt2_signatures import signatures
from estimator.ir.op import OpKind
from estimator.ir.strides import row_major
from estimator.ir.tensor import TensorRole

SMALL = Path(__file__).parent / "data" / "small.pt2"
PARAMS = (27 * 8 + 8) + (9 * 8 + 8) + (8 * 16 + 16) + (16 * 10 + 10)
MACS = (8 * 8 * 8) * 27 + (8 * 8 * 8) * 9 + (8 * 8 * 16) * 8 + 16 * 10


def rewritten(path: Path, **changes: bytes) -> Path:
    """Write an archive with a program of one's own."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in changes.items():
            archive.writestr(name.replace("__", "/") + ".json", data)
    return path


def program() -> dict[str, Any]:
    with zipfile.ZipFile(SMALL) as archive:
        document: dict[str, Any] = json.loads(archive.read("small/models/model.json"))
    return document


def test_a_saved_program_is_the_model_that_was_exported() -> None:
    graph = load_pt2(SMALL)
    cost = graph_cost(graph)
    assert graph.params == PARAMS
    assert cost.total.macs == MACS
    assert cost.coverage == 1
    assert graph.tensors["stem.weight"].role is TensorRole.PARAMETER
    kinds = [OpKind.CONV, OpKind.ACTIVATION, OpKind.CONV, OpKind.CONV, OpKind.ACTIVATION, OpKind.REDUCE,
             OpKind.LINEAR, OpKind.SOFTMAX]  # fmt: skip
    assert [op.kind for op in graph.ops] == kinds
    assert [op.scope for op in graph.ops if op.kind is OpKind.CONV] == ["stem", "depthwise", "point"]


def test_a_dynamic_batch_is_one_unless_given() -> None:
    assert load_pt2(SMALL).batch == 1
    assert "--batch" in load_pt2(SMALL).notes[0]
    assert graph_cost(load_pt2(SMALL, batch=5)).total.macs == 5 * MACS
    assert load_pt2(SMALL, input_shapes={"x": (7, 3, 16, 16)}).batch == 7


def test_an_extent_that_was_exported_as_fixed_cannot_be_given_otherwise() -> None:
    with pytest.raises(BadOptionError, match="224 is not the exported extent 16"):
        load_pt2(SMALL, input_shapes={"x": (1, 3, 224, 224)})


def test_reading_imports_no_torch() -> None:
    code = (
        "import sys; from estimator.frontends.pt2_archive import load_pt2; load_pt2(sys.argv[1]);"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(SMALL)], check=True)


# ---------------------------------------------------------------- hostile archives


def refusal(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        load_pt2(path)
    return str(caught.value)


def test_a_zip_bomb_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    bomb = rewritten(tmp_path / "bomb.pt2", m__models__model=b" " * (8 * 1024**2))
    assert bomb.stat().st_size < 64 * 1024
    assert "zip bomb" in refusal(bomb)


def test_a_false_size_in_the_directory_does_not_let_a_bomb_through(tmp_path: Path) -> None:
    """The directory says 100 bytes; what inflates is 8 MiB."""
    path = rewritten(tmp_path / "bomb.pt2", m__models__model=b" " * (8 * 1024**2))
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = (100).to_bytes(4, "little")
    path.write_bytes(data)
    refusal(path)


def test_a_program_larger_than_any_is_refused_by_its_directory_entry(tmp_path: Path) -> None:
    path = rewritten(tmp_path / "large.pt2", m__models__model=b"{}")
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = (MAX_PROGRAM_BYTES + 1).to_bytes(4, "little")
    path.write_bytes(data)
    assert "zip bomb" in refusal(path)


class Trap:
    """Its unpickling would leave a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    bare = tmp_path / "bare.pt2"
    bare.write_bytes(pickle.dumps(Trap(mark)))
    assert "never loaded" in refusal(bare)
    checkpoint = tmp_path / "checkpoint.pt2"
    with zipfile.ZipFile(checkpoint, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Trap(mark)))
    assert "a torch checkpoint" in refusal(checkpoint)
    inside = tmp_path / "inside.pt2"
    with zipfile.ZipFile(inside, "w") as archive:
        archive.writestr("m/models/model.json", json.dumps(program()))
        archive.writestr("m/data/sample_inputs/model.pt", pickle.dumps(Trap(mark)))
    assert load_pt2(inside).params == PARAMS
    assert not mark.exists()


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b'{"graph_module": 3}',
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"graph_module": {"graph": {}}}',
    ],
)
def test_json_that_is_no_program_is_refused(document: bytes, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("m/models/model.json", document)
    path = tmp_path / "model.pt2"
    path.write_bytes(buffer.getvalue())
    refusal(path)


def test_an_unknown_operator_lowers_coverage(tmp_path: Path) -> None:
    document = program()
    document["graph_module"]["graph"]["nodes"][1]["target"] = "torch.ops.own.odd.default"
    path = rewritten(tmp_path / "odd.pt2", m__models__model=json.dumps(document).encode())
    assert graph_cost(load_pt2(path)).unsupported == ("own.odd.default",)


# ---------------------------------------------------------------- extents


def test_extents_are_evaluated_as_arithmetic_and_nothing_else() -> None:
    s = "Symbol('s0', positive=True, integer=True)"
    assert evaluate(f"Add(FloorDiv(Add({s}, Integer(-1)), Integer(2)), Integer(1))", {"s0": 64}) == (64 - 1) // 2 + 1
    assert evaluate(f"Mul(Integer(4), Pow({s}, Integer(2)))", {"s0": 3}) == 4 * 3**2
    for other in (
        "__import__('os').getcwd()",
        "Pow(Integer(9), Integer(99999999))",
        "().__class__",
        "s0",
        "Add(",
        "1.5",
    ):
        assert evaluate(other, {"s0": 1}) is None


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_a_dense_tensor_can_be_viewed_as_a_row(shape: list[int]) -> None:
    total = 1
    for extent in shape:
        total *= extent
    assert can_view(tuple(shape), row_major(shape), (total,))


def test_a_transposed_tensor_cannot_be_viewed_as_a_row() -> None:
    assert not can_view((3, 2), (1, 3), (6,))
    assert can_view((3, 2), (1, 3), (3, 2, 1))


@pytest.mark.slow
def test_signatures_are_those_of_torch() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("torchvision")
    for key, arguments in signatures().items():
        name, _, overload = key.partition(".")
        namespace = torch.ops.torchvision if name == "deform_conv2d" else torch.ops.aten
        schema = getattr(getattr(namespace, name), overload)._schema
        assert [name for name, _ in arguments] == [a.name for a in schema.arguments]
        for (_, default), argument in zip(arguments, schema.arguments, strict=True):
            if argument.has_default_value():
                assert default == argument.default_value, (key, argument.name)


@pytest.mark.slow
def test_views_are_judged_as_torch_does() -> None:
    torch = pytest.importorskip("torch")
    for order in ((0, 1, 2), (2, 0, 1), (1, 0, 2), (0, 2, 1)):
        x = torch.empty(2, 3, 4).permute(order)
        for target in ((24,), (6, 4), (4, 6), (2, 12), (3, 8), (1, 24, 1), (2, 3, 2, 2)):
            shares = x.reshape(target).untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
            assert can_view(tuple(x.shape), tuple(x.stride()), target) == shares, (order, target)


def test_a_weight_under_two_names_is_one_weight(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Tied(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(50, 8)
            self.head = torch.nn.Linear(8, 50, bias=False)
            self.head.weight = self.table.weight

        def forward(self, ids: Any) -> Any:
            return self.head(self.table(ids))

    torch.export.save(torch.export.export(Tied(), (torch.zeros(2, 5, dtype=torch.int64),)), tmp_path / "tied.pt2")
    graph = load_pt2(tmp_path / "tied.pt2")
    assert graph.params == 50 * 8
    assert graph_cost(graph).total.macs == (2 * 5) * 8 * 50


def test_an_extent_that_data_decides_is_as_large_as_it_can_be(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Positive(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return x[x > 0] * 2

    torch.export.save(torch.export.export(Positive(), (torch.zeros(4, 5),), strict=False), tmp_path / "positive.pt2")
    graph = load_pt2(tmp_path / "positive.pt2")
    assert graph.tensors[graph.outputs[0]].shape == (4 * 5,)
    assert any("depends on data" in note for note in graph.notes)


def test_composite_operators_are_counted_by_what_they_do(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Composite(torch.nn.Module):  # type: ignore[misc]
        def forward(self, a: Any, b: Any) -> Any:
            product = torch.tensordot(a, b, dims=([2], [1]))  # [2, 3, 4] and [5, 4, 6]
            inner = torch.inner(a, a)
            grid = torch.meshgrid(a[0, 0], a[0, 0], indexing="ij")
            return product, inner, torch.diff(a), torch.fft.fftshift(a), grid

    arguments = (torch.zeros(2, 3, 4), torch.zeros(5, 4, 6))
    torch.export.save(torch.export.export(Composite(), arguments, strict=False), tmp_path / "composite.pt2")
    graph = load_pt2(tmp_path / "composite.pt2")
    cost = graph_cost(graph)
    assert cost.coverage == 1
    assert cost.total.macs == (2 * 3) * (5 * 6) * 4 + (2 * 3) * (2 * 3) * 4  # pairs of free axes × contracted


def test_a_region_without_gradients_is_part_of_the_network(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Region(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.frozen = torch.nn.Linear(8, 6)
            self.head = torch.nn.Linear(6, 4)

        def forward(self, x: Any) -> Any:
            with torch.no_grad():
                x = torch.relu(self.frozen(x))
            return self.head(x)

    torch.export.save(torch.export.export(Region(), (torch.zeros(3, 8),), strict=False), tmp_path / "region.pt2")
    graph = load_pt2(tmp_path / "region.pt2")
    assert [op.kind for op in graph.ops] == [OpKind.LINEAR, OpKind.ACTIVATION, OpKind.LINEAR]
    assert graph_cost(graph).total.macs == 3 * 8 * 6 + 3 * 6 * 4
    assert graph.ops[0].scope == "frozen"


def test_a_region_may_get_its_operands_as_a_tuple_beside_hints(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    hints_wrapper = importlib.import_module("torch._higher_order_ops.hints_wrap").hints_wrapper

    class Hinted(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.head = torch.nn.Linear(8, 6)

        def forward(self, x: Any, y: Any) -> Any:
            return torch.relu(hints_wrapper(lambda a, b: self.head(a) + b, (x, y), {}, hints={"kept": True}))

    exported = torch.export.export(Hinted(), (torch.zeros(3, 8), torch.zeros(3, 6)), strict=True)
    torch.export.save(exported, tmp_path / "hinted.pt2")
    graph = load_pt2(tmp_path / "hinted.pt2")
    assert [op.kind for op in graph.ops] == [OpKind.LINEAR, OpKind.BINARY, OpKind.ACTIVATION]


def invoking(path: Path, passed: int) -> Path:
    """Write the small program with its first activation as a subgraph that is invoked twice; it takes one operand."""
    document = program()
    graph = document["graph_module"]["graph"]
    relu = next(i for i, node in enumerate(graph["nodes"]) if "relu" in node["target"])
    node, given = graph["nodes"][relu], graph["nodes"][relu]["inputs"][0]["arg"]
    inner = {name: {"as_tensor": {"name": name}} for name in ("inner", "inner_result")}
    meta = graph["tensor_values"][node["outputs"][0]["as_tensor"]["name"]]
    graph["tensor_values"].update(dict.fromkeys((*inner, "once"), meta))
    inputs = [{**node["inputs"][0], "arg": inner["inner"]}, *node["inputs"][1:]]
    inside = {**node, "inputs": inputs, "outputs": [inner["inner_result"]]}
    body = {**graph, "nodes": [inside], "inputs": [inner["inner"]], "outputs": [inner["inner_result"]]}

    def call(name: str, operand: dict[str, Any], output: dict[str, Any]) -> dict[str, Any]:
        arguments = [{"as_graph": {"name": "body", "graph": body}}, {"as_string": "body_0"}, *[operand] * passed]
        inputs = [{"name": "", "arg": argument, "kind": 1} for argument in arguments]
        target = "torch.ops.higher_order.invoke_subgraph"
        return {**node, "name": name, "target": target, "inputs": inputs, "outputs": [output]}

    once = {"as_tensor": {"name": "once"}}
    graph["nodes"][relu : relu + 1] = [call("first", given, once), call("second", once, node["outputs"][0])]
    return rewritten(path, m__models__model=json.dumps(document).encode())


def test_an_invoked_subgraph_has_a_name_before_its_operands_and_may_run_again(tmp_path: Path) -> None:
    kinds = [op.kind for op in load_pt2(SMALL).ops]
    relu = kinds.index(OpKind.ACTIVATION)
    graph = load_pt2(invoking(tmp_path / "invoked.pt2", passed=1))
    assert [op.kind for op in graph.ops] == [*kinds[:relu], OpKind.ACTIVATION, *kinds[relu:]]
    assert graph_cost(graph).coverage == 1


def test_a_region_whose_operands_do_not_fit_its_body_is_listed(tmp_path: Path) -> None:
    graph = load_pt2(invoking(tmp_path / "invoked.pt2", passed=2))
    assert {op.source for op in graph.unknown_ops} == {"torch.ops.higher_order.invoke_subgraph"}


def test_a_branch_that_data_decides_is_listed_and_not_counted(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Branch(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.head = torch.nn.Linear(8, 8)

        def forward(self, x: Any) -> Any:
            return torch.cond(x.sum() > 0, lambda x: self.head(x), lambda x: x - 1, (x,))

    torch.export.save(torch.export.export(Branch(), (torch.zeros(3, 8),), strict=False), tmp_path / "branch.pt2")
    graph = load_pt2(tmp_path / "branch.pt2")
    assert [op.source for op in graph.unknown_ops] == ["torch.ops.higher_order.cond"]
    assert graph.unknown_ops[0].kind is OpKind.CONTROL
    assert any("not counted" in note for note in graph.notes)
