from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ElementType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ELEMENT_TYPE_UNSPECIFIED: _ClassVar[ElementType]
    ELEMENT_TYPE_F64: _ClassVar[ElementType]
    ELEMENT_TYPE_F32: _ClassVar[ElementType]
    ELEMENT_TYPE_F16: _ClassVar[ElementType]
    ELEMENT_TYPE_BF16: _ClassVar[ElementType]
    ELEMENT_TYPE_F8: _ClassVar[ElementType]
    ELEMENT_TYPE_I64: _ClassVar[ElementType]
    ELEMENT_TYPE_I32: _ClassVar[ElementType]
    ELEMENT_TYPE_I16: _ClassVar[ElementType]
    ELEMENT_TYPE_I8: _ClassVar[ElementType]
    ELEMENT_TYPE_U64: _ClassVar[ElementType]
    ELEMENT_TYPE_U32: _ClassVar[ElementType]
    ELEMENT_TYPE_U16: _ClassVar[ElementType]
    ELEMENT_TYPE_U8: _ClassVar[ElementType]
    ELEMENT_TYPE_I4: _ClassVar[ElementType]
    ELEMENT_TYPE_BOOL: _ClassVar[ElementType]
    ELEMENT_TYPE_C64: _ClassVar[ElementType]
    ELEMENT_TYPE_C128: _ClassVar[ElementType]
    ELEMENT_TYPE_STRING: _ClassVar[ElementType]

class TensorRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TENSOR_ROLE_UNSPECIFIED: _ClassVar[TensorRole]
    TENSOR_ROLE_INPUT: _ClassVar[TensorRole]
    TENSOR_ROLE_PARAMETER: _ClassVar[TensorRole]
    TENSOR_ROLE_BUFFER: _ClassVar[TensorRole]
    TENSOR_ROLE_CONSTANT: _ClassVar[TensorRole]
    TENSOR_ROLE_ACTIVATION: _ClassVar[TensorRole]

class OpKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OP_KIND_UNSPECIFIED: _ClassVar[OpKind]
    OP_KIND_CONV: _ClassVar[OpKind]
    OP_KIND_DEFORM_CONV: _ClassVar[OpKind]
    OP_KIND_LINEAR: _ClassVar[OpKind]
    OP_KIND_MATMUL: _ClassVar[OpKind]
    OP_KIND_EINSUM: _ClassVar[OpKind]
    OP_KIND_ATTENTION: _ClassVar[OpKind]
    OP_KIND_RNN: _ClassVar[OpKind]
    OP_KIND_NORM: _ClassVar[OpKind]
    OP_KIND_SOFTMAX: _ClassVar[OpKind]
    OP_KIND_ACTIVATION: _ClassVar[OpKind]
    OP_KIND_UNARY: _ClassVar[OpKind]
    OP_KIND_BINARY: _ClassVar[OpKind]
    OP_KIND_TERNARY: _ClassVar[OpKind]
    OP_KIND_CAST: _ClassVar[OpKind]
    OP_KIND_QUANTIZE: _ClassVar[OpKind]
    OP_KIND_DEQUANTIZE: _ClassVar[OpKind]
    OP_KIND_REDUCE: _ClassVar[OpKind]
    OP_KIND_CUMULATIVE: _ClassVar[OpKind]
    OP_KIND_SORT: _ClassVar[OpKind]
    OP_KIND_POOL: _ClassVar[OpKind]
    OP_KIND_ADAPTIVE_POOL: _ClassVar[OpKind]
    OP_KIND_RESIZE: _ClassVar[OpKind]
    OP_KIND_GRID_SAMPLE: _ClassVar[OpKind]
    OP_KIND_FFT: _ClassVar[OpKind]
    OP_KIND_EMBEDDING: _ClassVar[OpKind]
    OP_KIND_GATHER: _ClassVar[OpKind]
    OP_KIND_SCATTER: _ClassVar[OpKind]
    OP_KIND_CONCAT: _ClassVar[OpKind]
    OP_KIND_PAD: _ClassVar[OpKind]
    OP_KIND_COPY: _ClassVar[OpKind]
    OP_KIND_VIEW: _ClassVar[OpKind]
    OP_KIND_UNFOLD: _ClassVar[OpKind]
    OP_KIND_FOLD: _ClassVar[OpKind]
    OP_KIND_ROI_ALIGN: _ClassVar[OpKind]
    OP_KIND_NMS: _ClassVar[OpKind]
    OP_KIND_FILL: _ClassVar[OpKind]
    OP_KIND_SHAPE: _ClassVar[OpKind]
    OP_KIND_IDENTITY: _ClassVar[OpKind]
    OP_KIND_CONTROL: _ClassVar[OpKind]
    OP_KIND_UNKNOWN: _ClassVar[OpKind]
