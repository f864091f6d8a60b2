"""Read facts from a device document: the one place where datasheet units become base SI."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from estimator.catalogue.device import Basis, SourcedValue
from estimator.catalogue.document import Value
from estimator.units import GIB, GIGA, KIB, MEGA, MIB, MICRO, TERA

SI_FACTOR: Final[Mapping[str, float]] = {
    "tflops": TERA,
    "gflops": GIGA,
    "tops": TERA,
    "gops": GIGA,
    "gb_per_s": GIGA,
    "mhz": MEGA,
    "ghz": GIGA,
    "gb": GIGA,
    "gib": GIB,
    "mib": MIB,
    "kib": KIB,
    "bytes": 1,
    "us": MICRO,
    "w": 1,
}
"""Unit suffix of a key: what one such unit is in base SI."""

_PRINTED: Final[Mapping[str, str]] = {
    "tflops": "TFLOP/s",
    "gflops": "GFLOP/s",
    "tops": "TOP/s",
    "gops": "GOP/s",
    "gb_per_s": "GB/s",
    "mhz": "MHz",
    "ghz": "GHz",
    "gb": "GB",
    "gib": "GiB",
    "mib": "MiB",
    "kib": "KiB",
    "bytes": "B",
    "us": "µs",
    "w": "W",
}


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number in base SI, and how sure it is; an unknown one holds what stands in for it."""

    value: float
    basis: Basis


@dataclass(frozen=True, slots=True)
class Node:
    """A mapping of a validated document, read with types."""

    values: Mapping[str, Value]

    def text(self, key: str) -> str:
        """Read text that the schema guarantees."""
        value = self.values[key]
        if not isinstance(value, str):
            raise TypeError(f"{key} is not text")
        return value

    def optional_text(self, key: str) -> str | None:
        """Read text, or None when the key is absent."""
        return self.text(key) if key in self.values else None

    def texts(self, key: str) -> tuple[str, ...]:
        """Read a sequence of texts; empty when the key is absent."""
        return tuple(str(item) for item in _sequence(self.values.get(key)))

    def node(self, key: str) -> Node:
        """Read a mapping below; empty when the key is absent."""
        value = self.values.get(key, {})
        if not isinstance(value, Mapping):
            raise TypeError(f"{key} is not a mapping")
        return Node(value)

    def nodes(self, key: str) -> Iterator[Node]:
        """Iterate over the mappings of a sequence."""
        for item in _sequence(self.values.get(key)):
            if not isinstance(item, Mapping):
                raise TypeError(f"{key} holds something else than mappings")
            yield Node(item)

    def children(self, key: str) -> Iterator[tuple[str, Node]]:
        """Iterate over named mappings below."""
        for name in self.node(key).values:
            yield name, self.node(key).node(name)

    def fact(self, key: str) -> Quantity | None:
        """Read a fact as it stands; None when absent, or unknown with no stand-in."""
        if key not in self.values:
            return None
        fact = self.node(key).values
        number = fact["value"]
        if number == "unknown":
            number = fact.get("assume")
            return None if number is None else Quantity(_number(number, key), Basis.ASSUMED)
        basis = fact.get("basis", "datasheet")
        return Quantity(_number(number, key), Basis(str(basis)))

    def quantity(self, stem: str, cores: float | None = None) -> Quantity | None:
        """Read a fact whose key is `stem` and a unit, in base SI; ``_per_core`` is multiplied by `cores`.

        Returns
        -------
        Quantity or None
            None when absent or unknown.
        """
        for suffix, factor in SI_FACTOR.items():
            fact = self.fact(f"{stem}_{suffix}")
            if fact is not None:
                return Quantity(fact.value * factor, fact.basis)
            per_core = self.fact(f"{stem}_{suffix}_per_core")
            if per_core is not None and cores is not None:
                return Quantity(per_core.value * factor * cores, per_core.basis)
        return None


