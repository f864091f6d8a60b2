"""Model references of torch: names, sizes, batches, layouts, the user's own code, and what goes wrong."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch

from estimator.costs.registry import graph_cost
from estimator.dtypes import DType
from estimator.errors import (
    BadOptionError,
    EstimatorError,
    MissingShapeError,
    ModelFileError,
    TraceError,
    UnknownModelError,
)
from estimator.frontends.select import load_graph
from estimator.frontends.timm_norms import set_fast_norms
from estimator.frontends.torch_recorder import record_module
from estimator.ir.graph import Graph
from estimator.ir.op import NormAttrs, OpKind


def input_shape(graph: Graph) -> tuple[int, ...]:
    return graph.tensors[graph.inputs[0]].shape


# ---------------------------------------------------------------- torchvision
@pytest.mark.parametrize("reference", ["squeezenet1_1", "torchvision:squeezenet1_1"])
def test_a_name_is_looked_up_in_torchvision(reference: str):
    graph = load_graph(reference)
    assert graph.name == "squeezenet1_1"
    assert graph.params == 1_235_496  # torchvision's own documentation
    assert input_shape(graph) == (1, 3, 224, 224)
    assert graph.unknown_ops == ()


@pytest.mark.parametrize(
    ("reference", "shape"),
    [
        ("torchvision:inception_v3", (1, 3, 299, 299)),
        ("torchvision:efficientnet_b1", (1, 3, 240, 240)),
        ("torchvision:vit_b_32", (1, 3, 224, 224)),
        ("torchvision:segmentation.lraspp_mobilenet_v3_large", (1, 3, 520, 520)),
        ("lraspp_mobilenet_v3_large", (1, 3, 520, 520)),
        ("torchvision:video.r3d_18", (1, 3, 16, 112, 112)),
    ],
)
def test_each_model_has_the_input_it_was_made_for(reference: str, shape: tuple[int, ...]):
    assert input_shape(load_graph(reference)) == shape


def test_batch_and_shape_replace_the_default():
    assert input_shape(load_graph("squeezenet1_1", batch=8)) == (8, 3, 224, 224)
    assert input_shape(load_graph("squeezenet1_1", input_shapes=["2x3x192x160"])) == (2, 3, 192, 160)
    assert input_shape(load_graph("squeezenet1_1", input_shapes=["2x3x192x160"], batch=5)) == (5, 3, 192, 160)


def test_a_model_with_a_fixed_size_is_rebuilt_for_another():
    small, large = load_graph("vit_b_32"), load_graph("vit_b_32", input_shapes=["1x3x384x384"])
    assert large.params - small.params == 768 * ((384 // 32) ** 2 - (224 // 32) ** 2)  # position embeddings


def test_nhwc_changes_strides_and_not_shapes():
    plain, last = load_graph("squeezenet1_1"), load_graph("squeezenet1_1", layout="nhwc")
    assert [o.kind for o in plain.ops] == [o.kind for o in last.ops]
    assert {n: t.shape for n, t in plain.tensors.items()} == {n: t.shape for n, t in last.tensors.items()}
    assert plain.tensors["x"].strides is None
    assert last.tensors["x"].strides == (3 * 224 * 224, 1, 3 * 224, 3)


def test_a_quantised_model_shows_its_packed_weights():
    graph = load_graph("torchvision:quantization.shufflenet_v2_x0_5")
    assert graph.unknown_ops == ()
    convolution = next(op for op in graph.ops if op.kind is OpKind.CONV)
    weight = graph.tensors[convolution.inputs[1]]
    assert (weight.dtype, weight.quantised) == ("i8", True)
    assert graph.params > 1_300_000
    assert "real tensors" in graph.notes[0]


@pytest.mark.slow
def test_a_detector_is_recorded_with_real_tensors():
    graph = load_graph("torchvision:detection.fasterrcnn_mobilenet_v3_large_320_fpn")
    assert graph.unknown_ops == ()
    assert {OpKind.NMS, OpKind.ROI_ALIGN} <= {op.kind for op in graph.ops}
    assert (graph.batch, input_shape(graph)) == (1, (3, 320, 320))
    assert "depend on the data" in graph.notes[0]


# ---------------------------------------------------------------- mistakes
@pytest.mark.parametrize(
    ("reference", "near"),
    [
        ("torchvision:resnet5", "resnet50"),
        ("mobilenet_v22", "mobilenet_v2"),
        ("torchvision:segmentation.fcn_resnet5", "segmentation.fcn_resnet50"),
    ],
)
def test_an_unknown_name_lists_the_nearest(reference: str, near: str):
    with pytest.raises(UnknownModelError) as caught:
        load_graph(reference)
    assert near in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_shape_of_another_rank_is_explained_with_a_right_one():
    with pytest.raises(BadOptionError) as caught:
        load_graph("squeezenet1_1", input_shapes=["3x224x224"])
    assert "4 dimensions, not 3" in caught.value.what
    assert "1x3x224x224" in caught.value.expected


@pytest.mark.parametrize("shape", ["1x4x224x224", "1x3x1x1"])
def test_a_shape_that_the_model_refuses_names_the_module(shape: str):
    with pytest.raises(TraceError) as caught:
        load_graph("squeezenet1_1", input_shapes=[shape])
    assert "module features" in caught.value.where
    assert "Traceback" not in str(caught.value)


# ---------------------------------------------------------------- the user's own code
USER_MODULE = """
import torch
from torch import nn