ELEMENT_TYPE_UNSPECIFIED: ElementType
ELEMENT_TYPE_F64: ElementType
ELEMENT_TYPE_F32: ElementType
ELEMENT_TYPE_F16: ElementType
ELEMENT_TYPE_BF16: ElementType
ELEMENT_TYPE_F8: ElementType
ELEMENT_TYPE_I64: ElementType
ELEMENT_TYPE_I32: ElementType
ELEMENT_TYPE_I16: ElementType
ELEMENT_TYPE_I8: ElementType
ELEMENT_TYPE_U64: ElementType
ELEMENT_TYPE_U32: ElementType
ELEMENT_TYPE_U16: ElementType
ELEMENT_TYPE_U8: ElementType
ELEMENT_TYPE_I4: ElementType
ELEMENT_TYPE_BOOL: ElementType
ELEMENT_TYPE_C64: ElementType
ELEMENT_TYPE_C128: ElementType
ELEMENT_TYPE_STRING: ElementType
TENSOR_ROLE_UNSPECIFIED: TensorRole
TENSOR_ROLE_INPUT: TensorRole
TENSOR_ROLE_PARAMETER: TensorRole
TENSOR_ROLE_BUFFER: TensorRole
TENSOR_ROLE_CONSTANT: TensorRole
TENSOR_ROLE_ACTIVATION: TensorRole
OP_KIND_UNSPECIFIED: OpKind
OP_KIND_CONV: OpKind
OP_KIND_DEFORM_CONV: OpKind
OP_KIND_LINEAR: OpKind
OP_KIND_MATMUL: OpKind
OP_KIND_EINSUM: OpKind
OP_KIND_ATTENTION: OpKind
OP_KIND_RNN: OpKind
OP_KIND_NORM: OpKind
OP_KIND_SOFTMAX: OpKind
OP_KIND_ACTIVATION: OpKind
OP_KIND_UNARY: OpKind
OP_KIND_BINARY: OpKind
OP_KIND_TERNARY: OpKind
OP_KIND_CAST: OpKind
OP_KIND_QUANTIZE: OpKind
OP_KIND_DEQUANTIZE: OpKind
OP_KIND_REDUCE: OpKind
OP_KIND_CUMULATIVE: OpKind
OP_KIND_SORT: OpKind
OP_KIND_POOL: OpKind
OP_KIND_ADAPTIVE_POOL: OpKind
OP_KIND_RESIZE: OpKind
OP_KIND_GRID_SAMPLE: OpKind
OP_KIND_FFT: OpKind
OP_KIND_EMBEDDING: OpKind
OP_KIND_GATHER: OpKind
OP_KIND_SCATTER: OpKind
OP_KIND_CONCAT: OpKind
OP_KIND_PAD: OpKind
OP_KIND_COPY: OpKind
OP_KIND_VIEW: OpKind
OP_KIND_UNFOLD: OpKind
OP_KIND_FOLD: OpKind
OP_KIND_ROI_ALIGN: OpKind
OP_KIND_NMS: OpKind
OP_KIND_FILL: OpKind
OP_KIND_SHAPE: OpKind
OP_KIND_IDENTITY: OpKind
OP_KIND_CONTROL: OpKind
OP_KIND_UNKNOWN: OpKind

class TensorType(_message.Message):
    __slots__ = ("shape", "element_type", "quantised", "strides")
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    ELEMENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    QUANTISED_FIELD_NUMBER: _ClassVar[int]
    STRIDES_FIELD_NUMBER: _ClassVar[int]
    shape: _containers.RepeatedScalarFieldContainer[int]
    element_type: ElementType
    quantised: bool
    strides: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, shape: _Optional[_Iterable[int]] = ..., element_type: _Optional[_Union[ElementType, str]] = ..., quantised: _Optional[bool] = ..., strides: _Optional[_Iterable[int]] = ...) -> None: ...

class Tensor(_message.Message):
    __slots__ = ("name", "type", "role")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: TensorType
    role: TensorRole
    def __init__(self, name: _Optional[str] = ..., type: _Optional[_Union[TensorType, _Mapping]] = ..., role: _Optional[_Union[TensorRole, str]] = ...) -> None: ...

