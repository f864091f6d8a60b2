"""aten operators that work element by element or reduce along axes: mostly tables."""

from __future__ import annotations

from estimator.frontends.aten_call import Call, Mapped, Rule, positive_axes, words
from estimator.ir.op import FunctionAttrs, NoAttrs, OpKind, ReduceAttrs

ACTIVATIONS = words(
    "relu relu6 gelu silu sigmoid tanh hardswish hardsigmoid prelu leaky_relu elu selu celu mish softplus softsign "
    "log_sigmoid glu threshold rrelu hardshrink softshrink _prelu_kernel"
)
UNARIES = words(
    "exp exp2 expm1 log log2 log10 log1p sqrt rsqrt neg negative abs absolute sin cos tan asin acos atan sinh cosh "
    "asinh acosh atanh erf erfc erfinv special_erf special_expm1 special_expit special_log1p reciprocal floor ceil "
    "round trunc fix frac sign sgn square logical_not bitwise_not isnan isinf isfinite isneginf isposinf "
    "nan_to_num sinc special_sinc logit digamma lgamma i0 angle conj_physical deg2rad rad2deg signbit "
    "clamp_min clamp_max _conj_physical bernoulli special_entr special_erfcx special_i0e special_i1 special_i1e "
    "special_log_ndtr special_ndtri special_bessel_j0 special_bessel_j1 special_bessel_y0 special_bessel_y1 "
    "special_modified_bessel_i0 special_modified_bessel_i1 special_modified_bessel_k0 special_modified_bessel_k1 "
    "mvlgamma polygamma"
)
BINARIES = words(
    "add sub rsub subtract mul multiply div divide true_divide pow float_power maximum minimum fmax fmin eq ne lt le "
    "gt ge equal_elementwise not_equal less less_equal greater greater_equal logical_and logical_or logical_xor "
    "bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift __and__ __or__ __xor__ __lshift__ "
    "__rshift__ fmod remainder atan2 arctan2 floor_divide copysign xlogy special_xlogy hypot ldexp logaddexp "
    "logaddexp2 heaviside complex polar outer ger isclose nextafter igamma igammac special_zeta special_xlog1py "
    "addr"
)
TERNARIES = words("where addcmul addcdiv lerp masked_fill")
REDUCTIONS = {
    "sum": "sum", "nansum": "sum", "mean": "mean", "nanmean": "mean", "amax": "max", "amin": "min", "max": "max",
    "min": "min", "aminmax": "max", "prod": "prod", "any": "any", "all": "all", "var": "var", "std": "std",
    "var_mean": "var", "std_mean": "std", "norm": "norm", "linalg_vector_norm": "norm", "linalg_norm": "norm",
    "frobenius_norm": "norm", "argmax": "argmax", "argmin": "argmin", "logsumexp": "logsumexp",
    "special_logsumexp": "logsumexp", "median": "median", "nanmedian": "median", "mode": "mode",
    "count_nonzero": "sum", "trace": "sum",
}  # fmt: skip
_SYNONYMS = {
    "_prelu_kernel": "prelu", "special_expit": "sigmoid", "subtract": "sub", "multiply": "mul", "divide": "div",
    "true_divide": "div", "negative": "neg", "absolute": "abs", "special_erf": "erf", "not_equal": "ne", "less": "lt",
    "less_equal": "le", "greater": "gt", "greater_equal": "ge", "__and__": "bitwise_and", "__or__": "bitwise_or",
    "__xor__": "bitwise_xor", "special_expm1": "expm1", "special_log1p": "log1p", "special_sinc": "sinc",
    "special_xlogy": "xlogy", "ger": "outer", "float_power": "pow", "fix": "trunc",
}  # fmt: skip
# Position of the axis argument in the schemas that do not have it at 1.
_AXIS_POSITION = {"norm": 2, "linalg_vector_norm": 2, "linalg_norm": 2}
_NO_AXIS_OVERLOADS = frozenset({"unary", "correction_none", "Scalar", ""})