def conv(): return nn.Sequential(nn.Conv2d(4, 8, 3), nn.ReLU())
def mlp(): return nn.Linear(10, 20)
def embed(): return nn.Embedding(100, 16)
def two():
    class Two(nn.Module):
        def forward(self, left, right): return left @ right
    return Two()
def image_and_vector():
    class ImageAndVector(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.linear = nn.Conv2d(3, 8, 3), nn.Linear(16, 8)
        def forward(self, image, vector): return self.conv(image).mean((2, 3)) + self.linear(vector)
    return ImageAndVector()
def number(): return 3
def half(): return nn.Linear(8, 4).half()
def lazy(): return nn.Sequential(nn.LazyConv2d(8, 3), nn.Flatten(), nn.LazyLinear(5))
def traced(): return torch.jit.trace(nn.Sequential(nn.Linear(8, 4), nn.ReLU()).eval(), torch.zeros(1, 8))
def packed():
    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(6, 5, batch_first=True)
        def forward(self, x):
            lengths = torch.tensor([4, 3])
            return self.lstm(nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True))[1]
    return Packed()
def broken(): raise ValueError("no such luck")
def dynamic(): return torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(8, 4)), {nn.Linear}, torch.qint8)
def picky():
    class Picky(nn.Module):
        def forward(self, x): return x[x > 0.5].sum()
    return Picky()
value = 5
class Nested:
    mlp = staticmethod(mlp)
