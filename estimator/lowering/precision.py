"""Rewrite a graph's dtypes for the precision that it will run in.

Plain precisions replace every float dtype. Autocast (``amp-*``) follows PyTorch's CUDA lists op by op
and inserts the casts that PyTorch really runs: weights are cast once per forward pass, activations
at each use; layer norm runs in fp32, and a residual stream that meets an fp32 tensor stays fp32.
Source: ``ATen/autocast_mode.h`` (torch 2.4 to 2.14), macros AT_FORALL_LOWER_PRECISION_FP, AT_FORALL_FP32,
AT_FORALL_FP32_SET_OPT_DTYPE, AT_FORALL_PROMOTE.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import Enum
from functools import partial

from estimator.dtypes import DType, Precision
from estimator.ir.graph import Graph
from estimator.ir.op import FunctionAttrs, MatmulAttrs, NormAttrs, Op, OpKind, ReduceAttrs
from estimator.ir.strides import dense_strides
from estimator.ir.tensor import TensorRole, TensorSpec
from estimator.lowering.known import OncePerSpec

_PLAIN: Mapping[Precision, tuple[DType, DType]] = {
    Precision.FP32: (DType.F32, DType.F32),
    Precision.TF32: (DType.F32, DType.F32),
    Precision.FP16: (DType.F16, DType.F16),
    Precision.BF16: (DType.BF16, DType.BF16),
    Precision.INT8: (DType.I8, DType.I8),
    Precision.W8A16: (DType.I8, DType.I16),
    Precision.W4A16: (DType.I4, DType.F16),
}
"""(weight dtype, activation dtype) of each precision without autocast."""


_NOT_F32 = frozenset({DType.F16, DType.BF16, DType.F64})
AUTOCAST_TO: Mapping[Precision, DType] = {Precision.AMP_FP16: DType.F16, Precision.AMP_BF16: DType.BF16}
"""What autocast casts to."""


def _first_dtypes(precision: Precision, activations: DType | None) -> Mapping[DType, tuple[DType, DType]]:
    """Map float dtypes to those of weights and of activations, before any op: under autocast fp32."""
    if precision in AUTOCAST_TO:
        return dict.fromkeys(_NOT_F32, (DType.F32, DType.F32))
    weight_dtype, activation_dtype = _PLAIN[precision]
    return {dtype: (weight_dtype, activations or activation_dtype) for dtype in DType if dtype.is_float}


class Retyping:
    """What a precision makes of tensor specs, each worked out once: for a graph, or for all of a batch.

    Parameters
    ----------
    activations : DType, optional
        Type that activations are computed in, where a runtime only simulates the precision's own.

    Attributes
    ----------
    first : OncePerSpec
        The tensor as the graph holds it before any op: under autocast in fp32. Integer and boolean tensors keep their
        types; tensors that are already quantised keep theirs.
    """

    def __init__(self, precision: Precision, activations: DType | None = None) -> None:
        self._of_floats = _first_dtypes(precision, activations)
        self.first = OncePerSpec(self._first)
        self._in = {dtype: OncePerSpec(partial(TensorSpec.in_dtype, dtype=dtype)) for dtype in DType if dtype.is_float}

    def _first(self, spec: TensorSpec) -> TensorSpec:
        if spec.dtype not in self._of_floats:
            return spec
        weight_dtype, activation_dtype = self._of_floats[spec.dtype]
        return spec.in_dtype(weight_dtype if spec.is_weight and len(spec.shape) > 1 else activation_dtype)

    def in_dtype(self, spec: TensorSpec, dtype: DType) -> TensorSpec:
        """Return an activation in a type of autocast's."""
        return spec if spec.dtype is dtype else self._in[dtype].one(spec)


