"""TensorFlow operations that move, select, create or rename data, and those about variables."""

from __future__ import annotations

from estimator.frontends.shape_arithmetic import axis_of, is_metadata_permutation
from estimator.frontends.tf_importer import TfNode, dtype_of, rule
from estimator.ir.op import AxisAttrs, FunctionAttrs, OpKind

_SHAPE_ARITHMETIC = ("Shape", "ShapeN", "Size", "Rank", "BroadcastGradientArgs", "BroadcastArgs", "ConcatOffset")
_FILLS = {
    "Fill": "full", "ZerosLike": "zeros", "OnesLike": "ones", "Range": "arange", "LinSpace": "linspace",
    "RandomUniform": "rand", "RandomStandardNormal": "rand", "TruncatedNormal": "rand", "RandomUniformInt": "rand",
    "StatelessRandomUniform": "rand", "StatelessRandomUniformV2": "rand", "StatelessTruncatedNormal": "rand",
    "StatelessRandomNormal": "rand", "StatelessRandomNormalV2": "rand", "Empty": "empty", "Multinomial": "rand",
}  # fmt: skip


@rule("Identity", "ReadVariableOp", "StopGradient", "PreventGradient", "Snapshot", "PlaceholderWithDefault",
      "EnsureShape")  # fmt: skip
def _identity(node: TfNode) -> None:
    """Import a read: of a variable it is the variable itself, unless every node is wanted."""
    source = node.input(0)
    if source.is_weight and not node.importer.complete:
        node.alias()
    else:
        node.emit(OpKind.IDENTITY, FunctionAttrs("identity"), inputs=(0,))


@rule("IdentityN")
def _identity_n(node: TfNode) -> None:
    """Each output is its input."""
    for position, tensor in enumerate(node.op.outputs):
        node.importer.bound[node.key(tensor)] = node.name_of(position)


@rule("Reshape", "Squeeze", "ExpandDims", "Bitcast")
def _view(node: TfNode) -> None:
    node.emit(OpKind.VIEW, FunctionAttrs(node.op_type.lower()), inputs=(0,))


@rule("Transpose")
def _transpose(node: TfNode) -> None:
    """Import a transpose: a copy, unless only axes of extent 1 move."""
    shape, order = node.input(0).shape, node.value(1)
    if order is not None:
        node.importer.builder.orders[node.name] = order
    if order is not None and len(order) == len(shape) and is_metadata_permutation(shape, order):
        node.emit(OpKind.VIEW, FunctionAttrs("transpose"), inputs=(0,))
    else:
        node.copy("transpose", transposing=True)


@rule("ConcatV2", "Concat")
def _concat(node: TfNode) -> None:
    """Parts, axis; the older operation has the axis first."""
    last = node.op_type == "ConcatV2"
    parts = range(node.input_count - 1) if last else range(1, node.input_count)
    axis = node.value(node.input_count - 1 if last else 0) or (0,)
    node.emit(OpKind.CONCAT, AxisAttrs(axis_of(axis[0], len(node.out_shape()))), inputs=list(parts))


@rule("Pack", "ParallelConcat")
def _pack(node: TfNode) -> None:
    node.copy("stack", inputs=range(node.input_count))


@rule("Unpack")
def _unpack(node: TfNode) -> None:
    node.copy("unbind", outputs=len(node.op.outputs))


@rule("Split", "SplitV")
def _split(node: TfNode) -> None:
    node.copy("split", inputs=(1 if node.op_type == "Split" else 0,), outputs=len(node.op.outputs))


@rule("Slice", "StridedSlice")
def _slice(node: TfNode) -> None:
    node.copy("slice")


@rule("Tile", "BroadcastTo")
def _tile(node: TfNode) -> None:
    node.copy("repeat" if node.op_type == "Tile" else "expand")


@rule("ReverseV2", "ReverseSequence", "Roll", "MatrixBandPart", "MatrixDiag", "MatrixDiagV3", "MatrixSetDiag")
def _copy(node: TfNode) -> None:
    node.copy("flip" if node.op_type.startswith("Reverse") else node.op_type.lower())


@rule("SpaceToDepth", "DepthToSpace", "SpaceToBatchND", "BatchToSpaceND", "SpaceToBatch", "BatchToSpace")
def _shuffle(node: TfNode) -> None:
    functions = {"DepthToSpace": "pixel_shuffle", "SpaceToDepth": "pixel_unshuffle"}
    node.copy(functions.get(node.op_type, node.op_type.lower()), transposing=True)


@rule("Pad", "PadV2", "MirrorPad")
def _pad(node: TfNode) -> None:
    node.emit(OpKind.PAD, inputs=(0,))


@rule("GatherV2", "Gather", "ResourceGather")
def _gather(node: TfNode) -> None:
    """Rows of a weight are an embedding; otherwise an indexed read."""
    table = node.input(0)
    if table.is_weight and len(table.shape) == 2 and table.dtype.is_float:
        node.as_weight(0)
        node.emit(OpKind.EMBEDDING, inputs=(0, 1))
    else:
        node.emit(OpKind.GATHER, FunctionAttrs("index_select"), inputs=(0, 1))


@rule("GatherNd", "ResourceGatherNd")
def _gather_nd(node: TfNode) -> None:
    node.emit(OpKind.GATHER, FunctionAttrs("index"))


@rule("Where")
def _where(node: TfNode) -> None:
    node.emit(OpKind.GATHER, FunctionAttrs("nonzero"))


@rule("ScatterNd", "TensorScatterUpdate", "TensorScatterAdd", "UnsortedSegmentSum", "SegmentSum", "ScatterUpdate")
def _scatter(node: TfNode) -> None:
    accumulates = "Add" in node.op_type or "Sum" in node.op_type
    node.emit(OpKind.SCATTER, FunctionAttrs("scatter_add" if accumulates else "scatter"))


@rule("OneHot")
def _one_hot(node: TfNode) -> None:
    node.emit(OpKind.FILL, FunctionAttrs("one_hot"), inputs=(0,))


@rule(*_SHAPE_ARITHMETIC)
def _shape(node: TfNode) -> None:
    node.emit(OpKind.SHAPE, FunctionAttrs(node.op_type.lower()), outputs=len(node.op.outputs))


@rule(*_FILLS)
def _fill(node: TfNode) -> None:
    node.emit(OpKind.FILL, FunctionAttrs(_FILLS[node.op_type]), inputs=())


@rule("Assign", "AssignAdd", "AssignSub")
def _assign(node: TfNode) -> None:
    """Take reference, value; only in a complete graph."""
    node.copy("assign", inputs=(1,))


@rule("AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp", "NoOp", "Assert", "SaveV2", "RestoreV2",
      "MergeV2Checkpoints", "ScalarSummary", "MergeSummary", "Print", "PrintV2", "ControlTrigger")  # fmt: skip
def _no_result(node: TfNode) -> None:
    """Effects on state, files and logs: nothing of the network's own work."""
    builder = node.importer.builder
    names = []
    for tensor in node.op.outputs:
        names.append(builder.unique_tensor(node.key(tensor)))
        builder.add_tensor(names[-1], (), dtype_of(tensor.dtype))
        node.importer.bound[node.key(tensor)] = names[-1]
    if names:
        function = FunctionAttrs(node.op_type.lower())
        builder.emit(OpKind.SHAPE, (), names, function, name=node.name, source=node.op_type)