class Op(_message.Message):
    __slots__ = ("name", "kind", "inputs", "outputs", "attrs", "scope", "source", "in_place")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    ATTRS_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    IN_PLACE_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: OpKind
    inputs: _containers.RepeatedScalarFieldContainer[str]
    outputs: _containers.RepeatedScalarFieldContainer[str]
    attrs: OpAttrs
    scope: str
    source: str
    in_place: bool
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[OpKind, str]] = ..., inputs: _Optional[_Iterable[str]] = ..., outputs: _Optional[_Iterable[str]] = ..., attrs: _Optional[_Union[OpAttrs, _Mapping]] = ..., scope: _Optional[str] = ..., source: _Optional[str] = ..., in_place: _Optional[bool] = ...) -> None: ...

class OpAttrs(_message.Message):
    __slots__ = ("conv", "matmul", "einsum", "attention", "rnn", "norm", "function", "softmax", "reduce", "pool", "adaptive_pool", "resize", "axis", "copy", "control", "unknown")
    CONV_FIELD_NUMBER: _ClassVar[int]
    MATMUL_FIELD_NUMBER: _ClassVar[int]
    EINSUM_FIELD_NUMBER: _ClassVar[int]
    ATTENTION_FIELD_NUMBER: _ClassVar[int]
    RNN_FIELD_NUMBER: _ClassVar[int]
    NORM_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    SOFTMAX_FIELD_NUMBER: _ClassVar[int]
    REDUCE_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    ADAPTIVE_POOL_FIELD_NUMBER: _ClassVar[int]
    RESIZE_FIELD_NUMBER: _ClassVar[int]
    AXIS_FIELD_NUMBER: _ClassVar[int]
    COPY_FIELD_NUMBER: _ClassVar[int]
    CONTROL_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    conv: ConvAttrs
    matmul: MatmulAttrs
    einsum: EinsumAttrs
    attention: AttentionAttrs
    rnn: RnnAttrs
    norm: NormAttrs
    function: FunctionAttrs
    softmax: SoftmaxAttrs
    reduce: ReduceAttrs
    pool: PoolAttrs
    adaptive_pool: AdaptivePoolAttrs
    resize: ResizeAttrs
    axis: AxisAttrs
    copy: CopyAttrs
    control: ControlAttrs
    unknown: UnknownAttrs
    def __init__(self, conv: _Optional[_Union[ConvAttrs, _Mapping]] = ..., matmul: _Optional[_Union[MatmulAttrs, _Mapping]] = ..., einsum: _Optional[_Union[EinsumAttrs, _Mapping]] = ..., attention: _Optional[_Union[AttentionAttrs, _Mapping]] = ..., rnn: _Optional[_Union[RnnAttrs, _Mapping]] = ..., norm: _Optional[_Union[NormAttrs, _Mapping]] = ..., function: _Optional[_Union[FunctionAttrs, _Mapping]] = ..., softmax: _Optional[_Union[SoftmaxAttrs, _Mapping]] = ..., reduce: _Optional[_Union[ReduceAttrs, _Mapping]] = ..., pool: _Optional[_Union[PoolAttrs, _Mapping]] = ..., adaptive_pool: _Optional[_Union[AdaptivePoolAttrs, _Mapping]] = ..., resize: _Optional[_Union[ResizeAttrs, _Mapping]] = ..., axis: _Optional[_Union[AxisAttrs, _Mapping]] = ..., copy: _Optional[_Union[CopyAttrs, _Mapping]] = ..., control: _Optional[_Union[ControlAttrs, _Mapping]] = ..., unknown: _Optional[_Union[UnknownAttrs, _Mapping]] = ...) -> None: ...

class ConvAttrs(_message.Message):
    __slots__ = ("kernel", "stride", "padding", "dilation", "groups", "transposed", "channels_last")
    KERNEL_FIELD_NUMBER: _ClassVar[int]
    STRIDE_FIELD_NUMBER: _ClassVar[int]
    PADDING_FIELD_NUMBER: _ClassVar[int]
    DILATION_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    TRANSPOSED_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_LAST_FIELD_NUMBER: _ClassVar[int]
    kernel: _containers.RepeatedScalarFieldContainer[int]
    stride: _containers.RepeatedScalarFieldContainer[int]
    padding: _containers.RepeatedScalarFieldContainer[int]
    dilation: _containers.RepeatedScalarFieldContainer[int]
    groups: int
    transposed: bool
    channels_last: bool
    def __init__(self, kernel: _Optional[_Iterable[int]] = ..., stride: _Optional[_Iterable[int]] = ..., padding: _Optional[_Iterable[int]] = ..., dilation: _Optional[_Iterable[int]] = ..., groups: _Optional[int] = ..., transposed: _Optional[bool] = ..., channels_last: _Optional[bool] = ...) -> None: ...

