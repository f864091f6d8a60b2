"""``estimator-cli table SPACE.yaml --device D -o LUT.yaml``: a per-block latency table for a search loop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from estimator.cli.options import TargetRequest, device_option, output_option, target_options
from estimator.cli.output import device_files, keep_inputs, say_written, write_warnings
from estimator.files import write_whole
from estimator.units import format_seconds

if TYPE_CHECKING:
    from estimator.ir.graph import Graph
    from estimator.result import Estimate


@click.command()
@click.argument("space_file", metavar="SPACE.yaml", type=click.Path(dir_okay=False, path_type=Path))
@device_option
@output_option("LUT.yaml")
@target_options
@click.option(
    "--batch", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Batch of each row."
)
def table(
    space_file: Path,
    device: str,
    output: Path,
    runtime: str | None,
    precision: str | None,
    layout: str | None,
    strict: bool,
    calibrations: tuple[Path, ...],
    batch: int,
) -> None:
    """Tabulate the latency of every block of a search space on a device.

    Rows are in the layout that the space asks for, once-for-all's or ProxylessNAS's: times in ms under ``mean``.
    A space:

    \b
    schema_version: 1
    layout: once-for-all                 # or proxylessnas
    resolutions: [192, 224]
    stem: {channels: 16, kernel: 3, stride: 2, activation: hardswish}
    stages:                              # each list is of choices; depth is the most blocks
      - {channels: [24], depth: 4, kernel: [3, 5], expand: [3, 6], stride: 2, activation: relu}
    final_expand: {channels: 960, activation: hardswish}
    feature_mix: {channels: 1280, activation: hardswish}                    # optional
    classes: 1000
    """  # noqa: D301 - \b is click's mark for "do not rewrap", not a typing slip
    from estimator.catalogue.loader import load_device
    from estimator.engine import estimate
    from estimator.planning.space import load_space
    from estimator.planning.table import latency_table, table_yaml

    keep_inputs(output, space_file, *device_files(device), *calibrations)
    found, unit = load_device(device)
    options = TargetRequest(runtime, precision, layout, strict, calibrations=calibrations).options()
    space = load_space(space_file)
    answers: list[Estimate] = []

    def estimate_block(graph: Graph) -> Estimate:
        answers.append(estimate(graph, found, unit, options))
        return answers[-1]

    rows = latency_table(space, estimate_block, batch=batch)
    write_whole(output, table_yaml(rows, _header(answers[0])))
    write_warnings(dict.fromkeys(warning for answer in answers for warning in answer.warnings))
    say_written(
        output, f"{len(rows.rows)} rows" + (f", fixed cost {format_seconds(rows.fixed_s)}" if rows.fixed_s else "")
    )


def _header(answer: Estimate) -> str:
    """Say what the rows hold for, so that a table never floats about without its device."""
    kind = answer.provenance.kind.value
    where = f"{answer.device}/{answer.unit}, {answer.runtime}, {answer.precision}, batch {answer.batch}"
    return (
        f"latency in ms per block: {answer.device_name} ({where}); coefficients: {kind}\n"
        "sum the rows of a network, and add Fixed once where it is listed"
    )
