"""The onnx package's own node tests, 1,800 small models with their results, as an oracle of shapes and types."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from estimator.errors import MissingShapeError
from estimator.frontends.onnx_model import parse_onnx
from estimator.ir.graph import Graph
from estimator.ir.op import OpKind
from estimator.ir.tensor import TensorRole

pytestmark = pytest.mark.slow

# The result's extent is a number of values that only running the model can tell; the largest one is taken.
DATA_DEPENDENT = ("unique", "compress", "nonzero", "nonmaxsuppression", "string", "range_bfloat16")
_NUMPY_NAME = {
    "f32": "float32", "f64": "float64", "f16": "float16", "i64": "int64", "i32": "int32", "i16": "int16", "i8": "int8",
    "u64": "uint64", "u32": "uint32", "u16": "uint16", "u8": "uint8", "bool": "bool",
}  # fmt: skip


def cases() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy overflows on purpose while the cases are made
        from onnx.backend.test.case.node import collect_testcases

        yield from collect_testcases(None)


def array(data: Any) -> np.ndarray[Any, Any] | None:
    if data is None or isinstance(data, (list, tuple)):
        return None
    return np.asarray(numpy_helper.to_array(data) if isinstance(data, onnx.TensorProto) else data)


def with_small_integers_inside(case: Any) -> tuple[bytes, dict[str, tuple[int, ...]]] | None:
    """Make shape-like inputs (target shapes, axes, bounds) part of the model, as exporters do."""
    proto = onnx.ModelProto()
    proto.CopyFrom(case.model)
    shapes = {}
    for declared, data in zip(case.model.graph.input, case.data_sets[0][0], strict=True):
        given = array(data)
        if given is None or not declared.type.HasField("tensor_type"):
            return None
        shape_like = given.dtype.kind in "iub" and given.size < 100 and given.ndim <= 1
        if (shape_like and len(case.model.graph.input) > 1) or declared.name in ("start", "limit", "delta", "scales"):
            proto.graph.initializer.append(numpy_helper.from_array(given, declared.name))
        else:
            shapes[declared.name] = tuple(given.shape)
    return proto.SerializeToString(), shapes


def wrong_results(case: Any, graph: Graph) -> list[str]:
    found = []
    for name, data in zip(graph.outputs, case.data_sets[0][1], strict=False):
        expected, spec = array(data), graph.tensors[name]
        if expected is None:
            continue
        if spec.shape != expected.shape:
            found.append(f"{case.name}: {spec.shape}, not {expected.shape}")
        known_type = _NUMPY_NAME.get(spec.dtype.value)
        if known_type and spec.role is TensorRole.ACTIVATION and known_type != str(expected.dtype):
            found.append(f"{case.name}: {spec.dtype}, not {expected.dtype}")
    return found


def test_shapes_and_types_of_all_node_tests() -> None:
    wrong: list[str] = []
    checked = unknown = missing = 0
    for case in cases():
        prepared = with_small_integers_inside(case)
        if prepared is None or any(word in case.name for word in DATA_DEPENDENT) or case.name == "test_scan_sum":
            continue
        try:
            graph = parse_onnx(prepared[0], name=case.name, input_shapes=prepared[1])
        except MissingShapeError:
            missing += 1
            continue
        if any(op.kind is OpKind.UNKNOWN for op in graph.ops):
            unknown += 1
            continue
        checked += 1
        wrong += wrong_results(case, graph)
    assert wrong == []
    assert checked > 1700
    assert unknown < 60
    assert missing < 30
