"""The rule lists of the runtimes, by name."""

from __future__ import annotations

from dataclasses import replace

from estimator.errors import UnknownRuntimeError
from estimator.lowering.rule import RuntimeRules
from estimator.lowering.runtimes import onnxruntime, qnn, tensorrt, tflite, torch_compile, torch_eager

_RUNTIMES = {
    rules.name: rules
    for rules in (
        torch_eager.RULES,
        torch_compile.RULES,
        onnxruntime.RULES,
        tflite.RULES,
        qnn.RULES,
        qnn.DLC_RULES,
        tensorrt.RULES,
        replace(onnxruntime.RULES, name="openvino"),
        replace(tflite.RULES, name="coreml"),
        replace(torch_compile.RULES, name="torch-xla"),
        replace(torch_compile.RULES, name="torch-neuronx"),
    )
}
"""The last four are graph compilers without records of their own: they take the list of the nearest one."""


def runtime_names() -> tuple[str, ...]:
    """Names that ``--runtime`` takes."""
    return tuple(_RUNTIMES)


def runtime_rules(name: str) -> RuntimeRules:
    """Rule list of a runtime.

    Raises
    ------
    UnknownRuntimeError
        No such runtime.
    """
    try:
        return _RUNTIMES[name]
    except KeyError:
        raise UnknownRuntimeError(name, runtime_names()) from None
