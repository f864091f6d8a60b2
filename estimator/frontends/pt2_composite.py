"""Operators that a live module runs as several simpler ones and that an exported program may keep whole.

Each becomes the op that does its work. torch is not there to take it apart (`OperatorPlan.decomposes`).
"""

from __future__ import annotations

from estimator.frontends.aten_call import Call, Mapped, Rule
from estimator.frontends.aten_compute import bilinear, canonical_equation
from estimator.ir.op import CopyAttrs, EinsumAttrs, FunctionAttrs, NormAttrs, OpKind


def _meshgrid(call: Call) -> Mapped:
    """Map meshgrid(tensors) to views: each result is one of them, expanded."""
    return Mapped(OpKind.VIEW, call.tensors[:1], FunctionAttrs("expand"))


def _weight_norm(call: Call) -> Mapped:
    """_weight_norm(v, g, dim): g · v / ‖v‖."""
    return Mapped(OpKind.NORM, call.tensors[:2], NormAttrs("l2"))


def _inner(call: Call) -> Mapped:
    """Map inner(a[..., k], b[..., k]) to a contraction of the last axes."""
    a, b = call.tensors[:2]
    left = "abcdefgh"[: len(a.shape) - 1]
    right = "ijklmnop"[: len(b.shape) - 1]
    equation = f"{left}z,{right}z->{left}{right}"
    return Mapped(OpKind.EINSUM, (a, b), EinsumAttrs(canonical_equation(equation, (len(a.shape), len(b.shape)))))


def _tensordot(call: Call) -> Mapped:
    """tensordot(a, b, dims_a, dims_b): the named axes are contracted pairwise."""
    a, b = call.tensors[:2]
    ranks = (len(a.shape), len(b.shape))
    left = list("abcdefghijklm"[: ranks[0]])
    right = list("nopqrstuvwxyz"[: ranks[1]])
    pairs = [(int(i) % ranks[0], int(j) % ranks[1]) for i, j in zip(call.args[2], call.args[3], strict=True)]
    for i, j in pairs:
        right[j] = left[i]
    summed = {left[i] for i, _ in pairs}
    result = "".join(letter for letter in (*left, *right) if letter not in summed)
    equation = f"{''.join(left)},{''.join(right)}->{result}"
    return Mapped(OpKind.EINSUM, (a, b), EinsumAttrs(canonical_equation(equation, ranks)))


def _shift(call: Call) -> Mapped:
    return Mapped(OpKind.COPY, call.tensors[:1], CopyAttrs("roll"))


def _binary(function: str) -> Rule:
    def rule(call: Call) -> Mapped:
        return Mapped(OpKind.BINARY, call.tensors[:2], FunctionAttrs(function))

    return rule


RULES: dict[str, Rule] = {
    "meshgrid": _meshgrid,
    "_weight_norm": _weight_norm,
    "bilinear": bilinear,
    "inner": _inner,
    "tensordot": _tensordot,
    "diff": _binary("sub"),
    "kron": _binary("mul"),
    **dict.fromkeys(("fft_fftshift", "fft_ifftshift"), _shift),
}
