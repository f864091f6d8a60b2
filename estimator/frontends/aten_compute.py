"""aten operators that do arithmetic on whole axes: products, attention, recurrence, norms, windows, resampling.

Argument positions follow torch's ``native_functions.yaml``; each rule names the schema it reads.
"""

from __future__ import annotations

import string

from estimator.frontends.aten_call import Call, Mapped, Rule, TensorLike, per_axis, positive_axis, present
from estimator.ir.op import (
    AdaptivePoolAttrs,
    AttentionAttrs,
    ConvAttrs,
    EinsumAttrs,
    MatmulAttrs,
    NoAttrs,
    NormAttrs,
    OpKind,
    PoolAttrs,
    ResizeAttrs,
    RnnAttrs,
    SoftmaxAttrs,
)

GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


def _conv(call: Call) -> Mapped:
    """conv{1,2,3}d(input, weight, bias, stride, padding, dilation, groups); padding may be a word."""
    x, w, b, stride, padding, dilation, groups = call.args[:7]
    rank = len(w.shape) - 2
    kernel, dilation = tuple(w.shape[2:]), per_axis(dilation, rank)
    if padding == "same":
        padding = tuple(d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True))
    elif padding == "valid":
        padding = 0
    attrs = ConvAttrs(kernel, per_axis(stride, rank), per_axis(padding, rank), dilation, groups)
    return Mapped(OpKind.CONV, present((x, w, b)), attrs)


def _conv_transpose(call: Call) -> Mapped:
    """conv_transpose{1,2,3}d(input, weight, bias, stride, padding, output_padding, groups, dilation)."""
    x, w, b, stride, padding, _, groups, dilation = call.args[:8]
    rank = len(w.shape) - 2
    stride, padding, dilation = (per_axis(v, rank) for v in (stride, padding, dilation))
    attrs = ConvAttrs(tuple(w.shape[2:]), stride, padding, dilation, groups, transposed=True)
    return Mapped(OpKind.CONV, present((x, w, b)), attrs)


def _convolution(call: Call) -> Mapped:
    """convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups)."""
    x, w, b, stride, padding, dilation, transposed, _, groups = call.args[:9]
    rank = len(w.shape) - 2
    stride, padding, dilation = (per_axis(v, rank) for v in (stride, padding, dilation))
    attrs = ConvAttrs(tuple(w.shape[2:]), stride, padding, dilation, groups, transposed)
    return Mapped(OpKind.CONV, present((x, w, b)), attrs)


def _deform_conv(call: Call) -> Mapped:
    """torchvision::deform_conv2d(input, weight, offset, mask, bias, strides, pads, dilations, groups, …, use_mask)."""
    x, w, offset, mask, b, sh, sw, ph, pw, dh, dw, groups, _, use_mask = call.args[:14]
    attrs = ConvAttrs(tuple(w.shape[2:]), (sh, sw), (ph, pw), (dh, dw), groups)
    bias = b if b is not None and len(b.shape) == 1 and b.shape[0] == w.shape[0] else None
    return Mapped(OpKind.DEFORM_CONV, present((x, w, offset, mask if use_mask else None, bias)), attrs)


def _linear(call: Call) -> Mapped:
    return Mapped(OpKind.LINEAR, call.tensors)


def _stored_swapped(operand: TensorLike) -> bool:
    strides = operand.stride()
    return len(strides) >= 2 and strides[-2] == 1 and strides[-1] > 1


def _matmul(call: Call) -> Mapped:
    """matmul, mm, bmm, mv, dot: (a, b)."""
    a, b = call.tensors[:2]
    return Mapped(OpKind.MATMUL, (a, b), MatmulAttrs(_stored_swapped(a), _stored_swapped(b)))


def _grouped_matmul(call: Call) -> Mapped:
    """_grouped_mm(a[t, k], b[e, k, n], offsets): each row meets one of e matrices; all of b is read."""
    return Mapped(OpKind.MATMUL, call.tensors[:2], MatmulAttrs(False, _stored_swapped(call.tensors[1])))


def _matmul_with_addend(call: Call) -> Mapped:
    """addmm, baddbmm, addmv: (addend, a, b)."""
    addend, a, b = call.tensors[:3]
    return Mapped(OpKind.MATMUL, (a, b, addend), MatmulAttrs(_stored_swapped(a), _stored_swapped(b)))


