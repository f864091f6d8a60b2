"""torchstat 0.0.7: leaf modules, called once each; "Flops" are MACs with bias, "MAdd" are multiplies plus adds.

The tool no longer runs (it needs a pandas method that is gone) and stops with an assertion on what is not a plain
image network; its rules and its table live on here. A module called several times shows its last call.

Source: torchstat/compute_flops.py, compute_madd.py, compute_memory.py, model_hook.py, release 0.0.7.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from estimator.costs.conventions.count import Convention, Count, LayerCount
from estimator.costs.conventions.missed import note_missed_macs
from estimator.costs.conventions.module_run import STAND_IN_NOTE, ModuleRun, ModuleTree, layer_type
from estimator.costs.conventions.op_class import class_of_module
from estimator.ir.graph import Graph, ModuleSpec
from estimator.ir.op import NormAttrs, OpKind, PoolAttrs
from estimator.ir.tensor import Shape

_ITEM_BYTES = 4
_ACTIVATIONS = frozenset({"ReLU", "ReLU6", "PReLU", "ELU", "LeakyReLU"})
_POOLS = frozenset({"MaxPool2d", "AvgPool2d"})
_SUPPORTED = _ACTIVATIONS | _POOLS | {"Conv2d", "BatchNorm2d", "Upsample", "Linear"}


@dataclass(frozen=True, slots=True)
class StatRow:
    """One line of torchstat's table. Shapes are without the batch axis; `memory_bytes` is the output's size."""

    name: str
    type_name: str
    input_shape: Shape
    output_shape: Shape
    params: int
    memory_bytes: int
    madd: int
    flops: int
    macs: int
    bias: int
    read_bytes: int
    written_bytes: int


def _base_type(tree: ModuleTree, module: ModuleSpec, run: ModuleRun) -> str:
    """Name the torch layer that the module is or derives from: torchstat asks `isinstance`."""
    type_name = layer_type(module)
    if "." not in type_name or tree.is_stand_in:
        return type_name
    if run.op_of(OpKind.CONV) and tree.parameter(module, "weight") and len(run.input_shape) == 4:
        return "Conv2d"
    bare = type_name.rpartition(".")[2]
    return next((known for known in ("BatchNorm2d", "Linear", "Upsample") if bare.startswith(known)), bare)


def _flops(kind: str, tree: ModuleTree, run: ModuleRun) -> tuple[int, int, int]:
    """(macs, other, bias) of the "Flops" column."""
    if kind == "Conv2d":
        weight = tree.parameter(run.module, "weight")
        macs = run.output_elements * (math.prod(weight.shape[1:]) if weight else 0)
        return macs, 0, run.output_elements if tree.parameter(run.module, "bias") else 0
    if kind == "Linear":
        return run.output_elements * run.input_shape[-1], 0, 0
    if kind == "BatchNorm2d":
        return 0, run.input_elements * (2 if _is_affine(run) else 1), 0
    if kind == "Upsample":
        return 0, run.input_shape[0] * math.prod(run.output_shape[2:]), 0  # channels forgotten, as in torchstat
    return 0, run.input_elements if kind in _ACTIVATIONS | _POOLS else 0, 0


def _is_affine(run: ModuleRun) -> bool:
    op = run.op_of(OpKind.NORM)
    return op.attrs.affine if op and isinstance(op.attrs, NormAttrs) else bool(run.module.parameters)


def _madd(kind: str, tree: ModuleTree, run: ModuleRun) -> int:
    """Count the "MAdd" column, per sample."""
    per_sample, result = math.prod(run.input_shape[1:]), math.prod(run.output_shape[1:])
    if kind in ("Conv2d", "ConvTranspose2d"):
        weight = tree.parameter(run.module, "weight")
        if weight is None:
            return 0
        channels = run.input_shape[1] // run.groups
        taps = math.prod(weight.shape[2:]) * channels
        area = math.prod((run.output_shape if kind == "Conv2d" else run.input_shape)[2:])
        biased = tree.parameter(run.module, "bias") is not None
        return (2 * taps - 1 + biased) * area * run.output_shape[1]
    if kind == "BatchNorm2d":
        return 4 * per_sample
    if kind in _POOLS:
        op = run.op_of(OpKind.POOL)
        window = math.prod(op.attrs.kernel) if op and isinstance(op.attrs, PoolAttrs) else 1
        return (window - 1 if kind == "MaxPool2d" else window) * result
    if kind in ("ReLU", "ReLU6"):
        return per_sample
    if kind == "Softmax":
        return 3 * per_sample - 1
    if kind == "Linear":
        return (2 * run.input_shape[-1] - 1) * result
    return 0


def _traffic(kind: str, tree: ModuleTree, run: ModuleRun) -> tuple[int, int]:
    """Elements in the "MemRead" and "MemWrite" columns: weights are read once per *sample*."""
    batch, elements = run.input_shape[0], run.input_elements
    if kind in ("ReLU", "ReLU6", "ELU", "LeakyReLU"):
        return elements, elements
    own = tree.own_parameters(run.module)
    if kind == "PReLU":
        return elements + batch * own, elements
    if kind in ("Conv2d", "Linear"):
        return elements + batch * own, run.output_elements
    if kind == "BatchNorm2d":
        return elements + batch * 2 * run.input_shape[1], elements
    return (elements, run.output_elements) if kind in _POOLS else (0, 0)


def stat_rows(graph: Graph) -> tuple[StatRow, ...]:
    """Torchstat's table, one row per leaf module in tree order; leaf modules that never ran are empty rows."""
    tree = ModuleTree(graph)
    rows = []
    for module in tree.walk():
        runs = tree.runs.get(module.path, ())
        if not tree.is_leaf(module.path) or (not module.path and graph.modules and not runs):
            continue
        rows.append(_row(tree, module, runs[-1]) if runs and runs[-1].inputs else _empty_row(tree, module))
    return tuple(rows)


