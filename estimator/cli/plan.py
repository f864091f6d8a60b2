"""``estimator-cli plan MODEL… --max-latency-ms X --max-memory-mb Y``: what meets a target."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from estimator.cli.compare import split_devices
from estimator.cli.options import (
    ModelRequest,
    OutputFormat,
    TargetRequest,
    calibration_option,
    finite,
    format_option,
    input_shape_option,
    layout_option,
    seq_len_option,
    strict_option,
)
from estimator.cli.output import colour_wanted, write_notes, write_result, write_warnings
from estimator.errors import BadOptionError, UnknownDeviceError, UnknownPrecisionError
from estimator.units import MEGA, s_from_ms

if TYPE_CHECKING:
    from estimator.engine import EstimateOptions
    from estimator.ir.graph import Graph
    from estimator.planning.search import Candidate, EstimateCandidate, Plan, Requirement
    from estimator.result import Estimate

LARGEST = "max"
_LIMIT = click.FloatRange(min=0, min_open=True)


@click.command()
@click.argument("models", metavar="MODEL…", nargs=-1, required=True)
@click.option("--max-latency-ms", type=_LIMIT, callback=finite, metavar="X", help="For the whole batch.")
@click.option("--max-memory-mb", type=_LIMIT, callback=finite, metavar="Y", help="Peak; 1 MB = 10⁶ B.")
@click.option("--devices", metavar="A,B,…", help="Devices to try; default: the whole catalogue.")
@click.option("--precisions", metavar="P,Q,…", help="Precisions to try; default: each unit's own.")
@click.option(
    "--batches", default="1", show_default=True, metavar="1,8,…|max", help="Batch sizes, or the largest that fits."
)
@click.option("--runtime", metavar="R", help="Runtime; default: each unit's own.")
@layout_option
@strict_option
@calibration_option
@input_shape_option
@seq_len_option
@click.option("--pessimistic", is_flag=True, help="Hold the p90 of the latency against the limit, not the p50.")
@format_option
def plan(
    models: tuple[str, ...],
    max_latency_ms: float | None,
    max_memory_mb: float | None,
    devices: str | None,
    precisions: str | None,
    batches: str,
    runtime: str | None,
    layout: str | None,
    strict: bool,
    calibrations: tuple[Path, ...],
    input_shapes: tuple[str, ...],
    seq_len: int | None,
    pessimistic: bool,
    output_format: OutputFormat,
) -> None:
    """Find devices, precisions and batch sizes on which MODEL meets a latency and a memory limit.

    Lists what is feasible, and of that the Pareto front in latency, memory and throughput.
    """
    from estimator.lowering.runtimes import runtime_rules
    from estimator.planning.search import MAX_BATCH, Candidate, Requirement, largest_batch
    from estimator.planning.search import plan as search

    requirement = Requirement(
        None if max_latency_ms is None else s_from_ms(max_latency_ms),
        None if max_memory_mb is None else round(max_memory_mb * MEGA),
        pessimistic,
    )
    if runtime is not None:
        runtime_rules(runtime)  # an unknown one is a mistake in the request, not what every candidate is rejected for
    references = _whole_catalogue() if devices is None else split_devices(devices, "--devices")
    wanted = [None] if precisions is None else _precisions(precisions)
    sizes = _batch_sizes(batches)
    options = {
        precision: TargetRequest(runtime, precision, layout, strict, calibrations=calibrations).options()
        for precision in wanted
    }
    graph_of = functools.cache(lambda model, batch: ModelRequest(model, input_shapes, batch, layout, seq_len).load())
    estimate = _estimator_of_candidates(graph_of, options, references, [(model, sizes[0]) for model in models])
    candidates = [
        Candidate(model, reference, precision, batch)
        for model in models
        for reference in references
        for precision in wanted
        for batch in sizes
    ]
    if batches == LARGEST:
        candidates = [largest_batch(one, requirement, estimate) or one for one in candidates]
    answer = search(candidates, requirement, estimate)
    write_result(_render(answer, requirement, output_format))
    if any(one.batch == MAX_BATCH for one in candidates) and batches == LARGEST:
        write_notes([f"batches above {MAX_BATCH} are not tried"])
    if output_format is not OutputFormat.JSON:
        write_warnings((*_common_warnings(answer, calibrations), *_unused(answer, calibrations)))


def _whole_catalogue() -> tuple[str, ...]:
    from estimator.catalogue.loader import device_ids

    return device_ids()


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _precisions(text: str) -> list[str | None]:
    from estimator.dtypes import Precision

    parts = _split(text)
    if not parts:
        raise BadOptionError(f"no precisions: {text!r} (--precisions)", expected="fp16,int8 or the like")
    try:
        return [Precision.parse(part).value for part in dict.fromkeys(parts)]
    except UnknownPrecisionError as error:
        error.option = "--precisions"
        raise


def _batch_sizes(text: str) -> list[int]:
    if text == LARGEST:
        return [1]
    parts = _split(text)
    if not parts or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise BadOptionError(f"no batch sizes: {text!r} (--batches)", expected="1,8,64 or max")
    return list(dict.fromkeys(map(int, parts)))


def _estimator_of_candidates(
    graph_of: Callable[[str, int], Graph],
    options: Mapping[str | None, EstimateOptions],
    devices: Sequence[str],
    models: Sequence[tuple[str, int]],
) -> EstimateCandidate:
    """Estimate candidates, reading each model once per batch size and each device once.

    Devices and models are read at once: an unknown one is a mistake in the request, not a rejected candidate.
    """
    from estimator.catalogue.loader import load_device
    from estimator.engine import estimate as estimate_graph

    device_of = functools.cache(load_device)

    for reference in devices:
        try:
            device_of(reference)
        except UnknownDeviceError as error:
            error.option = "--devices"
            raise
    for model, batch in models:
        graph_of(model, batch)

    @functools.cache
    def estimate(candidate: Candidate) -> Estimate:
        device, unit = device_of(candidate.device)
        return estimate_graph(graph_of(candidate.model, candidate.batch), device, unit, options[candidate.precision])

    return estimate


def _common_warnings(answer: Plan, calibrations: Sequence[Path]) -> list[str]:
    """Warnings that every feasible estimate of a model has: those of the model, not of a device or a calibration."""
    of_files = tuple(map(str, calibrations))
    common: dict[str, dict[str, None]] = {}
    for one in answer.feasible:
        known = common.get(one.candidate.model)
        theirs = [text for text in one.estimate.warnings if not text.startswith(of_files)]
        common[one.candidate.model] = dict.fromkeys(text for text in theirs if known is None or text in known)
    return [f"{model}: {text}" for model, texts in common.items() for text in texts]


def _unused(answer: Plan, calibrations: Sequence[Path]) -> list[str]:
    """Say which of the user's files fit no candidate; that one fits a device and not another is meant."""
    from estimator.catalogue.calibration_file import load_calibration

    made = [*(one.estimate for one in answer.feasible), *(one.estimate for one in answer.rejected if one.estimate)]
    tried = {f"{one.device}/{one.unit} {one.runtime}" for one in made}
    targets = {path: load_calibration(path).target for path in calibrations}
    return [
        f"{path} is for {target}, which no candidate is, and is not used: --devices and --runtime choose"
        for path, target in targets.items()
        if target not in tried
    ]


def _render(answer: Plan, requirement: Requirement, output_format: OutputFormat) -> str:
    from estimator.cli import plan_form

    match output_format:
        case OutputFormat.JSON:
            return plan_form.plan_json(answer, requirement)
        case OutputFormat.CSV:
            return plan_form.plan_csv(answer)
        case OutputFormat.MARKDOWN:
            return plan_form.plan_markdown(answer)
        case OutputFormat.TABLE:
            return plan_form.plan_screen(answer, colour=colour_wanted())
