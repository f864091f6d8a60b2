"""``estimator-cli count MODEL``: what a model costs, by this project's rules or by any tool's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from estimator.cli.options import ModelRequest, OutputFormat, format_option, model_argument, model_options
from estimator.cli.output import write_notes, write_result, write_warnings
from estimator.errors import BadOptionError, UnknownConventionError
from estimator.report.csv_table import csv_text
from estimator.report.escaping import markdown_cell
from estimator.report.json_document import Json, json_text
from estimator.report.markdown import markdown_table

if TYPE_CHECKING:
    from estimator.costs.conventions import Count, Explanation
    from estimator.costs.conventions.explain import ExplanationRow
    from estimator.costs.layouts import Row
    from estimator.ir.graph import Graph

DEFAULT_CONVENTION = "native"
DEFAULT_OPTIMISER = "adamw"
_GRANULARITIES = ("layer", "module", "op")


@click.command()
@model_argument
@click.option(
    "--convention", metavar="C", show_default=DEFAULT_CONVENTION,
    help="native, textbook, fvcore, thop, thop-0.0.23, torchstat, ptflops, ptflops-aten, deepspeed, torch, "
    "tf-profiler.",
)  # fmt: skip
@click.option(
    "--per",
    type=click.Choice(_GRANULARITIES),
    help="One line per layer, module or op, instead of the tool's own layout.",
)
@click.option("--explain", metavar="A,B", help="Why conventions A and B differ on this model, closing to zero.")
@click.option(
    "--mode", type=click.Choice(["infer", "train"]), default="infer", show_default=True,
    help="A forward pass, or a training step: forward, backward and optimiser.",
)  # fmt: skip
@click.option(
    "--optimiser", type=click.Choice(["sgd", "momentum", "adamw"]), show_default=DEFAULT_OPTIMISER,
    help="Update rule, with --mode train.",
)  # fmt: skip
@click.option(
    "--device", metavar="ID[/UNIT]|FILE", help="Estimate torchstat's duration column on this device; it measures it."
)
@click.option("--strict", is_flag=True, help="Fail when an operator has no cost rule.")
@model_options
@format_option
def count(
    model: str,
    convention: str | None,
    per: str | None,
    explain: str | None,
    mode: str,
    optimiser: str | None,
    device: str | None,
    strict: bool,
    input_shapes: tuple[str, ...],
    batch: int | None,
    seq_len: int | None,
    output_format: OutputFormat,
) -> None:
    """Count the MACs, FLOPs and parameters of MODEL.

    The total is exactly what the chosen tool would say, whatever it calls it; notes say what it leaves out.
    """
    from estimator.costs import conventions
    from estimator.costs.training import Optimiser

    _refuse_idle_options(convention, explain, mode, optimiser, per, device, output_format)
    convention = convention or DEFAULT_CONVENTION
    names = _conventions_asked(convention, explain)
    for name in names:
        _check_convention(name, "--convention" if explain is None else "--explain")
    request = ModelRequest(model, input_shapes, batch, seq_len=seq_len)
    graph = _load_for(names[0], request)
    if strict:
        _refuse_unsupported(graph)
    if explain is not None:
        other = graph if _reads_whole_file(names[0]) == _reads_whole_file(names[1]) else _load_for(names[1], request)
        first, second = conventions.count(graph, names[0]), conventions.count(other, names[1])
        write_result(_explanation(conventions.explain_counts(first, second), graph, output_format))
        if output_format is not OutputFormat.JSON:
            write_warnings((*_unsupported_warning(first), *_unsupported_warning(second)))
            write_notes(_notes_of_both(first, second))
        return
    if mode == "train":
        made = conventions.count_training(graph, convention, Optimiser(optimiser or DEFAULT_OPTIMISER))
        per = per or "op"
    else:
        made = conventions.count(graph, convention)
    shares = None if device is None else _duration_share(graph, device)
    write_result(render(made, graph, output_format, per, shares))
    if output_format is not OutputFormat.JSON:  # the document carries them
        write_warnings(_unsupported_warning(made))
        write_notes(made.notes)


def _refuse_idle_options(
    convention: str | None, explain: str | None, mode: str, optimiser: str | None, per: str | None, device: str | None,
    output_format: OutputFormat,
) -> None:  # fmt: skip
    """Refuse what would change nothing.

    Raises
    ------
    BadOptionError
        Names the option, and the one that it needs.
    """
    training, shows_layout = mode == "train", per is None and output_format is OutputFormat.TABLE
    needs = (
        ("--optimiser", optimiser is not None, training and explain is None, "--mode train"),
        ("--mode train", training, explain is None, "no --explain"),
        ("--per", per is not None, explain is None, "no --explain"),
        ("--convention", convention is not None, explain is None, "no --explain, which names both conventions"),
        (
            "--device", device is not None,
            _shows_duration(convention) and shows_layout and not training and explain is None,
            "--convention torchstat in its own layout, whose duration column it fills",
        ),
    )  # fmt: skip
    for option, given, has_effect, needed in needs:
        if given and not has_effect:
            raise BadOptionError(f"{option} has no effect here", where="estimator-cli count", expected=needed)


def _check_convention(name: str, option: str) -> None:
    """Check a name before the model is read: a typing slip must not cost a trace."""
    from estimator.costs import conventions

    try:
        conventions.convention_of(name)
    except UnknownConventionError as error:
        error.option = option
        raise


def _shows_duration(convention: str | None) -> bool:
    """Whether the tool's layout has a column of measured time."""
    return convention == "torchstat"


