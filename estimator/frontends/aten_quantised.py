"""Operators of torch's quantised modules (``quantized::conv2d_relu`` …): int8 data, weights packed out of sight."""

from __future__ import annotations

from estimator.frontends.aten_call import Rule

RULES: dict[str, Rule] = {}
