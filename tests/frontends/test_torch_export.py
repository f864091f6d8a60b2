"""The proof of the fast path: the recorder sees the ops that torch's own exported program has."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from estimator.errors import TraceError
from estimator.frontends.torch_build import build_weightless
from estimator.frontends.torch_export import export_module
from estimator.frontends.torch_model import resolve
from estimator.frontends.torch_recorder import record_module
from estimator.ir.graph import Graph
from estimator.ir.op import Attrs, OpKind
from estimator.ir.validate import validate

Row = tuple[OpKind, Attrs, tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...], str, str, bool]
FREE: tuple[OpKind, ...] = (OpKind.VIEW, OpKind.IDENTITY)


def shapes(graph: Graph, names: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    return tuple(graph.tensors[name].shape for name in names)


def rows(graph: Graph) -> list[Row]:
    """Everything about the ops but their names.

    Metadata-only ops are left out, which the two front-ends spell differently; where there is attention, copies that
    depend on the layout of its result are left out too, because torch's meta kernel has another than its fused ones.
    """
    free = FREE + ((OpKind.COPY,) if any(op.kind is OpKind.ATTENTION for op in graph.ops) else ())
    return [
        (
            op.kind, op.attrs, shapes(graph, op.inputs), shapes(graph, op.outputs), op.source.split(".")[1], op.scope,
            op.in_place,
        )
        for op in graph.ops
        if op.kind not in free
    ]  # fmt: skip


def both(module: nn.Module, inputs: list[Tensor]) -> tuple[Graph, Graph]:
    """Export first: a recorded pass may leave inference tensors in a module's caches."""
    exported = export_module(module, inputs, name="net")
    return validate(record_module(module, inputs, name="net")), validate(exported)


def assert_equal(recorded: Graph, exported: Graph) -> None:
    assert rows(recorded) == rows(exported)
    assert recorded.params == exported.params
    assert [recorded.tensors[n].shape for n in recorded.outputs] == [
        exported.tensors[n].shape for n in exported.outputs
    ]
    assert [(m.path, m.type_name, m.parameters) for m in recorded.modules] == [
        (m.path, m.type_name, m.parameters) for m in exported.modules
    ]


class Block(nn.Module):
    """In-place, views, splits, attention, one layer called twice and one never."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(32)
        self.qkv = nn.Linear(32, 96)
        self.out = nn.Linear(32, 32)
        self.unused = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(batch, tokens, 3, 4, 8).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(batch, tokens, width)
        y = F.dropout(self.out(self.out(y)), training=self.training)
        return F.gelu(y.add_(x)).mul_(2.0)


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (Block, (2, 10, 32)),
        (
            lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU6(inplace=True), nn.Flatten(2)),
            (1, 3, 9, 9),
        ),
        (lambda: nn.GRU(16, 8, num_layers=2, batch_first=True), (2, 5, 16)),
        (lambda: nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), (2, 7, 32)),
        (lambda: nn.Sequential(nn.ConvTranspose1d(4, 6, 3, stride=2), nn.GroupNorm(3, 6), nn.GLU(dim=1)), (2, 4, 11)),
    ],
)
def test_recorder_and_export_see_the_same_ops(make: Callable[[], nn.Module], shape: tuple[int, ...]):
    with torch.device("meta"):
        module, x = make(), torch.empty(shape)
    recorded, exported = both(module, [x])
    assert_equal(recorded, exported)
    assert len(recorded.ops) >= 1


def test_a_module_that_export_refuses_is_a_trace_error():
    class Stubborn(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[: int(x.sum())]

    with pytest.raises(TraceError, match="could not be exported"):
        export_module(Stubborn(), [torch.ones(3)], name="stubborn")


TORCHVISION = """
    alexnet vgg11_bn googlenet inception_v3 mobilenet_v2 mobilenet_v3_small efficientnet_b0 shufflenet_v2_x0_5
    squeezenet1_0 mnasnet0_5 regnet_y_400mf resnet18 resnet50 resnext50_32x4d convnext_tiny vit_b_16 swin_t swin_v2_t
    densenet121 segmentation.fcn_resnet50 segmentation.deeplabv3_resnet50 segmentation.lraspp_mobilenet_v3_large
    video.r3d_18 video.s3d
""".split()  # noqa: SIM905  (a list of forty quoted names reads worse)
TIMM = """
    ghostnet_100 mobilevitv2_050 beit_base_patch16_224 davit_tiny edgenext_xx_small fastvit_t8 crossvit_9_240
    cait_xxs24_224 convit_tiny halonet26t lambda_resnet26t poolformer_s12 inception_next_tiny resnest14d skresnet18
    tnt_s_patch16_224 visformer_tiny starnet_s1 focalnet_tiny_srf nfnet_l0 tiny_vit_5m_224 mambaout_femto
    efficientformerv2_s0 levit_128s coatnet_nano_rw_224
""".split()  # noqa: SIM905


@pytest.mark.slow
@pytest.mark.extra
@pytest.mark.parametrize(
    "reference", [*(f"torchvision:{name}" for name in TORCHVISION), *(f"timm:{name}" for name in TIMM)]
)
def test_recorder_and_export_agree_on_real_models(reference: str):
    source = resolve(reference)
    module = build_weightless(source.construct).to("meta").eval()
    defaults = (source.guess_inputs(module) if source.guess_inputs else ()) or source.inputs
    assert_equal(*both(module, [spec.meta("nchw") for spec in defaults]))