def _reads_whole_file(convention: str) -> bool:
    """Whether the tool counts nodes that no inference runs, such as TensorFlow's variable initialisers."""
    return convention == "tf-profiler"


def _load_for(convention: str, request: ModelRequest) -> Graph:
    """Read the model as the tool of a convention would."""
    if not _reads_whole_file(convention):
        return request.load()
    from estimator.frontends.select import load_graph

    return load_graph(
        request.reference,
        input_shapes=request.input_shapes,
        batch=request.batch,
        seq_len=request.seq_len,
        prune=False,
    )


def _duration_share(graph: Graph, device: str) -> dict[str, float]:
    """Estimate each module's share of the time; a fused kernel's goes to the module of its first op."""
    from estimator.catalogue.loader import load_device
    from estimator.cli.options import TargetRequest
    from estimator.engine import estimate

    target, unit = load_device(device)
    scope_of = {op.name: op.scope or op.name for op in graph.ops}
    shares: dict[str, float] = {}
    for kernel in estimate(graph, target, unit, TargetRequest().options()).kernels:
        owner = next((scope_of[name] for name in kernel.ops if name in scope_of), kernel.name)
        shares[owner] = shares.get(owner, 0.0) + kernel.share
    return shares


def _conventions_asked(convention: str, explain: str | None) -> tuple[str, ...]:
    """Split ``--explain A,B``; without it, the one convention."""
    if explain is None:
        return (convention,)
    names = tuple(name.strip() for name in explain.split(","))
    if len(names) != 2:
        raise BadOptionError(
            f"cannot compare {explain!r}", where="--explain", expected="two conventions, e.g. thop,fvcore"
        )
    return names


def _refuse_unsupported(graph: Graph) -> None:
    from estimator.costs.registry import graph_cost
    from estimator.errors import UnsupportedOpError

    unsupported = graph_cost(graph).unsupported
    if unsupported:
        raise UnsupportedOpError(unsupported)


def render(
    made: Count,
    graph: Graph,
    output_format: OutputFormat,
    per: str | None,
    duration_share: Mapping[str, float] | None = None,
) -> str:
    """Write a count in one of the four formats."""
    from estimator.costs.layouts import Per, rows_of
    from estimator.costs.layouts import render as lay_out

    match output_format:
        case OutputFormat.JSON:
            return json_text(count_document(made, graph, per or "layer"))
        case OutputFormat.CSV:
            return csv_text(_COLUMNS, map(_cells, rows_of(made, graph, per or "layer")))
        case OutputFormat.MARKDOWN:
            return _markdown(made, graph, rows_of(made, graph, per or "layer"))
        case OutputFormat.TABLE:
            return lay_out(made, graph, None if per is None else Per(per), duration_share=duration_share)


