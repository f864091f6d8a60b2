"""ONNX Runtime: extended graph optimisations; on a Qualcomm NPU its QNN execution provider compiles the graph."""

from __future__ import annotations

from estimator.lowering.fuse import RuntimeRules
from estimator.lowering.runtimes.mobile import (
    ACTIVATION_EPILOGUE,
    CLAMP_EPILOGUE,
    FOLD_BATCH_NORM,
    POINTWISE_CHAIN,
    RESIDUAL_EPILOGUE,
    is_anchor,
    is_free,
)

RULES = RuntimeRules(
    name="onnxruntime",
    rules=(FOLD_BATCH_NORM, CLAMP_EPILOGUE, ACTIVATION_EPILOGUE, RESIDUAL_EPILOGUE, ACTIVATION_EPILOGUE, POINTWISE_CHAIN),
    anchor=is_anchor,
    free=is_free,
)
