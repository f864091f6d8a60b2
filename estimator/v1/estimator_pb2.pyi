from estimator.v1 import device_pb2 as _device_pb2
from estimator.v1 import graph_pb2 as _graph_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CoefficientSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COEFFICIENT_SOURCE_UNSPECIFIED: _ClassVar[CoefficientSource]
    COEFFICIENT_SOURCE_CALIBRATED: _ClassVar[CoefficientSource]
    COEFFICIENT_SOURCE_FAMILY: _ClassVar[CoefficientSource]
    COEFFICIENT_SOURCE_DATASHEET: _ClassVar[CoefficientSource]

class Bound(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BOUND_UNSPECIFIED: _ClassVar[Bound]
    BOUND_COMPUTE: _ClassVar[Bound]
    BOUND_MEMORY: _ClassVar[Bound]
    BOUND_OVERHEAD: _ClassVar[Bound]

class ProvenanceKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROVENANCE_KIND_UNSPECIFIED: _ClassVar[ProvenanceKind]
    PROVENANCE_KIND_CALIBRATED: _ClassVar[ProvenanceKind]
    PROVENANCE_KIND_FAMILY: _ClassVar[ProvenanceKind]
    PROVENANCE_KIND_DATASHEET: _ClassVar[ProvenanceKind]

class TableLayout(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TABLE_LAYOUT_UNSPECIFIED: _ClassVar[TableLayout]
    TABLE_LAYOUT_ONCE_FOR_ALL: _ClassVar[TableLayout]
    TABLE_LAYOUT_PROXYLESSNAS: _ClassVar[TableLayout]
COEFFICIENT_SOURCE_UNSPECIFIED: CoefficientSource
COEFFICIENT_SOURCE_CALIBRATED: CoefficientSource
COEFFICIENT_SOURCE_FAMILY: CoefficientSource
COEFFICIENT_SOURCE_DATASHEET: CoefficientSource
BOUND_UNSPECIFIED: Bound
BOUND_COMPUTE: Bound
BOUND_MEMORY: Bound
BOUND_OVERHEAD: Bound
PROVENANCE_KIND_UNSPECIFIED: ProvenanceKind
PROVENANCE_KIND_CALIBRATED: ProvenanceKind
PROVENANCE_KIND_FAMILY: ProvenanceKind
PROVENANCE_KIND_DATASHEET: ProvenanceKind
TABLE_LAYOUT_UNSPECIFIED: TableLayout
TABLE_LAYOUT_ONCE_FOR_ALL: TableLayout
TABLE_LAYOUT_PROXYLESSNAS: TableLayout

class ListDevicesRequest(_message.Message):
    __slots__ = ("kind",)
    KIND_FIELD_NUMBER: _ClassVar[int]
    kind: _device_pb2.UnitKind
    def __init__(self, kind: _Optional[_Union[_device_pb2.UnitKind, str]] = ...) -> None: ...

class ListDevicesResponse(_message.Message):
    __slots__ = ("devices",)
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    devices: _containers.RepeatedCompositeFieldContainer[_device_pb2.DeviceSummary]
    def __init__(self, devices: _Optional[_Iterable[_Union[_device_pb2.DeviceSummary, _Mapping]]] = ...) -> None: ...

class GetDeviceRequest(_message.Message):
    __slots__ = ("device",)
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    device: str
    def __init__(self, device: _Optional[str] = ...) -> None: ...

class GetDeviceResponse(_message.Message):
    __slots__ = ("device", "unit")
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    device: _device_pb2.Device
    unit: str
    def __init__(self, device: _Optional[_Union[_device_pb2.Device, _Mapping]] = ..., unit: _Optional[str] = ...) -> None: ...

class EstimateRequest(_message.Message):
    __slots__ = ("model", "target")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    model: Model
    target: Target
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ..., target: _Optional[_Union[Target, _Mapping]] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("graph", "onnx")
    GRAPH_FIELD_NUMBER: _ClassVar[int]
    ONNX_FIELD_NUMBER: _ClassVar[int]
    graph: _graph_pb2.Graph
    onnx: OnnxModel
    def __init__(self, graph: _Optional[_Union[_graph_pb2.Graph, _Mapping]] = ..., onnx: _Optional[_Union[OnnxModel, _Mapping]] = ...) -> None: ...

class OnnxModel(_message.Message):
    __slots__ = ("content", "name", "input_shapes", "batch")
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    INPUT_SHAPES_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    content: bytes
    name: str
    input_shapes: _containers.RepeatedCompositeFieldContainer[InputShape]
    batch: int
    def __init__(self, content: _Optional[bytes] = ..., name: _Optional[str] = ..., input_shapes: _Optional[_Iterable[_Union[InputShape, _Mapping]]] = ..., batch: _Optional[int] = ...) -> None: ...

class InputShape(_message.Message):
    __slots__ = ("name", "extents")
    NAME_FIELD_NUMBER: _ClassVar[int]
    EXTENTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    extents: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[str] = ..., extents: _Optional[_Iterable[int]] = ...) -> None: ...

class Target(_message.Message):
    __slots__ = ("device", "runtime", "precision", "layout", "source", "strict")
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    device: str
    runtime: str
    precision: str
    layout: str
    source: CoefficientSource
    strict: bool
    def __init__(self, device: _Optional[str] = ..., runtime: _Optional[str] = ..., precision: _Optional[str] = ..., layout: _Optional[str] = ..., source: _Optional[_Union[CoefficientSource, str]] = ..., strict: _Optional[bool] = ...) -> None: ...

class EstimateResponse(_message.Message):
    __slots__ = ("estimate",)
    ESTIMATE_FIELD_NUMBER: _ClassVar[int]
    estimate: Estimate
    def __init__(self, estimate: _Optional[_Union[Estimate, _Mapping]] = ...) -> None: ...

class Estimate(_message.Message):
    __slots__ = ("model", "device", "device_name", "unit", "runtime", "precision", "layout", "batch", "latency", "naive_latency_s", "roofline_latency_s", "macs", "flops", "params", "bytes_moved", "memory", "memory_capacity_bytes", "bound_share", "coverage", "unsupported_ops", "provenance", "kernels", "peak_flops_per_s", "peak_bandwidth_bytes_per_s", "warnings", "assumptions")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_NAME_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    NAIVE_LATENCY_S_FIELD_NUMBER: _ClassVar[int]
    ROOFLINE_LATENCY_S_FIELD_NUMBER: _ClassVar[int]
    MACS_FIELD_NUMBER: _ClassVar[int]
    FLOPS_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    BYTES_MOVED_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    MEMORY_CAPACITY_BYTES_FIELD_NUMBER: _ClassVar[int]
    BOUND_SHARE_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    UNSUPPORTED_OPS_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    KERNELS_FIELD_NUMBER: _ClassVar[int]
    PEAK_FLOPS_PER_S_FIELD_NUMBER: _ClassVar[int]
    PEAK_BANDWIDTH_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    ASSUMPTIONS_FIELD_NUMBER: _ClassVar[int]
    model: str
    device: str
    device_name: str
    unit: str
    runtime: str
    precision: str
    layout: str
    batch: int
    latency: Interval
    naive_latency_s: float
    roofline_latency_s: float
    macs: int
    flops: int
    params: int
    bytes_moved: int
    memory: MemoryEstimate
    memory_capacity_bytes: int
    bound_share: BoundShare
    coverage: float
    unsupported_ops: _containers.RepeatedScalarFieldContainer[str]
    provenance: Provenance
    kernels: _containers.RepeatedCompositeFieldContainer[KernelEstimate]
    peak_flops_per_s: float
    peak_bandwidth_bytes_per_s: float
    warnings: _containers.RepeatedScalarFieldContainer[str]
    assumptions: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, model: _Optional[str] = ..., device: _Optional[str] = ..., device_name: _Optional[str] = ..., unit: _Optional[str] = ..., runtime: _Optional[str] = ..., precision: _Optional[str] = ..., layout: _Optional[str] = ..., batch: _Optional[int] = ..., latency: _Optional[_Union[Interval, _Mapping]] = ..., naive_latency_s: _Optional[float] = ..., roofline_latency_s: _Optional[float] = ..., macs: _Optional[int] = ..., flops: _Optional[int] = ..., params: _Optional[int] = ..., bytes_moved: _Optional[int] = ..., memory: _Optional[_Union[MemoryEstimate, _Mapping]] = ..., memory_capacity_bytes: _Optional[int] = ..., bound_share: _Optional[_Union[BoundShare, _Mapping]] = ..., coverage: _Optional[float] = ..., unsupported_ops: _Optional[_Iterable[str]] = ..., provenance: _Optional[_Union[Provenance, _Mapping]] = ..., kernels: _Optional[_Iterable[_Union[KernelEstimate, _Mapping]]] = ..., peak_flops_per_s: _Optional[float] = ..., peak_bandwidth_bytes_per_s: _Optional[float] = ..., warnings: _Optional[_Iterable[str]] = ..., assumptions: _Optional[_Iterable[str]] = ...) -> None: ...

