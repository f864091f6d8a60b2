from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UnitKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNIT_KIND_UNSPECIFIED: _ClassVar[UnitKind]
    UNIT_KIND_CPU: _ClassVar[UnitKind]
    UNIT_KIND_GPU: _ClassVar[UnitKind]
    UNIT_KIND_NPU: _ClassVar[UnitKind]

class Basis(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BASIS_UNSPECIFIED: _ClassVar[Basis]
    BASIS_DATASHEET: _ClassVar[Basis]
    BASIS_SECONDARY: _ClassVar[Basis]
    BASIS_MEASURED: _ClassVar[Basis]
    BASIS_DERIVED: _ClassVar[Basis]
    BASIS_ASSUMED: _ClassVar[Basis]
    BASIS_UNKNOWN: _ClassVar[Basis]
UNIT_KIND_UNSPECIFIED: UnitKind
UNIT_KIND_CPU: UnitKind
UNIT_KIND_GPU: UnitKind
UNIT_KIND_NPU: UnitKind
BASIS_UNSPECIFIED: Basis
BASIS_DATASHEET: Basis
BASIS_SECONDARY: Basis
BASIS_MEASURED: Basis
BASIS_DERIVED: Basis
BASIS_ASSUMED: Basis
BASIS_UNKNOWN: Basis

class DeviceSummary(_message.Message):
    __slots__ = ("id", "display_name", "vendor", "aliases", "units", "default_unit", "release_year")
    ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    VENDOR_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_UNIT_FIELD_NUMBER: _ClassVar[int]
    RELEASE_YEAR_FIELD_NUMBER: _ClassVar[int]
    id: str
    display_name: str
    vendor: str
    aliases: _containers.RepeatedScalarFieldContainer[str]
    units: _containers.RepeatedCompositeFieldContainer[UnitSummary]
    default_unit: str
    release_year: int
    def __init__(self, id: _Optional[str] = ..., display_name: _Optional[str] = ..., vendor: _Optional[str] = ..., aliases: _Optional[_Iterable[str]] = ..., units: _Optional[_Iterable[_Union[UnitSummary, _Mapping]]] = ..., default_unit: _Optional[str] = ..., release_year: _Optional[int] = ...) -> None: ...

class UnitSummary(_message.Message):
    __slots__ = ("name", "kind", "runtimes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    RUNTIMES_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: UnitKind
    runtimes: _containers.RepeatedCompositeFieldContainer[RuntimeSupport]
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[UnitKind, str]] = ..., runtimes: _Optional[_Iterable[_Union[RuntimeSupport, _Mapping]]] = ...) -> None: ...

class Device(_message.Message):
    __slots__ = ("id", "display_name", "vendor", "aliases", "units", "default_unit", "release_year", "memory_capacity_bytes", "app_memory_bytes", "power_w", "claims", "values", "extends", "host_link_bytes_per_s")
    ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    VENDOR_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_UNIT_FIELD_NUMBER: _ClassVar[int]
    RELEASE_YEAR_FIELD_NUMBER: _ClassVar[int]
    MEMORY_CAPACITY_BYTES_FIELD_NUMBER: _ClassVar[int]
    APP_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    POWER_W_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    EXTENDS_FIELD_NUMBER: _ClassVar[int]
    HOST_LINK_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    id: str
    display_name: str
    vendor: str
    aliases: _containers.RepeatedScalarFieldContainer[str]
    units: _containers.RepeatedCompositeFieldContainer[Unit]
    default_unit: str
    release_year: int
    memory_capacity_bytes: int
    app_memory_bytes: int
    power_w: float
    claims: _containers.RepeatedCompositeFieldContainer[Claim]
    values: _containers.RepeatedCompositeFieldContainer[SourcedValue]
    extends: str
    host_link_bytes_per_s: float
    def __init__(self, id: _Optional[str] = ..., display_name: _Optional[str] = ..., vendor: _Optional[str] = ..., aliases: _Optional[_Iterable[str]] = ..., units: _Optional[_Iterable[_Union[Unit, _Mapping]]] = ..., default_unit: _Optional[str] = ..., release_year: _Optional[int] = ..., memory_capacity_bytes: _Optional[int] = ..., app_memory_bytes: _Optional[int] = ..., power_w: _Optional[float] = ..., claims: _Optional[_Iterable[_Union[Claim, _Mapping]]] = ..., values: _Optional[_Iterable[_Union[SourcedValue, _Mapping]]] = ..., extends: _Optional[str] = ..., host_link_bytes_per_s: _Optional[float] = ...) -> None: ...