def apply_precision(graph: Graph, precision: Precision, retyping: Retyping | None = None) -> Graph:
    """Return `graph` with the dtypes, and under autocast the casts, of `precision`.

    Parameters
    ----------
    retyping : Retyping, optional
        To this precision; shared by graphs that share specs.
    """
    in_f32 = _NOT_F32.isdisjoint({tensor.dtype for tensor in graph.tensors.values()})
    if in_f32 and _PLAIN.get(precision) == (DType.F32, DType.F32):
        return graph
    retyping = retyping or Retyping(precision)
    if precision in AUTOCAST_TO:
        return _autocast(graph, retyping, AUTOCAST_TO[precision])
    return replace(graph, tensors=retyping.first.of(graph.tensors))


def stored_precision(graph: Graph) -> Precision:
    """Name the precision that a file's own dtypes amount to.

    What most weights (of two axes or more) are stored in decides where they are integers, else what most activations
    are: a file of fp16 weights that are widened before use runs in fp32.
    """
    activations = _commonest(t for t in graph.tensors.values() if not t.is_weight)
    weights = _commonest(t for t in graph.tensors.values() if t.is_weight and len(t.shape) > 1)
    if weights is DType.I4:
        return Precision.W4A16
    if weights in (DType.I8, DType.U8):
        return Precision.W8A16 if activations in (DType.I16, DType.U16) else Precision.INT8
    return {DType.F16: Precision.FP16, DType.BF16: Precision.BF16}.get(activations or DType.F32, Precision.FP32)


def _commonest(tensors: Iterable[TensorSpec]) -> DType | None:
    """Dtype of most elements; None where there are none."""
    elements: Counter[DType] = Counter()
    for tensor in tensors:
        elements[tensor.dtype] += tensor.numel
    return max(elements, key=lambda dtype: elements[dtype], default=None)


class _Policy(Enum):
    LOWER = "lower"
    """Inputs are cast to the low precision."""
    FP32 = "fp32"
    """Inputs are cast to fp32."""
    FP32_RESULT = "fp32 result"
    """The kernel reads what it gets and accumulates and writes fp32."""
    PROMOTE = "promote"
    """Inputs are cast to the widest of them."""
    INHERIT = "inherit"
    """The op is on no list: the kernel itself promotes."""


_LOWER_KINDS = frozenset({OpKind.CONV, OpKind.LINEAR, OpKind.MATMUL, OpKind.EINSUM, OpKind.ATTENTION, OpKind.RNN})
_FP32_UNARY = frozenset(
    {"acos", "asin", "cosh", "erfinv", "exp", "expm1", "log", "log10", "log2", "log1p", "reciprocal", "rsqrt", "sinh",
     "tan", "pow", "square_pow"}
)  # fmt: skip
_FP32_NORMS = frozenset({"layer", "group", "rms", "l2"})
_FP32_RESULT_REDUCTIONS = frozenset({"sum", "prod", "norm"})
_PROMOTING_KINDS = frozenset({OpKind.BINARY, OpKind.TERNARY, OpKind.CONCAT})
"""Kernels that read operands of several types and write the widest; concatenation was on autocast's list once."""


def _policy(op: Op) -> _Policy:
    kind, attrs = op.kind, op.attrs
    if isinstance(attrs, MatmulAttrs) and attrs.outside_autocast:
        return _Policy.FP32
    if kind in _LOWER_KINDS:
        return _Policy.LOWER
    if isinstance(attrs, NormAttrs):
        if attrs.keeps_low_precision:
            return _Policy.LOWER
        return _Policy.FP32 if attrs.function in _FP32_NORMS else _Policy.INHERIT
    if kind is OpKind.RESIZE:
        return _Policy.FP32
    if kind in (OpKind.SOFTMAX, OpKind.CUMULATIVE):
        return _Policy.FP32_RESULT
    if isinstance(attrs, ReduceAttrs):
        if attrs.function in _FP32_RESULT_REDUCTIONS:
            return _Policy.FP32_RESULT
        return _Policy.FP32 if attrs.function == "logsumexp" else _Policy.INHERIT
    if isinstance(attrs, FunctionAttrs):
        return _function_policy(kind, attrs.function)
    if kind is OpKind.GRID_SAMPLE:
        return _Policy.PROMOTE
    return _Policy.INHERIT