def canonical_equation(equation: str, ranks: tuple[int, ...]) -> str:
    """Rewrite an einsum equation with an explicit output, plain letters and no ellipsis.

    Letters are renamed in order of appearance, so equal contractions print equally.
    """
    compact = equation.replace(" ", "")
    left, arrow, right = compact.partition("->")
    operands = left.split(",")
    letters = [c for c in string.ascii_letters if c not in compact]
    widths = [rank - len(op.replace("...", "")) if "..." in op else 0 for op, rank in zip(operands, ranks, strict=True)]
    ellipsis = "".join(letters[: max(widths, default=0)])
    operands = [
        op.replace("...", ellipsis[len(ellipsis) - w :] if w else "") for op, w in zip(operands, widths, strict=True)
    ]
    if arrow:
        right = right.replace("...", ellipsis)
    else:
        joined = "".join(operands)
        right = ellipsis + "".join(sorted(c for c in set(joined) - set(ellipsis) if joined.count(c) == 1))
    names: dict[str, str] = {}
    for letter in "".join(operands) + right:
        names.setdefault(letter, string.ascii_letters[len(names)])
    table = str.maketrans(names)
    return f"{','.join(operands)}->{right}".translate(table)


def _einsum(call: Call) -> Mapped:
    """einsum(equation, tensors)."""
    ranks = tuple(len(t.shape) for t in call.tensors)
    return Mapped(OpKind.EINSUM, call.tensors, EinsumAttrs(canonical_equation(call.args[0], ranks)))


def _trilinear(call: Call) -> Mapped:
    """_trilinear(i1, i2, i3, expand1, expand2, expand3, sumdim, …): operands lack the axes they are expanded by."""
    operands = call.tensors[:3]
    rank = len(operands[0].shape) + len(call.args[3])
    letters = string.ascii_letters[:rank]
    terms = ["".join(c for i, c in enumerate(letters) if i not in expanded) for expanded in call.args[3:6]]
    result = "".join(c for i, c in enumerate(letters) if i not in call.args[6])
    equation = canonical_equation(f"{','.join(terms)}->{result}", tuple(len(t.shape) for t in operands))
    return Mapped(OpKind.EINSUM, operands, EinsumAttrs(equation))


def bilinear(call: Call) -> Mapped:
    """Map bilinear(x1[..., i], x2[..., j], w[k, i, j], bias) to x1 · w · x2."""
    x1, x2, w = call.tensors[:3]
    rank = len(x1.shape)
    lead = string.ascii_lowercase[: rank - 1]
    equation = canonical_equation(f"{lead}x,yxz,{lead}z->{lead}y", (rank, 3, rank))
    return Mapped(OpKind.EINSUM, (x1, w, x2), EinsumAttrs(equation))


def _batched_sum_of_products(call: Call) -> Mapped:
    """addbmm(addend, a[b, n, m], b[b, m, p]): products are added up over the batch."""
    return Mapped(OpKind.EINSUM, call.tensors[1:3], EinsumAttrs("abc,acd->bd"))


def _fractional_pool(call: Call) -> Mapped:
    """fractional_max_pool{2,3}d(self, kernel_size, output_size, random_samples)."""
    rank = _spatial_rank(call)
    attrs = AdaptivePoolAttrs("max", tuple(call.outputs[0].shape[-rank:]))
    return Mapped(OpKind.ADAPTIVE_POOL, call.tensors[:1], attrs)


def _attention(call: Call) -> Mapped:
    """scaled_dot_product_attention(q, k, v, attn_mask, dropout_p, is_causal, *, scale, enable_gqa)."""
    q, k, v, mask, _, causal = call.args[:6]
    grouped = len(q.shape) == 4 and q.shape[1] != k.shape[1]
    return Mapped(OpKind.ATTENTION, present((q, k, v, mask)), AttentionAttrs(bool(causal), grouped))


def _rnn(call: Call) -> Mapped:
    """{lstm,gru,rnn_*}(input, hx, params, has_biases, layers, dropout, train, bidirectional, batch_first).

    The packed overload ``data`` is (data, batch_sizes, hx, params, has_biases, layers, dropout, train,
    bidirectional). Inputs of the op: x, all weights, then the initial states.
    """
    packed = call.overload == "data"
    x = call.args[0]
    states, weights, has_bias, layers, _, _, bidirectional = call.args[2 if packed else 1 :][:7]
    cell = call.name
    hidden = weights[0].shape[0] // GATES[cell]
    recurrent_width = weights[1].shape[1]
    attrs = RnnAttrs(
        cell=cell,
        hidden_size=hidden,
        layers=layers,
        bidirectional=bidirectional,
        batch_first=False if packed else bool(call.args[8]),
        has_bias=has_bias,
        projection_size=recurrent_width if recurrent_width != hidden else 0,
    )
    hx = tuple(states) if isinstance(states, (list, tuple)) else (states,)
    return Mapped(OpKind.RNN, (x, *weights, *hx), attrs)


