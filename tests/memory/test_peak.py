"""Peaks by hand, as properties, and against what torch really allocates."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.catalogue.device import UnitKind
from estimator.dtypes import DType, Precision
from estimator.ir.graph import Graph
from estimator.ir.op import AttentionAttrs, ConvAttrs, MatmulAttrs, NoAttrs, Op, OpKind, RnnAttrs
from estimator.ir.tensor import TensorRole, TensorSpec
from estimator.lowering.precision import apply_precision
from estimator.memory.executor import EXECUTORS, Executor, executor_model
from estimator.memory.kv_cache import KvCache
from estimator.memory.peak import plan_memory
from estimator.memory.workspace import CUBLAS_WORKSPACE_BYTES
from tests.memory.graphs import graph, op, random_graphs, relu, view

MEASURED = Path(__file__).parents[2] / "benchmarks" / "memory"


def test_the_peak_of_a_chain_is_its_largest_neighbours():
    g = graph([op("a", "x"), op("b", "a"), op("c", "b")], {"x": 1, "a": 8, "b": 4, "c": 2}, outputs=("c",))
    plan = plan_memory(g)
    assert plan.timeline == (("a", 1024 * (1 + 8)), ("b", 1024 * (1 + 8 + 4)), ("c", 1024 * (1 + 4 + 2)))
    assert plan.activation_bytes == 1024 * (1 + 8 + 4)
    assert plan.input_bytes == 1024
    assert plan.peak_step == "b"


def test_an_empty_graph_needs_nothing():
    plan = plan_memory(Graph("empty", {}, (), (), ()))
    assert (plan.peak_bytes, plan.peak_step) == (0, "")


@given(random_graphs(), st.sampled_from(sorted(EXECUTORS)), st.sampled_from(UnitKind))
def test_the_peak_holds_every_working_set_and_is_at_most_the_sum(g, runtime, unit_kind):
    plan = plan_memory(g, runtime=runtime, unit_kind=unit_kind)
    assert plan.working_set_bytes == max(live for _, live in plan.timeline) if plan.timeline else True
    assert plan.activation_bytes + plan.workspace_bytes >= plan.working_set_bytes
    everything = sum(a.lifetime.size_bytes for a in plan.allocations)
    assert plan.activation_bytes <= everything
    assert plan.peak_bytes == plan.weights_bytes + plan.activation_bytes + plan.workspace_bytes


@given(random_graphs())
def test_only_an_arena_has_offsets(g):
    for runtime in EXECUTORS:
        plan = plan_memory(g, runtime=runtime)
        assert plan.executor is executor_model(runtime).executor
        static = plan.executor is Executor.ARENA
        assert all((a.offset_bytes is not None) == static for a in plan.allocations)


def test_an_arena_may_fragment_but_a_chain_does_not():
    g = graph([op("a", "x"), op("b", "a"), op("c", "b")], {"x": 1, "a": 8, "b": 4, "c": 2}, outputs=("c",))
    plan = plan_memory(g, runtime="tflite", unit_kind=UnitKind.NPU)
    assert plan.activation_bytes == plan.working_set_bytes == 1024 * (1 + 8 + 4)


# -- weights and precision -------------------------------------------------------------------------


def linear(*, batch: int = 2, k: int = 64, n: int = 128) -> Graph:
    tensors = {
        "x": TensorSpec("x", (batch, k), DType.F32, TensorRole.INPUT),
        "w": TensorSpec("w", (n, k), DType.F32, TensorRole.PARAMETER),
        "b": TensorSpec("b", (n,), DType.F32, TensorRole.PARAMETER),
        "y": TensorSpec("y", (batch, n), DType.F32),
        "r": TensorSpec("r", (batch, n), DType.F32),
    }
    ops = (Op("y", OpKind.LINEAR, ("x", "w", "b"), ("y",), NoAttrs()), relu("r", "y"))
    return Graph("linear", tensors, ("x",), ("r",), ops)


@pytest.mark.parametrize(("precision", "share"), [("fp32", 1), ("tf32", 1), ("fp16", 2), ("bf16", 2)])
def test_weights_shrink_with_their_dtype(precision, share):
    plan = plan_memory(apply_precision(linear(), Precision(precision)))
    assert plan.weights_bytes == 4 * (128 * 64 + 128) // share


def test_int8_stores_matrices_in_a_quarter():
    plan = plan_memory(apply_precision(linear(), Precision.INT8))
    assert 128 * 64 <= plan.weights_bytes <= 128 * 64 + 4 * 128


def test_autocast_keeps_fp32_weights_and_holds_their_casts():
    g = apply_precision(linear(), Precision.AMP_FP16)
    plan = plan_memory(g, runtime="torch-eager", unit_kind=UnitKind.GPU)
    assert plan.weights_bytes == 4 * (128 * 64 + 128)
    casts = 2 * (128 * 64 + 128)
    held = [a.lifetime for a in plan.allocations if a.lifetime.storage.startswith(("w.", "b."))]
    assert sum(x.size_bytes for x in held) == casts
    assert {x.end_step for x in held} == {len(plan.timeline)}


# -- workspace -------------------------------------------------------------------------------------


def conv(
    *, batch: int = 2, channels: int = 8, extent: int = 10, out: int = 16, kernel: int = 3, groups: int = 1
) -> Graph:
    tensors = {
        "x": TensorSpec("x", (batch, channels, extent, extent), DType.F32, TensorRole.INPUT),
        "w": TensorSpec("w", (out, channels // groups, kernel, kernel), DType.F32, TensorRole.PARAMETER),
        "y": TensorSpec("y", (batch, out, extent, extent), DType.F32),
    }
    half = (kernel // 2,) * 2
    attrs = ConvAttrs((kernel, kernel), (1, 1), half, (1, 1), groups)
    return Graph("conv", tensors, ("x",), ("y",), (Op("y", OpKind.CONV, ("x", "w"), ("y",), attrs),))


def scratch(g: Graph, runtime: str, unit_kind: UnitKind, layout: str = "nchw") -> int:
    return plan_memory(g, runtime=runtime, unit_kind=unit_kind, layout=layout).workspace_bytes


def test_onednn_copies_input_and_weights_then_the_result():
    x, w, y = 4 * 2 * 8 * 100, 4 * 16 * 8 * 9, 4 * 2 * 16 * 100
    assert scratch(conv(), "torch-eager", UnitKind.CPU) == max(x + w, y)
    assert scratch(conv(), "torch-eager", UnitKind.CPU, "nhwc") == 0


def test_onednn_reads_an_image_as_it_is():
    w, y = 4 * 16 * 3 * 9, 4 * 2 * 16 * 100
    assert scratch(conv(channels=3), "torch-eager", UnitKind.CPU) == max(w, y)


def test_a_single_small_image_is_unfolded_instead():
    assert scratch(conv(batch=1), "torch-eager", UnitKind.CPU) == 4 * (8 * 9) * 100
    assert scratch(conv(batch=1, kernel=1), "torch-eager", UnitKind.CPU) == 0


def test_cudnn_transposes_nchw_operands_but_not_depthwise():
    x, w, y = 4 * 2 * 8 * 100, 4 * 16 * 8 * 9, 4 * 2 * 16 * 100
    assert scratch(conv(), "torch-compile", UnitKind.GPU) == x + w + y
    assert scratch(conv(), "torch-compile", UnitKind.GPU, "nhwc") == 0
    assert scratch(conv(out=8, groups=8), "torch-eager", UnitKind.GPU) == 0


def test_cublas_keeps_a_workspace_once_a_product_has_run():
    assert scratch(linear(), "torch-eager", UnitKind.GPU) == CUBLAS_WORKSPACE_BYTES
    assert scratch(linear(), "torch-eager", UnitKind.CPU) == 0
    assert scratch(conv(out=8, groups=8), "torch-eager", UnitKind.GPU) == 0


def test_xnnpack_points_at_pixels_instead_of_copying_them():
    assert scratch(conv(), "tflite", UnitKind.CPU) == 8 * 9 * 100
    assert scratch(conv(kernel=1), "tflite", UnitKind.CPU) == 0


def test_a_permuted_operand_of_a_batched_product_is_copied():
    shape, permuted = (2, 4, 8, 16), (8 * 4 * 16, 16, 4 * 16, 1)
    tensors = {
        "q": TensorSpec("q", shape, DType.F32, TensorRole.INPUT, strides=permuted),
        "k": TensorSpec("k", (2, 4, 16, 8), DType.F32, TensorRole.INPUT),
        "s": TensorSpec("s", (2, 4, 8, 8), DType.F32),
    }
    product = Op("s", OpKind.MATMUL, ("q", "k"), ("s",), MatmulAttrs())
    g = Graph("scores", tensors, ("q", "k"), ("s",), (product,))
    assert scratch(g, "torch-eager", UnitKind.CPU) == 4 * 2 * 4 * 8 * 16
    assert scratch(g, "torch-compile", UnitKind.CPU) == 0


def test_flash_attention_keeps_one_number_per_query_row():
    qkv = {n: TensorSpec(n, (2, 4, 32, 16), DType.F16, TensorRole.INPUT) for n in "qkv"}
    tensors = qkv | {"o": TensorSpec("o", (2, 4, 32, 16), DType.F16)}
    attention = Op("o", OpKind.ATTENTION, ("q", "k", "v"), ("o",), AttentionAttrs())
    g = Graph("attention", tensors, ("q", "k", "v"), ("o",), (attention,))
    assert scratch(g, "torch-eager", UnitKind.CPU) == 4 * (2 * 4 * 32)


def test_a_recurrent_layer_computes_all_gates_of_a_sequence_at_once():
    tensors = {
        "x": TensorSpec("x", (5, 2, 16), DType.F32, TensorRole.INPUT),
        "y": TensorSpec("y", (5, 2, 32), DType.F32),
    }
    layer = Op("y", OpKind.RNN, ("x",), ("y",), RnnAttrs("lstm", 32))
    g = Graph("lstm", tensors, ("x",), ("y",), (layer,))
    assert scratch(g, "torch-eager", UnitKind.CPU) == 4 * (5 * 2) * (4 * 32)


# -- KV cache --------------------------------------------------------------------------------------


def test_a_llama_7b_cache_takes_half_a_megabyte_per_token():
    cache = KvCache.of_layers(layers=32, kv_heads=32, head_extent=128, element_bits=16)
    assert cache.size_bytes(positions=1) == 2 * 32 * 32 * 128 * 2 == 512 * 1024
    assert cache.size_bytes(positions=2048, sequences=4) == 4 * 2048 * 512 * 1024


def grouped_decoder() -> Graph:
    """One layer: 8 query heads over 2 key/value heads that are repeated fourfold."""
    shapes = {
        "q": (1, 8, 10, 16), "k": (1, 2, 10, 16), "v": (1, 2, 10, 16),
        "k4": (1, 8, 10, 16), "v4": (1, 8, 10, 16), "o": (1, 8, 10, 16),
    }  # fmt: skip
    tensors = {
        n: TensorSpec(n, s, DType.F16, TensorRole.INPUT if n in "qkv" else TensorRole.ACTIVATION)
        for n, s in shapes.items()
    }
    attention = Op("o", OpKind.ATTENTION, ("q", "k4", "v4"), ("o",), AttentionAttrs(causal=True))
    return Graph("decoder", tensors, ("q", "k", "v"), ("o",), (view("k4", "k"), view("v4", "v"), attention))


def test_repeated_heads_are_cached_once():
    cache = KvCache.of_graph(grouped_decoder())
    assert cache is not None
    assert cache.values_per_token == 2 * (2 * 16)
    assert cache.size_bytes(positions=10) == 10 * 64 * 2


def test_a_network_without_causal_attention_has_no_cache():
    assert KvCache.of_graph(linear()) is None


def test_the_cache_adds_to_the_peak():
    g = grouped_decoder()
    assert plan_memory(g, kv_cache_bytes=999).peak_bytes == plan_memory(g).peak_bytes + 999


# -- against torch ---------------------------------------------------------------------------------


def measured(model: str, batch: int) -> dict[str, float]:
    for path in MEASURED.glob("measured_*.csv"):
        with path.open(newline="") as stream:
            for row in csv.DictReader(stream):
                if (row["model"], row["batch"]) == (model, str(batch)):
                    return {"torch-eager": float(row["eager_peak_mib"]), "torch-export": float(row["graph_peak_mib"])}
    raise LookupError(model)


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet50", "vit_b_16"])
def test_predicted_peaks_are_within_a_tenth_of_what_torch_allocates(name):
    torch = pytest.importorskip("torch")
    torchvision = pytest.importorskip("torchvision")
    from estimator.frontends.torch_recorder import record_module

    with torch.device("meta"):
        module = getattr(torchvision.models, name)(weights=None)
    g = record_module(module, (torch.empty(8, 3, 224, 224, device="meta"),), name=name)
    for runtime, peak_mib in measured(f"torchvision:{name}", 8).items():
        plan = plan_memory(g, runtime=runtime)
        predicted_mib = (plan.activation_bytes + plan.workspace_bytes - plan.input_bytes) / 2**20
        assert predicted_mib == pytest.approx(peak_mib, rel=0.1)