"""


@pytest.fixture
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"usermodels_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(USER_MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name


def test_a_callable_is_imported_from_the_working_directory(user_module: str):
    graph = load_graph(f"{user_module}:mlp", input_shapes=["7x10"])
    assert (graph.name, graph.params) == ("mlp", 10 * 20 + 20)
    assert load_graph(f"{user_module}:Nested.mlp", input_shapes=["7x10"]).params == graph.params
    assert str(Path.cwd()) not in sys.path


def test_the_input_of_a_convolutional_network_is_guessed(user_module: str):
    assert input_shape(load_graph(f"{user_module}:conv")) == (1, 4, 224, 224)


def test_an_input_that_cannot_be_guessed_must_be_given(user_module: str):
    with pytest.raises(MissingShapeError) as caught:
        load_graph(f"{user_module}:mlp")
    assert "--input-shape" in str(caught.value)


def test_inputs_are_given_by_position_name_and_type(user_module: str):
    assert load_graph(f"{user_module}:two", input_shapes=["2x3", "3x4"]).ops[0].kind is OpKind.MATMUL
    by_name = load_graph(f"{user_module}:two", input_shapes=["right=3x4", "left=2x3"])
    assert by_name.outputs_of(by_name.ops[0])[0].shape == (2, 4)
    assert load_graph(f"{user_module}:embed", input_shapes=["1x5:i64"]).ops[0].kind is OpKind.EMBEDDING


@pytest.mark.parametrize(
    "shapes",
    [
        ["image=1x3x10x12", "vector=1x16"],
        ["vector=1x16", "image=1x3x10x12"],
        ["vector=1x16", "1x3x10x12"],
        ["image=1x3x10x12", "1x16"],
        ["1x3x10x12", "1x16"],
    ],
)
def test_a_name_stands_for_the_position_that_a_guess_takes(user_module: str, shapes: list[str]):
    graph = load_graph(f"{user_module}:image_and_vector", input_shapes=shapes)
    assert {graph.tensors[name].shape for name in graph.inputs} == {(1, 3, 10, 12), (1, 16)}
    convolution = next(op for op in graph.ops if op.kind is OpKind.CONV)
    assert graph.outputs_of(convolution)[0].shape == (1, 8, 10 - 2, 12 - 2)


def test_a_name_that_forward_does_not_take_lists_those_that_it_does(user_module: str):
    with pytest.raises(BadOptionError, match="no input 'picture'") as caught:
        load_graph(f"{user_module}:image_and_vector", input_shapes=["picture=1x3x10x12", "vector=1x16"])
    assert "image, vector" in caught.value.expected


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")  # torch.ao warns about its own future
def test_lazy_parameters_take_their_shapes_from_the_input(user_module: str):
    graph = load_graph(f"{user_module}:lazy", input_shapes=["1x3x8x8"])
    assert graph.params == (3 * 9 * 8 + 8) + (8 * 6 * 6 * 5 + 5)
    with pytest.raises(TraceError, match="lazy parameters"):
        load_graph(f"{user_module}:lazy", input_shapes=["1x3"])


def test_a_traced_script_has_no_signature_and_needs_none(user_module: str):
    graph = load_graph(f"{user_module}:traced", input_shapes=["2x8"])
    assert [op.kind for op in graph.ops] == [OpKind.LINEAR, OpKind.ACTIVATION]


def test_a_module_takes_its_input_in_the_type_of_its_weights(user_module: str):
    (plain,) = load_graph(f"{user_module}:half", input_shapes=["1x8"]).inputs
    graph = load_graph(f"{user_module}:half", input_shapes=["1x8"])
    assert graph.tensors[plain].dtype is DType.F16
    assert load_graph(f"{user_module}:mlp", input_shapes=["1x10"]).tensors[plain].dtype is DType.F32


def test_packed_sequences_run_their_lengths_alone(user_module: str):
    graph = load_graph(f"{user_module}:packed", input_shapes=["2x4x6"])
    steps = 4 + 3
    assert graph_cost(graph).total.macs == steps * (4 * 5) * (6 + 5)  # gates × (input + state)
    assert graph.unknown_ops == ()


def test_modules_that_cannot_live_on_meta_are_recorded_for_real(user_module: str):
    graph = load_graph(f"{user_module}:dynamic", input_shapes=["2x8"])
    assert [op.kind for op in graph.ops] == [OpKind.LINEAR]
    assert graph.params == 8 * 4 + 4
    assert load_graph(f"{user_module}:picky", input_shapes=["2x8"]).notes


@pytest.mark.parametrize(
    ("attribute", "error", "words"),
    [
        ("mlpp", UnknownModelError, "mlp"),
        ("Nested.nothing", UnknownModelError, "nothing"),
        ("value", ModelFileError, "not callable"),
        ("number", ModelFileError, "returned int"),
        ("broken", TraceError, "no such luck"),
    ],
)
def test_a_callable_that_is_none_says_why(user_module: str, attribute: str, error: type[EstimatorError], words: str):
    with pytest.raises(error) as caught:
        load_graph(f"{user_module}:{attribute}")
    assert words in str(caught.value)


def test_a_module_that_is_not_there_or_fails_to_import_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fails_at_import.py").write_text("import there_is_no_such_package")
    (tmp_path / "syntax_slip.py").write_text("def f(:")
    with pytest.raises(UnknownModelError):
        load_graph("there_is_no_such_module:net")
    with pytest.raises(ModelFileError, match="there_is_no_such_package"):
        load_graph("fails_at_import:net")
    with pytest.raises(ModelFileError, match="SyntaxError"):
        load_graph("syntax_slip:net")


def test_resolving_a_name_imports_no_zoo_that_is_not_asked():
    probe = (
        "import sys; from estimator.frontends.torch_model import load_torch; load_torch('torchvision:squeezenet1_1'); "
        "print([m for m in ('timm', 'transformers', 'onnx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"


# ---------------------------------------------------------------- timm
@pytest.mark.extra
class TestTimm:
    @pytest.mark.parametrize(
        ("name", "params", "shape"),
        [
            ("resnet18", 11_689_512, (1, 3, 224, 224)),
            ("vit_tiny_patch16_224", 5_717_416, (1, 3, 224, 224)),
            ("tf_efficientnet_lite1", 5_416_680, (1, 3, 240, 240)),
        ],
    )
    def test_a_model_has_its_published_parameters_and_size(self, name: str, params: int, shape: tuple[int, ...]):
        graph = load_graph(f"timm:{name}")
        assert (graph.params, input_shape(graph)) == (params, shape)
        assert graph.unknown_ops == ()

    def test_a_bare_name_falls_through_to_timm(self):
        assert load_graph("test_resnet").name == "test_resnet"  # timm's own tiny network; torchvision has none

    def test_a_pretrained_tag_selects_the_size(self):
        assert input_shape(load_graph("timm:convnext_atto.d2_in1k")) == (1, 3, 224, 224)
        with pytest.raises(UnknownModelError, match="d2_in1k"):
            load_graph("timm:convnext_atto.d2_in1")

    def test_a_transformer_is_rebuilt_for_another_size(self):
        small = load_graph("timm:vit_tiny_patch16_224")
        large = load_graph("timm:vit_tiny_patch16_224", input_shapes=["1x3x384x384"])
        assert large.params - small.params == 192 * ((384 // 16) ** 2 - (224 // 16) ** 2)

    def test_merged_branches_are_one_convolution_per_block_without_a_batch_norm(self):
        """RepVGG-A0: a stem and stages of 2, 4, 14 and 1 blocks, each of 3×3 beside 1×1 beside nothing."""
        blocks = 1 + 2 + 4 + 14 + 1
        branches, merged = load_graph("timm:repvgg_a0"), load_graph("timm:repvgg_a0?branches=merged")
        assert kinds(branches).count(OpKind.CONV) == 2 * blocks
        assert kinds(merged).count(OpKind.CONV) == blocks
        assert OpKind.NORM not in kinds(merged)
        assert [note.partition(": ")[2] for note in branches.notes] == ["timm:repvgg_a0?branches=merged"]
        assert merged.notes == ()
        assert graph_cost(merged).total.macs < graph_cost(branches).total.macs

    def test_a_network_without_branches_stays_what_it_is(self):
        plain, merged = load_graph("timm:test_resnet"), load_graph("timm:test_resnet?branches=merged")
        assert merged == replace(plain, name="test_resnet?branches=merged")

    @pytest.mark.parametrize("query", ["branches=split", "branches=merged&branches=merged", "release=new", "fp32", "&"])
    def test_nothing_else_may_follow_the_name(self, query: str):
        with pytest.raises(BadOptionError) as caught:
            load_graph(f"timm:repvgg_a0?{query}")
        assert "?branches=merged or ?norms=fp32 or ?release=" in str(caught.value)

    def test_masks_of_shifted_windows_are_there_although_no_weight_is(self):
        """Swin-T: six of twelve blocks shift their windows, the last by nothing, since 7 × 7 is all there is."""
        graph = load_graph("timm:swin_tiny_patch4_window7_224")
        assert sum(name.endswith(".attn_mask") for name in graph.tensors) == 5

    def test_an_unknown_name_lists_the_nearest(self):
        with pytest.raises(UnknownModelError) as caught:
            load_graph("timm:vit_tiny_patch16_22")
        assert "vit_tiny_patch16_224" in str(caught.value)


def kinds(graph: Graph) -> list[OpKind]:
    return [op.kind for op in graph.ops]


def test_sequence_length_is_for_language_models_only():
    with pytest.raises(BadOptionError):
        load_graph("transformers:nowhere.json?phase=sideways")


def test_timms_own_norms_are_fast_and_pytorchs_are_not():
    def fast(reference: str) -> set[bool]:
        norms = [op.attrs for op in load_graph(reference).ops if isinstance(op.attrs, NormAttrs)]
        return {attrs.keeps_low_precision for attrs in norms if attrs.function == "layer"}

    assert fast("timm:davit_tiny") == {True}  # timm.layers.LayerNorm
    assert fast("timm:twins_svt_small") == {False}  # torch.nn.LayerNorm
    assert fast("timm:davit_tiny?norms=fp32") == {False}


@pytest.mark.parametrize(
    ("model", "release", "fast"),
    [
        ("vit_tiny_patch16_224", "1.0.15", {"layer": False}),
        ("vit_tiny_patch16_224", "1.0.16", {"layer": True}),
        ("deit_tiny_distilled_patch16_224", "1.0.8", {"layer": False}),  # a subclass
        ("davit_tiny", "1.0.8", {"layer": True}),  # timm.layers.LayerNorm in a class of its own
        ("vit_tiny_r_s16_p8_224", "1.0.8", {"layer": False, "group": True}),  # what its backbone norms is not its own
    ],
)
def test_vision_transformers_had_pytorchs_norms_until_timm_1_0_16(model: str, release: str, fast: dict[str, bool]):
    norms = [op.attrs for op in load_graph(f"timm:{model}?release={release}").ops if isinstance(op.attrs, NormAttrs)]
    assert {a.function: a.keeps_low_precision for a in norms if a.function != "batch"} == fast


def test_a_norm_that_its_owner_made_fast_is_recorded_so_and_left_so():
    norm = timm.layers.LayerNorm(8)
    assert record_module(norm, (torch.empty(2, 8),), name="slow").ops[0].attrs == NormAttrs("layer")
    set_fast_norms(norm, on=True)
    graph = record_module(norm, (torch.empty(2, 8, device="meta"),), name="fast")
    assert graph.ops[0].attrs == NormAttrs("layer", keeps_low_precision=True)
    assert norm._fast_norm