def _rnn_cell(call: Call) -> Mapped:
    """{lstm,gru,rnn_*}_cell(input, hx, w_ih, w_hh, b_ih, b_hh): one step of one layer."""
    x, states, w_ih, w_hh, b_ih, b_hh = call.args[:6]
    cell = call.name.removesuffix("_cell")
    hx = tuple(states) if isinstance(states, (list, tuple)) else (states,)
    attrs = RnnAttrs(cell=cell, hidden_size=w_hh.shape[1], has_bias=b_ih is not None)
    return Mapped(OpKind.RNN, (x, *present((w_ih, w_hh, b_ih, b_hh)), *hx), attrs)


def _batch_norm(call: Call) -> Mapped:
    """batch_norm(input, weight, bias, running_mean, running_var, …), and its native forms."""
    x, scale, shift, mean, var = call.args[:5]
    return Mapped(OpKind.NORM, present((x, scale, shift, mean, var)), NormAttrs("batch", scale is not None))


def _batch_norm_of_batch(call: Call) -> Mapped:
    """_native_batch_norm_legit(input, weight, bias, …): statistics of the batch itself."""
    x, scale, shift = call.args[:3]
    return Mapped(OpKind.NORM, present((x, scale, shift)), NormAttrs("batch", scale is not None))


def _instance_norm(call: Call) -> Mapped:
    """instance_norm(input, weight, bias, running_mean, running_var, …)."""
    x, scale, shift, mean, var = call.args[:5]
    return Mapped(OpKind.NORM, present((x, scale, shift, mean, var)), NormAttrs("instance", scale is not None))


def _layer_norm(call: Call) -> Mapped:
    """layer_norm(input, normalized_shape, weight, bias, eps) and native_layer_norm."""
    x, shape, scale, shift = call.args[:4]
    attrs = NormAttrs("layer", scale is not None, normalized_rank=len(shape))
    return Mapped(OpKind.NORM, present((x, scale, shift)), attrs)


def _rms_norm(call: Call) -> Mapped:
    """rms_norm(input, normalized_shape, weight, eps)."""
    x, shape, scale = call.args[:3]
    return Mapped(OpKind.NORM, present((x, scale)), NormAttrs("rms", scale is not None, normalized_rank=len(shape)))


def _group_norm(call: Call) -> Mapped:
    """group_norm(input, num_groups, weight, bias, eps, cudnn_enabled)."""
    x, groups, scale, shift = call.args[:4]
    return Mapped(OpKind.NORM, present((x, scale, shift)), NormAttrs("group", scale is not None, groups=groups))


def _native_group_norm(call: Call) -> Mapped:
    """native_group_norm(input, weight, bias, N, C, HxW, group, eps)."""
    x, scale, shift, _, _, _, groups = call.args[:7]
    return Mapped(OpKind.NORM, present((x, scale, shift)), NormAttrs("group", scale is not None, groups=groups))


def _weight_norm(call: Call) -> Mapped:
    """_weight_norm_interface(v, g, dim): g · v / ‖v‖, a weight made anew at every call."""
    return Mapped(OpKind.NORM, call.tensors[:2], NormAttrs("l2"))


def _softmax(call: Call) -> Mapped:
    """{_,}{log_,}softmax(self, dim, …)."""
    axis = positive_axis(call.args[1], len(call.tensors[0].shape))
    return Mapped(OpKind.SOFTMAX, call.tensors[:1], SoftmaxAttrs(axis, "log" in call.name))


def _spatial_rank(call: Call) -> int:
    return next(int(c) for c in call.name if c in "123")


def _pool(call: Call) -> Mapped:
    """{max,avg}_pool{1,2,3}d(self, kernel_size, stride, padding, …)."""
    rank = _spatial_rank(call)
    kernel = per_axis(call.args[1], rank)
    stride = per_axis(call.args[2], rank) if call.args[2] else kernel
    function = "max" if "max" in call.name else "avg"
    attrs = PoolAttrs(function, kernel, stride, per_axis(call.args[3], rank))
    return Mapped(OpKind.POOL, call.tensors[:1], attrs)


