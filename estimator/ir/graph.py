"""A network as a static dataflow graph: ops in execution order over named tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from estimator.ir.op import Op, OpKind
from estimator.ir.tensor import TensorRole, TensorSpec


@dataclass(frozen=True, slots=True)
class ModuleSpec:
    """One module of the source model's tree (root has path "").

    Attributes
    ----------
    type_name : str
        Qualified class name, e.g. ``torch.nn.modules.conv.Conv2d``.
    parameters, buffers : tuple of str
        Tensor names that the module itself owns (not its children's).
    """

    path: str
    type_name: str
    parameters: tuple[str, ...] = ()
    buffers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModuleCall:
    """One execution of a module: what module hooks (thop, torchstat, ptflops, DeepSpeed) see."""

    path: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class SpecBook(Protocol):
    """Specs by tensor name: all of a graph that the cost of one op depends on."""

    @property
    def tensors(self) -> Mapping[str, TensorSpec]:
        """All tensors."""


@dataclass(frozen=True)
class Graph:
    """A validated network (see `ir.validate`).

    Attributes
    ----------
    tensors : mapping of name to TensorSpec
        All tensors, also parameters that no op reads.
    ops : tuple of Op
        In execution order: every input is a graph input, a weight, or the output of an earlier op.
    modules, module_calls
        The source's module tree and its calls; empty for formats without modules.
    notes : tuple of str
        What the front-end assumed or could not see; printed as warnings.
    one_input_per_item : bool
        Each input is one item of the batch and has no batch axis: a detector's list of [c, h, w] images.
    """

    name: str
    tensors: Mapping[str, TensorSpec]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    ops: tuple[Op, ...]
    modules: tuple[ModuleSpec, ...] = ()
    module_calls: tuple[ModuleCall, ...] = ()
    notes: tuple[str, ...] = ()
    source_format: str = field(default="", compare=False)
    one_input_per_item: bool = False

    @cached_property
    def producer_of(self) -> Mapping[str, Op]:
        """The op that writes each tensor."""
        return {name: op for op in self.ops for name in op.outputs}

    @cached_property
    def consumers_of(self) -> Mapping[str, tuple[Op, ...]]:
        """The ops that read each tensor, in execution order."""
        readers: dict[str, list[Op]] = {}
        for op in self.ops:
            for name in dict.fromkeys(op.inputs):
                readers.setdefault(name, []).append(op)
        return {name: tuple(ops) for name, ops in readers.items()}

    def inputs_of(self, op: Op) -> tuple[TensorSpec, ...]:
        """Specs of an op's inputs."""
        return tuple(self.tensors[name] for name in op.inputs)

    def outputs_of(self, op: Op) -> tuple[TensorSpec, ...]:
        """Specs of an op's outputs."""
        return tuple(self.tensors[name] for name in op.outputs)

    @cached_property
    def params(self) -> int:
        """Learned parameters, each tensor once, used or not."""
        return sum(t.numel for t in self.tensors.values() if t.role is TensorRole.PARAMETER)

    @cached_property
    def batch(self) -> int:
        """Leading extent of the first input, or the number of inputs that are items; 1 if there is none."""
        if self.one_input_per_item:
            return max(1, len(self.inputs))
        for name in self.inputs:
            if self.tensors[name].shape:
                return self.tensors[name].shape[0]
        return 1

    @property
    def unknown_ops(self) -> tuple[Op, ...]:
        """Ops without a rule."""
        return tuple(op for op in self.ops if op.kind in (OpKind.UNKNOWN, OpKind.CONTROL))