def _function_policy(kind: OpKind, function: str) -> _Policy:
    if kind is OpKind.ACTIVATION:
        if function == "prelu":
            return _Policy.LOWER
        return _Policy.FP32 if function == "softplus" else _Policy.INHERIT
    if kind in (OpKind.UNARY, OpKind.BINARY) and function in _FP32_UNARY:
        return _Policy.FP32
    if kind is OpKind.TERNARY and function in ("addcmul", "addcdiv"):
        return _Policy.PROMOTE
    return _Policy.PROMOTE if kind is OpKind.SCATTER else _Policy.INHERIT


class _AutocastRewriter:
    """Walks the ops in execution order with the current dtype of every tensor."""

    def __init__(self, graph: Graph, retyping: Retyping, low: DType) -> None:
        self.low = low
        self.tensors = retyping.first.of(graph.tensors)
        self._retyping = retyping
        self.ops: list[Op] = []
        self._weight_casts: dict[tuple[str, DType], str] = {}

    def _cast(self, name: str, dtype: DType, reader: Op) -> str:
        """Emit a cast of `name` unless it has the dtype; a parameter's cast is reused within the pass."""
        tensor = self.tensors[name]
        if not tensor.dtype.is_float or tensor.dtype is dtype:
            return name
        cached = self._weight_casts.get((name, dtype))
        if cached is not None:
            return cached
        position = len(self.ops)
        cast_name = f"{name}.to_{dtype.value}.{position}"
        cast = TensorSpec(cast_name, tensor.shape, dtype, quantised=tensor.quantised, strides=dense_strides(tensor))
        self.tensors[cast_name] = cast
        self.ops.append(Op(f"{reader.name}.cast.{position}", OpKind.CAST, (name,), (cast_name,), scope=reader.scope))
        if tensor.role is TensorRole.PARAMETER:
            self._weight_casts[name, dtype] = cast_name
        return cast_name

    def visit(self, op: Op) -> None:
        """Append `op`, after the casts that its policy asks for, and give its results their dtype."""
        policy = _policy(op)
        inputs, result = op.inputs, None
        if policy is _Policy.LOWER:
            inputs, result = tuple([self._cast(n, self.low, op) for n in op.inputs]), self.low
        elif policy is _Policy.FP32:
            inputs, result = tuple([self._cast(n, DType.F32, op) for n in op.inputs]), DType.F32
        elif policy is _Policy.FP32_RESULT:
            result = DType.F32
        elif policy is _Policy.PROMOTE and (result := self._widest(op.inputs)) is not None:
            inputs = tuple([self._cast(n, result, op) for n in op.inputs])
        elif op.kind in _PROMOTING_KINDS and not op.in_place:
            result = self._widest(op.inputs)
        elif op.kind is not OpKind.CAST:
            result = self._first_float(op.inputs)
        self.ops.append(op if inputs == op.inputs else replace(op, inputs=inputs))
        if result is not None:
            for name in op.outputs:
                if self.tensors[name].dtype.is_float:
                    self.tensors[name] = self._retyping.in_dtype(self.tensors[name], result)

    def _float_dtypes(self, names: tuple[str, ...]) -> list[DType]:
        """Dtypes of the float inputs; 0-d tensors take no part in promotion unless alone."""
        floats = [self.tensors[n] for n in names if self.tensors[n].dtype.is_float]
        ranked = [t for t in floats if t.shape] or floats
        return [t.dtype for t in ranked]

    def _widest(self, names: tuple[str, ...]) -> DType | None:
        dtypes = self._float_dtypes(names)
        if not dtypes:
            return None
        return DType.F32 if DType.F32 in dtypes else dtypes[0]

    def _first_float(self, names: tuple[str, ...]) -> DType | None:
        dtypes = [self.tensors[n].dtype for n in names if self.tensors[n].dtype.is_float]
        return dtypes[0] if dtypes else None


def _autocast(graph: Graph, retyping: Retyping, low: DType) -> Graph:
    rewriter = _AutocastRewriter(graph, retyping, low)
    for op in graph.ops:
        rewriter.visit(op)
    return replace(graph, tensors=rewriter.tensors, ops=tuple(rewriter.ops))
