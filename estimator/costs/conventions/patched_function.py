"""Which activations pass through a `torch.nn.functional` function that ptflops and DeepSpeed have patched."""

from __future__ import annotations

from collections.abc import Set

from estimator.costs.conventions.aten_name import aten_name, is_direct_call
from estimator.ir.graph import Graph
from estimator.ir.op import FunctionAttrs, Op, OpKind, SoftmaxAttrs

_KEEP_A_REFERENCE = frozenset(
    {"torch.nn.modules.transformer.TransformerEncoderLayer", "torch.nn.modules.transformer.TransformerDecoderLayer"}
)
"""Modules that take the activation function when they are built, before the tools patch it."""


class PatchedActivations:
    """Decides for one graph and the set of functions that a tool patches."""

    def __init__(self, graph: Graph, functions: Set[str]) -> None:
        self._functions = functions
        self._hidden_in = {module.path for module in graph.modules if module.type_name in _KEEP_A_REFERENCE}

    def sees(self, op: Op) -> bool:
        """Whether the tool sees this activation.

        `nn.ReLU6` calls `F.hardtanh`, which neither tool patches; only `F.relu6` itself counts.
        """
        if op.kind is not OpKind.ACTIVATION or not isinstance(op.attrs, FunctionAttrs):
            return False
        if op.attrs.function not in self._functions or op.scope in self._hidden_in or is_direct_call(op):
            return False
        return not (op.attrs.function == "relu6" and aten_name(op).startswith("hardtanh"))


def patched_softmax(op: Op) -> bool:
    """Whether a softmax is `F.softmax`, which both tools patch; log-softmax, methods and `torch.softmax` are not."""
    logarithm = isinstance(op.attrs, SoftmaxAttrs) and op.attrs.log
    return op.kind is OpKind.SOFTMAX and not logarithm and not is_direct_call(op)


def patched_sum_or_product(op: Op) -> bool:
    """Whether an elementwise op is `torch.add`, `torch.mul` or a method: both patch those, not ``+`` and ``*``."""
    return op.kind is OpKind.BINARY and is_direct_call(op) and aten_name(op) in ("add", "mul")
