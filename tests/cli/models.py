"""Small ONNX files, made on the spot."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

FLOAT = TensorProto.FLOAT


def conv_relu_file(path: Path, *, channels: int = 8, extent: int = 16) -> Path:
    """x[1,3,e,e] → conv 3×3 to `channels` → relu → y."""
    weight = helper.make_tensor("w", FLOAT, [channels, 3, 3, 3], [0.0] * (channels * 27))
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["y"], name="relu"),
    ]
    return saved(path, nodes, {"x": [1, 3, extent, extent]}, {"y": [1, channels, extent, extent]}, [weight])


def unknown_op_file(path: Path) -> Path:
    """One operator that nobody has a rule for, between two that everybody knows."""
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="before"),
        helper.make_node("Frobnicate", ["a"], ["b"], name="mystery", domain="com.example"),
        helper.make_node("Relu", ["b"], ["y"], name="after"),
    ]
    return saved(path, nodes, {"x": [1, 64]}, {"y": [1, 64]}, values={"b": [1, 64]})


def free_batch_file(path: Path) -> Path:
    """The first dimension has a name instead of a number."""
    return saved(path, [helper.make_node("Relu", ["x"], ["y"])], {"x": ["n", "m"]}, {"y": ["n", "m"]})


def saved(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: dict[str, list[int | str]] | dict[str, list[int]] | dict[str, list[str]],
    outputs: dict[str, list[int | str]] | dict[str, list[int]] | dict[str, list[str]],
    initialisers: list[onnx.TensorProto] | None = None,
    values: dict[str, list[int]] | None = None,
) -> Path:
    """Write a model of opset 17."""

    def infos(shapes: dict) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in shapes.items()]

    graph = helper.make_graph(
        nodes, path.stem, infos(inputs), infos(outputs), initialisers or [], value_info=infos(values or {})
    )
    domains = {node.domain for node in nodes}
    opsets = [helper.make_opsetid(domain, 17 if not domain else 1) for domain in sorted({"", *domains})]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path
