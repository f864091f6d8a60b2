"""What a local and a remote estimator have in common: the methods, and the nouns of a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from estimator.client.model import InputShapes, Model, graph_of, several
from estimator.ir.graph import Graph
from estimator.result import Estimate
from estimator.units import ms_from_s

if TYPE_CHECKING:
    from estimator.catalogue.device import Device


@dataclass(frozen=True, slots=True)
class Request:
    """How a model runs; absent means the device's own default.

    Attributes
    ----------
    source : str or None
        Best coefficients allowed: ``calibrated``, ``family`` or ``datasheet``.
    calibrations : tuple of Path
        Calibration files of the caller's own; only a local estimator reads them.
    """

    runtime: str | None = None
    precision: str | None = None
    layout: str | None = None
    strict: bool = False
    source: str | None = None
    calibrations: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemFailure:
    """Why one network of a batch, or one device of a comparison, has no answer.

    Attributes
    ----------
    index : int
        Its place in the call, from 0.
    reason : str
        Kind of failure, as `EstimatorError.reason` names it.
    message : str
        For people.
    """

    index: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class BatchEstimate:
    """Answers to many networks on one device, as columns, [graphs] each.

    Microseconds, because the wire carries them: local and remote columns are the same to the bit. (A
    conversion rounds, so `latency_ms` may differ in the last bit from that of a single estimate.)

    Attributes
    ----------
    latency_p10_us, latency_p50_us, latency_p90_us : array of float64
        NaN where a network failed.
    peak_memory_bytes : array of int64
        0 where a network failed.
    failures : tuple of ItemFailure
        The networks without an answer.
    """

    latency_p10_us: NDArray[np.float64]
    latency_p50_us: NDArray[np.float64]
    latency_p90_us: NDArray[np.float64]
    peak_memory_bytes: NDArray[np.int64]
    failures: tuple[ItemFailure, ...] = ()

    def __len__(self) -> int:
        return len(self.latency_p50_us)

    @property
    def latency_ms(self) -> NDArray[np.float64]:
        """Median latency in milliseconds."""
        return self.latency_p50_us / 1000


class EstimatorSurface(ABC):
    """Latency and memory of models on one device."""

    def latency_ms(
        self,
        model: Model,
        input_shape: InputShapes = None,
        *,
        batch: int | None = None,
        seq_len: int | None = None,
    ) -> float:
        """Estimate the median latency of one inference, in milliseconds.

        Parameters
        ----------
        model : str, Path, Graph or torch.nn.Module
            A reference as on the command line, a graph, or a module, which is traced without its weights.
        input_shape : shape, or one for each input, optional
            ``(1, 3, 224, 224)``, ``"1x3x224x224"``, ``"ids=1x128"`` or ``{"ids": (1, 128)}``; needed where the model
            does not know.
        batch : int, optional
            Replaces the leading extent of the inputs.
        seq_len : int, optional
            Tokens, for ``transformers:`` models.

        Returns
        -------
        float
            Milliseconds.

        Raises
        ------
        EstimatorError
            See `estimator.errors`.
        """
        return ms_from_s(self.estimate(model, input_shape, batch=batch, seq_len=seq_len).latency.p50_s)

    def estimate(
        self,
        model: Model,
        input_shape: InputShapes = None,
        *,
        batch: int | None = None,
        seq_len: int | None = None,
    ) -> Estimate:
        """Estimate one model, with interval, memory and every kernel.

        Parameters are those of `latency_ms`.

        Raises
        ------
        EstimatorError
            See `estimator.errors`.
        """
        return self._estimate_graph(graph_of(model, input_shape, batch=batch, seq_len=seq_len, layout=self.layout))

    @property
    @abstractmethod
    def device(self) -> Device:
        """The device's facts."""

    @property
    @abstractmethod
    def layout(self) -> str | None:
        """Layout asked for; None is nchw."""

    @abstractmethod
    def estimate_many(self, models: Iterable[Model]) -> BatchEstimate:
        """Estimate many networks; one that cannot be estimated keeps its place and is listed in `failures`.

        Raises
        ------
        ModelError
            A model cannot be read or traced into a graph at all.
        """

    def compare(
        self,
        model: Model,
        devices: Sequence[str],
        input_shape: InputShapes = None,
        *,
        batch: int | None = None,
        seq_len: int | None = None,
    ) -> tuple[Estimate | ItemFailure, ...]:
        """Estimate one network on each device; one that fails keeps its place.

        The other parameters are those of `latency_ms`.
        """
        references = list(several(devices, "devices"))
        graph = graph_of(model, input_shape, batch=batch, seq_len=seq_len, layout=self.layout)
        return self._compare_graph(graph, references)

    @abstractmethod
    def _estimate_graph(self, graph: Graph) -> Estimate: ...

    @abstractmethod
    def _compare_graph(self, graph: Graph, devices: Sequence[str]) -> tuple[Estimate | ItemFailure, ...]: ...
