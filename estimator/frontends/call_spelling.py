"""How the model's code spelt an operator, where counting tools that patch Python functions see a difference.

To torch ``a @ b`` and ``torch.matmul(a, b)`` are one operator, as are ``x.softmax(-1)`` and ``F.softmax(x, -1)``. Tools
such as ptflops and DeepSpeed replace some of these functions and so count one spelling and not the other. The caller's
frame tells them apart; only the unusual spelling is recorded, in `Op.source`.
"""

from __future__ import annotations

import dis
import sys
from types import FrameType

_OPERATORS = frozenset({"matmul"})
"""Usually called by name; ``operator.NAME`` if written as an operator."""
_METHODS = frozenset({"softmax", "relu"})
"""Usually reached through torch.nn.functional; ``torch.NAME`` if called directly, as a method or torch function."""
_FUNCTIONS = frozenset({"add", "mul"})
"""Usually written as an operator; ``torch.NAME`` if called by name."""
SPELT = _OPERATORS | _METHODS | _FUNCTIONS
_BINARY_OP = dis.opmap["BINARY_OP"]
_IN_BETWEEN = (
    "/frontends/torch_recorder.py", "/frontends/call_spelling.py", "/_dynamo/eval_frame.py", "/torch/_compile.py",
    "/torch/_ops.py", "/torch/utils/_device.py", "/torch/overrides.py",
)  # fmt: skip
_FUNCTIONAL = "/nn/functional.py"


def spelt_source(name: str, source: str) -> str:
    """Return the source name of an operator that is being dispatched right now.

    Parameters
    ----------
    name : str
        One of `SPELT`.
    source : str
        Its usual source name, ``aten.matmul.default``.

    Returns
    -------
    str
        `source`, or ``operator.matmul``, ``torch.softmax``, ``torch.add`` for the unusual spelling.
    """
    frame = _calling_frame() if source.startswith("aten.") else None  # ``quantized.add`` has one spelling only
    if frame is None:
        return source
    is_operator = frame.f_lasti >= 0 and frame.f_code.co_code[frame.f_lasti] == _BINARY_OP
    if name in _OPERATORS:
        return f"operator.{name}" if is_operator else source
    if name in _METHODS:
        return source if _runs(frame, _FUNCTIONAL) else f"torch.{name}"
    return source if is_operator else f"torch.{name}"


def _calling_frame() -> FrameType | None:
    """Find the innermost frame outside the recorder and torch's dispatch machinery."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and _runs(frame, _IN_BETWEEN):
        frame = frame.f_back
    return frame


def _runs(frame: FrameType, files: str | tuple[str, ...]) -> bool:
    return frame.f_code.co_filename.replace("\\", "/").endswith(files)