def sourced_values(root: Node) -> tuple[SourcedValue, ...]:
    """List every fact of a document in file order, with its source spelled out."""
    titles = {name: source.text("title") for name, source in root.children("sources")}
    return tuple(_walk(root.values, "", titles))


def assumption_sentences(values: Sequence[SourcedValue], unit: str) -> tuple[str, ...]:
    """List what nobody published among the values that an estimate reads, as sentences.

    Parameters
    ----------
    values : sequence of SourcedValue
        Of the whole device.
    unit : str
        The unit that is estimated; memory is shared by all.
    """
    sentences = []
    for value in values:
        if value.basis not in (Basis.ASSUMED, Basis.UNKNOWN) or not value.where:
            continue
        subject = _subject(value.path, f"units.{unit}.")
        if subject is not None:
            sentences.append(f"{subject} {value.value}: {value.where}")
    return tuple(sentences)


def _subject(path: str, unit: str) -> str | None:
    """Name in words what a path holds, if timing or memory reads it: rates, bandwidths, sizes, clocks, cores."""
    if path.startswith("memory."):
        name = path.removeprefix("memory.").partition("_")[0]
        return None if name == "type" else f"memory {name}"
    if not path.startswith(unit):
        return None
    section, _, rest = path.removeprefix(unit).partition("[")
    label, _, key = rest.partition("].")
    if section == "compute":
        return f"{' '.join(label.split()[:2])} rate"
    if section == "memory":
        return f"{label} {key.partition('_')[0]}"
    if section == "clusters" and key in ("core_count", "clock_ghz", "fp32_flops_per_cycle"):
        return f"{label} {_words(key)}"
    if section.startswith("execution.") and ("clock" in section or section.endswith("core_count")):
        return _words(section.removeprefix("execution."))
    return None


def _words(key: str) -> str:
    """Write ``max_clock_mhz`` as ``max clock``: the value prints its unit."""
    return key.removesuffix("_mhz").removesuffix("_ghz").replace("_", " ")


def _walk(value: Value, path: str, titles: Mapping[str, str]) -> Iterator[SourcedValue]:
    if isinstance(value, Mapping):
        if "value" in value or "precisions" in value:
            yield _sourced(value, path, titles)
            return
        for key, below in value.items():
            yield from _walk(below, f"{path}.{key}" if path else key, titles)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            yield from _walk(item, f"{path}[{_label(item)}]", titles)


def _label(item: Value) -> str:
    if not isinstance(item, Mapping):
        return ""
    keys = ("name", "level", "quantity", "engine", "dtype", "accumulate")
    return " ".join(str(item[key]) for key in keys if key in item)


def _sourced(fact: Mapping[str, Value], path: str, titles: Mapping[str, str]) -> SourcedValue:
    basis = Basis(str(fact.get("basis", "datasheet")))
    if "precisions" in fact:
        shown = " ".join(str(item) for item in _sequence(fact["precisions"]))
    else:
        shown = with_unit(path, fact["value"])
        if "assume" in fact:
            shown += f", taken as {with_unit(path, fact['assume'])}"
    source = str(fact.get("source", ""))
    evidence = [str(fact[key]) for key in ("where", "record", "from", "why") if key in fact]
    return SourcedValue(path, shown, basis, titles.get(source, source), "; ".join(evidence))


def with_unit(key: str, value: Value) -> str:
    """Print a value with the unit that its key names: ``boost_clock_mhz``, 1695 → ``1695 MHz``."""
    number = f"{value:.12g}" if isinstance(value, float) else str(value)
    stem = key.removesuffix("_per_core")
    for suffix, printed in _PRINTED.items():
        if stem.endswith(f"_{suffix}") and number != "unknown":
            return f"{number} {printed}" + (" per core" if stem != key else "")
    return number


def _sequence(value: Value) -> Sequence[Value]:
    if value is None:
        return ()
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError("a sequence was expected")
    return value


def _number(value: Value, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{key} is not a number")
    return value