def _empty_row(tree: ModuleTree, module: ModuleSpec) -> StatRow:
    """Make the row of a module that never ran: it keeps the zero buffers that torchstat gave it."""
    return StatRow(module.path, layer_type(module), (0, 0, 0), (0, 0, 0), 0, 0, 0, 0, 0, 0, 0, 0)


def _row(tree: ModuleTree, module: ModuleSpec, run: ModuleRun) -> StatRow:
    kind = _base_type(tree, module, run)
    macs, other, bias = _flops(kind, tree, run)
    read, written = _traffic(kind, tree, run)
    return StatRow(
        name=module.path,
        type_name=kind,
        input_shape=run.input_shape[1:],
        output_shape=run.output_shape[1:],
        params=tree.own_parameters(module),
        memory_bytes=math.prod(run.output_shape[1:]) * _ITEM_BYTES,
        madd=_madd(kind, tree, run),
        flops=macs + other + bias,
        macs=macs,
        bias=bias,
        read_bytes=read * _ITEM_BYTES,
        written_bytes=written * _ITEM_BYTES,
    )


def _count(convention: Convention, graph: Graph) -> Count:
    tree = ModuleTree(graph)
    layers: list[LayerCount] = []
    claimed: set[str] = set()
    refused: set[str] = set()
    for row in stat_rows(graph):
        if row.type_name in _SUPPORTED:
            claimed.add(row.name)
        if row.type_name == "Linear" and len(row.output_shape) != 1:
            refused.add("Linear on inputs that are not [batch, features]")
        layers.append(
            convention.layer(
                row.name or graph.name, row.type_name, class_of_module(row.type_name), macs=row.macs, bias=row.bias,
                other=row.flops - row.macs - row.bias, params=row.params, output_shape=row.output_shape,
                ops=tree.ops_below(row.name) if row.name in claimed else (),
            )
        )  # fmt: skip
    notes = [STAND_IN_NOTE] if tree.is_stand_in else []
    notes += [f"torchstat itself stops with an assertion here: {what}" for what in sorted(refused)]
    notes.append("torchstat's total row shows the last module's MemRead and MemWrite; MemR+W is the sum")
    params = sum(layer.params for layer in layers)
    if params != graph.params:
        notes.append(f"parameters outside leaf modules are left out: {params:,} of {graph.params:,}")
    return note_missed_macs(
        convention.total(layers, params=params, unsupported=tree.unclaimed(claimed), notes=notes), graph
    )


CONVENTION = Convention(
    name="torchstat",
    tool="torchstat 0.0.7",
    quantity="Flops (1 MAC = 1)",
    mac_weight=1,
    rules={
        "convolution": "leaf nn.Conv2d, 1 MAC = 1, bias 1 per output",
        "linear": "leaf nn.Linear, 1 MAC = 1, no bias",
        "batch norm": "BatchNorm2d 2 per element (1 without scale and shift)",
        "activation": "ReLU, ReLU6, PReLU, ELU, LeakyReLU 1 per element; others nothing",
        "pooling": "1 per input",
        "adaptive pooling": "nothing",
        "resize": "nn.Upsample 1 per pixel, channels forgotten",
    },
    counter=_count,
)
