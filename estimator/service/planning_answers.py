"""The rpcs that plan: which networks fit where, and the latency table of a search space."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Final, TypeVar

from google.protobuf.json_format import MessageToDict
from pydantic import ValidationError

from estimator.errors import BadOptionError
from estimator.ir.graph import Graph
from estimator.planning.search import Candidate, Feasible, Rejected, Requirement, plan
from estimator.planning.space import Space
from estimator.planning.table import blocks, latency_table
from estimator.result import Estimate
from estimator.service.answers import Answers
from estimator.service.estimate_message import estimate_to_message
from estimator.service.limits import Budget
from estimator.v1 import estimator_pb2 as pb

LAYOUT_OF: Final[Mapping[int, str]] = {
    pb.TABLE_LAYOUT_UNSPECIFIED: "once-for-all",
    pb.TABLE_LAYOUT_ONCE_FOR_ALL: "once-for-all",
    pb.TABLE_LAYOUT_PROXYLESSNAS: "proxylessnas",
}
Quantity = TypeVar("Quantity", int, float)

MAX_TABLE_BATCH: Final = 1 << 16


def plan_deployment(answers: Answers, request: pb.PlanDeploymentRequest, budget: Budget) -> pb.PlanDeploymentResponse:
    """Hold each network on each target against the limits."""
    answers.check_targets(request.targets)
    if not request.models:
        raise BadOptionError("the request has no network", where="models", expected="one or more")
    answers.limits.check("cells", len(request.models) * len(request.targets))
    requirement = Requirement(
        max_latency_s=_limit(request.max_latency_s, "max_latency_s") if request.HasField("max_latency_s") else None,
        max_memory_bytes=(
            _limit(request.max_memory_bytes, "max_memory_bytes") if request.HasField("max_memory_bytes") else None
        ),
        pessimistic=request.pessimistic,
    )
    graphs = [answers.read_model(model) for model in request.models]
    targets = [answers.resolve(target, f"targets[{i}]") for i, target in enumerate(request.targets)]
    places = {
        Candidate(graph.name, f"targets[{t}]", f"models[{m}]", graph.batch): (m, t)
        for m, graph in enumerate(graphs)
        for t in range(len(targets))
    }

    def estimate(candidate: Candidate) -> Estimate:
        budget.check()
        m, t = places[candidate]
        return answers.estimate_on(graphs[m], targets[t])

    found = plan(places, requirement, estimate)
    best = set(map(id, found.pareto))
    return pb.PlanDeploymentResponse(
        feasible=[_feasible(one, places[one.candidate], pareto=id(one) in best) for one in found.feasible],
        rejected=[_rejected(one, places[one.candidate]) for one in found.rejected],
    )


def export_table(answers: Answers, request: pb.ExportTableRequest, budget: Budget) -> pb.ExportTableResponse:
    """Estimate each distinct block of a space."""
    target = answers.resolve(request.target, "target")
    batch = request.batch if request.HasField("batch") else 1
    if not 1 <= batch <= MAX_TABLE_BATCH:
        raise BadOptionError(f"batch is {batch}", where="batch", expected=f"1 to {MAX_TABLE_BATCH}")
    space = space_from_message(request.space)
    answers.limits.check("cells", sum(1 for _ in islice(blocks(space), answers.limits.cells + 1)))

    def estimate(graph: Graph) -> Estimate:
        budget.check()
        return answers.estimate_on(graph, target)

    table = latency_table(space, estimate, batch=batch)
    return pb.ExportTableResponse(
        rows=[
            pb.TableRow(key=row.key, mean_s=row.mean_s, spread_s=row.spread_s, place_count=row.count)
            for row in table.rows
        ],
        fixed_s=table.fixed_s,
    )


def space_from_message(message: pb.SearchSpace) -> Space:
    """Read a search space; what is absent takes the defaults of the YAML form.

    Raises
    ------
    BadOptionError
        A required field is absent or a value out of range; the message names the field.
    """
    layout = LAYOUT_OF.get(message.layout)
    if layout is None:
        raise BadOptionError(f"unknown layout {message.layout}", where="space.layout", expected="a TableLayout")
    document: dict[str, object] = MessageToDict(message, preserving_proto_field_name=True)
    try:
        return Space.model_validate(document | {"schema_version": 1, "layout": layout})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in ("space", *first["loc"]))
        raise BadOptionError(first["msg"], where=field, expected="a search space") from None


def _feasible(one: Feasible, place: tuple[int, int], *, pareto: bool) -> pb.FeasibleDeployment:
    return pb.FeasibleDeployment(
        model_index=place[0],
        target_index=place[1],
        estimate=_without_kernels(one.estimate),
        throughput_per_s=one.throughput_per_s,
        pareto=pareto,
    )


def _rejected(one: Rejected, place: tuple[int, int]) -> pb.RejectedDeployment:
    estimate = None if one.estimate is None else _without_kernels(one.estimate)
    return pb.RejectedDeployment(model_index=place[0], target_index=place[1], reason=one.reason, estimate=estimate)


def _without_kernels(estimate: Estimate) -> pb.Estimate:
    message = estimate_to_message(estimate)
    message.ClearField("kernels")
    return message


def _limit(value: Quantity, where: str) -> Quantity:
    if not value > 0:
        raise BadOptionError(f"{where} is {value}", where=where, expected="a number above 0")
    return value
