"""Whether torch would hold a tensor contiguously, as far as the graph tells."""

from __future__ import annotations

from estimator.ir.graph import Graph
from estimator.ir.op import FunctionAttrs, Op, OpKind

_STRIDED_VIEWS = frozenset({
    "transpose", "permute", "t", "movedim", "moveaxis", "swapaxes", "swapdims", "mT", "numpy_T", "adjoint", "slice",
    "select", "narrow", "split", "chunk", "unbind", "split_with_sizes", "tensor_split", "expand", "expand_as",
    "broadcast_to", "unfold", "diagonal", "as_strided",
})  # fmt: skip
_KEEPS_LAYOUT = frozenset(
    {OpKind.ACTIVATION, OpKind.UNARY, OpKind.BINARY, OpKind.TERNARY, OpKind.CAST, OpKind.IDENTITY}
)
"""Elementwise results take the layout of their operands; everything else is written densely in axis order."""


class Contiguity:
    """Layout of one graph's tensors, by name.

    A graph recorded with strides says itself what is contiguous. For others, views are taken for strided by their
    function alone: a slice that keeps whole leading rows is contiguous in fact.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._has_strides = any(t.strides is not None for t in graph.tensors.values())
        self._known: dict[str, bool] = {}

    def of(self, name: str) -> bool:
        """Whether tensor `name` is contiguous."""
        if self._has_strides:
            return self._graph.tensors[name].strides is None
        return self._inferred(name)

    def _inferred(self, name: str) -> bool:
        chain: list[str] = []
        answer: bool | None = None
        while answer is None:
            answer = self._known.get(name)
            if answer is None:
                chain.append(name)
                producer = self._graph.producer_of.get(name)
                if producer is None:
                    answer = True
                elif producer.kind in _KEEPS_LAYOUT and producer.inputs:
                    name = self._widest_operand(producer)
                else:
                    answer = producer.kind is not OpKind.VIEW or not self._is_strided(producer)
        self._known.update(dict.fromkeys(chain, answer))
        return answer

    def _widest_operand(self, op: Op) -> str:
        return max(op.inputs, key=lambda n: self._graph.tensors[n].numel)

    def _is_strided(self, op: Op) -> bool:
        function = op.attrs.function if isinstance(op.attrs, FunctionAttrs) else ""
        if function not in _STRIDED_VIEWS:
            return False
        before, after = self._graph.tensors[op.inputs[0]].shape, self._graph.tensors[op.outputs[0]].shape
        return [n for n in before if n > 1] != [n for n in after if n > 1] or before.count(1) == 0