class MatmulAttrs(_message.Message):
    __slots__ = ("transpose_a", "transpose_b", "outside_autocast")
    TRANSPOSE_A_FIELD_NUMBER: _ClassVar[int]
    TRANSPOSE_B_FIELD_NUMBER: _ClassVar[int]
    OUTSIDE_AUTOCAST_FIELD_NUMBER: _ClassVar[int]
    transpose_a: bool
    transpose_b: bool
    outside_autocast: bool
    def __init__(self, transpose_a: _Optional[bool] = ..., transpose_b: _Optional[bool] = ..., outside_autocast: _Optional[bool] = ...) -> None: ...

class EinsumAttrs(_message.Message):
    __slots__ = ("equation",)
    EQUATION_FIELD_NUMBER: _ClassVar[int]
    equation: str
    def __init__(self, equation: _Optional[str] = ...) -> None: ...

class AttentionAttrs(_message.Message):
    __slots__ = ("causal", "grouped_query")
    CAUSAL_FIELD_NUMBER: _ClassVar[int]
    GROUPED_QUERY_FIELD_NUMBER: _ClassVar[int]
    causal: bool
    grouped_query: bool
    def __init__(self, causal: _Optional[bool] = ..., grouped_query: _Optional[bool] = ...) -> None: ...

class RnnAttrs(_message.Message):
    __slots__ = ("cell", "hidden_size", "layers", "bidirectional", "batch_first", "has_bias", "projection_size")
    CELL_FIELD_NUMBER: _ClassVar[int]
    HIDDEN_SIZE_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    BIDIRECTIONAL_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIRST_FIELD_NUMBER: _ClassVar[int]
    HAS_BIAS_FIELD_NUMBER: _ClassVar[int]
    PROJECTION_SIZE_FIELD_NUMBER: _ClassVar[int]
    cell: str
    hidden_size: int
    layers: int
    bidirectional: bool
    batch_first: bool
    has_bias: bool
    projection_size: int
    def __init__(self, cell: _Optional[str] = ..., hidden_size: _Optional[int] = ..., layers: _Optional[int] = ..., bidirectional: _Optional[bool] = ..., batch_first: _Optional[bool] = ..., has_bias: _Optional[bool] = ..., projection_size: _Optional[int] = ...) -> None: ...

class NormAttrs(_message.Message):
    __slots__ = ("function", "affine", "groups", "normalized_rank", "channels_last", "keeps_low_precision")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    AFFINE_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    NORMALIZED_RANK_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_LAST_FIELD_NUMBER: _ClassVar[int]
    KEEPS_LOW_PRECISION_FIELD_NUMBER: _ClassVar[int]
    function: str
    affine: bool
    groups: int
    normalized_rank: int
    channels_last: bool
    keeps_low_precision: bool
    def __init__(self, function: _Optional[str] = ..., affine: _Optional[bool] = ..., groups: _Optional[int] = ..., normalized_rank: _Optional[int] = ..., channels_last: _Optional[bool] = ..., keeps_low_precision: _Optional[bool] = ...) -> None: ...

class FunctionAttrs(_message.Message):
    __slots__ = ("function",)
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    function: str
    def __init__(self, function: _Optional[str] = ...) -> None: ...

class SoftmaxAttrs(_message.Message):
    __slots__ = ("axis", "log")
    AXIS_FIELD_NUMBER: _ClassVar[int]
    LOG_FIELD_NUMBER: _ClassVar[int]
    axis: int
    log: bool
    def __init__(self, axis: _Optional[int] = ..., log: _Optional[bool] = ...) -> None: ...

class ReduceAttrs(_message.Message):
    __slots__ = ("function", "axes", "keepdim")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    AXES_FIELD_NUMBER: _ClassVar[int]
    KEEPDIM_FIELD_NUMBER: _ClassVar[int]
    function: str
    axes: _containers.RepeatedScalarFieldContainer[int]
    keepdim: bool
    def __init__(self, function: _Optional[str] = ..., axes: _Optional[_Iterable[int]] = ..., keepdim: _Optional[bool] = ...) -> None: ...

