"""ptflops 0.7.5, `backend="pytorch"`: hooks on exact module types, and patched functions on top.

`nn.ReLU` calls the patched `F.relu`, so activations and pools in modules count twice; `F.linear` is not patched, so
fully connected work outside `nn.Linear` is nothing. Hook counts are divided by the batch, function counts are not.

`torch.matmul`, `torch.add`, `x.mul()` are patched, ``@``, ``+`` and ``*`` are not; `F.softmax` is, `x.softmax()` not.

Source: ptflops/pytorch_engine.py and pytorch_ops.py, release 0.7.5.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from estimator.costs.conventions.aten_name import aten_name, is_operator
from estimator.costs.conventions.count import Convention, Count, LayerCount
from estimator.costs.conventions.missed import note_missed_macs
from estimator.costs.conventions.module_run import STAND_IN_NOTE, ModuleRun, ModuleTree, layer_type
from estimator.costs.conventions.op_class import class_of_module
from estimator.costs.conventions.op_walk import Work as FunctionWork
from estimator.costs.conventions.op_walk import op_layer
from estimator.costs.conventions.patched_function import (
    PatchedActivations,
    patched_softmax,
    patched_sum_or_product,
)
from estimator.costs.conventions.registered import packed_note, registered_parameters
from estimator.costs.conventions.rnn_cell_rule import rnn_layer_work
from estimator.costs.matmul import contracted_extent
from estimator.ir.graph import Graph, ModuleSpec
from estimator.ir.op import NormAttrs, Op, OpKind, RnnAttrs

Work = tuple[int, int, int]
"""(macs, other, bias)."""
Hook = Callable[[ModuleTree, ModuleRun], Work]

_TIMM_ATTENTION = frozenset({"timm.layers.attention.Attention", "timm.models.vision_transformer.Attention"})
_DEFORM_CONV = frozenset({"torchvision.ops.deform_conv.DeformConv2d"})
_PATCHED_ACTIVATIONS = frozenset({"relu", "prelu", "elu", "relu6", "gelu", "silu"})
_PATCHED_PRODUCTS = frozenset({"matmul", "mm", "bmm", "addmm", "baddbmm"})


def _conv(tree: ModuleTree, run: ModuleRun) -> Work:
    weight = tree.parameter(run.module, "weight")
    if weight is None:
        return 0, 0, 0
    transposed = "Transpose" in run.type_name
    positions = run.input_elements if transposed else run.output_elements
    bias = run.output_elements if tree.parameter(run.module, "bias") else 0
    return positions * math.prod(weight.shape[1:]), 0, bias


def _deform_conv(tree: ModuleTree, run: ModuleRun) -> Work:
    macs, _, bias = _conv(tree, run)
    weight = tree.parameter(run.module, "weight")
    window = math.prod(weight.shape[2:]) if weight else 0
    pixels = run.output_elements // run.output_shape[1]
    return macs, pixels * window * (20 + 4 + (len(run.inputs) == 3)), bias


def _linear(tree: ModuleTree, run: ModuleRun) -> Work:
    bias = run.output_elements if tree.parameter(run.module, "bias") else 0
    return run.output_elements * run.input_shape[-1], 0, bias


def _output_elements(_: ModuleTree, run: ModuleRun) -> Work:
    return 0, run.output_elements, 0


def _input_elements(_: ModuleTree, run: ModuleRun) -> Work:
    return 0, run.input_elements, 0


def _norm(_: ModuleTree, run: ModuleRun) -> Work:
    op = run.op_of(OpKind.NORM)
    affine = op.attrs.affine if op and isinstance(op.attrs, NormAttrs) else bool(run.module.parameters)
    # LayerNorm has no attribute `affine`, so ptflops gives it one operation per element
    return 0, run.input_elements * (2 if affine and run.type_name != "LayerNorm" else 1), 0


def _upsample(_: ModuleTree, run: ModuleRun) -> Work:
    return 0, math.prod(run.output_shape[1:]), 0  # the first sample's output


def _rnn(_: ModuleTree, run: ModuleRun) -> Work:
    op = run.op_of(OpKind.RNN)
    if op is None or not isinstance(op.attrs, RnnAttrs):
        return 0, 0, 0
    macs, other, bias = rnn_layer_work(op.attrs, run.input_shape[-1])
    times = run.input_elements // run.input_shape[-1] * (2 if op.attrs.bidirectional else 1)
    return times * macs, times * other, times * bias


def _rnn_cell(tree: ModuleTree, run: ModuleRun) -> Work:
    weight = tree.parameter(run.module, "weight_hh")
    if weight is None:
        return 0, 0, 0
    cell = {"LSTMCell": "lstm", "GRUCell": "gru"}.get(run.type_name, "rnn_tanh")
    has_bias = tree.parameter(run.module, "bias_ih") is not None
    attrs = RnnAttrs(cell=cell, hidden_size=weight.shape[1], has_bias=has_bias)
    batch = run.input_shape[0]
    macs, other, bias = rnn_layer_work(attrs, run.input_shape[-1])
    return batch * macs, batch * other, batch * bias


def _heads(run: ModuleRun, tree: ModuleTree) -> tuple[int, int, int]:
    """(batch, heads, queries) of the attention that ran in this call; one head if none is to be seen."""
    op = run.op_of(OpKind.ATTENTION)
    if op is not None:
        batch, heads, queries, _ = tree.graph.tensors[op.inputs[0]].shape
        return batch, heads, queries
    product = run.op_of(OpKind.MATMUL)
    if product is not None and len(run.input_shape) == 3:
        merged, queries, _ = tree.graph.tensors[product.inputs[0]].shape
        batch = run.input_elements // (queries * run.input_shape[-1])
        return batch, max(merged // batch, 1), queries
    return run.input_shape[0], 1, run.input_shape[1]


def _multihead_attention(tree: ModuleTree, run: ModuleRun) -> Work:
    """q, k, v [batch, length, width]: projections, scores, softmax, values and the final projection with bias."""
    batch, heads, q_len = _heads(run, tree)
    q, k, v = (run.inputs[min(i, len(run.inputs) - 1)].shape for i in range(3))
    kv_len = math.prod(k[:-1]) // batch
    macs = q_len * q[-1] ** 2 + kv_len * k[-1] ** 2 + kv_len * v[-1] ** 2
    macs += heads * q_len * kv_len * (q[-1] // heads + v[-1] // heads) + q_len * v[-1] ** 2
    bias = q_len * v[-1]
    if tree.parameter(run.module, "in_proj_bias"):
        bias += (q_len + 2 * kv_len) * q[-1]
    other = q_len * q[-1] + heads * q_len * kv_len
    return batch * macs, batch * other, batch * bias


def _timm_attention(tree: ModuleTree, run: ModuleRun) -> Work:
    """X [batch, n, width]: scaling, scores, softmax, values; its Linear children are then skipped, a slip kept here."""
    batch, heads, n = _heads(run, tree)
    width = run.input_shape[-1] // heads * heads
    return batch * 2 * n * n * width, batch * (n * width + heads * n * n), 0


_POOL_TYPES = [
    f"{adaptive}{kind}Pool{rank}d" for adaptive in ("", "Adaptive") for kind in ("Max", "Avg") for rank in (1, 2, 3)
]
HOOKS: dict[str, Hook] = {
    **dict.fromkeys(("Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"), _conv),
    **dict.fromkeys(("ReLU", "PReLU", "ELU", "LeakyReLU", "ReLU6", "GELU"), _output_elements),
    **dict.fromkeys(_POOL_TYPES, _input_elements),
    **dict.fromkeys(
        ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d",
         "GroupNorm", "LayerNorm"), _norm),
    "Linear": _linear,
    "Upsample": _upsample,
    **dict.fromkeys(("RNN", "GRU", "LSTM"), _rnn),
    **dict.fromkeys(("RNNCell", "GRUCell", "LSTMCell"), _rnn_cell),
    "MultiheadAttention": _multihead_attention,
    **dict.fromkeys(_TIMM_ATTENTION, _timm_attention),
    **dict.fromkeys(_DEFORM_CONV, _deform_conv),
}  # fmt: skip


def _function_work(op: Op, graph: Graph, activations: PatchedActivations) -> FunctionWork | None:
    """Count what a patched function reports for an op; None if its function is not patched."""
    if not op.inputs or not op.outputs or op.source.startswith("quantized."):
        return None
    inputs, outputs = graph.inputs_of(op), graph.outputs_of(op)
    if op.kind is OpKind.ACTIVATION:
        return FunctionWork(other=inputs[0].numel) if activations.sees(op) else None
    if op.kind in (OpKind.POOL, OpKind.ADAPTIVE_POOL):
        return FunctionWork(other=inputs[0].numel)
    if patched_softmax(op):
        return FunctionWork(other=inputs[0].numel)
    if patched_sum_or_product(op):
        return FunctionWork(other=outputs[0].numel)
    if op.kind is OpKind.RESIZE:
        return FunctionWork(other=outputs[0].numel)
    if op.kind is OpKind.MATMUL and aten_name(op) in _PATCHED_PRODUCTS and not is_operator(op):
        macs = outputs[0].numel * contracted_extent(inputs, outputs)
        return FunctionWork(macs, bias=inputs[2].numel if len(inputs) > 2 else 0)
    return None


def _hooked(tree: ModuleTree, path: str = "") -> Iterator[ModuleSpec]:
    """Hooked modules that are not inside another hooked one."""
    module = tree.modules.get(path)
    if module is not None and layer_type(module) in HOOKS:
        yield module
        return
    for child in tree.children.get(path, ()):
        yield from _hooked(tree, child)


def _batch(tree: ModuleTree) -> int:
    """Find what ptflops takes for the batch: the length of the model's first positional argument, else 1.

    Detection models take a list of images, whose length is what counts.
    """
    if tree.is_stand_in:
        return tree.graph.batch
    root = tree.runs.get("")
    if not root or not root[0].inputs:
        return 1
    if root[0].type_name.startswith("torchvision.models.detection."):
        return len(root[0].inputs)
    shape = root[0].input_shape
    return max(shape[0], 1) if shape else 1


def _count(convention: Convention, graph: Graph) -> Count:
    tree = ModuleTree(graph)
    batch = _batch(tree)
    layers: list[LayerCount] = []
    claimed: set[str] = set()
    for module in _hooked(tree):
        runs = tree.runs.get(module.path, ())
        if not runs:
            continue
        claimed.add(module.path)
        type_name = layer_type(module)
        work = [HOOKS[type_name](tree, run) for run in runs]
        macs, other, bias = (sum(w[i] for w in work) // batch for i in range(3))
        layers.append(
            convention.layer(
                module.path or graph.name, type_name.rpartition(".")[2], class_of_module(type_name.rpartition(".")[2]),
                macs=macs, other=other, bias=bias, params=tree.all_parameters(module),
                output_shape=runs[-1].output_shape, ops=tree.ops_below(module.path),
            )
        )  # fmt: skip
    activations = PatchedActivations(graph, _PATCHED_ACTIVATIONS)
    for op in graph.ops:
        work_done = _function_work(op, graph, activations)
        if work_done is not None:
            layers.append(op_layer(convention, op, work_done, graph.outputs_of(op), prefix="function "))
    notes = [STAND_IN_NOTE] if tree.is_stand_in else []
    if batch > 1:
        notes.append(f"hook counts are for one of the {batch} samples, function counts for all of them, as in ptflops")
    if any(m.type_name in _TIMM_ATTENTION for m in graph.modules):
        notes.append("ptflops skips the Linear layers inside timm's Attention")
    params = registered_parameters(graph)
    notes += packed_note(graph)
    count = convention.total(layers, params=params, unsupported=tree.unclaimed(claimed), notes=notes)
    return note_missed_macs(count, graph)


CONVENTION = Convention(
    name="ptflops",
    tool="ptflops 0.7.5, pytorch backend",
    quantity="MACs",
    mac_weight=1,
    rules={
        "convolution": "nn.ConvNd modules, 1 MAC = 1, bias 1 per output",
        "linear": "nn.Linear modules only, 1 MAC = 1, bias 1 per output",
        "matmul": "torch.matmul, bmm, addmm: 1 MAC = 1, addend 1 per element of it; @ nothing",
        "attention": "nn.MultiheadAttention: projections, products, scaling, softmax; fused attention nothing",
        "recurrent": "gate products, biases, cell arithmetic",
        "batch norm": "2 per element (1 without scale and shift)",
        "other norm": "group and instance norm 2 per element with scale and shift; layer norm 1",
        "activation": "1 per element; in a module 2 (hook and function); SiLU and nn.ReLU6 1",
        "pooling": "1 per input; in a module 2",
        "adaptive pooling": "1 per input; in a module 2",
        "softmax": "F.softmax 1 per element; the method nothing",
        "elementwise": "torch.add and torch.mul 1 per output; + and * nothing",
        "resize": "1 per output; in a module 2",
    },
    counter=_count,
)
