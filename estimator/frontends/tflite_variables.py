"""Variables of a TFLite file: which handle stands for which, and which are written after loading."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from estimator.frontends.tflite_schema import TfliteModel, TfliteOperator, TfliteSubgraph

Variable = tuple[str, str]
"""Container and shared name: all handles with both stand for one variable."""


@dataclass(frozen=True, slots=True)
class Variables:
    """What is known of a file's variables.

    Attributes
    ----------
    handles : dict of (int, int) to set of Variable
        By subgraph and tensor index: the variables that a handle can stand for.
    written : set of Variable
        Those that a subgraph writes which does not run once, at loading.
    """

    handles: dict[tuple[int, int], set[Variable]] = field(default_factory=dict)
    written: set[Variable] = field(default_factory=set)

    def of(self, model: TfliteModel, subgraph: TfliteSubgraph, tensor: int) -> set[Variable]:
        """Variables that a tensor of a subgraph can be a handle of."""
        place = next(i for i, other in enumerate(model.subgraphs) if other is subgraph)
        return self.handles.get((place, tensor), set())


def find_variables(model: TfliteModel) -> Variables:
    """Follow handles from where they are made into and out of bodies of control flow; look who writes through them."""
    found = Variables()
    operators = [(place, op) for place, subgraph in enumerate(model.subgraphs) for op in subgraph.operators]
    for place, op in operators:
        if op.op_type == "VAR_HANDLE" and op.outputs:
            name = ("", "") if op.options is None else (op.options.text(0), op.options.text(1))
            found.handles[place, op.outputs[0]] = {name}
    passed = list(_passed(model, operators)) if found.handles else []
    growing = True
    while growing:
        growing = False
        for source, result in passed:
            new = found.handles.get(source, set()) - found.handles.get(result, set())
            if new:
                found.handles.setdefault(result, set()).update(new)
                growing = True
    at_loading = {_option(op, 0) for _, op in operators if op.op_type == "CALL_ONCE"}
    for place, op in operators:
        if op.op_type == "ASSIGN_VARIABLE" and op.inputs and place not in at_loading:
            found.written.update(found.handles.get((place, op.inputs[0]), ()))
    return found


def _passed(
    model: TfliteModel, operators: list[tuple[int, TfliteOperator]]
) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Yield pairs of tensors between a graph and a body of its control flow, the second being the first."""
    for place, op in operators:
        if op.op_type not in ("IF", "WHILE"):
            continue
        given = op.inputs[1:] if op.op_type == "IF" else op.inputs
        for body in (_option(op, 0), _option(op, 1)):
            if 0 < body < len(model.subgraphs):
                for outer, inner in zip(given, model.subgraphs[body].inputs, strict=False):
                    yield (place, outer), (body, inner)
                for outer, inner in zip(op.outputs, model.subgraphs[body].outputs, strict=False):
                    yield (body, inner), (place, outer)


def _option(op: TfliteOperator, index: int) -> int:
    return 0 if op.options is None else op.options.scalar(index, "i")
