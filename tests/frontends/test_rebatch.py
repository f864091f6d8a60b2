"""A file with a fixed batch, rescaled, must be the same file exported with a symbolic batch."""

from __future__ import annotations

from dataclasses import replace

import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from estimator.errors import BadOptionError
from estimator.frontends.onnx_model import parse_onnx
from estimator.frontends.rebatch import rebatch
from estimator.frontends.torch_recorder import record_module
from estimator.ir.graph import Graph
from tests.frontends.onnx_files import integers, model, node, value, weight


def attention(batch: int | str) -> onnx.ModelProto:
    """One attention layer over 6 tokens and a class token that the exporter expanded to the batch."""
    b = batch if isinstance(batch, int) else None
    heads = [node("Reshape", f"{n} split", f"{n}s") for n in "qkv"]
    turned = [node("Transpose", f"{n}s", f"{n}t", perm=p) for n, p in zip("qkv", ([0, 2, 1, 3], [0, 2, 3, 1],
              [0, 2, 1, 3]), strict=True)]  # fmt: skip
    token = [] if b else [node("Shape", "x", "n1", end=1), node("Concat", "n1 rest", "wide", axis=0)]
    nodes = [
        *token,
        node("Expand", "cls wide", "token"),
        node("Concat", "token x", "all", axis=1),
        *(node("MatMul", f"all w{n}", n) for n in "qkv"),
        *heads,
        *turned,
        node("MatMul", "qt kt", "scores"),
        node("Softmax", "scores", "probabilities", axis=-1),
        node("MatMul", "probabilities vt", "mixed"),
        node("Transpose", "mixed", "back", perm=[0, 2, 1, 3]),
        node("Reshape", "back joined", "y"),
        node("ReduceMean", "y", "mean", axes=[1], keepdims=0),
    ]
    weights = [weight("cls", 1, 1, 8), *(weight(f"w{n}", 8, 8) for n in "qkv"), integers("rest", 1, 8),
               integers("split", b or 0, 7, 2, 4), integers("joined", b or 0, 7, 8)]  # fmt: skip
    if b:
        weights.append(integers("wide", b, 1, 8))
    return model(nodes, [value("x", [batch, 6, 8])], "mean", weights, opset=17)


def channel_first(batch: int | str) -> onnx.ModelProto:
    """Time-major and back: the batch is not always the leading axis."""
    b = batch if isinstance(batch, int) else -1
    nodes = [
        node("Transpose", "x", "t", perm=[1, 0, 2]),
        node("Reshape", "t merged", "m"),
        node("Relu", "m", "r"),
        node("Reshape", "r apart", "a"),
        node("Transpose", "a", "y", perm=[1, 2, 0]),
    ]
    weights = [integers("merged", 5, b, 2, 3), integers("apart", 5, b, 6)]
    return model(nodes, [value("x", [batch, 5, 6])], "y", weights)


def packed(batch: int | str) -> onnx.ModelProto:
    """Queries and keys cut from one product, as exporters write `qkv.permute(2, 0, 3, 1, 4).unbind(0)`."""
    b = batch if isinstance(batch, int) else -1
    nodes = [
        node("Reshape", "x apart", "r"),
        node("Transpose", "r", "t", perm=[2, 0, 3, 1, 4]),
        node("Slice", "t zero one zero", "q_one"),
        node("Slice", "t one two zero", "k_one"),
        *(node("Squeeze", f"{n}_one zero", n) for n in "qk"),
        node("Transpose", "k", "kt", perm=[0, 1, 3, 2]),
        node("MatMul", "q kt", "y"),
    ]
    weights = [integers("apart", b, 7, 2, 3, 4), *(integers(n, i) for i, n in enumerate(("zero", "one", "two")))]
    return model(nodes, [value("x", [batch, 7, 24])], "y", weights, opset=17)


