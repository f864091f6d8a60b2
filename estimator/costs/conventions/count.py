"""What a convention returns: a total in the tool's own unit, and the layers it is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from estimator.ir.graph import Graph
from estimator.ir.tensor import Shape


@dataclass(frozen=True, slots=True)
class LayerCount:
    """What a tool says of one layer: a module for tools that hook modules, an op for the others.

    Attributes
    ----------
    name : str
        Module path or op name.
    type_name : str
        What the tool matched on: ``Conv2d``, ``aten::linear``, ``BiasAdd``.
    op_class : str
        Coarse class shared by all conventions (`op_class.py`), so that two can be compared.
    value : int
        The tool's own number for this layer.
    macs, flops : int
        The part of it that is multiply-accumulates, and the whole as FLOPs (1 MAC = 2 FLOPs).
    bias : int
        The part of `value` that is bias additions.
    ops : tuple of str
        Names of the ops whose work this layer stands for.
    """

    name: str
    type_name: str
    op_class: str
    value: int
    macs: int
    flops: int
    params: int = 0
    bias: int = 0
    output_shape: Shape = ()
    ops: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Count:
    """A model's count under one convention; `total` is the sum of the layers' values.

    Attributes
    ----------
    total : int
        The tool's own main number, whatever it calls it; `quantity` names the unit.
    macs, flops : int
        Sums over the layers.
    params : int
        As the tool counts them: all of the model's, or only those of modules it knows.
    unsupported : tuple of str
        Operators or module types that did work the tool has no rule for, most frequent first.
    notes : tuple of str
        What the number leaves out or gets wrong.
    """

    convention: str
    quantity: str
    total: int
    macs: int
    flops: int
    params: int
    layers: tuple[LayerCount, ...]
    unsupported: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Convention:
    """One tool's way of counting.

    Attributes
    ----------
    tool : str
        The tool and the version whose rules these are.
    quantity : str
        Unit of `Count.total`, in the tool's sense: "MACs", "FLOPs".
    mac_weight : int
        What one multiply-accumulate adds to the total: 1 or 2.
    rules : mapping of op class to sentence
        What it counts for that class, for `explain`; a class not listed counts nothing.
    counter : callable
        Graph -> Count.
    """

    name: str
    tool: str
    quantity: str
    mac_weight: int
    rules: Mapping[str, str]
    counter: Callable[[Convention, Graph], Count]

    def count(self, graph: Graph) -> Count:
        """Count `graph`."""
        return self.counter(self, graph)

    def layer(
        self, name: str, type_name: str, op_class: str, *, macs: int = 0, other: int = 0, bias: int = 0,
        params: int = 0, output_shape: Shape = (), ops: tuple[str, ...] = (), flops: int | None = None,
    ) -> LayerCount:  # fmt: skip
        """Make a layer whose value is mac_weight · macs + other + bias, and whose FLOPs are 2 · macs + other + bias.

        `flops` overrides the latter where a tool's `other` repeats additions that are already in the MACs.
        """
        return LayerCount(
            name=name,
            type_name=type_name,
            op_class=op_class,
            value=self.mac_weight * macs + other + bias,
            macs=macs,
            flops=2 * macs + other + bias if flops is None else flops,
            params=params,
            bias=bias,
            output_shape=output_shape,
            ops=ops,
        )

    def total(
        self,
        layers: Iterable[LayerCount],
        *,
        params: int,
        unsupported: Mapping[str, int] | None = None,
        notes: Iterable[str] = (),
    ) -> Count:
        """Add layers up; `unsupported` maps names to how often they occurred."""
        frozen = tuple(layers)
        missing = unsupported or {}
        return Count(
            convention=self.name,
            quantity=self.quantity,
            total=sum([layer.value for layer in frozen]),
            macs=sum([layer.macs for layer in frozen]),
            flops=sum([layer.flops for layer in frozen]),
            params=params,
            layers=frozen,
            unsupported=tuple(sorted(missing, key=lambda name: (-missing[name], name))),
            notes=tuple(dict.fromkeys(notes)),
        )


def with_notes(count: Count, notes: Iterable[str]) -> Count:
    """Append notes to a count."""
    return replace(count, notes=(*count.notes, *notes))
