"""Which conventions there are."""

from __future__ import annotations

from estimator.costs.conventions import (
    deepspeed,
    fvcore,
    native,
    ptflops,
    ptflops_aten,
    textbook,
    tf_profiler,
    thop,
    thop_0_0_23,
    torch_counter,
    torchstat,
)
from estimator.costs.conventions.count import Convention, Count
from estimator.errors import UnknownConventionError
from estimator.ir.graph import Graph

_CONVENTIONS: dict[str, Convention] = {
    module.CONVENTION.name: module.CONVENTION
    for module in (
        native, textbook, fvcore, thop, thop_0_0_23, torchstat, ptflops, ptflops_aten, deepspeed, torch_counter,
        tf_profiler,
    )
}  # fmt: skip


def convention_names() -> tuple[str, ...]:
    """Names for ``count --convention``, the default first."""
    return tuple(_CONVENTIONS)


def convention_of(name: str) -> Convention:
    """Look a convention up.

    Raises
    ------
    UnknownConventionError
        No convention has this name.
    """
    try:
        return _CONVENTIONS[name]
    except KeyError:
        raise UnknownConventionError(name, convention_names()) from None


def count(graph: Graph, convention: str = "native") -> Count:
    """Count a graph by a convention.

    Returns
    -------
    Count
        `Count.total` is exactly the tool's own number.

    Raises
    ------
    UnknownConventionError
        No convention has this name.
    """
    return convention_of(convention).count(graph)