class Interval(_message.Message):
    __slots__ = ("p10_s", "p50_s", "p90_s")
    P10_S_FIELD_NUMBER: _ClassVar[int]
    P50_S_FIELD_NUMBER: _ClassVar[int]
    P90_S_FIELD_NUMBER: _ClassVar[int]
    p10_s: float
    p50_s: float
    p90_s: float
    def __init__(self, p10_s: _Optional[float] = ..., p50_s: _Optional[float] = ..., p90_s: _Optional[float] = ...) -> None: ...

class MemoryEstimate(_message.Message):
    __slots__ = ("weights_bytes", "activation_bytes", "workspace_bytes", "kv_cache_bytes")
    WEIGHTS_BYTES_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_BYTES_FIELD_NUMBER: _ClassVar[int]
    WORKSPACE_BYTES_FIELD_NUMBER: _ClassVar[int]
    KV_CACHE_BYTES_FIELD_NUMBER: _ClassVar[int]
    weights_bytes: int
    activation_bytes: int
    workspace_bytes: int
    kv_cache_bytes: int
    def __init__(self, weights_bytes: _Optional[int] = ..., activation_bytes: _Optional[int] = ..., workspace_bytes: _Optional[int] = ..., kv_cache_bytes: _Optional[int] = ...) -> None: ...

