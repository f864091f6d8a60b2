"""The recorder against hand-made modules: what is recorded, under which name, in which module, aliasing what."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from estimator.costs.conventions import count
from estimator.costs.registry import graph_cost
from estimator.dtypes import DType
from estimator.errors import TraceError
from estimator.frontends.torch_recorder import record_module
from estimator.ir.graph import Graph
from estimator.ir.op import (
    AttentionAttrs,
    AxisAttrs,
    ConvAttrs,
    CopyAttrs,
    EinsumAttrs,
    FunctionAttrs,
    MatmulAttrs,
    Op,
    OpKind,
    ReduceAttrs,
    RnnAttrs,
)
from estimator.ir.tensor import TensorRole
from estimator.ir.validate import validate


class Function(nn.Module):
    """A module around a plain function."""

    def __init__(self, function: Callable[..., object], **children: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, child in children.items():
            self.add_module(name, child)

    def forward(self, *inputs: Tensor) -> object:
        return self.function(*inputs)


def meta(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def record(function: Callable[..., object] | nn.Module, *inputs: Tensor) -> Graph:
    module = function if isinstance(function, nn.Module) else Function(function)
    return validate(record_module(module, inputs, name="net"))


def only_op(function: Callable[..., object], *inputs: Tensor) -> Op:
    (op,) = record(function, *inputs).ops
    return op


IMAGE = meta(2, 4, 8, 8)


# ---------------------------------------------------------------- composite operators stay whole
def test_composites_arrive_whole():
    network = nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(8, 6), nn.LayerNorm(6), nn.Softmax(dim=-1),
    )  # fmt: skip
    assert [op.source.split(".")[1] for op in record(network, IMAGE).ops] == [
        "conv2d", "batch_norm", "relu_", "adaptive_avg_pool2d", "flatten", "linear", "layer_norm", "softmax",
    ]  # fmt: skip


def test_attention_is_one_op_with_its_mask_and_grouping():
    q, kv, mask = meta(1, 8, 5, 16), meta(1, 2, 7, 16), meta(5, 7)

    def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)

    op = only_op(attend, q, kv, kv.clone(), mask)
    assert op.kind is OpKind.ATTENTION
    assert len(op.inputs) == 4
    assert op.attrs == AttentionAttrs(causal=False, grouped_query=True)


def test_merging_the_heads_after_attention_is_free_as_it_is_on_devices():
    def forward(x: Tensor) -> Tensor:
        q, k, v = x.reshape(2, 5, 3, 3, 8).permute(2, 0, 3, 1, 4).unbind(0)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(2, 5, 24)

    kinds = [op.kind for op in record(forward, meta(2, 5, 72)).ops]
    assert kinds[-3:] == [OpKind.ATTENTION, OpKind.VIEW, OpKind.VIEW]
    assert kinds == [op.kind for op in record(forward, torch.zeros(2, 5, 72)).ops]


def test_a_recurrent_layer_is_one_op_with_weights_then_states():
    graph = record(nn.LSTM(12, 20, num_layers=2, batch_first=True, bidirectional=True), meta(3, 5, 12))
    (op,) = (op for op in graph.ops if op.kind is OpKind.RNN)
    assert op.attrs == RnnAttrs("lstm", 20, layers=2, bidirectional=True, batch_first=True, has_bias=True)
    roles = [graph.tensors[name].role for name in op.inputs]
    assert roles[1:17] == [TensorRole.PARAMETER] * 16  # 2 layers × 2 directions × (w_ih, w_hh, b_ih, b_hh)
    assert graph.outputs_of(op)[0].shape == (3, 5, 2 * 20)


def test_a_projected_lstm_tells_its_projection():
    (op,) = (op for op in record(nn.LSTM(12, 20, proj_size=7), meta(5, 3, 12)).ops if op.kind is OpKind.RNN)
    assert op.attrs == RnnAttrs("lstm", 20, projection_size=7)


@pytest.mark.parametrize(
    ("layer", "attrs"),
    [
        (nn.Conv2d(4, 8, 3, stride=2, padding=1), ConvAttrs((3, 3), (2, 2), (1, 1), (1, 1))),
        (nn.Conv2d(4, 8, (1, 5), padding="same"), ConvAttrs((1, 5), (1, 1), (0, 2), (1, 1))),
        (nn.Conv2d(4, 4, 3, dilation=2, groups=4, padding="valid"), ConvAttrs((3, 3), (1, 1), (0, 0), (2, 2), 4)),
        (nn.ConvTranspose2d(4, 6, 2, stride=2), ConvAttrs((2, 2), (2, 2), (0, 0), (1, 1), transposed=True)),
    ],
)
def test_convolutions_tell_their_geometry(layer: nn.Module, attrs: ConvAttrs):
    graph = record(layer, IMAGE)
    (op,) = graph.ops
    assert op.attrs == attrs
    assert op.inputs[1:] == ("weight", "bias")


def test_a_one_dimensional_convolution_has_one_of_each():
    assert only_op(nn.Conv1d(4, 8, 3), meta(1, 4, 10)).attrs == ConvAttrs((3,), (1,), (0,), (1,))


def test_matmul_sees_operands_that_are_stored_transposed():
    graph = record(lambda a, b: a @ b.mT, meta(2, 3, 5), meta(2, 4, 5))
    view, product = graph.ops
    assert view.kind is OpKind.VIEW
    assert product.attrs == MatmulAttrs(transpose_a=False, transpose_b=True)


def test_addmm_puts_the_addend_last():
    op = only_op(lambda bias, a, b: torch.addmm(bias, a, b), meta(4), meta(2, 3), meta(3, 4))
    assert op.inputs == ("inputs.1", "inputs.2", "inputs.0")


@pytest.mark.parametrize(
    ("equation", "shapes", "canonical"),
    [
        ("bhqd, bhkd -> bhqk", [(1, 2, 3, 4), (1, 2, 5, 4)], "abcd,abed->abce"),
        ("ij,jk", [(2, 3), (3, 4)], "ab,bc->ac"),
        ("...ij,jk->...ik", [(5, 6, 2, 3), (3, 4)], "abcd,de->abce"),
        ("b...i,...i->b", [(5, 6, 2), (6, 2)], "abc,bc->a"),
    ],
)
def test_einsum_equations_become_canonical(equation: str, shapes: list[tuple[int, ...]], canonical: str):
    op = only_op(lambda *operands: torch.einsum(equation, *operands), *(meta(*shape) for shape in shapes))
    assert op.attrs == EinsumAttrs(canonical)


# ---------------------------------------------------------------- elementwise, reductions
@pytest.mark.parametrize(
    ("function", "kind", "name"),
    [
        (F.relu6, OpKind.ACTIVATION, "relu6"),
        (F.hardtanh, OpKind.ACTIVATION, "hardtanh"),
        (F.gelu, OpKind.ACTIVATION, "gelu"),
        (torch.rsqrt, OpKind.UNARY, "rsqrt"),
        (lambda x: x.clamp(0, 1), OpKind.UNARY, "clamp"),
        (lambda x: x + 1, OpKind.BINARY, "add"),
        (lambda x: 1 / x, OpKind.UNARY, "reciprocal"),
        (lambda x: x > 0, OpKind.BINARY, "gt"),
        (lambda x: torch.where(x, x, 1.0), OpKind.TERNARY, "where"),
        (lambda x: x.cumsum(1), OpKind.CUMULATIVE, "cumsum"),
        (lambda x: torch.fft.rfft2(x), OpKind.FFT, "fft_rfft2"),
    ],
)
def test_functions_keep_their_usual_name(function: Callable[..., object], kind: OpKind, name: str):
    graph = record(function, meta(2, 4, 8, 8, dtype=torch.bool if name == "where" else torch.float32))
    assert [(op.kind, op.attrs) for op in graph.ops][:1] == [(kind, FunctionAttrs(name))]


def test_a_python_number_is_no_tensor():
    assert len(only_op(lambda x: x * 2.0, IMAGE).inputs) == 1


@pytest.mark.parametrize(
    ("function", "attrs"),
    [
        (lambda x: x.mean((2, 3), keepdim=True), ReduceAttrs("mean", (2, 3), keepdim=True)),
        (lambda x: x.sum(-1), ReduceAttrs("sum", (3,))),
        (lambda x: x.amax(), ReduceAttrs("max", (0, 1, 2, 3))),
        (lambda x: x.max(1)[0], ReduceAttrs("max", (1,))),
        (lambda x: x.argmax(1), ReduceAttrs("argmax", (1,))),
        (lambda x: x.var(1, unbiased=False), ReduceAttrs("var", (1,))),
        (lambda x: x.norm(dim=1), ReduceAttrs("norm", (1,))),
        (lambda x: torch.linalg.vector_norm(x, dim=(1, 2)), ReduceAttrs("norm", (1, 2))),
        (lambda x: x.logsumexp(0), ReduceAttrs("logsumexp", (0,))),
        (lambda x: x.mean(), ReduceAttrs("mean", (0, 1, 2, 3))),
    ],
)
def test_reductions_name_their_axes(function: Callable[..., object], attrs: ReduceAttrs):
    op = only_op(function, IMAGE)
    assert op.kind is OpKind.REDUCE
    assert op.attrs == attrs


def test_the_maximum_of_two_tensors_is_elementwise():
    assert only_op(lambda a, b: torch.max(a, b), IMAGE, IMAGE.clone()).attrs == FunctionAttrs("maximum")


# ---------------------------------------------------------------- movement and aliasing
@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.view(2, -1),
        lambda x: x.reshape(2, 4, 64),
        lambda x: x.flatten(1),
        lambda x: x.permute(0, 2, 3, 1),
        lambda x: x.transpose(1, 2),
        lambda x: x[:, :2],
        lambda x: x[:, None],
        lambda x: x.expand(3, 2, 4, 8, 8),
        lambda x: x.unsqueeze(0),
        lambda x: x.chunk(2, dim=1),
        lambda x: x.split([1, 3], dim=1),
        lambda x: x.unbind(1),
    ],
)
def test_what_shares_storage_is_a_view(function: Callable[..., object]):
    assert only_op(function, IMAGE).kind is OpKind.VIEW


def test_a_split_has_several_results():
    assert len(only_op(lambda x: x.chunk(4, dim=1), IMAGE).outputs) == 4


@pytest.mark.parametrize(
    ("function", "attrs"),
    [
        (lambda x: x.permute(0, 2, 3, 1).reshape(2, -1), CopyAttrs("reshape", transposing=True)),
        (lambda x: x.permute(0, 2, 3, 1).contiguous(), CopyAttrs("contiguous", transposing=True)),
        (lambda x: x[:, :2].contiguous(), CopyAttrs("contiguous")),
        (lambda x: x[:, :2].clone(), CopyAttrs("clone")),
        (lambda x: x.expand(2, 4, 8, 8).roll(1, 2), CopyAttrs("roll")),
    ],
)
def test_what_does_not_share_storage_is_a_copy(function: Callable[..., object], attrs: CopyAttrs):
    last = record(function, IMAGE).ops[-1]
    assert last.kind is OpKind.COPY
    assert last.attrs == attrs


def test_a_change_of_type_is_a_cast_and_no_change_is_nothing():
    assert only_op(lambda x: x.half(), IMAGE).kind is OpKind.CAST
    assert record(lambda x: x.float().contiguous(), IMAGE).ops == ()


def test_concatenation_names_its_axis_and_skips_torchs_empty_placeholder():
    op = only_op(lambda x: torch.cat([x, x], dim=-3), IMAGE)
    assert op.attrs == AxisAttrs(1)
    *_, joined = record(lambda x: torch.cat([torch.empty(0, device="meta"), x], dim=1), IMAGE).ops
    assert joined.inputs == ("inputs.0",)


def test_channels_last_strides_decide_what_copies():
    last = torch.empty(2, 4, 8, 8, device="meta", memory_format=torch.channels_last)
    graph = record(lambda x: x.permute(0, 2, 3, 1).reshape(2, 64, 4), last)
    assert [op.kind for op in graph.ops] == [OpKind.VIEW, OpKind.VIEW]  # NHWC data is already in that order
    assert graph.tensors[graph.inputs[0]].strides == (4 * 64, 1, 8 * 4, 4)


def separable_block() -> nn.Module:
    """A stem, a depthwise and a pointwise convolution, with what networks put between them."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, groups=8, padding=1), nn.GELU(), nn.Conv2d(8, 16, 1), nn.Upsample(scale_factor=2),
    ).eval()  # fmt: skip


