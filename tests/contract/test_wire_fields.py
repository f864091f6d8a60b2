"""Every field of a noun has a field on the wire, and every enum member a value: nothing is dropped silently."""

from dataclasses import fields
from enum import StrEnum

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor

from estimator import result
from estimator.catalogue import device
from estimator.dtypes import DType
from estimator.ir import graph, op, tensor
from estimator.service.graph_message import READER_OF
from estimator.v1 import device_pb2, estimator_pb2, graph_pb2

RENAMED = {"records": "record_count"}
"""Names that the wire spells out further."""

NOUNS = [
    (result.Estimate, estimator_pb2.Estimate),
    (result.Interval, estimator_pb2.Interval),
    (result.MemoryEstimate, estimator_pb2.MemoryEstimate),
    (result.BoundShare, estimator_pb2.BoundShare),
    (result.Provenance, estimator_pb2.Provenance),
    (result.KernelEstimate, estimator_pb2.KernelEstimate),
    (device.Device, device_pb2.Device),
    (device.Unit, device_pb2.Unit),
    (device.Ceiling, device_pb2.Ceiling),
    (device.MemoryLevel, device_pb2.MemoryLevel),
    (device.CoreCluster, device_pb2.CoreCluster),
    (device.RuntimeSupport, device_pb2.RuntimeSupport),
    (device.Claim, device_pb2.Claim),
    (device.SourcedValue, device_pb2.SourcedValue),
    (graph.Graph, graph_pb2.Graph),
    (graph.ModuleSpec, graph_pb2.ModuleSpec),
    (graph.ModuleCall, graph_pb2.ModuleCall),
    (op.Op, graph_pb2.Op),
]
FAMILY_OF = {
    op.ConvAttrs: "conv",
    op.MatmulAttrs: "matmul",
    op.EinsumAttrs: "einsum",
    op.AttentionAttrs: "attention",
    op.RnnAttrs: "rnn",
    op.NormAttrs: "norm",
    op.FunctionAttrs: "function",
    op.SoftmaxAttrs: "softmax",
    op.ReduceAttrs: "reduce",
    op.PoolAttrs: "pool",
    op.AdaptivePoolAttrs: "adaptive_pool",
    op.ResizeAttrs: "resize",
    op.AxisAttrs: "axis",
    op.CopyAttrs: "copy",
    op.ControlAttrs: "control",
    op.UnknownAttrs: "unknown",
}
ENUMS = [
    (DType, graph_pb2.ElementType.DESCRIPTOR),
    (tensor.TensorRole, graph_pb2.TensorRole.DESCRIPTOR),
    (op.OpKind, graph_pb2.OpKind.DESCRIPTOR),
    (device.UnitKind, device_pb2.UnitKind.DESCRIPTOR),
    (device.Basis, device_pb2.Basis.DESCRIPTOR),
    (result.Bound, estimator_pb2.Bound.DESCRIPTOR),
    (result.ProvenanceKind, estimator_pb2.ProvenanceKind.DESCRIPTOR),
]


def wire_names(message: Descriptor) -> set[str]:
    return {field.name for field in message.fields}


@pytest.mark.parametrize(("noun", "message"), NOUNS, ids=lambda value: value.__name__)
def test_every_field_of_a_noun_is_on_the_wire(noun, message):
    assert {RENAMED.get(field.name, field.name) for field in fields(noun)} == wire_names(message.DESCRIPTOR)


@pytest.mark.parametrize("attrs", [cls for cls in set(op.ATTRS_OF.values()) if cls is not op.NoAttrs])
def test_every_field_of_an_attribute_class_is_on_the_wire(attrs):
    family = graph_pb2.OpAttrs.DESCRIPTOR.fields_by_name[FAMILY_OF[attrs]]
    assert {field.name for field in fields(attrs)} == wire_names(family.message_type)


def test_a_tensor_is_a_name_a_role_and_a_type():
    on_wire = wire_names(graph_pb2.Tensor.DESCRIPTOR) - {"type"}
    on_wire |= wire_names(graph_pb2.TensorType.DESCRIPTOR)
    in_python = {"element_type" if f.name == "dtype" else f.name for f in fields(tensor.TensorSpec) if f.init}
    assert in_python == on_wire


def test_every_family_of_attributes_has_a_reader():
    assert set(READER_OF) == wire_names(graph_pb2.OpAttrs.DESCRIPTOR)


@pytest.mark.parametrize(("noun", "wire"), ENUMS, ids=lambda value: value.name if hasattr(value, "name") else "")
def test_every_member_of_an_enum_is_on_the_wire(noun: type[StrEnum], wire: EnumDescriptor):
    values = {value.name: value.number for value in wire.values}
    prefix = next(name for name, number in values.items() if number == 0).removesuffix("UNSPECIFIED")
    assert {f"{prefix}{member.name}" for member in noun} | {f"{prefix}UNSPECIFIED"} == set(values)
