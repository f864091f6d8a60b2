"""Qualcomm's QNN stack (context binary, library or .dlc) on the Hexagon tensor processor."""

from __future__ import annotations

from dataclasses import replace

from estimator.lowering.rule import RuntimeRules
from estimator.lowering.runtimes.mobile import (
    ACTIVATION_EPILOGUE,
    CONCATENATED_BLOCKS,
    DECOMPOSED_ATTENTION,
    FOLD_BATCH_NORM,
    FOLD_SPELLED_NORM,
    PAD_INTO_WINDOW,
    POINTWISE_CHAIN,
    RESIDUAL_EPILOGUE,
    SCALE_INTO_PRODUCT,
    SELF_GATE_EPILOGUE,
    is_anchor,
    is_free,
    is_materialised_view,
    is_unmoved_copy,
)

RULES = RuntimeRules(
    name="qnn",
    rules=(
        PAD_INTO_WINDOW,
        SCALE_INTO_PRODUCT,
        FOLD_BATCH_NORM,
        FOLD_SPELLED_NORM,
        SELF_GATE_EPILOGUE,
        ACTIVATION_EPILOGUE,
        RESIDUAL_EPILOGUE,
        ACTIVATION_EPILOGUE,
        POINTWISE_CHAIN,
    ),
    anchor=is_anchor,
    expansions=(CONCATENATED_BLOCKS, DECOMPOSED_ATTENTION),
    free=is_free,
    materialises=is_materialised_view,
    elides=is_unmoved_copy,
    folds_constants=True,
)
DLC_RULES = replace(RULES, name="qnn_dlc")