class NormInside(nn.Module):
    """ConvNeXt's way: a layer norm over permuted channels makes the next convolution channels-last."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.second = nn.Conv2d(3, 8, 3), nn.LayerNorm(8), nn.Conv2d(8, 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.norm(self.first(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)).relu()


@pytest.mark.parametrize("make", [separable_block, NormInside])
@pytest.mark.parametrize("channels_last", [False, True])
def test_meta_tensors_are_laid_out_as_real_ones_are(make: Callable[[], nn.Module], channels_last: bool):
    order = torch.channels_last if channels_last else torch.contiguous_format
    module, image = make(), torch.randn(2, 3, 32, 32).contiguous(memory_format=order)
    meta_graph = record_module(module, [image.to("meta")], name="m", channels_last=channels_last)
    with torch.no_grad():
        real_graph = record_module(module.to(memory_format=order), [image], name="m")
    strides = [
        [graph.tensors[name].strides for op in graph.ops for name in op.outputs] for graph in (meta_graph, real_graph)
    ]
    assert strides[0] == strides[1]


def test_an_in_place_op_writes_a_new_name_that_later_readers_see():
    def forward(x: Tensor) -> Tensor:
        y = x * 2
        y.add_(1)
        return y * y

    mul, add, square = record(forward, IMAGE).ops
    assert add.in_place
    assert add.inputs == mul.outputs
    assert square.inputs == (add.outputs[0], add.outputs[0])


def test_dropout_in_eval_is_an_identity_and_its_source_stays_readable():
    def forward(x: Tensor) -> Tensor:
        y = x * 2
        return F.dropout(y, training=False) + y

    mul, dropout, add = record(forward, IMAGE).ops
    assert dropout.kind is OpKind.IDENTITY
    assert add.inputs == (dropout.outputs[0], mul.outputs[0])


def test_an_operator_without_a_rule_is_taken_apart_where_torch_can():
    graph = record(lambda a, b: torch.tensordot(a, b, dims=1), meta(2, 3), meta(3, 4))
    assert OpKind.MATMUL in {op.kind for op in graph.ops}
    assert graph.unknown_ops == ()


def test_an_operator_nobody_knows_is_unknown_and_says_so():
    op = record(lambda x: torch.linalg.inv(x), meta(3, 3)).ops[0]
    assert op.kind is OpKind.UNKNOWN
    assert "linalg_inv" in op.attrs.reason  # type: ignore[union-attr]


# ---------------------------------------------------------------- names, roles, modules
class Shared(nn.Module):
    """One layer called twice, one weight used by two layers, one parameter and one buffer never used."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.tied = nn.Linear(4, 4, bias=False)
        self.tied.weight = self.layer.weight
        self.idle = nn.Parameter(torch.zeros(5))
        self.register_buffer("table", torch.zeros(3, dtype=torch.int64))

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        return {"a": self.tied(self.layer(self.layer(tokens)))}


