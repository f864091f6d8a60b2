"""Argument names and defaults of the aten operators whose rules read arguments by position.

An exported program leaves out arguments that have their default; this table puts them back without importing
torch. A test compares it with torch's own schemas.

Source: aten/src/ATen/native/native_functions.yaml, PyTorch 2.14.1 (BSD-3-Clause).
"""

from __future__ import annotations

import ast
from functools import cache
from typing import Final

_TABLE: Final = """
_grouped_mm.default self mat2 offs=None bias=None out_dtype=None
_upsample_bicubic2d_aa.default self output_size align_corners scales_h=None scales_w=None
_upsample_bilinear2d_aa.default self output_size align_corners scales_h=None scales_w=None
_upsample_nearest_exact1d.default self output_size scales=None
_upsample_nearest_exact2d.default self output_size scales_h=None scales_w=None
_upsample_nearest_exact3d.default self output_size scales_d=None scales_h=None scales_w=None
addmm.default self mat1 mat2 beta=1 alpha=1
addmm.dtype self mat1 mat2 out_dtype beta=1 alpha=1
addmm_.default self mat1 mat2 beta=1 alpha=1
addmv.default self mat vec beta=1 alpha=1
addmv_.default self mat vec beta=1 alpha=1
all.dim self dim keepdim=False
all.dims self dim=None keepdim=False
amax.default self dim=[] keepdim=False
amin.default self dim=[] keepdim=False
aminmax.default self dim=None keepdim=False
any.dim self dim keepdim=False
any.dims self dim=None keepdim=False
argmax.default self dim=None keepdim=False
argmin.default self dim=None keepdim=False
avg_pool1d.default self kernel_size stride=[] padding=[0] ceil_mode=False count_include_pad=True
avg_pool2d.default self kernel_size stride=[] padding=[0,0] ceil_mode=False count_include_pad=True divisor_override=None
avg_pool3d.default self kernel_size stride=[] padding=[0,0,0] ceil_mode=False count_include_pad=True divisor_override=None
baddbmm.default self batch1 batch2 beta=1 alpha=1
baddbmm.dtype self batch1 batch2 out_dtype beta=1 alpha=1
baddbmm_.default self batch1 batch2 beta=1 alpha=1
cat.default tensors dim=0
clamp.default self min=None max=None
clamp.Tensor self min=None max=None
clamp_.default self min=None max=None
clamp_.Tensor self min=None max=None
clip.default self min=None max=None
clip.Tensor self min=None max=None
clip_.default self min=None max=None
clip_.Tensor self min=None max=None
concat.default tensors dim=0
concatenate.default tensors dim=0
conv1d.default input weight bias=None stride=[1] padding=[0] dilation=[1] groups=1
conv1d.padding input weight bias=None stride=[1] padding=valid dilation=[1] groups=1
conv2d.default input weight bias=None stride=[1,1] padding=[0,0] dilation=[1,1] groups=1
conv2d.padding input weight bias=None stride=[1,1] padding=valid dilation=[1,1] groups=1
conv3d.default input weight bias=None stride=[1,1,1] padding=[0,0,0] dilation=[1,1,1] groups=1
conv3d.padding input weight bias=None stride=[1,1,1] padding=valid dilation=[1,1,1] groups=1
conv_transpose1d.default input weight bias=None stride=[1] padding=[0] output_padding=[0] groups=1 dilation=[1]
conv_transpose2d.input input weight bias=None stride=[1,1] padding=[0,0] output_padding=[0,0] groups=1 dilation=[1,1]
conv_transpose3d.input input weight bias=None stride=[1,1,1] padding=[0,0,0] output_padding=[0,0,0] groups=1 dilation=[1,1,1]
count_nonzero.default self dim=None
einsum.default equation tensors path=None
embedding.default weight indices padding_idx=-1 scale_grad_by_freq=False sparse=False
embedding_bag.default weight indices offsets scale_grad_by_freq=False mode=0 sparse=False per_sample_weights=None include_last_offset=False
frobenius_norm.dim self dim keepdim=False
group_norm.default input num_groups weight=None bias=None eps=1e-05 cudnn_enabled=True
gru_cell.default input hx w_ih w_hh b_ih=None b_hh=None
hardtanh.default self min_val=-1 max_val=1
hardtanh_.default self min_val=-1 max_val=1
layer_norm.default input normalized_shape weight=None bias=None eps=1e-05 cudnn_enable=True
linalg_norm.default self ord=None dim=None keepdim=False dtype=None
linalg_norm.ord_str self ord dim=None keepdim=False dtype=None
linalg_vector_norm.default self ord=2 dim=None keepdim=False dtype=None
linear.default input weight bias=None
log_softmax.int self dim dtype=None
logsumexp.default self dim keepdim=False
lstm_cell.default input hx w_ih w_hh b_ih=None b_hh=None
max.dim self dim keepdim=False
max_pool1d.default self kernel_size stride=[] padding=[0] dilation=[1] ceil_mode=False
max_pool1d_with_indices.default self kernel_size stride=[] padding=[0] dilation=[1] ceil_mode=False
max_pool2d.default self kernel_size stride=[] padding=[0,0] dilation=[1,1] ceil_mode=False
max_pool2d_with_indices.default self kernel_size stride=[] padding=[0,0] dilation=[1,1] ceil_mode=False
max_pool3d.default self kernel_size stride=[] padding=[0,0,0] dilation=[1,1,1] ceil_mode=False
max_pool3d_with_indices.default self kernel_size stride=[] padding=[0,0,0] dilation=[1,1,1] ceil_mode=False
mean.default self dtype=None
mean.dim self dim keepdim=False dtype=None
median.dim self dim keepdim=False
min.dim self dim keepdim=False
mkldnn_max_pool2d.default self kernel_size stride=[] padding=[0,0] dilation=[1,1] ceil_mode=False
mode.default self dim=-1 keepdim=False
nanmean.default self dim=None keepdim=False dtype=None
nanmedian.dim self dim keepdim=False
nansum.default self dim=None keepdim=False dtype=None
norm.Scalar self p=2
norm.ScalarOpt_dim self p dim keepdim=False
prod.default self dtype=None
prod.dim_int self dim keepdim=False dtype=None
rms_norm.default input normalized_shape weight=None eps=None
rnn_relu_cell.default input hx w_ih w_hh b_ih=None b_hh=None
rnn_tanh_cell.default input hx w_ih w_hh b_ih=None b_hh=None
scaled_dot_product_attention.default query key value attn_mask=None dropout_p=0.0 is_causal=False scale=None enable_gqa=False
softmax.int self dim dtype=None
special_logsumexp.default self dim keepdim=False
special_softmax.default self dim dtype=None
std.default self unbiased=True
std.dim self dim unbiased=True keepdim=False
std.correction self dim=None correction=None keepdim=False
std_mean.default self unbiased=True
std_mean.dim self dim unbiased=True keepdim=False
std_mean.correction self dim=None correction=None keepdim=False
sum.dim_IntList self dim keepdim=False dtype=None
sum.default self dtype=None
upsample_bicubic2d.default self output_size align_corners scales_h=None scales_w=None
upsample_bilinear2d.default self output_size align_corners scales_h=None scales_w=None
upsample_linear1d.default self output_size align_corners scales=None
upsample_nearest1d.default self output_size scales=None
upsample_nearest2d.default self output_size scales_h=None scales_w=None
upsample_nearest3d.default self output_size scales_d=None scales_h=None scales_w=None
upsample_trilinear3d.default self output_size align_corners scales_d=None scales_h=None scales_w=None
var.default self unbiased=True
var.dim self dim unbiased=True keepdim=False
var.correction self dim=None correction=None keepdim=False
var_mean.default self unbiased=True
var_mean.dim self dim unbiased=True keepdim=False
var_mean.correction self dim=None correction=None keepdim=False
"""  # noqa: E501

Default = int | float | str | bool | list[int] | None


@cache
def signatures() -> dict[str, tuple[tuple[str, Default], ...]]:
    """Return, for each ``name.overload``, argument names with their defaults (None also where there is none)."""
    result = {}
    for line in _TABLE.strip().splitlines():
        name, *arguments = line.split()
        result[name] = tuple(_argument(text) for text in arguments)
    return result


def _argument(text: str) -> tuple[str, Default]:
    name, has_default, default = text.partition("=")
    if not has_default:
        return name, None
    try:
        return name, ast.literal_eval(default)
    except (ValueError, SyntaxError):  # a bare word, such as a padding mode
        return name, default
