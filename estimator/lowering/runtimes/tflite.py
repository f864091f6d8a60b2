"""TensorFlow Lite: the converter's fusions; on a Qualcomm NPU its delegate hands the graph to QNN."""

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
    name="tflite",
    rules=(FOLD_BATCH_NORM, CLAMP_EPILOGUE, ACTIVATION_EPILOGUE, RESIDUAL_EPILOGUE, ACTIVATION_EPILOGUE, POINTWISE_CHAIN),
    anchor=is_anchor,
    free=is_free,
)