def _function(kind: OpKind) -> Rule:
    def rule(call: Call) -> Mapped:
        return Mapped(kind, call.tensors, FunctionAttrs(_SYNONYMS.get(call.name, call.name)))

    return rule


def _hardtanh(call: Call) -> Mapped:
    """hardtanh(self, min_val, max_val): relu6 when it clips to [0, 6]."""
    function = "relu6" if call.args[1] == 0 and call.args[2] == 6 else "hardtanh"
    return Mapped(OpKind.ACTIVATION, call.tensors[:1], FunctionAttrs(function))


def _clamp(call: Call) -> Mapped:
    """clamp(self, min, max) with numbers is unary; with tensors it reads them too."""
    if len(call.tensors) > 1:
        return Mapped(OpKind.TERNARY, call.tensors, FunctionAttrs("clamp_tensor"))
    return Mapped(OpKind.UNARY, call.tensors, FunctionAttrs("clamp"))


def _binary(call: Call) -> Mapped:
    function = _SYNONYMS.get(call.name, call.name)
    return Mapped(OpKind.BINARY, call.tensors, FunctionAttrs(function))


def _reduce(call: Call) -> Mapped:
    """Read the axis argument (position 1 mostly) of a reduction; ``max(a, b)`` is elementwise."""
    if call.name in ("max", "min") and call.overload == "other":
        return Mapped(OpKind.BINARY, call.tensors, FunctionAttrs("maximum" if call.name == "max" else "minimum"))
    x = call.tensors[0]
    rank = len(x.shape)
    position = _AXIS_POSITION.get(call.name, 1)
    axes = call.args[position] if len(call.args) > position else None
    if isinstance(axes, bool) or not (axes is None or isinstance(axes, (int, list, tuple))):
        axes = None
    out_rank = len(call.outputs[0].shape) if call.outputs else 0
    keepdim = rank > 0 and out_rank == rank
    attrs = ReduceAttrs(REDUCTIONS[call.name], positive_axes(axes, rank), keepdim)
    return Mapped(OpKind.REDUCE, (x,), attrs)


def _cast(call: Call) -> Mapped:
    return Mapped(OpKind.CAST, call.tensors[:1], NoAttrs())


def _quantise(kind: OpKind) -> Rule:
    def rule(call: Call) -> Mapped:
        return Mapped(kind, call.tensors, NoAttrs())

    return rule


RULES: dict[str, Rule] = {
    **dict.fromkeys(ACTIVATIONS, _function(OpKind.ACTIVATION)),
    **dict.fromkeys(UNARIES, _function(OpKind.UNARY)),
    **dict.fromkeys(BINARIES, _binary),
    **dict.fromkeys(TERNARIES, _function(OpKind.TERNARY)),
    **dict.fromkeys(REDUCTIONS, _reduce),
    "hardtanh": _hardtanh,
    **dict.fromkeys(("clamp", "clip"), _clamp),
    **dict.fromkeys(("cumsum", "cumprod", "logcumsumexp", "cummax", "cummin"), _function(OpKind.CUMULATIVE)),
    **dict.fromkeys(("sort", "topk", "argsort", "msort", "kthvalue", "unique", "_unique2", "unique_dim",
                     "unique_consecutive"), _function(OpKind.SORT)),
    **dict.fromkeys(("quantize_per_tensor", "quantize_per_channel", "quantize_per_tensor_dynamic"),
                    _quantise(OpKind.QUANTIZE)),
    "dequantize": _quantise(OpKind.DEQUANTIZE),
}  # fmt: skip
for _name in words(
    "fft_fft fft_ifft fft_rfft fft_irfft fft_fft2 fft_ifft2 fft_rfft2 fft_irfft2 fft_fftn fft_ifftn fft_rfftn "
    "fft_irfftn fft_hfft fft_ihfft stft istft _fft_r2c _fft_c2r _fft_c2c"
):
    RULES[_name] = _function(OpKind.FFT)