def test_parameters_are_listed_once_used_or_not():
    graph = record(Shared(), meta(2, 4))
    assert graph.params == 4 * 4 + 4 + 5  # weight shared by both layers, bias, idle
    assert graph.tensors["idle"].role is TensorRole.PARAMETER
    assert graph.tensors["table"].role is TensorRole.BUFFER
    assert graph.tensors["table"].dtype is DType.I64
    assert [m.parameters for m in graph.modules if m.path == "tied"] == [("layer.weight",)]


def test_each_call_of_a_module_is_one_entry():
    graph = record(Shared(), meta(2, 4))
    assert [(c.path, c.inputs, c.outputs) for c in graph.module_calls] == [
        ("layer", ("tokens",), ("linear",)),
        ("layer", ("linear",), ("linear_1",)),
        ("tied", ("linear_1",), ("linear_2",)),
        ("", ("tokens",), ("linear_2",)),
    ]
    assert [op.scope for op in graph.ops] == ["layer", "layer", "tied"]
    assert graph.outputs == ("linear_2",)


def test_modules_that_never_run_are_listed_too():
    network = Function(torch.relu, unused=nn.Linear(2, 2))
    graph = record(network, IMAGE)
    assert ("unused", "torch.nn.modules.linear.Linear") in {(m.path, m.type_name) for m in graph.modules}