class BoundShare(_message.Message):
    __slots__ = ("compute", "memory", "overhead")
    COMPUTE_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    OVERHEAD_FIELD_NUMBER: _ClassVar[int]
    compute: float
    memory: float
    overhead: float
    def __init__(self, compute: _Optional[float] = ..., memory: _Optional[float] = ..., overhead: _Optional[float] = ...) -> None: ...

class Provenance(_message.Message):
    __slots__ = ("kind", "record_count", "heldout_median_ape", "calibration")
    KIND_FIELD_NUMBER: _ClassVar[int]
    RECORD_COUNT_FIELD_NUMBER: _ClassVar[int]
    HELDOUT_MEDIAN_APE_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_FIELD_NUMBER: _ClassVar[int]
    kind: ProvenanceKind
    record_count: int
    heldout_median_ape: float
    calibration: str
    def __init__(self, kind: _Optional[_Union[ProvenanceKind, str]] = ..., record_count: _Optional[int] = ..., heldout_median_ape: _Optional[float] = ..., calibration: _Optional[str] = ...) -> None: ...

class KernelEstimate(_message.Message):
    __slots__ = ("name", "ops", "kernel_class", "time_s", "share", "bound", "flops", "bytes_moved", "intensity_flops_per_byte", "utilisation", "scope")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OPS_FIELD_NUMBER: _ClassVar[int]
    KERNEL_CLASS_FIELD_NUMBER: _ClassVar[int]
    TIME_S_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    BOUND_FIELD_NUMBER: _ClassVar[int]
    FLOPS_FIELD_NUMBER: _ClassVar[int]
    BYTES_MOVED_FIELD_NUMBER: _ClassVar[int]
    INTENSITY_FLOPS_PER_BYTE_FIELD_NUMBER: _ClassVar[int]
    UTILISATION_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    ops: _containers.RepeatedScalarFieldContainer[str]
    kernel_class: str
    time_s: float
    share: float
    bound: Bound
    flops: int
    bytes_moved: int
    intensity_flops_per_byte: float
    utilisation: float
    scope: str
    def __init__(self, name: _Optional[str] = ..., ops: _Optional[_Iterable[str]] = ..., kernel_class: _Optional[str] = ..., time_s: _Optional[float] = ..., share: _Optional[float] = ..., bound: _Optional[_Union[Bound, str]] = ..., flops: _Optional[int] = ..., bytes_moved: _Optional[int] = ..., intensity_flops_per_byte: _Optional[float] = ..., utilisation: _Optional[float] = ..., scope: _Optional[str] = ...) -> None: ...

