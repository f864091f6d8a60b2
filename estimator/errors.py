"""The whole exception tree.

::

    EstimatorError                        exit_code 1, one class per kind of failure
    ├── UsageError                        exit_code 2
    │   ├── UnknownDeviceError
    │   ├── UnknownPrecisionError
    │   ├── UnknownRuntimeError
    │   ├── UnknownConventionError
    │   ├── UnknownModelError
    │   ├── BadOptionError
    │   ├── RequestLimitError            larger than the service accepts
    │   └── UnsupportedCombinationError   device, runtime and precision do not go together
    ├── ModelError                        the network cannot be read or estimated
    │   ├── ModelFileError                unreadable, truncated, wrong format
    │   ├── TraceError                    a framework could not trace the model
    │   ├── GraphError                    the graph breaks an invariant
    │   ├── MissingShapeError             a dimension is unknown and was not given
    │   ├── UnsupportedOpError            strict mode met an op without a rule
    │   └── MissingDependencyError        an extra is not installed
    ├── CatalogueError                    a device or calibration file is wrong
    ├── MissingCeilingError               the device lists no rate for what the kernel needs
    ├── RecordError                       a measured-record file is wrong
    ├── CalibrationError                  a fit cannot be made from these records
    ├── OutputError                       a result could not be written
    └── ServiceError                      exit_code 3
        ├── ServiceUnreachableError
        ├── ServiceDeniedError           the service refuses this token
        └── ServiceTimeoutError          no answer before the deadline

An error carries fields; its text is made in ``__str__``: what failed, where, what was expected,
what to do next. The CLI prints it and exits with `exit_code`; `service/status.py` maps the same
classes to gRPC codes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

_LISTED_NAMES = 14
"""How many known names an error lists."""


def near_names(name: str, known: Sequence[str]) -> list[str]:
    """List at most four known names that look like one, or start like it."""
    close = difflib.get_close_matches(name.lower(), known, n=4, cutoff=0.5)
    return close or [k for k in known if name.lower()[:4] and k.startswith(name.lower()[:4])][:4]


def _did_you_mean(name: str, known: Sequence[str]) -> str:
    close = near_names(name, known)
    return f"\n  did you mean  {', '.join(close)}" if close else ""


class EstimatorError(Exception):
    """Base of every error that this package raises on purpose."""

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", expected: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.expected = expected
        self.hint = hint

    @classmethod
    def reason(cls) -> str:
        """Name of this kind of failure for machines: ``UnknownDeviceError`` is ``UNKNOWN_DEVICE``."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", cls.__name__.removesuffix("Error")).upper()

    @property
    def first_line(self) -> str:
        """What failed, without where, which option and what next."""
        return self.what.partition("\n")[0]

    def __str__(self) -> str:
        lines = [self.what]
        for label, text in (("where", self.where), ("expected", self.expected), ("next", self.hint)):
            if text:
                lines.append(f"  {label:<12}  {text}")
        return "\n".join(lines)


class UsageError(EstimatorError):
    """The request itself is wrong."""

    exit_code = 2


class _UnknownNameError(UsageError):
    """A name is not in a known list."""

    noun = "name"
    option = ""
    list_command = ""

    def __init__(
        self, name: str, known: Sequence[str] = (), *, what: str = "", where: str = "", expected: str = ""
    ) -> None:
        super().__init__(what or f"unknown {self.noun} {name!r}", where=where, expected=expected)
        self.name = name
        self.known = tuple(known)

    def __str__(self) -> str:
        text = self.what + (f" ({self.option})" if self.option else "")
        text += f"\n  where         {self.where}" if self.where else ""
        text += _did_you_mean(self.name, self.known)
        text += f"\n  expected      {self.expected}" if self.expected else ""
        if self.list_command:
            text += f"\n  list all      {self.list_command}"
        elif not self.expected and self.known and "did you mean" not in text:
            more = f", … ({len(self.known)} in all)" if len(self.known) > _LISTED_NAMES else ""
            text += f"\n  expected      {', '.join(self.known[:_LISTED_NAMES])}{more}"
        return text


class UnknownDeviceError(_UnknownNameError):
    """No catalogue entry, alias or file has this name."""

    noun = "device"
    option = "--device"
    list_command = "estimator-cli devices list"


class UnknownPrecisionError(_UnknownNameError):
    """Not a precision."""

    noun = "precision"
    option = "--precision"


class UnknownRuntimeError(_UnknownNameError):
    """Not a runtime, or not one of this device's."""

    noun = "runtime"
    option = "--runtime"


class UnknownConventionError(_UnknownNameError):
    """Not a counting convention."""

    noun = "convention"
    option = "--convention"


class UnknownModelError(_UnknownNameError):
    """No model of this name, and no such file."""

    noun = "model"


class BadOptionError(UsageError):
    """An option's value is out of range or malformed."""


class RequestLimitError(UsageError):
    """A request is larger than the service accepts."""

    def __init__(self, what: str, given: int, allowed: int) -> None:
        super().__init__(f"{given:,} {what} in one request", expected=f"at most {allowed:,}", hint="send less at once")
        self.given = given
        self.allowed = allowed


class UnsupportedCombinationError(UsageError):
    """Device, unit, runtime and precision do not exist together."""


class ModelError(EstimatorError):
    """The network cannot be read or estimated."""


class ModelFileError(ModelError):
    """A model file is unreadable, truncated or of another format."""


class TraceError(ModelError):
    """A framework could not trace the model."""


class GraphError(ModelError):
    """A graph breaks an invariant; the message names op and tensor."""


class MissingShapeError(ModelError):
    """A dimension is unknown and was not given."""


class UnsupportedOpError(ModelError):
    """Strict mode met operators without a rule."""

    def __init__(self, ops: Sequence[str]) -> None:
        listed = ", ".join(ops[:8]) + (f" and {len(ops) - 8} more" if len(ops) > 8 else "")
        super().__init__(
            f"{len(ops)} operator{'s' if len(ops) != 1 else ''} without a cost rule: {listed}",
            hint="leave out --strict to estimate the rest; the coverage line says what is missing",
        )
        self.ops = tuple(ops)


class MissingDependencyError(ModelError):
    """An optional package is needed for this input."""

    def __init__(self, package: str, needed_for: str, extra: str) -> None:
        super().__init__(
            f"{needed_for} needs the package {package!r}, which is not installed",
            hint=f"pip install 'estimator[{extra}]'",
        )
        self.package = package


class CatalogueError(EstimatorError):
    """A device or calibration file is wrong; `where` is file:line."""


class MissingCeilingError(EstimatorError):
    """The device lists no rate or bandwidth for what a kernel needs."""


class RecordError(EstimatorError):
    """A measured-record file is wrong; `where` is file:line."""


class CalibrationError(EstimatorError):
    """A fit cannot be made from these records."""


class OutputError(EstimatorError):
    """A result could not be written."""


class ServiceError(EstimatorError):
    """A remote estimate failed."""

    exit_code = 3


class ServiceUnreachableError(ServiceError):
    """No service answers at this address."""


class ServiceDeniedError(ServiceError):
    """The service refuses the caller's token or certificate."""


class ServiceTimeoutError(ServiceError):
    """No answer came before the deadline."""
