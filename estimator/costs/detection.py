"""Ops of detection heads."""

from __future__ import annotations

from estimator.costs.opcost import OpCost
from estimator.costs.registry import Tensors, cost_of
from estimator.costs.traffic import streaming_cost
from estimator.ir.op import Op, OpKind

_ROI_SAMPLES = 4
"""Samples per bin at torchvision's usual sampling_ratio of 2 (2 × 2)."""
_ROI_FLOPS = _ROI_SAMPLES * 7 + _ROI_SAMPLES
"""Bilinear (7) per sample, then the mean."""
_IOU_FLOPS = 13
"""Two boxes: 4 min/max, 4 subtractions, 1 product, 2 for the union, 1 division, 1 comparison."""


@cost_of(OpKind.ROI_ALIGN)
def roi_align_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Pool regions of a feature map, x[n, c, h, w], boxes[r, 5] -> [r, c, p, p].

    other = 32 · numel(out) (4 bilinear samples and their mean).
    Traffic: samples touched, at most the map once; boxes; result.
    Source: docs/model/counting.md, table 5.
    """
    x, out = inputs[0], outputs[0]
    element_bytes = x.size_bytes // x.numel if x.numel else 0
    touched = min(x.size_bytes, out.numel * _ROI_SAMPLES * 4 * element_bytes)
    return OpCost(
        other_flops=out.numel * _ROI_FLOPS,
        bytes_read=touched + sum(t.size_bytes for t in inputs[1:]),
        bytes_written=sum(t.size_bytes for t in outputs),
    )


@cost_of(OpKind.NMS)
def nms_cost(op: Op, inputs: Tensors, outputs: Tensors) -> OpCost:
    """Non-maximum suppression of n boxes, boxes[n, 4], scores[n] -> kept indices.

    other = 13 · n(n − 1)/2: every pair, the worst case.
    Source: docs/model/counting.md, table 5.
    """
    boxes = inputs[0].numel // 4
    return streaming_cost(op, inputs, outputs, other_flops=_IOU_FLOPS * boxes * (boxes - 1) // 2)
