"""One function per rpc: message in, message out, errors raised as domain errors. No transport here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from estimator.catalogue.device import Device, Unit
from estimator.catalogue.loader import list_devices, load_device, resolve
from estimator.dtypes import Precision
from estimator.engine import EstimateOptions, estimate, estimate_columns
from estimator.errors import BadOptionError, EstimatorError, GraphError
from estimator.frontends.onnx_model import parse_onnx
from estimator.ir.graph import Graph
from estimator.ir.tensor import Shape
from estimator.result import Estimate, EstimateColumns, ProvenanceKind
from estimator.service.device_message import device_to_message, summary_to_message
from estimator.service.estimate_message import estimate_to_message
from estimator.service.graph_batch import GraphBatch
from estimator.service.graph_message import graph_from_message
from estimator.service.limits import Budget, Limits
from estimator.service.status import code_number, code_of
from estimator.units import us_from_s
from estimator.v1 import device_pb2
from estimator.v1 import estimator_pb2 as pb

MAX_NAME: Final = 256
"""Characters of a device, runtime or precision; nearest names are searched for unknown ones."""
MAX_COUNT: Final = (1 << 63) - 1

EstimateFunction = Callable[[Graph, Device, Unit, EstimateOptions], Estimate]
ColumnsFunction = Callable[[Iterable[Graph | EstimatorError], Device, Unit, EstimateOptions], EstimateColumns]


@dataclass(frozen=True, slots=True)
class ResolvedTarget:
    """A target with its device found and its options parsed."""

    device: Device
    unit: Unit
    options: EstimateOptions


@dataclass(frozen=True)
class Answers:
    """The service without its transport.

    Attributes
    ----------
    limits : Limits
        Sizes that are accepted.
    estimate_graph, estimate_many : callable
        `engine.estimate` and `engine.estimate_columns`; tests put failures here.
    """

    limits: Limits = field(default_factory=Limits)
    estimate_graph: EstimateFunction = estimate
    estimate_many: ColumnsFunction = estimate_columns

    def list_devices(self, request: pb.ListDevicesRequest, budget: Budget) -> pb.ListDevicesResponse:
        """Summarise the catalogue."""
        if request.kind not in device_pb2.UnitKind.values():
            raise BadOptionError(f"unknown unit kind {request.kind}", where="kind", expected="a UnitKind")
        summaries = (summary_to_message(device) for device in list_devices())
        wanted = (s for s in summaries if not request.kind or any(u.kind == request.kind for u in s.units))
        return pb.ListDevicesResponse(devices=wanted)

    def get_device(self, request: pb.GetDeviceRequest, budget: Budget) -> pb.GetDeviceResponse:
        """Return one device."""
        device, unit = find_device(request.device)
        return pb.GetDeviceResponse(device=device_to_message(device), unit=unit.name)

    def estimate(self, request: pb.EstimateRequest, budget: Budget) -> pb.EstimateResponse:
        """Estimate one network on one target."""
        target = self.resolve(request.target, "target")
        graph = self.read_model(request.model)
        budget.check()
        return pb.EstimateResponse(estimate=estimate_to_message(self.estimate_on(graph, target)))

    def compare_devices(self, request: pb.CompareDevicesRequest, budget: Budget) -> pb.CompareDevicesResponse:
        """Estimate one network on each target; a target that fails keeps its place."""
        self.check_targets(request.targets)
        graph = self.read_model(request.model)
        outcomes = []
        for index, target in enumerate(request.targets):
            budget.check()
            try:
                found = self.estimate_on(graph, self.resolve(target, f"targets[{index}]"))
                outcomes.append(pb.TargetOutcome(estimate=estimate_to_message(found)))
            except EstimatorError as error:
                outcomes.append(pb.TargetOutcome(error=item_error(0, index, error)))
        return pb.CompareDevicesResponse(outcomes=outcomes)

    def batch_estimate(self, request: pb.BatchEstimateRequest, budget: Budget) -> pb.BatchEstimateResponse:
        """Estimate many networks on each target, as columns; a cell that fails keeps its place."""
        self.check_targets(request.targets)
        batch = GraphBatch(request.batch, self.limits)
        self.limits.check("cells", len(batch) * len(request.targets))
        targets = [self.resolve(target, f"targets[{i}]") for i, target in enumerate(request.targets)]
        first_of: dict[bytes, int] = {}  # a search asks for its survivors again and again
        same = [first_of.setdefault(batch.fingerprint(index), index) for index in range(len(batch))]
        distinct, place = np.unique(np.array(same, dtype=np.int64), return_inverse=True)
        answers = [
            self.estimate_many(_graphs(batch, distinct.tolist(), budget), target.device, target.unit, target.options)
            for target in targets
        ]
        return pb.BatchEstimateResponse(columns=_columns_message(answers, place))

    def estimate_on(self, graph: Graph, target: ResolvedTarget) -> Estimate:
        """Estimate a graph on a target; its counts then fit the wire."""
        estimate = self.estimate_graph(graph, target.device, target.unit, target.options)
        if max(estimate.flops, estimate.bytes_moved, estimate.memory.peak_bytes) > MAX_COUNT:
            raise GraphError(f"a count of {graph.name!r} does not fit 64 bits", expected="a network that exists")
        return estimate

    def read_model(self, model: pb.Model) -> Graph:
        """Read a network in whichever form it came."""
        match model.WhichOneof("form"):
            case "graph":
                return graph_from_message(model.graph, self.limits)
            case "onnx":
                return self._onnx(model.onnx)
            case _:
                raise BadOptionError("the request has no network", where="model", expected="graph or onnx")

    def _onnx(self, model: pb.OnnxModel) -> Graph:
        graph = parse_onnx(
            model.content,
            name=model.name or "model",
            input_shapes={shape.name: _extents(shape) for shape in model.input_shapes},
            batch=model.batch if model.HasField("batch") else None,
        )
        self.limits.check("ops", len(graph.ops))
        return graph

    def check_targets(self, targets: Sequence[pb.Target]) -> None:
        """Refuse none, and too many."""
        if not targets:
            raise BadOptionError("the request has no target", where="targets", expected="one or more")
        self.limits.check("targets", len(targets))

    def resolve(self, target: pb.Target, where: str) -> ResolvedTarget:
        """Find a target's device and parse its options."""
        if target.source not in SOURCE_OF:
            raise BadOptionError(f"unknown source {target.source}", where=where, expected="a CoefficientSource")
        device, unit = find_device(target.device)
        for name in (target.runtime, target.precision, target.layout):
            _check_name(name, where)
        options = EstimateOptions(
            runtime=target.runtime if target.HasField("runtime") else None,
            precision=Precision.parse(target.precision) if target.HasField("precision") else None,
            layout=target.layout if target.HasField("layout") else None,
            strict=target.strict,
            source=SOURCE_OF[target.source],
        )
        return ResolvedTarget(device, unit, options)


