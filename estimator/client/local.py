"""The estimator in this process."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from estimator import engine
from estimator.catalogue.device import Device, Unit
from estimator.catalogue.loader import load_device
from estimator.client.model import InputShapes, Model, graph_of, several
from estimator.client.surface import BatchEstimate, EstimatorSurface, ItemFailure
from estimator.dtypes import Precision
from estimator.engine import EstimateOptions
from estimator.errors import EstimatorError
from estimator.ir.graph import Graph
from estimator.result import Estimate
from estimator.units import us_from_s


class Estimator(EstimatorSurface):
    """Latency and memory of models on one device, computed here.

    Parameters
    ----------
    device : str or path
        ``ID``, ``ID/UNIT``, an alias, or the path of a device file.
    runtime, precision : str, optional
        Default: the unit's own.
    layout : str, optional
        ``nchw``, which is the default, or ``nhwc``.
    strict : bool
        Fail on an operator without a cost rule; by default coverage drops and a warning says so.
    source : str, optional
        Best coefficients allowed: ``calibrated``, ``family`` or ``datasheet``.
    calibrations : sequence of path
        Calibration files of your own.

    Raises
    ------
    UnknownDeviceError, UnknownPrecisionError
        Not in the catalogue; no such precision.

    Examples
    --------
    >>> from estimator import Estimator
    >>> npu = Estimator("sd865")
    >>> npu.latency_ms("torchvision:mobilenet_v2")  # doctest: +SKIP
    4.5
    """

    def __init__(
        self,
        device: str | os.PathLike[str],
        *,
        runtime: str | None = None,
        precision: str | None = None,
        layout: str | None = None,
        strict: bool = False,
        source: str | None = None,
        calibrations: Sequence[str | Path] = (),
    ) -> None:
        self._device, self._unit = load_device(device)
        self._options = EstimateOptions(
            runtime=runtime,
            precision=None if precision is None else Precision.parse(precision),
            layout=layout,
            strict=strict,
            source=source,
            calibrations=tuple(Path(path) for path in several(calibrations, "calibrations")),
        )

    def __repr__(self) -> str:
        return f"Estimator({self._device.id + '/' + self._unit.name!r})"

    @property
    def device(self) -> Device:
        """The device's facts."""
        return self._device

    @property
    def unit(self) -> Unit:
        """The unit of it that is estimated."""
        return self._unit

    @property
    def layout(self) -> str | None:
        """Layout asked for; None is nchw."""
        return self._options.layout

    def estimate_many(self, models: Iterable[Model]) -> BatchEstimate:
        """Estimate many networks; one that cannot be estimated keeps its place and is listed in `failures`."""
        graphs = (graph_of(model, layout=self.layout) for model in several(models, "models"))
        columns = engine.estimate_columns(graphs, self._device, self._unit, self._options)
        failures = (ItemFailure(i, type(error).reason(), str(error)) for i, error in columns.failures.items())
        return BatchEstimate(
            us_from_s(columns.p10_s), us_from_s(columns.p50_s), us_from_s(columns.p90_s), columns.peak_bytes,
            tuple(failures),
        )  # fmt: skip

    def _outcome(self, graph: Graph, index: int, reference: str) -> Estimate | ItemFailure:
        try:
            device, unit = load_device(reference)
            return engine.estimate(graph, device, unit, self._options)
        except EstimatorError as error:
            return ItemFailure(index, type(error).reason(), str(error))

    def _compare_graph(self, graph: Graph, devices: Sequence[str]) -> tuple[Estimate | ItemFailure, ...]:
        return tuple(self._outcome(graph, index, reference) for index, reference in enumerate(devices))

    def _estimate_graph(self, graph: Graph) -> Estimate:
        return engine.estimate(graph, self._device, self._unit, self._options)


def estimate(
    model: Model,
    device: str | os.PathLike[str],
    input_shape: InputShapes = None,
    *,
    batch: int | None = None,
    seq_len: int | None = None,
    runtime: str | None = None,
    precision: str | None = None,
    layout: str | None = None,
    strict: bool = False,
    source: str | None = None,
    calibrations: Sequence[str | Path] = (),
) -> Estimate:
    """Estimate one model on one device: `Estimator` for a single use.

    Parameters are those of `Estimator` and `Estimator.estimate`.

    Raises
    ------
    EstimatorError
        See `estimator.errors`.
    """
    estimator = Estimator(
        device,
        runtime=runtime,
        precision=precision,
        layout=layout,
        strict=strict,
        source=source,
        calibrations=calibrations,
    )
    return estimator.estimate(model, input_shape, batch=batch, seq_len=seq_len)
