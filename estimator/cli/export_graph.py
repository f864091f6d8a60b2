"""``estimator-cli export-graph MODEL -o graph.json``: the model as the project's own graph."""

from __future__ import annotations

import json
from pathlib import Path

import click

from estimator.cli.options import ModelRequest, layout_option, model_argument, model_options, output_option
from estimator.cli.output import keep_inputs, model_files, say_written, write_warnings
from estimator.files import write_whole


@click.command()
@model_argument
@output_option("graph.json")
@layout_option
@model_options
def export_graph(
    model: str,
    output: Path,
    layout: str | None,
    input_shapes: tuple[str, ...],
    batch: int | None,
    seq_len: int | None,
) -> None:
    """Write MODEL as graph.json: its operators and tensor shapes, no weights.

    The file is a MODEL for every other command, and needs no framework to be read.
    """
    from estimator.ir.document import graph_to_json

    keep_inputs(output, *model_files(model))
    graph = ModelRequest(model, input_shapes, batch, layout, seq_len).load()
    write_whole(output, json.dumps(graph_to_json(graph), separators=(",", ":"), allow_nan=False) + "\n")
    write_warnings(graph.notes)
    say_written(output, f"{len(graph.ops)} operators, {len(graph.tensors)} tensors")