class PoolAttrs(_message.Message):
    __slots__ = ("function", "kernel", "stride", "padding", "channels_last")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    KERNEL_FIELD_NUMBER: _ClassVar[int]
    STRIDE_FIELD_NUMBER: _ClassVar[int]
    PADDING_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_LAST_FIELD_NUMBER: _ClassVar[int]
    function: str
    kernel: _containers.RepeatedScalarFieldContainer[int]
    stride: _containers.RepeatedScalarFieldContainer[int]
    padding: _containers.RepeatedScalarFieldContainer[int]
    channels_last: bool
    def __init__(self, function: _Optional[str] = ..., kernel: _Optional[_Iterable[int]] = ..., stride: _Optional[_Iterable[int]] = ..., padding: _Optional[_Iterable[int]] = ..., channels_last: _Optional[bool] = ...) -> None: ...

class AdaptivePoolAttrs(_message.Message):
    __slots__ = ("function", "output_size", "channels_last")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_SIZE_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_LAST_FIELD_NUMBER: _ClassVar[int]
    function: str
    output_size: _containers.RepeatedScalarFieldContainer[int]
    channels_last: bool
    def __init__(self, function: _Optional[str] = ..., output_size: _Optional[_Iterable[int]] = ..., channels_last: _Optional[bool] = ...) -> None: ...

class ResizeAttrs(_message.Message):
    __slots__ = ("mode", "align_corners", "channels_last", "by_scale")
    MODE_FIELD_NUMBER: _ClassVar[int]
    ALIGN_CORNERS_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_LAST_FIELD_NUMBER: _ClassVar[int]
    BY_SCALE_FIELD_NUMBER: _ClassVar[int]
    mode: str
    align_corners: bool
    channels_last: bool
    by_scale: bool
    def __init__(self, mode: _Optional[str] = ..., align_corners: _Optional[bool] = ..., channels_last: _Optional[bool] = ..., by_scale: _Optional[bool] = ...) -> None: ...

class AxisAttrs(_message.Message):
    __slots__ = ("axis",)
    AXIS_FIELD_NUMBER: _ClassVar[int]
    axis: int
    def __init__(self, axis: _Optional[int] = ...) -> None: ...

class CopyAttrs(_message.Message):
    __slots__ = ("function", "transposing")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    TRANSPOSING_FIELD_NUMBER: _ClassVar[int]
    function: str
    transposing: bool
    def __init__(self, function: _Optional[str] = ..., transposing: _Optional[bool] = ...) -> None: ...

class ControlAttrs(_message.Message):
    __slots__ = ("function", "branches")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    BRANCHES_FIELD_NUMBER: _ClassVar[int]
    function: str
    branches: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, function: _Optional[str] = ..., branches: _Optional[_Iterable[str]] = ...) -> None: ...

class UnknownAttrs(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class ModuleSpec(_message.Message):
    __slots__ = ("path", "type_name", "parameters", "buffers")
    PATH_FIELD_NUMBER: _ClassVar[int]
    TYPE_NAME_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    BUFFERS_FIELD_NUMBER: _ClassVar[int]
    path: str
    type_name: str
    parameters: _containers.RepeatedScalarFieldContainer[str]
    buffers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, path: _Optional[str] = ..., type_name: _Optional[str] = ..., parameters: _Optional[_Iterable[str]] = ..., buffers: _Optional[_Iterable[str]] = ...) -> None: ...

class ModuleCall(_message.Message):
    __slots__ = ("path", "inputs", "outputs")
    PATH_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    path: str
    inputs: _containers.RepeatedScalarFieldContainer[str]
    outputs: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, path: _Optional[str] = ..., inputs: _Optional[_Iterable[str]] = ..., outputs: _Optional[_Iterable[str]] = ...) -> None: ...