class BatchEstimateRequest(_message.Message):
    __slots__ = ("batch", "targets")
    BATCH_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    batch: _graph_pb2.GraphBatch
    targets: _containers.RepeatedCompositeFieldContainer[Target]
    def __init__(self, batch: _Optional[_Union[_graph_pb2.GraphBatch, _Mapping]] = ..., targets: _Optional[_Iterable[_Union[Target, _Mapping]]] = ...) -> None: ...

class BatchEstimateResponse(_message.Message):
    __slots__ = ("columns",)
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    columns: EstimateColumns
    def __init__(self, columns: _Optional[_Union[EstimateColumns, _Mapping]] = ...) -> None: ...

class EstimateColumns(_message.Message):
    __slots__ = ("graph_count", "target_count", "latency_us", "peak_memory_bytes", "errors")
    GRAPH_COUNT_FIELD_NUMBER: _ClassVar[int]
    TARGET_COUNT_FIELD_NUMBER: _ClassVar[int]
    LATENCY_US_FIELD_NUMBER: _ClassVar[int]
    PEAK_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    graph_count: int
    target_count: int
    latency_us: QuantileColumns
    peak_memory_bytes: _containers.RepeatedScalarFieldContainer[int]
    errors: _containers.RepeatedCompositeFieldContainer[ItemError]
    def __init__(self, graph_count: _Optional[int] = ..., target_count: _Optional[int] = ..., latency_us: _Optional[_Union[QuantileColumns, _Mapping]] = ..., peak_memory_bytes: _Optional[_Iterable[int]] = ..., errors: _Optional[_Iterable[_Union[ItemError, _Mapping]]] = ...) -> None: ...

class QuantileColumns(_message.Message):
    __slots__ = ("p10", "p50", "p90")
    P10_FIELD_NUMBER: _ClassVar[int]
    P50_FIELD_NUMBER: _ClassVar[int]
    P90_FIELD_NUMBER: _ClassVar[int]
    p10: _containers.RepeatedScalarFieldContainer[float]
    p50: _containers.RepeatedScalarFieldContainer[float]
    p90: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, p10: _Optional[_Iterable[float]] = ..., p50: _Optional[_Iterable[float]] = ..., p90: _Optional[_Iterable[float]] = ...) -> None: ...

class ItemError(_message.Message):
    __slots__ = ("graph_index", "target_index", "code", "reason", "message")
    GRAPH_INDEX_FIELD_NUMBER: _ClassVar[int]
    TARGET_INDEX_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    graph_index: int
    target_index: int
    code: int
    reason: str
    message: str
    def __init__(self, graph_index: _Optional[int] = ..., target_index: _Optional[int] = ..., code: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class StreamEstimateRequest(_message.Message):
    __slots__ = ("batch", "targets")
    BATCH_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    batch: _graph_pb2.GraphBatch
    targets: _containers.RepeatedCompositeFieldContainer[Target]
    def __init__(self, batch: _Optional[_Union[_graph_pb2.GraphBatch, _Mapping]] = ..., targets: _Optional[_Iterable[_Union[Target, _Mapping]]] = ...) -> None: ...

class StreamEstimateResponse(_message.Message):
    __slots__ = ("batch_index", "columns")
    BATCH_INDEX_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    batch_index: int
    columns: EstimateColumns
    def __init__(self, batch_index: _Optional[int] = ..., columns: _Optional[_Union[EstimateColumns, _Mapping]] = ...) -> None: ...

class CompareDevicesRequest(_message.Message):
    __slots__ = ("model", "targets")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    model: Model
    targets: _containers.RepeatedCompositeFieldContainer[Target]
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ..., targets: _Optional[_Iterable[_Union[Target, _Mapping]]] = ...) -> None: ...

