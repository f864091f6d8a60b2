"""Options that several verbs share, and the frozen requests they become."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from estimator.errors import BadOptionError, OutputError
from estimator.files import check_writable

if TYPE_CHECKING:
    from estimator.engine import EstimateOptions
    from estimator.ir.graph import Graph

Command = TypeVar("Command", bound=Callable[..., object])

LAYOUTS: Final = ("nchw", "nhwc")


class OutputFormat(StrEnum):
    """How a result is written on standard output."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """Which model, at which size.

    Attributes
    ----------
    input_shapes : tuple of str
        As typed: ``1x3x224x224`` or ``name=1x128``.
    """

    reference: str
    input_shapes: tuple[str, ...] = ()
    batch: int | None = None
    layout: str | None = None
    seq_len: int | None = None

    def load(self) -> Graph:
        """Read or trace the model."""
        from estimator.frontends.select import load_graph

        return load_graph(
            self.reference,
            input_shapes=self.input_shapes,
            batch=self.batch,
            layout=self.layout or LAYOUTS[0],
            seq_len=self.seq_len,
        )


@dataclass(frozen=True, slots=True)
class TargetRequest:
    """How the model runs: everything of a request but the model and the device."""

    runtime: str | None = None
    precision: str | None = None
    layout: str | None = None
    strict: bool = False
    source: str | None = None
    calibrations: tuple[Path, ...] = ()

    def options(self) -> EstimateOptions:
        """Build the engine's options.

        Raises
        ------
        UnknownPrecisionError
            The precision is none of the known ones.
        BadOptionError, CatalogueError
            A calibration file is missing or wrong: found before a model is traced for it.
        """
        from estimator.catalogue.calibration_file import load_calibration
        from estimator.dtypes import Precision
        from estimator.engine import EstimateOptions

        for path in self.calibrations:
            load_calibration(path)
        return EstimateOptions(
            runtime=self.runtime,
            precision=None if self.precision is None else Precision.parse(self.precision),
            layout=self.layout,
            strict=self.strict,
            source=self.source,
            calibrations=self.calibrations,
        )


def _stacked(*decorators: Callable[[Any], Any]) -> Callable[[Command], Command]:
    def apply(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return apply


model_argument = click.argument("model", metavar="MODEL")

input_shape_option = click.option(
    "--input-shape", "input_shapes", metavar="[NAME=]1x3x224x224", multiple=True,
    help="Shape of an input; repeat for several, with their names.",
)  # fmt: skip
"""``input_shapes``, a tuple of str."""

seq_len_option = click.option(
    "--seq-len", type=click.IntRange(min=1), metavar="N", help="Tokens, for transformers: models."
)

model_options = _stacked(
    input_shape_option,
    click.option("--batch", type=click.IntRange(min=1), metavar="N", help="Rescale the leading dimension."),
    seq_len_option,
)
"""Options that size a model: ``input_shapes``, ``batch``, ``seq_len``."""

layout_option = click.option("--layout", type=click.Choice(LAYOUTS), help="Memory layout of images; default nchw.")

strict_option = click.option("--strict", is_flag=True, help="Fail when an operator has no cost rule.")

calibration_option = click.option(
    "--calibration", "calibrations", metavar="FILE", multiple=True, type=click.Path(path_type=Path),
    help="A calibration of your own, as `calibrate` writes it; repeatable.",
)  # fmt: skip
"""``calibrations``, a tuple of `Path`."""

target_options = _stacked(
    click.option("--runtime", metavar="R", help="Runtime, e.g. torch-eager, tflite, qnn; default: the unit's own."),
    click.option("--precision", metavar="P", help="fp32, tf32, fp16, bf16, amp-fp16, amp-bf16, int8, w8a16, w4a16."),
    layout_option,
    strict_option,
    calibration_option,
)
"""Options that say how it runs: ``runtime``, ``precision``, ``layout``, ``strict``, ``calibrations``."""


def writable(context: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    """Check where a result will go before any work is done for it: a callback of options."""
    if path is not None:
        try:
            check_writable(path)
        except OutputError as error:
            error.where = parameter.opts[0]
            raise
    return path


def finite(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Refuse ``nan`` and ``inf``, which lie in click's ranges: a callback of options."""
    if value is not None and not math.isfinite(value):
        raise BadOptionError(f"{parameter.opts[0]} is {value}", expected="a finite number")
    return value


def output_option(metavar: str, text: str = "File to write, as a whole or not at all.") -> Callable[[Command], Command]:
    """``-o FILE``, required; ``-`` is standard output."""
    return click.option(
        "-o", "--output", required=True, metavar=metavar, type=click.Path(dir_okay=False, path_type=Path),
        callback=writable, help=text,
    )  # fmt: skip


device_option = click.option(
    "--device", required=True, metavar="ID[/UNIT]|FILE", help="Device, e.g. sd865, sd865/cpu, rtx4090, my-board.yaml."
)


def _format_option(*formats: OutputFormat) -> Callable[[Command], Command]:
    return click.option(
        "--format",
        "output_format",
        type=click.Choice([one.value for one in formats]),
        default=OutputFormat.TABLE.value,
        show_default=True,
        callback=lambda context, parameter, value: OutputFormat(value),
        help="How to write the result.",
    )


format_option = _format_option(*OutputFormat)
"""``output_format``, an `OutputFormat`."""
table_or_json_option = _format_option(OutputFormat.TABLE, OutputFormat.JSON)
"""The same, where there are no rows for Markdown or CSV."""