def count_document(made: Count, graph: Graph, per: str) -> dict[str, Json]:
    """Build the JSON document of a count."""
    from estimator.costs.layouts import rows_of

    return {
        "model": graph.name,
        "convention": made.convention,
        "quantity": made.quantity,
        "total": made.total,
        "macs": made.macs,
        "flops": made.flops,
        "params": made.params,
        "layers": [
            {
                "name": row.name,
                "type": row.type_name,
                "output_shape": list(row.output_shape),
                "params": row.params,
                "macs": row.macs,
                "flops": row.flops,
                "value": row.value,
            }
            for row in rows_of(made, graph, per)
        ],
        "unsupported": list(made.unsupported),
        "notes": [*graph.notes, *made.notes],
    }


_COLUMNS = ("name", "type", "output_shape", "params", "macs", "flops", "value")


def _cells(row: Row) -> tuple[str, ...]:
    shape = "x".join(map(str, row.output_shape))
    return row.name, row.type_name, shape, str(row.params), str(row.macs), str(row.flops), str(row.value)


def _markdown(made: Count, graph: Graph, rows: tuple[Row, ...]) -> str:
    heading = (
        f"**{markdown_cell(graph.name)}** · {made.convention} · {made.quantity} {made.total:,} · "
        f"MACs {made.macs:,} · params {made.params:,}"
    )
    return f"{heading}\n\n{_markdown_rows(_COLUMNS, map(_cells, rows), 'lllrrrr')}"


def _markdown_rows(header: Sequence[str], rows: Iterable[Sequence[str | int]], align: str) -> str:
    return markdown_table(header, [[markdown_cell(str(cell)) for cell in row] for row in rows], align)


def _explanation(explanation: Explanation, graph: Graph, output_format: OutputFormat) -> str:
    first, second = explanation.first, explanation.second
    match output_format:
        case OutputFormat.JSON:
            return json_text(
                {
                    "model": graph.name,
                    "first": {"convention": first.convention, "quantity": first.quantity, "total": first.total},
                    "second": {"convention": second.convention, "quantity": second.quantity, "total": second.total},
                    "rows": [dict(zip(_REASON_COLUMNS, _reason(row), strict=True)) for row in explanation.rows],
                    "remainder": explanation.remainder,
                    "notes": _notes_of_both(first, second),
                }
            )
        case OutputFormat.CSV:
            return csv_text(_REASON_COLUMNS, map(_reason, explanation.rows))
        case OutputFormat.MARKDOWN:
            heading = (
                f"**{markdown_cell(graph.name)}** · {first.convention} {first.quantity} {first.total:,} against "
                f"{second.convention} {second.quantity} {second.total:,}"
            )
            return f"{heading}\n\n{_markdown_rows(_REASON_COLUMNS, map(_reason, explanation.rows), 'lrrrll')}"
        case OutputFormat.TABLE:
            from estimator.costs.layouts.explanation import explanation_text

            return explanation_text(explanation, graph.name)


def _notes_of_both(first: Count, second: Count) -> list[str]:
    """List the notes of two counts; one that is not of both says whose it is."""
    shared = [note for note in first.notes if note in second.notes]
    own = [f"{made.convention}: {note}" for made in (first, second) for note in made.notes if note not in shared]
    return shared + own


_REASON_COLUMNS = ("reason", "first", "second", "difference", "first_rule", "second_rule")


def _reason(row: ExplanationRow) -> tuple[str | int, ...]:
    return row.reason, row.first, row.second, row.difference, row.first_rule, row.second_rule


def _unsupported_warning(made: Count) -> list[str]:
    if not made.unsupported:
        return []
    listed = ", ".join(made.unsupported[:6]) + (", …" if len(made.unsupported) > 6 else "")
    return [f"{made.convention} has no rule for {len(made.unsupported)} of the operators or layers here: {listed}"]
