"""Qualcomm's QNN stack (context binary, library or .dlc) on the Hexagon tensor processor."""

from __future__ import annotations

from dataclasses import replace

from estimator.lowering.fuse import RuntimeRules
from estimator.lowering.runtimes.mobile import (
    ACTIVATION_EPILOGUE,
    FOLD_BATCH_NORM,
    POINTWISE_CHAIN,
    RESIDUAL_EPILOGUE,
    is_anchor,
    is_free,
)

RULES = RuntimeRules(
    name="qnn",
    rules=(FOLD_BATCH_NORM, ACTIVATION_EPILOGUE, RESIDUAL_EPILOGUE, ACTIVATION_EPILOGUE, POINTWISE_CHAIN),
    anchor=is_anchor,
    free=is_free,
)
DLC_RULES = replace(RULES, name="qnn_dlc")
