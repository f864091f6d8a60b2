"""What an operator is: a kind, typed attributes, tensor names in and out.

Kinds are framework-neutral. `Op.source` keeps the framework's own name (``aten.conv2d.default``,
``Conv``, ``DEPTHWISE_CONV_2D``) because counting conventions follow it; nothing in `lowering`,
`timing` or `memory` may read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class OpKind(StrEnum):
    """The closed set of operator kinds. Every kind has a cost declaration; a test walks this enum."""

    # fmt: off
    # products
    CONV = "conv"                      # x[n,ci,*s], w[co,ci/g,*k], (b[co]); ConvAttrs (transposed: w[ci,co/g,*k])
    DEFORM_CONV = "deform_conv"        # x, w, offset, (mask), (b); ConvAttrs
    LINEAR = "linear"                  # x[..., k], w[n, k], (b[n])
    MATMUL = "matmul"                  # a[..., m, k] @ b[..., k, n]; MatmulAttrs; optional third input: addend
    EINSUM = "einsum"                  # EinsumAttrs
    ATTENTION = "attention"            # q[b,h,m,d], k[b,hk,n,d], v[b,hk,n,dv], (mask); AttentionAttrs
    RNN = "rnn"                        # x, weights...; RnnAttrs
    # normalisation, activation, elementwise
    NORM = "norm"                      # x, (scale), (shift), (mean), (var); NormAttrs
    SOFTMAX = "softmax"                # SoftmaxAttrs
    ACTIVATION = "activation"          # FunctionAttrs: relu relu6 gelu silu sigmoid tanh hardswish hardsigmoid ...
    UNARY = "unary"                    # FunctionAttrs: exp log sqrt rsqrt neg abs ...
    BINARY = "binary"                  # FunctionAttrs: add sub mul div pow maximum minimum eq lt ... (broadcast)
    TERNARY = "ternary"                # FunctionAttrs: where addcmul lerp clamp_tensor ...
    CAST = "cast"
    QUANTIZE = "quantize"
    DEQUANTIZE = "dequantize"
    # reductions and windows
    REDUCE = "reduce"                  # ReduceAttrs: sum mean max min prod any all var std norm argmax logsumexp
    CUMULATIVE = "cumulative"          # FunctionAttrs: cumsum cumprod
    SORT = "sort"                      # FunctionAttrs: sort topk argsort
    POOL = "pool"                      # PoolAttrs: max avg lp
    ADAPTIVE_POOL = "adaptive_pool"    # AdaptivePoolAttrs
    RESIZE = "resize"                  # ResizeAttrs
    GRID_SAMPLE = "grid_sample"
    FFT = "fft"                        # FunctionAttrs: fft rfft irfft ...
    # indexing and movement
    EMBEDDING = "embedding"            # w[v, d], ids
    GATHER = "gather"                  # FunctionAttrs: index gather index_select take
    SCATTER = "scatter"                # FunctionAttrs: index_put scatter_add ...
    CONCAT = "concat"                  # AxisAttrs
    PAD = "pad"
    COPY = "copy"                      # CopyAttrs: materialised layout change or plain copy
    VIEW = "view"                      # FunctionAttrs: metadata only; output aliases input 0
    UNFOLD = "unfold"                  # im2col
    FOLD = "fold"                      # col2im
    ROI_ALIGN = "roi_align"
    NMS = "nms"
    FILL = "fill"                      # FunctionAttrs: zeros ones arange full eye rand
    SHAPE = "shape"                    # host-side shape arithmetic
    IDENTITY = "identity"              # dropout in eval, detach; aliases input 0
    CONTROL = "control"                # If/Loop whose body was not inlined
    UNKNOWN = "unknown"                # no rule: lowers coverage, fails in strict mode
    # fmt: on


@dataclass(frozen=True, slots=True)
class NoAttrs:
    """For kinds that need nothing but their tensors."""


@dataclass(frozen=True, slots=True)
class ConvAttrs:
    """Spatial attributes have one entry per spatial dimension (1 to 3)."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    """Total padding is before + after; here the *before* amounts (after may differ by one for SAME)."""
    dilation: tuple[int, ...]
    groups: int = 1
    transposed: bool = False
    channels_last: bool = False
    """Activations are [n, *s, c] rather than [n, c, *s]; weights keep the order above in both."""


@dataclass(frozen=True, slots=True)
class MatmulAttrs:
    """A product of matrices.

    Attributes
    ----------
    transpose_a, transpose_b : bool
        The last two axes of that operand are stored swapped.
    outside_autocast : bool
        Runs where the model switches autocast off: in fp32, whatever the precision's autocast makes of others.
    """

    transpose_a: bool = False
    transpose_b: bool = False
    outside_autocast: bool = False


@dataclass(frozen=True, slots=True)
class EinsumAttrs:
    """Canonical equation with an explicit output, e.g. ``bhqd,bhkd->bhqk``."""

    equation: str


@dataclass(frozen=True, slots=True)
class AttentionAttrs:
    """Scaled dot-product attention."""

    causal: bool = False
    grouped_query: bool = False


@dataclass(frozen=True, slots=True)
class RnnAttrs:
    """A whole (stacked, bidirectional) recurrent layer."""

    cell: str  # lstm | gru | rnn_tanh | rnn_relu
    hidden_size: int
    layers: int = 1
    bidirectional: bool = False
    batch_first: bool = False
    has_bias: bool = True
    projection_size: int = 0


@dataclass(frozen=True, slots=True)
class NormAttrs:
    """`function`: batch, layer, group, instance, rms, lrn, l2."""

    function: str
    affine: bool = True
    groups: int = 1
    normalized_rank: int = 1
    """Layer/RMS norm: how many trailing axes are normalised."""
    channels_last: bool = False
    """Activations are [n, *s, c] rather than [n, c, *s] (TFLite, TensorFlow)."""
    keeps_low_precision: bool = False
    """Under autocast it runs in the low precision, not in fp32 (timm's fast norms)."""


@dataclass(frozen=True, slots=True)
class FunctionAttrs:
    """The function applied, by its usual lower-case name."""

    function: str


@dataclass(frozen=True, slots=True)
class SoftmaxAttrs:
    """`axis` is non-negative; `log` for log-softmax."""

    axis: int
    log: bool = False


@dataclass(frozen=True, slots=True)
class ReduceAttrs:
    """`axes` are non-negative and sorted; all axes are listed for a full reduction."""

    function: str
    axes: tuple[int, ...]
    keepdim: bool = False


@dataclass(frozen=True, slots=True)
class PoolAttrs:
    """Window pooling."""

    function: str  # max | avg | lp
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    channels_last: bool = False
    """Activations are [n, *s, c] rather than [n, c, *s] (TFLite, TensorFlow)."""


@dataclass(frozen=True, slots=True)
class AdaptivePoolAttrs:
    """Pooling to a fixed output size."""

    function: str  # max | avg
    output_size: tuple[int, ...]
    channels_last: bool = False
    """Activations are [n, *s, c] rather than [n, c, *s] (TFLite, TensorFlow)."""


@dataclass(frozen=True, slots=True)
class ResizeAttrs:
    """`mode`: nearest, linear, bilinear, bicubic, trilinear, area."""

    mode: str
    align_corners: bool = False
    channels_last: bool = False
    """Activations are [n, *s, c] rather than [n, c, *s] (TFLite, TensorFlow)."""
    by_scale: bool = False
    """The source gave a factor rather than a size (tools count the two differently)."""


@dataclass(frozen=True, slots=True)
class AxisAttrs:
    """The axis concatenated along, non-negative."""

    axis: int


@dataclass(frozen=True, slots=True)
class CopyAttrs:
    """`function`: contiguous, clone, reshape, transpose, repeat, roll, flip, pixel_shuffle, stack, split, ...

    `transposing` says the element order changes, so reads and writes cannot both be unit stride.
    """

    function: str
    transposing: bool = False


@dataclass(frozen=True, slots=True)
class ControlAttrs:
    """A control-flow op; `branches` names the bodies that were not inlined."""

    function: str  # if | loop | while | scan
    branches: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UnknownAttrs:
    """Why there is no rule."""

    reason: str


Attrs = (
    NoAttrs | ConvAttrs | MatmulAttrs | EinsumAttrs | AttentionAttrs | RnnAttrs | NormAttrs | FunctionAttrs
    | SoftmaxAttrs | ReduceAttrs | PoolAttrs | AdaptivePoolAttrs | ResizeAttrs | AxisAttrs | CopyAttrs
    | ControlAttrs | UnknownAttrs
)  # fmt: skip

ATTRS_OF: dict[OpKind, type[Attrs]] = {
    OpKind.CONV: ConvAttrs,
    OpKind.DEFORM_CONV: ConvAttrs,
    OpKind.LINEAR: NoAttrs,
    OpKind.MATMUL: MatmulAttrs,
    OpKind.EINSUM: EinsumAttrs,
    OpKind.ATTENTION: AttentionAttrs,
    OpKind.RNN: RnnAttrs,
    OpKind.NORM: NormAttrs,
    OpKind.SOFTMAX: SoftmaxAttrs,
    OpKind.ACTIVATION: FunctionAttrs,
    OpKind.UNARY: FunctionAttrs,
    OpKind.BINARY: FunctionAttrs,
    OpKind.TERNARY: FunctionAttrs,
    OpKind.CAST: NoAttrs,
    OpKind.QUANTIZE: NoAttrs,
    OpKind.DEQUANTIZE: NoAttrs,
    OpKind.REDUCE: ReduceAttrs,
    OpKind.CUMULATIVE: FunctionAttrs,
    OpKind.SORT: FunctionAttrs,
    OpKind.POOL: PoolAttrs,
    OpKind.ADAPTIVE_POOL: AdaptivePoolAttrs,
    OpKind.RESIZE: ResizeAttrs,
    OpKind.GRID_SAMPLE: NoAttrs,
    OpKind.FFT: FunctionAttrs,
    OpKind.EMBEDDING: NoAttrs,
    OpKind.GATHER: FunctionAttrs,
    OpKind.SCATTER: FunctionAttrs,
    OpKind.CONCAT: AxisAttrs,
    OpKind.PAD: NoAttrs,
    OpKind.COPY: CopyAttrs,
    OpKind.VIEW: FunctionAttrs,
    OpKind.UNFOLD: NoAttrs,
    OpKind.FOLD: NoAttrs,
    OpKind.ROI_ALIGN: NoAttrs,
    OpKind.NMS: NoAttrs,
    OpKind.FILL: FunctionAttrs,
    OpKind.SHAPE: FunctionAttrs,
    OpKind.IDENTITY: FunctionAttrs,
    OpKind.CONTROL: ControlAttrs,
    OpKind.UNKNOWN: UnknownAttrs,
}
"""Attribute class of each kind: the schema of the graph's text and JSON forms."""


@dataclass(frozen=True, slots=True)
class Op:
    """One operator.

    Attributes
    ----------
    name : str
        Unique in its graph.
    inputs, outputs : tuple of str
        Tensor names, in the order the kind's comment in `OpKind` gives; absent optionals are left out.
    scope : str
        Path of the innermost module that ran it (``layer1.0.conv1``), "" at the root.
    source : str
        The framework's own operator name.
    """

    name: str
    kind: OpKind
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: Attrs = NoAttrs()
    scope: str = ""
    source: str = ""
    in_place: bool = False
    """The result overwrites input 0 (``relu_``, ``add_``): no new storage."""