def _adaptive_pool(call: Call) -> Mapped:
    """adaptive_{max,avg}_pool{1,2,3}d(self, output_size)."""
    rank = _spatial_rank(call)
    attrs = AdaptivePoolAttrs("max" if "max" in call.name else "avg", tuple(call.outputs[0].shape[-rank:]))
    return Mapped(OpKind.ADAPTIVE_POOL, call.tensors[:1], attrs)


_RESIZE_MODE = {
    "upsample_nearest1d": "nearest", "upsample_nearest2d": "nearest", "upsample_nearest3d": "nearest",
    "_upsample_nearest_exact1d": "nearest", "_upsample_nearest_exact2d": "nearest",
    "_upsample_nearest_exact3d": "nearest", "upsample_linear1d": "linear", "upsample_bilinear2d": "bilinear",
    "_upsample_bilinear2d_aa": "bilinear", "upsample_bicubic2d": "bicubic", "_upsample_bicubic2d_aa": "bicubic",
    "upsample_trilinear3d": "trilinear",
}  # fmt: skip


def _resize(call: Call) -> Mapped:
    """upsample_*(input, output_size, align_corners, scales…); nearest has no align_corners."""
    mode = _RESIZE_MODE[call.name]
    align = mode != "nearest" and len(call.args) > 2 and call.args[2] is True
    by_scale = call.overload == "vec" and call.args[1] is None
    return Mapped(OpKind.RESIZE, call.tensors[:1], ResizeAttrs(mode, align, by_scale=by_scale))


def _plain(kind: OpKind) -> Rule:
    def rule(call: Call) -> Mapped:
        return Mapped(kind, call.tensors, NoAttrs())

    return rule


RULES: dict[str, Rule] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _conv),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _conv_transpose),
    **dict.fromkeys(("convolution", "_convolution", "convolution_overrideable"), _convolution),
    "deform_conv2d": _deform_conv,
    "linear": _linear,
    **dict.fromkeys(("matmul", "mm", "bmm", "mv", "dot", "vdot", "linalg_matmul"), _matmul),
    **dict.fromkeys(("_grouped_mm", "grouped_mm", "grouped_mm_fallback"), _grouped_matmul),
    **dict.fromkeys(("addmm", "baddbmm", "addmv"), _matmul_with_addend),
    "einsum": _einsum,
    "_trilinear": _trilinear,
    "addbmm": _batched_sum_of_products,
    "scaled_dot_product_attention": _attention,
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), _rnn),
    **dict.fromkeys(("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"), _rnn_cell),
    **dict.fromkeys(
        ("batch_norm", "native_batch_norm", "cudnn_batch_norm", "_native_batch_norm_legit_no_training",
         "_batch_norm_impl_index"), _batch_norm),
    "_native_batch_norm_legit": _batch_norm_of_batch,
    "instance_norm": _instance_norm,
    **dict.fromkeys(("layer_norm", "native_layer_norm"), _layer_norm),
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
    "_weight_norm_interface": _weight_norm,
    "native_group_norm": _native_group_norm,
    **dict.fromkeys(("softmax", "_softmax", "log_softmax", "_log_softmax", "special_softmax"), _softmax),
    **dict.fromkeys(
        ("max_pool1d", "max_pool2d", "max_pool3d", "max_pool1d_with_indices", "max_pool2d_with_indices",
         "max_pool3d_with_indices", "avg_pool1d", "avg_pool2d", "avg_pool3d", "mkldnn_max_pool2d"), _pool),
    **dict.fromkeys(
        ("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "_adaptive_avg_pool2d",
         "_adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"),
        _adaptive_pool),
    **dict.fromkeys(("fractional_max_pool2d", "fractional_max_pool3d"), _fractional_pool),
    **dict.fromkeys(_RESIZE_MODE, _resize),
    **dict.fromkeys(("grid_sampler", "grid_sampler_2d", "grid_sampler_3d"), _plain(OpKind.GRID_SAMPLE)),
    **dict.fromkeys(("embedding", "embedding_bag"), _plain(OpKind.EMBEDDING)),
    "im2col": _plain(OpKind.UNFOLD),
    "col2im": _plain(OpKind.FOLD),
    **dict.fromkeys(("roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool"), _plain(OpKind.ROI_ALIGN)),
    "nms": _plain(OpKind.NMS),
}  # fmt: skip