def test_keyword_arguments_are_inputs_by_name():
    class Masked(nn.Module):
        def forward(self, x: Tensor, *, mask: Tensor) -> Tensor:
            return x.masked_fill(mask, 0.0)

    graph = record_module(Masked(), [meta(2, 3)], name="m", example_kwargs={"mask": meta(2, 3, dtype=torch.bool)})
    assert graph.inputs == ("x", "mask")
    assert graph.tensors["mask"].dtype is DType.BOOL


def test_an_input_called_like_an_op_keeps_its_name():
    class Relu(nn.Module):
        def forward(self, relu: Tensor) -> Tensor:
            return relu.relu()

    graph = record(Relu(), meta(2))
    assert graph.inputs == ("relu",)
    assert graph.outputs != ("relu",)


# ---------------------------------------------------------------- meta and real tensors together
def test_a_module_with_real_weights_is_traced_as_one_without():
    def build() -> nn.Module:
        return nn.Sequential(nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.ReLU())

    with torch.device("meta"):
        weightless = build()
    assert record(build(), IMAGE) == record(weightless, IMAGE)


def test_constants_made_on_the_way_are_computed_for_real():
    def forward(x: Tensor) -> Tensor:
        scales = torch.linspace(0, 1, 3).tolist()
        positions = torch.arange(8)
        return x * scales[1] + positions

    assert record(forward, IMAGE).outputs


