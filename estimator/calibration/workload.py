"""From records to the kernels that they ran: each model is traced once, each workload lowered once, all kept on disk.

Records that differ only in the device share a workload; those that differ in runtime or precision share a graph;
those that differ in shape or layout share a built module. Models are spread over a few processes.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from estimator.calibration.graph_cache import GraphCache, LoweredModel, Traced, Workload
from estimator.calibration.records import Record, shape_text
from estimator.catalogue.device import UnitKind
from estimator.costs.registry import graph_cost
from estimator.dtypes import Precision
from estimator.engine import LAYOUTS, ResolvedTarget, lower_for
from estimator.errors import EstimatorError
from estimator.frontends.select import ZOOS, is_user_code, load_graph
from estimator.ir.graph import Graph
from estimator.lowering.kernel import KernelTable

POOL_FROM: Final = 12
"""Fewer models than this are not worth the start of worker processes (each imports torch)."""
DEFAULT_WORKERS: Final = 2

Progress = Callable[[int, int], None]
"""Called with (models done, models in all)."""


@dataclass(frozen=True, slots=True)
class Unlowered:
    """Why a workload has no kernels."""

    reason: str


Lowered = LoweredModel | Unlowered


def workload_of(record: Record, unit_kind: UnitKind | str) -> Workload:
    """Name the workload that a record measured."""
    layout = record.layout or LAYOUTS[0]
    traced = Traced(record.network, shape_text(record.input_shape), layout)
    return Workload(traced, record.runtime, record.precision.value, str(unit_kind), record.torch_version)


def lower_workloads(
    workloads: Iterable[Workload],
    *,
    cache: GraphCache | None = None,
    worker_count: int = DEFAULT_WORKERS,
    progress: Progress | None = None,
) -> Mapping[Workload, Lowered]:
    """Trace and lower every distinct workload.

    Parameters
    ----------
    worker_count : int
        Processes; 1 works in this one.

    Returns
    -------
    mapping of Workload to LoweredModel or Unlowered
        Complete: a model that cannot be built, traced or lowered carries its reason.
    """
    cache = cache or GraphCache()
    done: dict[Workload, Lowered] = {}
    missing: dict[str, list[Workload]] = {}
    for workload in dict.fromkeys(workloads):
        kept = cache.lowered(workload) if _is_zoo_model(workload.traced.model) else None
        if kept is not None:
            done[workload] = kept
        else:
            missing.setdefault(workload.traced.model, []).append(workload)
    batches = _batches(missing, cache.folder, worker_count)
    for number, batch in enumerate(batches, start=1):
        done.update(batch)
        if progress:
            progress(number, len(missing))
    return done


_Batch = list[tuple[Workload, Lowered]]


def _batches(missing: Mapping[str, Sequence[Workload]], folder: Path, worker_count: int) -> Iterator[_Batch]:
    """Lower model by model, here or in worker processes, in any order."""
    if worker_count <= 1 or len(missing) < POOL_FROM:
        for workloads in missing.values():
            yield lower_model(workloads, folder)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks of numpy and of the pool
    with ProcessPoolExecutor(worker_count, mp_context=context, initializer=_one_thread) as pool:
        pending = {pool.submit(lower_model, workloads, folder): workloads for workloads in missing.values()}
        try:
            for future in as_completed(pending):
                yield _result(future, pending[future])
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _one_thread() -> None:
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")


def _result(future: Future[_Batch], workloads: Sequence[Workload]) -> _Batch:
    try:
        return future.result()
    except Exception as error:  # a worker that died, or a bug that one model shows, must not lose the others
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return [(workload, Unlowered(reason)) for workload in workloads]


def lower_model(workloads: Sequence[Workload], folder: Path) -> _Batch:
    """Lower the workloads of one model, tracing each shape and layout once; keeps all in the cache."""
    cache = GraphCache(folder)
    by_graph: dict[Traced, list[Workload]] = {}
    for workload in workloads:
        by_graph.setdefault(workload.traced, []).append(workload)
    result: _Batch = []
    for traced, graph in _graphs(tuple(by_graph), cache):
        for workload in by_graph[traced]:
            lowered = Unlowered(graph) if isinstance(graph, str) else _lower(graph, workload)
            if isinstance(lowered, LoweredModel) and _is_zoo_model(traced.model):
                cache.keep_lowered(workload, lowered)
            result.append((workload, lowered))
    return result


def _graphs(wanted: Sequence[Traced], cache: GraphCache) -> Iterator[tuple[Traced, Graph | str]]:
    """Each graph, or the reason why there is none."""
    model = wanted[0].model
    if not _is_zoo_model(model):  # the reference does not say what a file or the user's code holds
        for traced in wanted:
            yield traced, _load(traced)
        return
    missing = []
    for traced in wanted:
        kept = cache.graph(traced)
        if kept is None:
            missing.append(traced)
        else:
            yield traced, kept
    if not missing:
        return
    from estimator.frontends.torch_variants import Variant, load_variants

    for traced, graph in zip(
        missing, load_variants(model, [Variant(t.input_shape, t.layout) for t in missing]), strict=True
    ):
        if isinstance(graph, EstimatorError):
            yield traced, graph.first_line
        else:
            cache.keep_graph(traced, graph)
            yield traced, graph


def _is_zoo_model(reference: str) -> bool:
    """Whether the reference and the installed versions alone say what the model is, so that it may be cached."""
    scheme, colon, _ = reference.partition(":")
    if colon:
        return scheme in ZOOS and scheme != "transformers"
    return not is_user_code(reference) and Path(reference).suffix == "" and "/" not in reference


def _load(traced: Traced) -> Graph | str:
    try:
        return load_graph(traced.model, input_shapes=(traced.input_shape,), layout=traced.layout)
    except EstimatorError as error:
        return error.first_line


def _lower(graph: Graph, workload: Workload) -> Lowered:
    precision = Precision(workload.precision)
    target = ResolvedTarget(
        workload.runtime, precision, workload.traced.layout, source="calibrated", torch_version=workload.torch_version
    )
    try:
        return lower_graph(graph, UnitKind(workload.unit_kind), target)
    except EstimatorError as error:
        return Unlowered(error.first_line)
    except Exception as error:  # a bug that one model shows must not lose the scores of the others
        return Unlowered(f"a bug in estimator: {type(error).__name__}: {error}")


def lower_graph(graph: Graph, kind: UnitKind, target: ResolvedTarget) -> LoweredModel:
    """Make what timing needs of a graph on a kind of unit.

    Raises
    ------
    EstimatorError
        The graph cannot be lowered for that target.
    """
    cost = graph_cost(graph)
    kernels = lower_for(graph, kind, target).kernels
    return LoweredModel(KernelTable.from_kernels(kernels).deduplicated(), cost.total.flops, cost.unsupported)
