"""thop 0.1.1 (0.1.1.post2209072238): forward hooks on exact module types; one multiply-add counts as one.

Only hooked modules count, for operations and for parameters: what a model does in functions (attention, `torch.add`)
or in modules thop does not know (SiLU, MultiheadAttention) is nothing, without a word.

Source: thop/profile.py, vision/basic_hooks.py, vision/calc_func.py, rnn_hooks.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from estimator.costs.conventions.count import Convention, Count, LayerCount
from estimator.costs.conventions.missed import note_missed_macs
from estimator.costs.conventions.module_run import STAND_IN_NOTE, ModuleRun, ModuleTree, layer_type
from estimator.costs.conventions.op_class import class_of_module
from estimator.costs.recurrent import GATES
from estimator.ir.graph import Graph, ModuleSpec
from estimator.ir.op import NormAttrs, OpKind, ResizeAttrs, RnnAttrs, SoftmaxAttrs

Work = tuple[int, int]
"""(macs, other)."""
Hook = Callable[[ModuleTree, ModuleRun], Work]

_UPSAMPLE_PER_OUTPUT = {"nearest": 1, "linear": 5, "bilinear": 11, "bicubic": 224 + 35}
_CELL_OPS = {"LSTM": 3 + 1, "GRU": 1 + 3, "RNN": 0}
"""Per hidden unit, besides one per gate: Hadamard products and sums."""


def _conv(tree: ModuleTree, run: ModuleRun) -> Work:
    weight = tree.parameter(run.module, "weight")
    if weight is None:
        return 0, 0
    per_output = run.input_shape[1] // run.groups * math.prod(weight.shape[2:])
    return run.output_elements * per_output, 0


def _linear(tree: ModuleTree, run: ModuleRun) -> Work:
    weight = tree.parameter(run.module, "weight")
    return (weight.shape[1] * run.output_elements if weight else 0), 0


def _norm(tree: ModuleTree, run: ModuleRun) -> Work:
    op = run.op_of(OpKind.NORM)
    affine = op.attrs.affine if op and isinstance(op.attrs, NormAttrs) else bool(run.module.parameters)
    return 0, run.input_elements * (4 if affine else 2)


def _softmax(_: ModuleTree, run: ModuleRun) -> Work:
    op = run.op_of(OpKind.SOFTMAX)
    features = run.input_shape[op.attrs.axis] if op and isinstance(op.attrs, SoftmaxAttrs) else 1
    return 0, run.input_elements // max(features, 1) * (3 * features - 1)


def _adaptive_average(_: ModuleTree, run: ModuleRun) -> Work:
    window = 1.0  # a float in thop too: uneven windows give fractions, cut off at the end
    for before, after in zip(run.input_shape[2:], run.output_shape[2:], strict=True):
        window *= before / after
    return 0, int((window + 1) * run.output_elements)


def _upsample(_: ModuleTree, run: ModuleRun) -> Work:
    op = run.op_of(OpKind.RESIZE)
    mode = op.attrs.mode if op and isinstance(op.attrs, ResizeAttrs) else "nearest"
    return 0, run.output_elements * _UPSAMPLE_PER_OUTPUT.get(mode, 0)


def cell_work(family: str, gates: int, input_size: int, hidden: int, has_bias: bool) -> Work:
    """Products and the rest of one recurrent cell, per sample and time step."""
    other = gates * hidden * (3 if has_bias else 1) + hidden * _CELL_OPS[family]
    return gates * hidden * (input_size + hidden), other


def _rnn(_: ModuleTree, run: ModuleRun) -> Work:
    op = run.op_of(OpKind.RNN)
    if op is None or not isinstance(op.attrs, RnnAttrs):
        return 0, 0
    attrs = op.attrs
    family = "RNN" if attrs.cell.startswith("rnn") else attrs.cell.upper()
    directions = 2 if attrs.bidirectional else 1
    macs = other = 0
    for layer in range(attrs.layers):
        width = run.input_shape[-1] if layer == 0 else attrs.hidden_size * directions
        work = cell_work(family, GATES[attrs.cell], width, attrs.hidden_size, attrs.has_bias)
        macs, other = macs + directions * work[0], other + directions * work[1]
    packed = op.source.endswith(".data")
    # thop takes the first two extents for steps and batch, also those of an input without a batch
    steps = run.input_elements // run.input_shape[-1] if packed else math.prod(run.input_shape[:2])
    return steps * macs, steps * other


def _rnn_cell(tree: ModuleTree, run: ModuleRun) -> Work:
    hidden_weight = tree.parameter(run.module, "weight_hh")
    if hidden_weight is None:
        return 0, 0
    hidden = hidden_weight.shape[1]
    family = run.type_name.removesuffix("Cell")
    has_bias = tree.parameter(run.module, "bias_ih") is not None
    work = cell_work(family, hidden_weight.shape[0] // hidden, run.input_shape[-1], hidden, has_bias)
    batch = run.input_shape[0]
    return batch * work[0], batch * work[1]


def _nothing(_: ModuleTree, _run: ModuleRun) -> Work:
    return 0, 0


HOOKS: dict[str, Hook] = {
    **dict.fromkeys(("Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"), _conv),
    **dict.fromkeys(
        ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm", "LayerNorm",
         "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"), _norm),
    "PReLU": lambda _, run: (0, run.input_elements),
    "Softmax": _softmax,
    **dict.fromkeys(("AvgPool1d", "AvgPool2d", "AvgPool3d"), lambda _, run: (0, run.output_elements)),
    **dict.fromkeys(("AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d"), _adaptive_average),
    "Linear": _linear,
    **dict.fromkeys(("Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d"), _upsample),
    **dict.fromkeys(("RNN", "GRU", "LSTM"), _rnn),
    **dict.fromkeys(("RNNCell", "GRUCell", "LSTMCell"), _rnn_cell),
    **dict.fromkeys(
        ("ZeroPad2d", "ReLU", "ReLU6", "LeakyReLU", "MaxPool1d", "MaxPool2d", "MaxPool3d", "AdaptiveMaxPool1d",
         "AdaptiveMaxPool2d", "AdaptiveMaxPool3d", "Dropout", "Sequential", "PixelShuffle"), _nothing),
}  # fmt: skip


def _counted(tree: ModuleTree, path: str = "") -> Iterator[tuple[ModuleSpec, bool]]:
    """Modules whose hook enters the total, and whether their parameters do.

    Children of a hooked module are not visited, unless it is a Sequential; the root's own parameters never count.
    """
    module = tree.modules.get(path)
    hooked = module is not None and layer_type(module) in HOOKS
    if module is not None and hooked:
        yield module, bool(path)
    if not path or not hooked or (module is not None and layer_type(module) == "Sequential"):
        for child in tree.children.get(path, ()):
            yield from _counted(tree, child)


def _count(convention: Convention, graph: Graph) -> Count:
    tree = ModuleTree(graph)
    layers: list[LayerCount] = []
    claimed: set[str] = set()
    params = 0
    for module, with_params in _counted(tree):
        runs = tree.runs.get(module.path, ())
        type_name = layer_type(module)
        if type_name == "Sequential" or not runs:
            continue
        claimed.add(module.path)
        work = [HOOKS[type_name](tree, run) for run in runs]
        own = tree.all_parameters(module) if with_params else 0
        params += own
        layers.append(
            convention.layer(
                module.path or graph.name, type_name, class_of_module(type_name),
                macs=sum(w[0] for w in work), other=sum(w[1] for w in work), params=own,
                output_shape=runs[-1].output_shape, ops=tree.ops_below(module.path),
            )
        )  # fmt: skip
    notes = [STAND_IN_NOTE] if tree.is_stand_in else []
    if params != graph.params:
        notes.append(f"parameters outside the modules thop knows are left out: {params:,} of {graph.params:,}")
    count = convention.total(layers, params=params, unsupported=tree.unclaimed(claimed), notes=notes)
    return note_missed_macs(count, graph)


CONVENTION = Convention(
    name="thop",
    tool="thop 0.1.1",
    quantity="MACs",
    mac_weight=1,
    rules={
        "convolution": "nn.ConvNd modules, 1 MAC = 1, no bias; transposed as if every output met every tap",
        "linear": "nn.Linear modules only, 1 MAC = 1, no bias",
        "batch norm": "4 per element (2 without scale and shift)",
        "other norm": "layer and instance norm 4 per element (2 without scale and shift); group norm nothing",
        "recurrent": "gate products, biases, one per gate and Hadamard products",
        "softmax": "nn.Softmax modules, 3 per element − 1 per row",
        "pooling": "average 1 per output, max nothing",
        "adaptive pooling": "average: window + 1 per output, max nothing",
        "activation": "nothing (PReLU 1 per element)",
        "resize": "nn.Upsample: bilinear 11, nearest 1 per output",
    },
    counter=_count,
)