class Unit(_message.Message):
    __slots__ = ("name", "kind", "display_name", "architecture", "ceilings", "memory", "runtimes", "core_count", "base_clock_hz", "boost_clock_hz", "sustained_clock_hz", "max_clock_hz", "vector_bits", "clusters", "power_w", "assumptions", "fp32_flops_per_cycle_per_core", "launch_overhead_s")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    ARCHITECTURE_FIELD_NUMBER: _ClassVar[int]
    CEILINGS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    RUNTIMES_FIELD_NUMBER: _ClassVar[int]
    CORE_COUNT_FIELD_NUMBER: _ClassVar[int]
    BASE_CLOCK_HZ_FIELD_NUMBER: _ClassVar[int]
    BOOST_CLOCK_HZ_FIELD_NUMBER: _ClassVar[int]
    SUSTAINED_CLOCK_HZ_FIELD_NUMBER: _ClassVar[int]
    MAX_CLOCK_HZ_FIELD_NUMBER: _ClassVar[int]
    VECTOR_BITS_FIELD_NUMBER: _ClassVar[int]
    CLUSTERS_FIELD_NUMBER: _ClassVar[int]
    POWER_W_FIELD_NUMBER: _ClassVar[int]
    ASSUMPTIONS_FIELD_NUMBER: _ClassVar[int]
    FP32_FLOPS_PER_CYCLE_PER_CORE_FIELD_NUMBER: _ClassVar[int]
    LAUNCH_OVERHEAD_S_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: UnitKind
    display_name: str
    architecture: str
    ceilings: _containers.RepeatedCompositeFieldContainer[Ceiling]
    memory: _containers.RepeatedCompositeFieldContainer[MemoryLevel]
    runtimes: _containers.RepeatedCompositeFieldContainer[RuntimeSupport]
    core_count: int
    base_clock_hz: float
    boost_clock_hz: float
    sustained_clock_hz: float
    max_clock_hz: float
    vector_bits: int
    clusters: _containers.RepeatedCompositeFieldContainer[CoreCluster]
    power_w: float
    assumptions: _containers.RepeatedScalarFieldContainer[str]
    fp32_flops_per_cycle_per_core: float
    launch_overhead_s: float
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[UnitKind, str]] = ..., display_name: _Optional[str] = ..., architecture: _Optional[str] = ..., ceilings: _Optional[_Iterable[_Union[Ceiling, _Mapping]]] = ..., memory: _Optional[_Iterable[_Union[MemoryLevel, _Mapping]]] = ..., runtimes: _Optional[_Iterable[_Union[RuntimeSupport, _Mapping]]] = ..., core_count: _Optional[int] = ..., base_clock_hz: _Optional[float] = ..., boost_clock_hz: _Optional[float] = ..., sustained_clock_hz: _Optional[float] = ..., max_clock_hz: _Optional[float] = ..., vector_bits: _Optional[int] = ..., clusters: _Optional[_Iterable[_Union[CoreCluster, _Mapping]]] = ..., power_w: _Optional[float] = ..., assumptions: _Optional[_Iterable[str]] = ..., fp32_flops_per_cycle_per_core: _Optional[float] = ..., launch_overhead_s: _Optional[float] = ...) -> None: ...

class Ceiling(_message.Message):
    __slots__ = ("engine", "dtype", "accumulate", "flops_per_s", "basis")
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    ACCUMULATE_FIELD_NUMBER: _ClassVar[int]
    FLOPS_PER_S_FIELD_NUMBER: _ClassVar[int]
    BASIS_FIELD_NUMBER: _ClassVar[int]
    engine: str
    dtype: str
    accumulate: str
    flops_per_s: float
    basis: Basis
    def __init__(self, engine: _Optional[str] = ..., dtype: _Optional[str] = ..., accumulate: _Optional[str] = ..., flops_per_s: _Optional[float] = ..., basis: _Optional[_Union[Basis, str]] = ...) -> None: ...

class MemoryLevel(_message.Message):
    __slots__ = ("level", "bandwidth_bytes_per_s", "size_bytes", "basis", "keeps_weights")
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    BANDWIDTH_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    BASIS_FIELD_NUMBER: _ClassVar[int]
    KEEPS_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    level: str
    bandwidth_bytes_per_s: float
    size_bytes: int
    basis: Basis
    keeps_weights: bool
    def __init__(self, level: _Optional[str] = ..., bandwidth_bytes_per_s: _Optional[float] = ..., size_bytes: _Optional[int] = ..., basis: _Optional[_Union[Basis, str]] = ..., keeps_weights: _Optional[bool] = ...) -> None: ...

class CoreCluster(_message.Message):
    __slots__ = ("name", "core_count", "clock_hz", "fp32_flops_per_cycle", "vector_bits")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CORE_COUNT_FIELD_NUMBER: _ClassVar[int]
    CLOCK_HZ_FIELD_NUMBER: _ClassVar[int]
    FP32_FLOPS_PER_CYCLE_FIELD_NUMBER: _ClassVar[int]
    VECTOR_BITS_FIELD_NUMBER: _ClassVar[int]
    name: str
    core_count: int
    clock_hz: float
    fp32_flops_per_cycle: float
    vector_bits: int
    def __init__(self, name: _Optional[str] = ..., core_count: _Optional[int] = ..., clock_hz: _Optional[float] = ..., fp32_flops_per_cycle: _Optional[float] = ..., vector_bits: _Optional[int] = ...) -> None: ...

class RuntimeSupport(_message.Message):
    __slots__ = ("name", "precisions")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PRECISIONS_FIELD_NUMBER: _ClassVar[int]
    name: str
    precisions: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., precisions: _Optional[_Iterable[str]] = ...) -> None: ...

class Claim(_message.Message):
    __slots__ = ("text", "source", "ops_per_s", "unit")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    OPS_PER_S_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    text: str
    source: str
    ops_per_s: float
    unit: str
    def __init__(self, text: _Optional[str] = ..., source: _Optional[str] = ..., ops_per_s: _Optional[float] = ..., unit: _Optional[str] = ...) -> None: ...

class SourcedValue(_message.Message):
    __slots__ = ("path", "value", "basis", "source", "where")
    PATH_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    BASIS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    WHERE_FIELD_NUMBER: _ClassVar[int]
    path: str
    value: str
    basis: Basis
    source: str
    where: str
    def __init__(self, path: _Optional[str] = ..., value: _Optional[str] = ..., basis: _Optional[_Union[Basis, str]] = ..., source: _Optional[str] = ..., where: _Optional[str] = ...) -> None: ...