def test_masks_that_are_asked_for_their_values_are_made_for_real_on_request():
    def forward(x: Tensor) -> Tensor:
        mask = torch.ones(x.shape, device=x.device).to(x.device) > 0
        return x if mask.all() else x.masked_fill(mask, 0)

    with pytest.raises(TraceError, match="meta"):
        record(forward, IMAGE)
    graph = record_module(Function(forward), [IMAGE], name="net", real_constants=True)
    assert graph.outputs == graph.inputs
    assert [op.kind for op in graph.ops] == [OpKind.FILL, OpKind.BINARY, OpKind.REDUCE]


def test_a_weight_normalised_at_every_call_is_read_with_its_scale():
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(4, 6))
    norm, linear = record(layer, meta(2, 4)).ops
    assert (norm.kind, len(norm.inputs), linear.kind) == (OpKind.NORM, 2, OpKind.LINEAR)


def test_an_encoder_layer_is_the_same_with_real_tensors():
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    assert record(layer, torch.zeros(1, 5, 32)).ops == record(layer, meta(1, 5, 32)).ops
    assert torch.backends.mha.get_fastpath_enabled()


def test_data_dependent_shapes_need_real_tensors():
    def forward(x: Tensor) -> Tensor:
        return x[x > 0].sum()

    with pytest.raises(TraceError):
        record(forward, IMAGE)
    graph = record(forward, torch.tensor([1.0, -1.0, 2.0]))
    assert [op.kind for op in graph.ops] == [OpKind.BINARY, OpKind.GATHER, OpKind.REDUCE]


def test_real_tensors_are_not_kept_alive():
    alive: list[int] = []

    def forward(x: Tensor) -> Tensor:
        results = []
        for _ in range(8):
            x = x + 1
            results.append(weakref.ref(x))
        alive.append(sum(result() is not None for result in results))
        return x

    graph = record(forward, torch.zeros(4))
    assert alive == [1]  # seven results were freed while the last one lives
    assert len(graph.ops) == 8


def test_a_failure_names_the_module_and_the_cause():
    network = nn.Sequential(nn.Linear(4, 5), nn.Sequential(nn.Linear(6, 7)))
    with pytest.raises(TraceError) as caught:
        record(network, meta(2, 4))
    assert "module 1.0" in caught.value.where
    assert "Sequential" in caught.value.where
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_tracing_leaves_the_module_as_it_was():
    network = nn.Sequential(nn.Dropout(), nn.Linear(4, 4))
    record(network, meta(2, 4))
    assert network.training
    assert all(child.training for child in network)
    assert not network[1].weight.is_meta


def test_recording_twice_gives_equal_graphs():
    network = nn.Sequential(nn.Conv2d(4, 8, 3), nn.GELU(), nn.MaxPool2d(2))
    assert record(network, IMAGE) == record(network, IMAGE)


def test_a_bilinear_layer_is_a_contraction_of_both_inputs():
    graph = record(nn.Bilinear(4, 5, 6, bias=False).to("meta"), meta(3, 4), meta(3, 5))
    assert graph_cost(graph).total.macs == 3 * 6 * 5 * (4 + 1)  # x1 · w over i, then · x2 over j
    assert count(graph, "torch").total == 0  # FlopCounterMode has no formula for it


def test_products_that_are_added_up_over_the_batch_count_them_all():
    graph = record(torch.addbmm, meta(3, 5), meta(2, 3, 4), meta(2, 4, 5))
    assert graph_cost(graph).total.macs == 2 * (3 * 5) * 4


@pytest.mark.parametrize(
    ("function", "inputs"),
    [
        (lambda theta: F.affine_grid(theta, (2, 3, 8, 8), align_corners=False), [(2, 2, 3)]),
        (lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2), [(1, 3, 8, 8)]),
        (nn.FractionalMaxPool2d(2, output_size=3), [(1, 3, 8, 8)]),
        (lambda x: torch.special.entr(x) + torch.special.i1(x), [(4, 10)]),
        (lambda x, y: torch.nextafter(x, y) * torch.igamma(x, y), [(4, 10), (4, 10)]),
        (lambda x, y: torch.vdot(x, y), [(7,), (7,)]),
    ],
)
def test_rarer_operators_have_rules(function: Callable[..., object], inputs: list[tuple[int, ...]]):
    assert record(function, *(meta(*shape) for shape in inputs)).unknown_ops == ()