def shapes(graph: Graph) -> list[tuple[int, ...]]:
    """Output shapes of the ops that both forms have (the symbolic form also computes shapes)."""
    return [t.shape for op in graph.ops if op.kind != "shape" and op.source != "Expand" for t in graph.outputs_of(op)]


@pytest.mark.parametrize("network", [attention, channel_first, packed])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(old=st.integers(1, 4), new=st.integers(1, 9))
def test_a_fixed_batch_rescales_to_what_a_symbolic_one_gives(network: object, old: int, new: int) -> None:
    assert callable(network)
    fixed = parse_onnx(network(old).SerializeToString(), name="fixed", batch=new)
    symbolic = parse_onnx(network("batch").SerializeToString(), name="symbolic", batch=new)
    assert shapes(fixed) == shapes(symbolic)


class FusedProjection(torch.nn.Module):
    """Queries, keys and values from one product, as in timm: [b, t, 3 · h · d] is permuted and unbound."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = torch.nn.Linear(8, 24)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, t, width = x.shape
        q, k, v = self.qkv(x).reshape(b, t, 3, 2, width // 2).permute(2, 0, 3, 1, 4).unbind(0)
        return (q @ k.transpose(-2, -1) @ v).transpose(1, 2).reshape(b, t, width)


class TokensFirst(torch.nn.Module):
    """Attention as torch's own layer computes it: [t, b, width], flattened to [t · b, width] and split again."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.attention(x, x, x)[0]


@pytest.mark.parametrize("network", [FusedProjection, TokensFirst])
def test_a_traced_network_of_batch_one_rescales_to_what_tracing_gives(network: type[torch.nn.Module]) -> None:
    one, many = (record_module(network(), [torch.empty(b, 6, 8, device="meta")], name="net") for b in (1, 4))
    assert [t.shape for t in rebatch(one, 4).tensors.values()] == [t.shape for t in many.tensors.values()]


def test_strides_outside_the_batch_axis_grow_with_it() -> None:
    class TimeMajor(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.relu().permute(2, 0, 1)

    graph = rebatch(record_module(TimeMajor(), [torch.empty(2, 5, 6, device="meta")], name="turned"), 8)
    last = graph.tensors[graph.outputs[0]]
    assert (last.shape, last.strides) == ((6, 8, 5), (1, 5 * 6, 6))  # the layout of [8, 5, 6], seen as [6, 8, 5]


def test_a_list_of_items_has_no_axis_to_rescale() -> None:
    class Stacked(torch.nn.Module):
        def forward(self, images: list[torch.Tensor]) -> torch.Tensor:
            return torch.stack(images).relu()

    images = [torch.empty(3, 8, 8, device="meta") for _ in range(2)]
    graph = replace(record_module(Stacked(), [images], name="detector"), one_input_per_item=True)
    assert graph.batch == len(images)
    assert rebatch(graph, 2) is graph
    with pytest.raises(BadOptionError, match="one item"):
        rebatch(graph, 4)


def test_the_same_batch_changes_nothing() -> None:
    graph = parse_onnx(attention(2).SerializeToString(), name="a")
    assert rebatch(graph, 2) is graph
    assert rebatch(rebatch(graph, 6), 2).tensors == graph.tensors


def test_weights_keep_their_shapes() -> None:
    graph = parse_onnx(attention(1).SerializeToString(), name="a")
    wide = rebatch(graph, 32)
    assert wide.params == graph.params == 8 + 3 * 64
    assert wide.batch == 32
    assert "batch 1" in wide.notes[-1]


def test_an_image_without_a_batch_axis_cannot_be_rescaled():
    nodes = [node("Unsqueeze", "x axes", "image"), node("Conv", "image w", "y")]
    weights = [weight("w", 4, 3, 1, 1), integers("axes", 0)]
    data = model(nodes, [value("x", [3, 8, 8])], "y", weights).SerializeToString()
    with pytest.raises(BadOptionError, match="cannot be rescaled to batch 4"):
        parse_onnx(data, name="image", batch=4)
