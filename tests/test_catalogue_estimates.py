"""Every unit of the catalogue estimates real networks, and never faster than its own ceilings allow."""

from __future__ import annotations

import json

import pytest

from estimator.catalogue.loader import device_ids, load_device
from estimator.engine import EstimateOptions, estimate, resolve_target
from estimator.frontends.select import load_graph
from estimator.ir.graph import Graph
from estimator.timing.roofline import ceilings_of

pytestmark = pytest.mark.slow

NETWORKS = (
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_b4", "efficientnet_v2_s", "googlenet",
    "inception_v3", "mnasnet0_5", "mnasnet1_0", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small",
    "regnet_x_400mf", "regnet_y_400mf", "regnet_y_3_2gf", "resnet18", "resnet34", "resnet50", "resnet101",
    "resnext50_32x4d", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "squeezenet1_0", "squeezenet1_1", "swin_t",
    "vgg11_bn", "vit_b_16", "vit_b_32", "wide_resnet50_2",
)  # fmt: skip
BERT_BASE = {
    "model_type": "bert", "architectures": ["BertModel"], "hidden_size": 768, "num_hidden_layers": 12,
    "num_attention_heads": 12, "intermediate_size": 3072, "vocab_size": 30522, "max_position_embeddings": 512,
}  # fmt: skip


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Graph, ...]:
    config = tmp_path_factory.mktemp("bert") / "bert.json"
    config.write_text(json.dumps(BERT_BASE))
    networks = [load_graph(f"torchvision:{name}") for name in NETWORKS]
    return (*networks, load_graph(f"transformers:{config}", seq_len=128))


def test_thirty_networks_and_a_transformer_are_told_apart(graphs: tuple[Graph, ...]) -> None:
    assert len({graph.name for graph in graphs}) == 30 + 1


@pytest.mark.parametrize("device_id", device_ids())
def test_no_estimate_beats_the_ceilings_at_the_highest_clock(device_id: str, graphs: tuple[Graph, ...]) -> None:
    device, _ = load_device(device_id)
    for unit in device.units.values():
        target = resolve_target(device, unit, EstimateOptions())
        fastest = ceilings_of(unit, target.precision).fastest_flops_per_s
        for graph in graphs:
            answer = estimate(graph, device, unit)
            assert answer.coverage == 1.0, graph.name
            computed = sum(kernel.flops for kernel in answer.kernels)
            assert answer.latency.p50_s >= computed / fastest, (graph.name, unit.name)
