"""Planning over the wire: the answers of `planning`, with places instead of names."""

import grpc
import pytest

from estimator.catalogue.loader import load_device
from estimator.client.graph_message import graph_to_message
from estimator.engine import EstimateOptions, estimate
from estimator.errors import BadOptionError
from estimator.planning.search import Candidate, Requirement, plan
from estimator.planning.space import Space
from estimator.planning.table import latency_table
from estimator.service.limits import Limits
from estimator.service.planning_answers import space_from_message
from estimator.v1 import estimator_pb2 as pb
from tests.service.networks import mlp, with_unknown_op

WAIT_S = 60
DEVICES = ("sd865", "sd865/cpu", "rtx4090")
MODELS = (mlp(1, width=32, name="small"), mlp(9, width=128, name="large"))
SPACE = pb.SearchSpace(
    resolutions=[32],
    stem=pb.Stem(channels=8),
    stages=[pb.Stage(channels=[8, 16], depth=2, kernel=[3, 5], expand=[3], stride=2)],
    final_expand=pb.PointwiseLayer(channels=32, activation="relu"),
    feature_mix=pb.PointwiseLayer(channels=16),
    classes=10,
)


def request(**limits):
    return pb.PlanDeploymentRequest(
        models=[pb.Model(graph=graph_to_message(graph)) for graph in MODELS],
        targets=[pb.Target(device=device) for device in DEVICES],
        **limits,
    )


def on(graph, device):
    return estimate(graph, *load_device(device), EstimateOptions())


def local(requirement):
    graphs = {graph.name: graph for graph in MODELS}
    candidates = [Candidate(graph.name, device, None, 1) for graph in MODELS for device in DEVICES]
    return plan(candidates, requirement, lambda c: on(graphs[c.model], c.device))


def names(message):
    return MODELS[message.model_index].name, DEVICES[message.target_index]


@pytest.mark.parametrize("pessimistic", [False, True])
def test_a_plan_is_the_librarys_plan(service, pessimistic):
    third_s = sorted(on(graph, device).latency.p50_s for graph in MODELS for device in DEVICES)[2]
    expected = local(Requirement(max_latency_s=third_s, max_memory_bytes=10**9, pessimistic=pessimistic))
    wanted = request(max_latency_s=third_s, max_memory_bytes=10**9, pessimistic=pessimistic)
    got = service.stub.PlanDeployment(wanted, timeout=WAIT_S)
    assert [names(m) for m in got.feasible] == [(f.candidate.model, f.candidate.device) for f in expected.feasible]
    assert [m.estimate.latency.p50_s for m in got.feasible] == [f.estimate.latency.p50_s for f in expected.feasible]
    assert [m.throughput_per_s for m in got.feasible] == [f.throughput_per_s for f in expected.feasible]
    assert {names(m) for m in got.feasible if m.pareto} == {
        (f.candidate.model, f.candidate.device) for f in expected.pareto
    }
    assert [(names(m), m.reason) for m in got.rejected] == [
        ((r.candidate.model, r.candidate.device), r.reason) for r in expected.rejected
    ]
    assert got.rejected
    assert not any(m.estimate.kernels for m in (*got.feasible, *got.rejected))


def test_without_limits_everything_that_can_be_estimated_is_feasible(service):
    wanted = request()
    wanted.targets[1].strict = True
    wanted.models.append(pb.Model(graph=graph_to_message(with_unknown_op())))
    got = service.stub.PlanDeployment(wanted, timeout=WAIT_S)
    assert len(got.feasible) == 3 * 3 - 1
    assert [(m.model_index, m.target_index, m.HasField("estimate")) for m in got.rejected] == [(2, 1, False)]


@pytest.mark.parametrize(
    "wrong",
    [
        pb.PlanDeploymentRequest(),
        pb.PlanDeploymentRequest(targets=[pb.Target(device="sd865")]),
        request(max_latency_s=0),
        request(max_latency_s=float("nan")),
        request(max_memory_bytes=-4),
    ],
)
def test_a_plan_without_sense_is_refused(service, wrong):
    with pytest.raises(grpc.RpcError) as caught:
        service.stub.PlanDeployment(wrong, timeout=WAIT_S)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_space_takes_the_defaults_of_its_yaml_form():
    assert space_from_message(SPACE) == Space.model_validate(
        {
            "schema_version": 1,
            "resolutions": [32],
            "stem": {"channels": 8},
            "stages": [{"channels": [8, 16], "depth": 2, "kernel": [3, 5], "expand": [3], "stride": 2}],
            "final_expand": {"channels": 32, "activation": "relu"},
            "feature_mix": {"channels": 16},
            "classes": 10,
        }
    )


@pytest.mark.parametrize(
    ("space", "where"),
    [
        (pb.SearchSpace(), "space.resolutions"),
        (pb.SearchSpace(layout=9), "space.layout"),
        (pb.SearchSpace(resolutions=[-1]), "space.resolutions.0"),
        (
            pb.SearchSpace(resolutions=[8], stem=pb.Stem(channels=8, activation="swish")),
            "space.stem.activation",
        ),
    ],
)
def test_a_wrong_field_of_a_space_is_named(space, where):
    with pytest.raises(BadOptionError) as caught:
        space_from_message(space)
    assert caught.value.where == where


def test_a_table_is_the_librarys_table(service):
    wanted = pb.ExportTableRequest(space=SPACE, target=pb.Target(device="sd865"), batch=2)
    got = service.stub.ExportTable(wanted, timeout=WAIT_S)
    expected = latency_table(space_from_message(SPACE), lambda graph: on(graph, "sd865"), batch=2)
    assert [(r.key, r.mean_s, r.spread_s, r.place_count) for r in got.rows] == [
        (r.key, r.mean_s, r.spread_s, r.count) for r in expected.rows
    ]
    assert got.fixed_s == expected.fixed_s


def test_a_space_that_is_too_large_is_refused_before_it_is_estimated(serving):
    with serving(limits=Limits(cells=5)) as up, pytest.raises(grpc.RpcError, match="at most 5"):
        up.stub.ExportTable(pb.ExportTableRequest(space=SPACE, target=pb.Target(device="sd865")), timeout=WAIT_S)


@pytest.mark.parametrize("batch", [0, -1, 2**40])
def test_a_batch_out_of_range_is_refused(service, batch):
    wanted = pb.ExportTableRequest(space=SPACE, target=pb.Target(device="sd865"), batch=batch)
    with pytest.raises(grpc.RpcError) as caught:
        service.stub.ExportTable(wanted, timeout=WAIT_S)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
