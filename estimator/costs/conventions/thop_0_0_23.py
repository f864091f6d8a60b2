"""thop 0.0.23 (0.0.23.post1907011323): the version whose densenet121 figure circulates under resnet50's name.

Leaf modules only; a module called twice counts its last call; everything is added up in 32-bit floats, so totals above
2²⁴ are rounded on the way.

Source: thop/profile.py and count_hooks.py of that release.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

from estimator.costs.conventions.count import Convention, Count, LayerCount
from estimator.costs.conventions.missed import note_missed_macs
from estimator.costs.conventions.module_run import STAND_IN_NOTE, ModuleRun, ModuleTree, layer_type
from estimator.costs.conventions.op_class import class_of_module
from estimator.ir.graph import Graph
from estimator.ir.op import OpKind, PoolAttrs

Work = tuple[int, int, int]
"""(macs, other, bias)."""
Hook = Callable[[ModuleTree, ModuleRun], Work]


def _single(value: float) -> float:
    """Round to a 32-bit float, as a `torch.Tensor` does."""
    rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    return rounded


def _conv(tree: ModuleTree, run: ModuleRun) -> Work:
    weight = tree.parameter(run.module, "weight")
    if weight is None:
        return 0, 0, 0
    has_bias = tree.parameter(run.module, "bias") is not None
    positions = run.input_shape[1] * run.output_elements
    taps = math.prod(weight.shape[2:])
    # the bias is multiplied by the input channels too: thop's slip, kept
    total = positions * (taps + has_bias) // run.groups
    macs = positions * taps // run.groups
    return macs, 0, total - macs


def _conv_transpose_2d(tree: ModuleTree, run: ModuleRun) -> Work:
    weight = tree.parameter(run.module, "weight")
    if weight is None:
        return 0, 0, 0
    per_output = math.prod(weight.shape[2:]) * run.input_shape[1] // run.groups
    has_bias = tree.parameter(run.module, "bias") is not None
    return run.output_elements * per_output, 0, run.output_elements * has_bias


def _linear(tree: ModuleTree, run: ModuleRun) -> Work:
    weight = tree.parameter(run.module, "weight")
    width = weight.shape[1] if weight else 0
    return width * run.output_elements, max(width - 1, 0) * run.output_elements, 0


def _window(run: ModuleRun) -> int:
    op = run.op_of(OpKind.POOL)
    if op is None or not isinstance(op.attrs, PoolAttrs):
        return 1
    # an int kernel_size is taken as the window itself, not squared: torch.prod of one number
    kernel = op.attrs.kernel
    return kernel[0] if len(set(kernel)) == 1 else math.prod(kernel)


def _adaptive_window(run: ModuleRun) -> int:
    sizes = zip(run.input_shape[2:], run.output_shape[2:], strict=True)
    return math.prod(before // after for before, after in sizes)


HOOKS: dict[str, Hook] = {
    **dict.fromkeys(("Conv1d", "Conv2d", "Conv3d"), _conv),
    "ConvTranspose2d": _conv_transpose_2d,
    **dict.fromkeys(("BatchNorm1d", "BatchNorm2d", "BatchNorm3d"), lambda _, run: (0, 4 * run.input_elements, 0)),
    **dict.fromkeys(("ReLU", "ReLU6", "LeakyReLU"), lambda _, run: (0, run.input_elements, 0)),
    **dict.fromkeys(
        ("MaxPool1d", "MaxPool2d", "MaxPool3d"), lambda _, run: (0, _window(run) * run.output_elements, 0)),
    **dict.fromkeys(
        ("AdaptiveMaxPool1d", "AdaptiveMaxPool2d", "AdaptiveMaxPool3d"),
        lambda _, run: (0, _adaptive_window(run) * run.output_elements, 0)),
    **dict.fromkeys(
        ("AvgPool1d", "AvgPool2d", "AvgPool3d"), lambda _, run: (0, (_window(run) + 1) * run.output_elements, 0)),
    **dict.fromkeys(
        ("AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d"),
        lambda _, run: (0, (_adaptive_window(run) + 1) * run.output_elements, 0)),
    "Linear": _linear,
}  # fmt: skip


def _count(convention: Convention, graph: Graph) -> Count:
    tree = ModuleTree(graph)
    layers: list[LayerCount] = []
    claimed: set[str] = set()
    total = params = 0.0
    for module in tree.walk():
        if not tree.is_leaf(module.path):
            continue
        own = tree.own_parameters(module)
        params = _single(params + _single(own))
        type_name = layer_type(module)
        runs = tree.runs.get(module.path, ())
        if type_name not in HOOKS or not runs:
            continue
        claimed.add(module.path)
        macs, other, bias = HOOKS[type_name](tree, runs[-1])
        layer = convention.layer(
            module.path or graph.name, type_name, class_of_module(type_name), macs=macs, other=other, bias=bias,
            params=own, output_shape=runs[-1].output_shape, ops=tree.ops_below(module.path),
            flops=macs + other if type_name == "Linear" else None,
        )  # fmt: skip
        layers.append(layer)
        total = _single(total + _single(layer.value))
    rounding = int(total) - sum(layer.value for layer in layers)
    if rounding:
        layers.append(convention.layer("(32-bit rounding)", "float32", "rounding", other=rounding))
    notes = [STAND_IN_NOTE] if tree.is_stand_in else []
    if rounding:
        notes.append(f"adding up in 32-bit floats moved the total by {rounding:+,}")
    count = convention.total(layers, params=int(params), unsupported=tree.unclaimed(claimed), notes=notes)
    return note_missed_macs(count, graph)


CONVENTION = Convention(
    name="thop-0.0.23",
    tool="thop 0.0.23",
    quantity="MACs",
    mac_weight=1,
    rules={
        "convolution": "leaf nn.ConvNd, 1 MAC = 1; a bias counts once per output *and input channel*",
        "linear": "2 per MAC − 1 per output",
        "batch norm": "4 per element",
        "activation": "ReLU, ReLU6, LeakyReLU 1 per element",
        "pooling": "window per output (average + 1); a square window counts its side only",
        "adaptive pooling": "window per output (average + 1)",
        "rounding": "sums in 32-bit floats",
    },
    counter=_count,
)
