"""aten operators that only move, rename, index or create data.

Whether ``reshape``, ``contiguous`` or ``to`` copies is decided by the strides at hand: the caller says whether the
result shares storage with its source (`Call.aliased`).
"""

from __future__ import annotations

from estimator.frontends.aten_call import Call, Mapped, Rule, axis_order, positive_axis, words
from estimator.ir.op import AxisAttrs, CopyAttrs, FunctionAttrs, NoAttrs, OpKind

VIEWS = words(
    "view _unsafe_view reshape _reshape_alias flatten unflatten permute transpose t squeeze unsqueeze expand slice "
    "select split chunk unbind narrow movedim moveaxis swapaxes swapdims view_as reshape_as expand_as numpy_T T mT "
    "matrix_H adjoint mH diagonal as_strided unfold real imag view_as_real view_as_complex tensor_split hsplit vsplit "
    "dsplit split_with_sizes ravel positive atleast_1d atleast_2d atleast_3d broadcast_to conj resolve_conj "
    "resolve_neg sym_constrain_range contiguous to _to_copy type_as rearrange clone set resize_as resize "
    "unsafe_split unsafe_chunk unsafe_split_with_sizes squeeze_copy expand_copy lift_fresh_copy"
)
"""Names whose result may share storage with their first tensor."""

IDENTITIES = words(
    "dropout alpha_dropout feature_dropout feature_alpha_dropout detach alias lift_fresh lift requires_grad"
)
_COPIES = words(
    "repeat tile roll flip fliplr flipud rot90 pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle "
    "repeat_interleave copy stack tril triu diag_embed block_diag column_stack cartesian_prod diag "
    "_pack_padded_sequence"
)
_TRANSPOSING_COPIES = words("pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle rot90 stack_inner")
FILLS = words(
    "zeros ones full empty arange linspace logspace eye rand randn randint randperm zeros_like ones_like full_like "
    "empty_like rand_like randn_like randint_like new_zeros new_ones new_full new_empty new_empty_strided "
    "empty_strided scalar_tensor tril_indices triu_indices fill zero normal uniform multinomial "
    "hann_window hamming_window blackman_window bartlett_window exponential random range complex_fill vander "
    "affine_grid_generator"
)
_GATHERS = words(
    "index gather index_select take take_along_dim masked_select nonzero bucketize searchsorted argwhere isin "
    "nonzero_static"
)
_SCATTERS = words(
    "index_put _index_put_impl scatter scatter_add scatter_reduce index_add index_copy index_fill masked_scatter "
    "slice_scatter select_scatter diagonal_scatter one_hot put fill_diagonal index_reduce bincount histc "
    "max_unpool2d max_unpool3d"
)
_CONCATS = {"cat": None, "concat": None, "concatenate": None, "hstack": 1, "vstack": 0, "dstack": 2, "row_stack": 0}


def _is_transposing(call: Call) -> bool:
    """Whether the copy changes the order of elements in memory."""
    source, result = call.tensors[0], call.outputs[0]
    order = axis_order(source)
    if tuple(source.shape) == tuple(result.shape):
        return order != axis_order(result)
    return order != tuple(sorted(order))


def _view(call: Call) -> Mapped:
    """Map to a view if storage is shared, a cast if only the type differs, else a copy."""
    if call.aliased:
        return Mapped(OpKind.VIEW, call.tensors[:1], FunctionAttrs(call.name.lstrip("_")))
    source = call.tensors[0]
    if call.outputs and source.dtype != call.outputs[0].dtype:
        return Mapped(OpKind.CAST, (source,), NoAttrs())
    return Mapped(OpKind.COPY, (source,), CopyAttrs(call.name.lstrip("_"), _is_transposing(call)))


def _identity(call: Call) -> Mapped:
    return Mapped(OpKind.IDENTITY, call.tensors[:1], FunctionAttrs(call.name))


def _copy(call: Call) -> Mapped:
    transposing = call.name in _TRANSPOSING_COPIES
    if call.name == "copy":  # copy_(destination, source)
        transposing = axis_order(call.tensors[0]) != axis_order(call.tensors[-1])
    return Mapped(OpKind.COPY, call.tensors, CopyAttrs(call.name, transposing))


def _concat(call: Call) -> Mapped:
    fixed = _CONCATS[call.name]
    rank = len(call.outputs[0].shape)
    axis = fixed if fixed is not None else positive_axis(int(call.args[1]), rank)
    joined = [t for t in call.tensors if len(t.shape) == rank]  # torch lets an empty [0] be joined to anything
    return Mapped(OpKind.CONCAT, joined, AxisAttrs(axis))


def _function(kind: OpKind) -> Rule:
    def rule(call: Call) -> Mapped:
        return Mapped(kind, call.tensors, FunctionAttrs(call.name.lstrip("_")))

    return rule


def _fill(call: Call) -> Mapped:
    """Creation reads nothing: a template tensor (``zeros_like``) only lends its shape."""
    return Mapped(OpKind.FILL, (), FunctionAttrs(call.name.removeprefix("new_").removesuffix("_like")))


def _fill_in_place(call: Call) -> Mapped:
    """``x.fill_(v)``, ``x.zero_()`` overwrite their first tensor."""
    return Mapped(OpKind.FILL, call.tensors[:1], FunctionAttrs(call.name))


def _pad(call: Call) -> Mapped:
    return Mapped(OpKind.PAD, call.tensors[:1], NoAttrs())


RULES: dict[str, Rule] = {
    **dict.fromkeys(VIEWS, _view),
    **dict.fromkeys(IDENTITIES, _identity),
    **dict.fromkeys(_COPIES, _copy),
    **dict.fromkeys(FILLS, _fill),
    **dict.fromkeys(("fill", "zero", "normal", "uniform", "exponential", "random"), _fill_in_place),
    **dict.fromkeys(_GATHERS, _function(OpKind.GATHER)),
    **dict.fromkeys(_SCATTERS, _function(OpKind.SCATTER)),
    **dict.fromkeys(_CONCATS, _concat),
    **dict.fromkeys(
        ("pad", "constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "replication_pad1d",
         "replication_pad2d", "replication_pad3d", "_pad_circular"), _pad),
}  # fmt: skip