class CompareDevicesResponse(_message.Message):
    __slots__ = ("outcomes",)
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[TargetOutcome]
    def __init__(self, outcomes: _Optional[_Iterable[_Union[TargetOutcome, _Mapping]]] = ...) -> None: ...

class TargetOutcome(_message.Message):
    __slots__ = ("estimate", "error")
    ESTIMATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    estimate: Estimate
    error: ItemError
    def __init__(self, estimate: _Optional[_Union[Estimate, _Mapping]] = ..., error: _Optional[_Union[ItemError, _Mapping]] = ...) -> None: ...

class PlanDeploymentRequest(_message.Message):
    __slots__ = ("models", "targets", "max_latency_s", "max_memory_bytes", "pessimistic")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    MAX_LATENCY_S_FIELD_NUMBER: _ClassVar[int]
    MAX_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    PESSIMISTIC_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    targets: _containers.RepeatedCompositeFieldContainer[Target]
    max_latency_s: float
    max_memory_bytes: int
    pessimistic: bool
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ..., targets: _Optional[_Iterable[_Union[Target, _Mapping]]] = ..., max_latency_s: _Optional[float] = ..., max_memory_bytes: _Optional[int] = ..., pessimistic: _Optional[bool] = ...) -> None: ...

class PlanDeploymentResponse(_message.Message):
    __slots__ = ("feasible", "rejected")
    FEASIBLE_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    feasible: _containers.RepeatedCompositeFieldContainer[FeasibleDeployment]
    rejected: _containers.RepeatedCompositeFieldContainer[RejectedDeployment]
    def __init__(self, feasible: _Optional[_Iterable[_Union[FeasibleDeployment, _Mapping]]] = ..., rejected: _Optional[_Iterable[_Union[RejectedDeployment, _Mapping]]] = ...) -> None: ...

class FeasibleDeployment(_message.Message):
    __slots__ = ("model_index", "target_index", "estimate", "throughput_per_s", "pareto")
    MODEL_INDEX_FIELD_NUMBER: _ClassVar[int]
    TARGET_INDEX_FIELD_NUMBER: _ClassVar[int]
    ESTIMATE_FIELD_NUMBER: _ClassVar[int]
    THROUGHPUT_PER_S_FIELD_NUMBER: _ClassVar[int]
    PARETO_FIELD_NUMBER: _ClassVar[int]
    model_index: int
    target_index: int
    estimate: Estimate
    throughput_per_s: float
    pareto: bool
    def __init__(self, model_index: _Optional[int] = ..., target_index: _Optional[int] = ..., estimate: _Optional[_Union[Estimate, _Mapping]] = ..., throughput_per_s: _Optional[float] = ..., pareto: _Optional[bool] = ...) -> None: ...

class RejectedDeployment(_message.Message):
    __slots__ = ("model_index", "target_index", "reason", "estimate")
    MODEL_INDEX_FIELD_NUMBER: _ClassVar[int]
    TARGET_INDEX_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ESTIMATE_FIELD_NUMBER: _ClassVar[int]
    model_index: int
    target_index: int
    reason: str
    estimate: Estimate
    def __init__(self, model_index: _Optional[int] = ..., target_index: _Optional[int] = ..., reason: _Optional[str] = ..., estimate: _Optional[_Union[Estimate, _Mapping]] = ...) -> None: ...

class ExportTableRequest(_message.Message):
    __slots__ = ("space", "target", "batch")
    SPACE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    space: SearchSpace
    target: Target
    batch: int
    def __init__(self, space: _Optional[_Union[SearchSpace, _Mapping]] = ..., target: _Optional[_Union[Target, _Mapping]] = ..., batch: _Optional[int] = ...) -> None: ...

