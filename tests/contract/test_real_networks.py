"""Real networks through the real service: the same graph arrives, and the same numbers come back, to the bit."""

import pytest

from estimator import Estimator, connect, load_graph
from estimator.client.batch_builder import BatchBuilder
from estimator.client.graph_message import graph_to_message
from estimator.service.graph_message import graph_from_message
from estimator.service.limits import Limits
from estimator.service.server import Server, ServerOptions
from estimator.v1 import graph_pb2

NETWORKS = (
    "torchvision:mobilenet_v2",
    "torchvision:googlenet",
    "torchvision:shufflenet_v2_x0_5",
    "torchvision:swin_t",
    "torchvision:vit_b_16",
)
TARGETS = (("sd865", {}), ("rtx4090", {"precision": "amp-fp16"}), ("i9-10940x", {}))


@pytest.fixture(scope="module")
def graphs():
    return [load_graph(reference) for reference in NETWORKS]


@pytest.fixture(scope="module")
def server():
    with Server(ServerOptions(listen="localhost:0", grace_s=0)) as running:
        yield running


def test_the_graphs_of_real_networks_survive_the_wire(graphs):
    for graph in graphs:
        message = graph_pb2.Graph.FromString(graph_to_message(graph).SerializeToString())
        assert graph_from_message(message, Limits()) == graph


@pytest.mark.parametrize(("device", "options"), TARGETS)
def test_a_remote_estimate_equals_the_local_one_to_the_bit(server, graphs, device, options):
    local = Estimator(device, **options)
    with connect(server.address, device, **options) as remote:
        for graph in graphs:
            assert remote.estimate(graph) == local.estimate(graph)


@pytest.mark.parametrize(("device", "options"), TARGETS)
def test_a_batch_equals_single_estimates_to_the_bit(server, graphs, device, options):
    local = Estimator(device, **options)
    singles = [local.estimate(graph) for graph in graphs]
    with connect(server.address, device, **options) as remote:
        batch = remote.estimate_many(graphs)
    assert batch.failures == ()
    for quantile in ("p10", "p50", "p90"):
        expected = [getattr(single.latency, f"{quantile}_s") / 1e-6 for single in singles]
        assert getattr(batch, f"latency_{quantile}_us").tolist() == expected
    assert batch.peak_memory_bytes.tolist() == [single.memory.peak_bytes for single in singles]


def test_a_reference_is_traced_on_the_client(server):
    with connect(server.address, "sd865") as remote:
        assert remote.latency_ms(NETWORKS[0]) == Estimator("sd865").latency_ms(NETWORKS[0])


def test_real_networks_repeat_their_operators(graphs):
    builder = BatchBuilder()
    for graph in graphs:
        builder.add(graph)
    batch = builder.take()
    assert len(batch.ops) < len(batch.op_index) / 2