def _graphs(batch: GraphBatch, indices: Sequence[int], budget: Budget) -> Iterator[Graph | EstimatorError]:
    """Build graphs one after another, as long as somebody waits; an error stands for one that is wrong."""
    for index in indices:
        budget.check()
        try:
            graph: Graph | EstimatorError = batch.graph(index)
        except EstimatorError as error:
            graph = error
        yield graph


def _columns_message(answers: Sequence[EstimateColumns], place: NDArray[np.int64]) -> pb.EstimateColumns:
    """Lay out answers, one of each target, graph-major; graph number i has its answer at ``place[i]``."""

    def column(of_target: Iterable[NDArray[Any]]) -> list[Any]:
        return np.stack(list(of_target), axis=1)[place].ravel().tolist()

    return pb.EstimateColumns(
        graph_count=len(place),
        target_count=len(answers),
        latency_us=pb.QuantileColumns(
            p10=column(us_from_s(one.p10_s) for one in answers),
            p50=column(us_from_s(one.p50_s) for one in answers),
            p90=column(us_from_s(one.p90_s) for one in answers),
        ),
        peak_memory_bytes=column(one.peak_bytes for one in answers),
        errors=[
            item_error(graph_index, target_index, one.failures[number])
            for graph_index, number in enumerate(place.tolist())
            for target_index, one in enumerate(answers)
            if number in one.failures
        ],
    )


def find_device(reference: str) -> tuple[Device, Unit]:
    """Find a device by ID or alias, with or without a unit.

    What else the catalogue would take (a file's path, ``here``) is an unknown name to the service.

    Raises
    ------
    UnknownDeviceError
        No ID or alias, or no such unit.
    """
    _check_name(reference, "device")
    name, slash, unit = reference.strip().partition("/")
    return load_device(resolve(name) + slash + unit)


def _check_name(text: str, where: str) -> None:
    if len(text) > MAX_NAME:
        raise BadOptionError(f"a name of {len(text):,} characters", where=where, expected=f"at most {MAX_NAME}")


SOURCE_OF = {
    pb.COEFFICIENT_SOURCE_UNSPECIFIED: None,
    pb.COEFFICIENT_SOURCE_CALIBRATED: ProvenanceKind.CALIBRATED.value,
    pb.COEFFICIENT_SOURCE_FAMILY: ProvenanceKind.FAMILY.value,
    pb.COEFFICIENT_SOURCE_DATASHEET: ProvenanceKind.DATASHEET.value,
}


def item_error(graph_index: int, target_index: int, error: EstimatorError) -> pb.ItemError:
    """Say why one cell has no answer."""
    return pb.ItemError(
        graph_index=graph_index,
        target_index=target_index,
        code=code_number(code_of(error)),
        reason=type(error).reason(),
        message=str(error),
    )


def _extents(message: pb.InputShape) -> Shape:
    if not message.extents or min(message.extents) < 1:
        raise BadOptionError(
            f"shape {list(message.extents)} of input {message.name!r}", where="input_shapes", expected="extents ≥ 1"
        )
    return tuple(message.extents)