class SearchSpace(_message.Message):
    __slots__ = ("layout", "resolutions", "image_channels", "stem", "stages", "final_expand", "feature_mix", "classes")
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    RESOLUTIONS_FIELD_NUMBER: _ClassVar[int]
    IMAGE_CHANNELS_FIELD_NUMBER: _ClassVar[int]
    STEM_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    FINAL_EXPAND_FIELD_NUMBER: _ClassVar[int]
    FEATURE_MIX_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    layout: TableLayout
    resolutions: _containers.RepeatedScalarFieldContainer[int]
    image_channels: int
    stem: Stem
    stages: _containers.RepeatedCompositeFieldContainer[Stage]
    final_expand: PointwiseLayer
    feature_mix: PointwiseLayer
    classes: int
    def __init__(self, layout: _Optional[_Union[TableLayout, str]] = ..., resolutions: _Optional[_Iterable[int]] = ..., image_channels: _Optional[int] = ..., stem: _Optional[_Union[Stem, _Mapping]] = ..., stages: _Optional[_Iterable[_Union[Stage, _Mapping]]] = ..., final_expand: _Optional[_Union[PointwiseLayer, _Mapping]] = ..., feature_mix: _Optional[_Union[PointwiseLayer, _Mapping]] = ..., classes: _Optional[int] = ...) -> None: ...

class Stem(_message.Message):
    __slots__ = ("channels", "kernel", "stride", "activation")
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    KERNEL_FIELD_NUMBER: _ClassVar[int]
    STRIDE_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    channels: int
    kernel: int
    stride: int
    activation: str
    def __init__(self, channels: _Optional[int] = ..., kernel: _Optional[int] = ..., stride: _Optional[int] = ..., activation: _Optional[str] = ...) -> None: ...

class Stage(_message.Message):
    __slots__ = ("channels", "depth", "kernel", "expand", "stride", "activation", "squeeze_excite")
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    KERNEL_FIELD_NUMBER: _ClassVar[int]
    EXPAND_FIELD_NUMBER: _ClassVar[int]
    STRIDE_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    SQUEEZE_EXCITE_FIELD_NUMBER: _ClassVar[int]
    channels: _containers.RepeatedScalarFieldContainer[int]
    depth: int
    kernel: _containers.RepeatedScalarFieldContainer[int]
    expand: _containers.RepeatedScalarFieldContainer[int]
    stride: int
    activation: str
    squeeze_excite: bool
    def __init__(self, channels: _Optional[_Iterable[int]] = ..., depth: _Optional[int] = ..., kernel: _Optional[_Iterable[int]] = ..., expand: _Optional[_Iterable[int]] = ..., stride: _Optional[int] = ..., activation: _Optional[str] = ..., squeeze_excite: _Optional[bool] = ...) -> None: ...

class PointwiseLayer(_message.Message):
    __slots__ = ("channels", "activation")
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    channels: int
    activation: str
    def __init__(self, channels: _Optional[int] = ..., activation: _Optional[str] = ...) -> None: ...

class ExportTableResponse(_message.Message):
    __slots__ = ("rows", "fixed_s")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    FIXED_S_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[TableRow]
    fixed_s: float
    def __init__(self, rows: _Optional[_Iterable[_Union[TableRow, _Mapping]]] = ..., fixed_s: _Optional[float] = ...) -> None: ...

class TableRow(_message.Message):
    __slots__ = ("key", "mean_s", "spread_s", "place_count")
    KEY_FIELD_NUMBER: _ClassVar[int]
    MEAN_S_FIELD_NUMBER: _ClassVar[int]
    SPREAD_S_FIELD_NUMBER: _ClassVar[int]
    PLACE_COUNT_FIELD_NUMBER: _ClassVar[int]
    key: str
    mean_s: float
    spread_s: float
    place_count: int
    def __init__(self, key: _Optional[str] = ..., mean_s: _Optional[float] = ..., spread_s: _Optional[float] = ..., place_count: _Optional[int] = ...) -> None: ...
