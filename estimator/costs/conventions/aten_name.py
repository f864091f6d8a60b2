"""Names of operators as a convention's tool knows them."""

from __future__ import annotations

from estimator.ir.op import FunctionAttrs, NormAttrs, Op, OpKind, PoolAttrs, ResizeAttrs

_TORCH_NAMESPACES = frozenset({"aten", "torchvision", "quantized", "prims", "torch", "operator"})
"""``operator.matmul`` is ``a @ b`` and ``torch.softmax`` a direct call: spellings that some tools tell apart."""
_ATEN_OF_KIND = {
    OpKind.LINEAR: "linear",
    OpKind.MATMUL: "matmul",
    OpKind.EINSUM: "einsum",
    OpKind.ATTENTION: "scaled_dot_product_attention",
    OpKind.SOFTMAX: "softmax",
    OpKind.GRID_SAMPLE: "grid_sampler",
    OpKind.EMBEDDING: "embedding",
    OpKind.CONCAT: "cat",
    OpKind.PAD: "pad",
    OpKind.CAST: "to",
}


def aten_name(op: Op) -> str:
    """Return the op's aten name without namespace and overload: ``conv2d``, ``add_``.

    Ops of files that are not torch's get the name torch would use for their kind.
    """
    namespace, _, rest = op.source.partition(".")
    if namespace in _TORCH_NAMESPACES and rest:
        return rest.partition(".")[0]
    if op.kind is OpKind.NORM and isinstance(op.attrs, NormAttrs):
        return f"{op.attrs.function}_norm"
    if op.kind is OpKind.POOL and isinstance(op.attrs, PoolAttrs):
        return f"{op.attrs.function}_pool{len(op.attrs.kernel)}d"
    if op.kind is OpKind.RESIZE and isinstance(op.attrs, ResizeAttrs):
        return f"upsample_{op.attrs.mode}2d"
    if isinstance(op.attrs, FunctionAttrs) and op.attrs.function:
        return op.attrs.function
    return _ATEN_OF_KIND.get(op.kind, str(op.kind))


def qualified(op: Op) -> str:
    """``aten::add``: the form in which traced graphs print an operator."""
    namespace = op.source.partition(".")[0] if "." in op.source else "aten"
    return f"{'aten' if namespace in ('torch', 'operator') else namespace}::{aten_name(op)}"


def display_name(op: Op) -> str:
    """Return the op's name for tables: aten's without namespace and overload, other frameworks' as they are."""
    return op.source if op.source and op.source.partition(".")[0] not in _TORCH_NAMESPACES else aten_name(op)


def is_operator(op: Op) -> bool:
    """Whether the model's code wrote an operator (``a @ b``) where a function is usual."""
    return op.source.startswith("operator.")


def is_direct_call(op: Op) -> bool:
    """Whether the code called torch itself (``x.softmax()``, ``torch.add(a, b)``), past torch.nn.functional."""
    return op.source.startswith("torch.")
