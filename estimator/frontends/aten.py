"""What every aten operator means in the IR: one rule per operator name, shared by recorder and exported programs.

An operator without a rule is decomposed where torch knows how (`OperatorPlan.decomposes`); what remains becomes
`OpKind.UNKNOWN`, which lowers coverage. Nothing is silently free.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from estimator.dtypes import DType
from estimator.frontends import aten_compute, aten_movement, aten_pointwise, aten_quantised
from estimator.frontends.aten_call import Call, Mapped, Rule, words
from estimator.ir.op import OpKind, UnknownAttrs

RULES: dict[str, Rule] = {
    **aten_movement.RULES,
    **aten_pointwise.RULES,
    **aten_compute.RULES,
}
"""Rule of each operator name (namespace and in-place underscore removed)."""

DTYPES: dict[torch.dtype, DType] = {
    torch.float64: DType.F64, torch.float32: DType.F32, torch.float16: DType.F16, torch.bfloat16: DType.BF16,
    torch.float8_e4m3fn: DType.F8, torch.float8_e5m2: DType.F8, torch.float8_e4m3fnuz: DType.F8,
    torch.float8_e5m2fnuz: DType.F8, torch.int64: DType.I64, torch.int32: DType.I32, torch.int16: DType.I16,
    torch.int8: DType.I8, torch.uint64: DType.U64, torch.uint32: DType.U32, torch.uint16: DType.U16,
    torch.uint8: DType.U8, torch.bool: DType.BOOL, torch.complex64: DType.C64, torch.complex128: DType.C128,
    torch.complex32: DType.F32, torch.qint8: DType.I8, torch.quint8: DType.U8, torch.qint32: DType.I32,
}  # fmt: skip
QUANTISED_DTYPES = frozenset({torch.qint8, torch.quint8, torch.qint32})

_METADATA_CHANGING = words(
    "resize resize_as set squeeze unsqueeze t transpose swapaxes swapdims as_strided detach requires_grad "
    "unsqueeze_copy"
)


@dataclass(frozen=True, slots=True)
class OperatorPlan:
    """What is known of an operator before it is called.

    Attributes
    ----------
    name : str
        Without namespace, overload and in-place underscore.
    defaults : tuple
        Default of every schema argument, in order.
    argument_names : tuple of str
        Schema argument names, in order.
    in_place : bool
        It overwrites its first argument and returns it.
    keeps_metadata : bool
        In place, and shape, stride and type of the first argument stay (so there is nothing to compute).
    may_view : bool
        The result may share storage with the first tensor.
    is_pure : bool
        No argument is written and no result shares storage: shapes may be remembered by signature.
    decomposes : bool
        No rule, but torch can express it by simpler operators.
    is_quantised : bool
        One of ``quantized::``, whose weights are packed script objects.
    creates : bool
        It makes a tensor from numbers alone, on a device that is an argument.
    """

    name: str
    overload: str
    source: str
    rule: Rule | None
    defaults: tuple[Any, ...]
    argument_names: tuple[str, ...]
    in_place: bool
    keeps_metadata: bool
    may_view: bool
    is_identity: bool
    is_pure: bool
    decomposes: bool
    is_quantised: bool
    creates: bool

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """Every argument in schema order, defaults filled in."""
        if not kwargs:
            return args + self.defaults[len(args) :]
        rest = tuple(
            kwargs.get(name, default)
            for name, default in zip(self.argument_names[len(args) :], self.defaults[len(args) :], strict=True)
        )
        return args + rest

    def map(self, call: Call) -> Mapped:
        """Translate one call; an operator without a rule becomes `OpKind.UNKNOWN` and says so."""
        if self.rule is None:
            return Mapped(OpKind.UNKNOWN, call.tensors, UnknownAttrs(f"no rule for {self.source}"))
        return self.rule(call)


@cache
def plan_of(operator: torch._ops.OpOverload) -> OperatorPlan:
    """Look up how to treat an operator."""
    schema = operator._schema
    namespace, _, full_name = schema.name.partition("::")
    name = full_name if full_name.startswith("__") else full_name.rstrip("_")
    in_place = bool(schema.arguments) and _writes(schema.arguments[0]) and not schema.arguments[0].is_out
    rule = aten_quantised.RULES.get(full_name) if namespace.startswith("quantized") else RULES.get(name)
    may_view = name in aten_movement.VIEWS
    is_identity = name in aten_movement.IDENTITIES
    writes = any(_writes(a) for a in schema.arguments)
    aliasing = any(r.alias_info is not None for r in schema.returns)
    return OperatorPlan(
        name=name,
        overload=operator._overloadname,
        source=f"{namespace}.{full_name}.{operator._overloadname}",
        rule=rule,
        defaults=tuple(a.default_value if a.has_default_value() else None for a in schema.arguments),
        argument_names=tuple(a.name for a in schema.arguments),
        in_place=in_place,
        keeps_metadata=in_place and name not in _METADATA_CHANGING,
        may_view=may_view and not in_place,
        is_identity=is_identity,
        is_pure=not (writes or aliasing or may_view or is_identity) and namespace in ("aten", "torchvision"),
        decomposes=rule is None and operator.has_kernel_for_dispatch_key(_COMPOSITE),
        is_quantised=namespace.startswith("quantized"),
        creates=name in aten_movement.FILLS and not in_place and any(a.name == "device" for a in schema.arguments),
    )


_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd


def _writes(argument: Any) -> bool:
    return argument.alias_info is not None and argument.alias_info.is_write


def recorded_outputs(kind: OpKind, outputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Drop the saved statistics of normalisations and the indices nobody asked for."""
    return outputs[:1] if kind is OpKind.NORM else outputs