class Graph(_message.Message):
    __slots__ = ("name", "tensors", "inputs", "outputs", "ops", "modules", "module_calls", "notes", "source_format", "one_input_per_item")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    OPS_FIELD_NUMBER: _ClassVar[int]
    MODULES_FIELD_NUMBER: _ClassVar[int]
    MODULE_CALLS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    ONE_INPUT_PER_ITEM_FIELD_NUMBER: _ClassVar[int]
    name: str
    tensors: _containers.RepeatedCompositeFieldContainer[Tensor]
    inputs: _containers.RepeatedScalarFieldContainer[str]
    outputs: _containers.RepeatedScalarFieldContainer[str]
    ops: _containers.RepeatedCompositeFieldContainer[Op]
    modules: _containers.RepeatedCompositeFieldContainer[ModuleSpec]
    module_calls: _containers.RepeatedCompositeFieldContainer[ModuleCall]
    notes: _containers.RepeatedScalarFieldContainer[str]
    source_format: str
    one_input_per_item: bool
    def __init__(self, name: _Optional[str] = ..., tensors: _Optional[_Iterable[_Union[Tensor, _Mapping]]] = ..., inputs: _Optional[_Iterable[str]] = ..., outputs: _Optional[_Iterable[str]] = ..., ops: _Optional[_Iterable[_Union[Op, _Mapping]]] = ..., modules: _Optional[_Iterable[_Union[ModuleSpec, _Mapping]]] = ..., module_calls: _Optional[_Iterable[_Union[ModuleCall, _Mapping]]] = ..., notes: _Optional[_Iterable[str]] = ..., source_format: _Optional[str] = ..., one_input_per_item: _Optional[bool] = ...) -> None: ...

class BatchOp(_message.Message):
    __slots__ = ("kind", "attrs", "operands", "results", "in_place", "source_role")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ATTRS_FIELD_NUMBER: _ClassVar[int]
    OPERANDS_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    IN_PLACE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ROLE_FIELD_NUMBER: _ClassVar[int]
    kind: OpKind
    attrs: OpAttrs
    operands: _containers.RepeatedCompositeFieldContainer[BatchOperand]
    results: _containers.RepeatedCompositeFieldContainer[TensorType]
    in_place: bool
    source_role: TensorRole
    def __init__(self, kind: _Optional[_Union[OpKind, str]] = ..., attrs: _Optional[_Union[OpAttrs, _Mapping]] = ..., operands: _Optional[_Iterable[_Union[BatchOperand, _Mapping]]] = ..., results: _Optional[_Iterable[_Union[TensorType, _Mapping]]] = ..., in_place: _Optional[bool] = ..., source_role: _Optional[_Union[TensorRole, str]] = ...) -> None: ...

class BatchOperand(_message.Message):
    __slots__ = ("type", "role")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    type: TensorType
    role: TensorRole
    def __init__(self, type: _Optional[_Union[TensorType, _Mapping]] = ..., role: _Optional[_Union[TensorRole, str]] = ...) -> None: ...

class GraphBatch(_message.Message):
    __slots__ = ("ops", "graph_offsets", "op_index", "edge_offsets", "edge_src", "output_offsets", "output_src", "call_offsets", "call_value_offsets", "call_values")
    OPS_FIELD_NUMBER: _ClassVar[int]
    GRAPH_OFFSETS_FIELD_NUMBER: _ClassVar[int]
    OP_INDEX_FIELD_NUMBER: _ClassVar[int]
    EDGE_OFFSETS_FIELD_NUMBER: _ClassVar[int]
    EDGE_SRC_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_OFFSETS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_SRC_FIELD_NUMBER: _ClassVar[int]
    CALL_OFFSETS_FIELD_NUMBER: _ClassVar[int]
    CALL_VALUE_OFFSETS_FIELD_NUMBER: _ClassVar[int]
    CALL_VALUES_FIELD_NUMBER: _ClassVar[int]
    ops: _containers.RepeatedCompositeFieldContainer[BatchOp]
    graph_offsets: _containers.RepeatedScalarFieldContainer[int]
    op_index: _containers.RepeatedScalarFieldContainer[int]
    edge_offsets: _containers.RepeatedScalarFieldContainer[int]
    edge_src: _containers.RepeatedScalarFieldContainer[int]
    output_offsets: _containers.RepeatedScalarFieldContainer[int]
    output_src: _containers.RepeatedScalarFieldContainer[int]
    call_offsets: _containers.RepeatedScalarFieldContainer[int]
    call_value_offsets: _containers.RepeatedScalarFieldContainer[int]
    call_values: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, ops: _Optional[_Iterable[_Union[BatchOp, _Mapping]]] = ..., graph_offsets: _Optional[_Iterable[int]] = ..., op_index: _Optional[_Iterable[int]] = ..., edge_offsets: _Optional[_Iterable[int]] = ..., edge_src: _Optional[_Iterable[int]] = ..., output_offsets: _Optional[_Iterable[int]] = ..., output_src: _Optional[_Iterable[int]] = ..., call_offsets: _Optional[_Iterable[int]] = ..., call_value_offsets: _Optional[_Iterable[int]] = ..., call_values: _Optional[_Iterable[int]] = ...) -> None: ...
