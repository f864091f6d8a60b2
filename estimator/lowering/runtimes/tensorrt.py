"""TensorRT: batch norm folded, pointwise epilogues and residual adds fused, reductions fused with their chains."""

from __future__ import annotations

from estimator.lowering.rule import RuntimeRules
from estimator.lowering.runtimes.mobile import (
    ACTIVATION_EPILOGUE,
    FOLD_BATCH_NORM,
    POINTWISE_CHAIN,
    RESIDUAL_EPILOGUE,
    is_anchor,
    is_free,
)

RULES = RuntimeRules(
    name="tensorrt",
    rules=(FOLD_BATCH_NORM, ACTIVATION_EPILOGUE, RESIDUAL_EPILOGUE, ACTIVATION_EPILOGUE, POINTWISE_CHAIN),
    anchor=is_anchor,
    free=is_free,
)
