"""Write a graph as its natural message. The inverse is `service.graph_message`; a property test joins them."""

from __future__ import annotations

from estimator.errors import GraphError
from estimator.ir import op as ir
from estimator.ir.graph import Graph
from estimator.ir.tensor import TensorSpec
from estimator.v1 import graph_pb2 as pb


def graph_to_message(graph: Graph) -> pb.Graph:
    """Write a graph, losslessly.

    Raises
    ------
    GraphError
        A name is not Unicode text, or a number needs more than 64 bits.
    """
    try:
        return pb.Graph(
            name=graph.name,
            tensors=[
                pb.Tensor(name=name, type=type_to_message(tensor), role=f"TENSOR_ROLE_{tensor.role.name}")
                for name, tensor in graph.tensors.items()
            ],
            inputs=graph.inputs,
            outputs=graph.outputs,
            ops=[_op(op) for op in graph.ops],
            modules=[
                pb.ModuleSpec(path=m.path, type_name=m.type_name, parameters=m.parameters, buffers=m.buffers)
                for m in graph.modules
            ],
            module_calls=[pb.ModuleCall(path=c.path, inputs=c.inputs, outputs=c.outputs) for c in graph.module_calls],
            notes=graph.notes,
            source_format=graph.source_format,
            one_input_per_item=graph.one_input_per_item,
        )
    except ValueError as error:  # protobuf's word for a surrogate or an integer that is out of range
        raise GraphError(
            f"{graph.name!r} cannot be sent", where=str(error), expected="text, and 64-bit integers"
        ) from error


def type_to_message(tensor: TensorSpec) -> pb.TensorType:
    """Write what a tensor is, apart from its name and role."""
    return pb.TensorType(
        shape=tensor.shape,
        element_type=f"ELEMENT_TYPE_{tensor.dtype.name}",
        quantised=tensor.quantised,
        strides=tensor.strides,
    )


def kind_to_message(kind: ir.OpKind) -> str:
    """Write a kind."""
    return f"OP_KIND_{kind.name}"


def attrs_to_message(attrs: ir.Attrs) -> pb.OpAttrs | None:
    """Write attributes; None where there are none to write."""
    match attrs:
        case ir.NoAttrs():
            return None
        case ir.ConvAttrs():
            return pb.OpAttrs(
                conv=pb.ConvAttrs(
                    kernel=attrs.kernel,
                    stride=attrs.stride,
                    padding=attrs.padding,
                    dilation=attrs.dilation,
                    groups=attrs.groups,
                    transposed=attrs.transposed,
                    channels_last=attrs.channels_last,
                )
            )
        case ir.MatmulAttrs(transpose_a, transpose_b, outside):
            return pb.OpAttrs(
                matmul=pb.MatmulAttrs(transpose_a=transpose_a, transpose_b=transpose_b, outside_autocast=outside)
            )
        case ir.EinsumAttrs(equation):
            return pb.OpAttrs(einsum=pb.EinsumAttrs(equation=equation))
        case ir.AttentionAttrs(causal, grouped_query):
            return pb.OpAttrs(attention=pb.AttentionAttrs(causal=causal, grouped_query=grouped_query))
        case ir.RnnAttrs():
            return pb.OpAttrs(
                rnn=pb.RnnAttrs(
                    cell=attrs.cell,
                    hidden_size=attrs.hidden_size,
                    layers=attrs.layers,
                    bidirectional=attrs.bidirectional,
                    batch_first=attrs.batch_first,
                    has_bias=attrs.has_bias,
                    projection_size=attrs.projection_size,
                )
            )
        case ir.NormAttrs():
            return pb.OpAttrs(
                norm=pb.NormAttrs(
                    function=attrs.function,
                    affine=attrs.affine,
                    groups=attrs.groups,
                    normalized_rank=attrs.normalized_rank,
                    channels_last=attrs.channels_last,
                    keeps_low_precision=attrs.keeps_low_precision,
                )
            )
        case ir.FunctionAttrs(function):
            return pb.OpAttrs(function=pb.FunctionAttrs(function=function))
        case ir.SoftmaxAttrs(axis, log):
            return pb.OpAttrs(softmax=pb.SoftmaxAttrs(axis=axis, log=log))
        case ir.ReduceAttrs(function, axes, keepdim):
            return pb.OpAttrs(reduce=pb.ReduceAttrs(function=function, axes=axes, keepdim=keepdim))
        case ir.PoolAttrs():
            return pb.OpAttrs(
                pool=pb.PoolAttrs(
                    function=attrs.function,
                    kernel=attrs.kernel,
                    stride=attrs.stride,
                    padding=attrs.padding,
                    channels_last=attrs.channels_last,
                )
            )
        case ir.AdaptivePoolAttrs(function, output_size, last):
            return pb.OpAttrs(
                adaptive_pool=pb.AdaptivePoolAttrs(function=function, output_size=output_size, channels_last=last)
            )
        case ir.ResizeAttrs(mode, align_corners, last, by_scale):
            return pb.OpAttrs(
                resize=pb.ResizeAttrs(mode=mode, align_corners=align_corners, channels_last=last, by_scale=by_scale)
            )
        case ir.AxisAttrs(axis):
            return pb.OpAttrs(axis=pb.AxisAttrs(axis=axis))
        case ir.CopyAttrs(function, transposing):
            return pb.OpAttrs(copy=pb.CopyAttrs(function=function, transposing=transposing))
        case ir.ControlAttrs(function, branches):
            return pb.OpAttrs(control=pb.ControlAttrs(function=function, branches=branches))
        case ir.UnknownAttrs(reason):
            return pb.OpAttrs(unknown=pb.UnknownAttrs(reason=reason))


def _op(op: ir.Op) -> pb.Op:
    return pb.Op(
        name=op.name,
        kind=kind_to_message(op.kind),
        inputs=op.inputs,
        outputs=op.outputs,
        attrs=attrs_to_message(op.attrs),
        scope=op.scope,
        source=op.source,
        in_place=op.in_place,
    )
