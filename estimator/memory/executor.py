"""When a runtime lets go of a tensor: the one assumption on which a peak stands or falls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Executor(StrEnum):
    """Who decides that a tensor's storage is free again."""

    EAGER = "eager"
    """Python: a tensor lives while a module call that received it has not returned."""
    GRAPH = "graph"
    """A dynamic allocator under a static graph: a tensor is freed at its last use."""
    ARENA = "arena"
    """Offsets in one buffer, assigned before the first run."""


@dataclass(frozen=True, slots=True)
class ExecutorModel:
    """How one runtime holds activations.

    Attributes
    ----------
    reuses_inputs : bool
        An elementwise kernel may write over an operand that dies with it.
    keeps_weight_casts : bool
        Casts of parameters stay until the pass ends (autocast's cache).
    alignment_bytes : int
        Every allocation is rounded up to a multiple of it.
    source : str
        Where the runtime documents or implements this.
    """

    executor: Executor
    reuses_inputs: bool
    keeps_weight_casts: bool
    alignment_bytes: int
    source: str


_TORCH_EAGER = ExecutorModel(
    Executor.EAGER,
    reuses_inputs=False,
    keeps_weight_casts=True,
    alignment_bytes=64,
    source="CPython frames own their arguments; c10/core/alignment.h gAlignment = 64; autocast_mode.cpp cached_cast",
)
_TORCH_EXPORT = ExecutorModel(
    Executor.GRAPH,
    reuses_inputs=False,
    keeps_weight_casts=False,
    alignment_bytes=64,
    source="torch.fx code generation deletes each value after its last reader",
)
_TORCH_COMPILE = ExecutorModel(
    Executor.GRAPH,
    reuses_inputs=True,
    keeps_weight_casts=False,
    alignment_bytes=64,
    source="torch/_inductor/config.py inplace_buffers = True, allow_buffer_reuse = True",
)
_ONNXRUNTIME = ExecutorModel(
    Executor.GRAPH,
    reuses_inputs=True,
    keeps_weight_casts=False,
    alignment_bytes=64,
    source="onnxruntime allocation_planner.cc: FindReusableInput over KernelDef::MayInplace, then free at last use",
)
_TFLITE = ExecutorModel(
    Executor.ARENA,
    reuses_inputs=True,
    keeps_weight_casts=False,
    alignment_bytes=64,
    source="tensorflow/lite/arena_planner.cc, simple_memory_arena.cc; kDefaultArenaAlignment = 64",
)
_STATIC_ARENA = ExecutorModel(
    Executor.ARENA,
    reuses_inputs=True,
    keeps_weight_casts=False,
    alignment_bytes=256,
    source="assumed: ahead-of-time compilers plan one context buffer; the vendors do not document its packing",
)

EXECUTORS: Mapping[str, ExecutorModel] = {
    "torch-eager": _TORCH_EAGER,
    "torch-export": _TORCH_EXPORT,
    "torch-compile": _TORCH_COMPILE,
    "onnxruntime": _ONNXRUNTIME,
    "tflite": _TFLITE,
    "qnn": _STATIC_ARENA,
    "qnn_dlc": _STATIC_ARENA,
    "tensorrt": _STATIC_ARENA,
}
"""What is known of each runtime."""


def executor_model(runtime: str) -> ExecutorModel:
    """Model of a runtime; one that nobody described is taken to free tensors at their last use."""
    return EXECUTORS.get(runtime, _TORCH_EXPORT)
