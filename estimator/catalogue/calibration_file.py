"""Read and write calibration files.

``devices/calibration/shared/<response>.json`` holds a `Response` (numbers only, versioned);
``devices/calibration/<device>/<unit>-<runtime>[-<layout>].yaml`` holds a device's `Calibration`.
Nothing is evaluated or unpickled; every array's length is checked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import yaml

from estimator.catalogue.calibration import (
    STEEP_CACHE_EXPONENT,
    Calibration,
    ContextOffset,
    FloatArray,
    Network,
    Residual,
    Response,
    Spread,
)
from estimator.catalogue.location import devices_directory
from estimator.errors import BadOptionError, CatalogueError
from estimator.files import near_files, write_whole

SCHEMA_VERSION: Final = 1
MAX_FILE_BYTES: Final = 16 * 1024 * 1024
_CLASS_ARRAYS = (
    "log_compute_efficiency", "log_memory_efficiency", "log_k_half", "log_n_half", "log_weight_cost",
    "log_launch_by_class",
)  # fmt: skip
_SCALARS = ("log_launch_s", "log_fixed_s", "cache_gain", "unaligned_cost", "wave_exponent")
_OFFSET_SCALARS = ("compute", "memory", "overhead", "fixed")


def calibration_directory() -> Path:
    """Where calibrations live: beside the devices, in a checkout and in the wheel."""
    return devices_directory() / "calibration"


def response_names() -> tuple[str, ...]:
    """Shared responses that exist."""
    return tuple(sorted(p.stem for p in (calibration_directory() / "shared").glob("*.json")))


@lru_cache(maxsize=64)
def load_response(name: str) -> Response:
    """Read a shared response.

    Raises
    ------
    CatalogueError
        Missing or malformed; names the file and the field.
    """
    path = calibration_directory() / "shared" / f"{name}.json"
    return parse_response(_read(path), path)


def find_calibration(device: str, unit: str, runtime: str, layout: str) -> Calibration | None:
    """Find the calibration of a device, unit and runtime, the layout's own before the general one."""
    folder = calibration_directory() / device
    for stem in (f"{unit}-{runtime}-{layout}", f"{unit}-{runtime}"):
        path = folder / f"{stem}.yaml"
        if path.is_file():
            return load_calibration(path)
    return None


@lru_cache(maxsize=256)
def load_calibration(path: Path) -> Calibration:
    """Read a device's calibration file.

    Raises
    ------
    BadOptionError
        There is no such file.
    CatalogueError
        Unreadable, of another version, or with a missing or malformed field.
    """
    if not path.exists():
        near = ", ".join(near_files(path, (".yaml", ".yml")))
        raise BadOptionError(
            f"no such file: {path} (--calibration)",
            expected=f"a calibration file{', such as ' + near if near else ''}",
            hint="estimator-cli calibrate RECORDS.csv --device D --runtime R -o FILE.yaml writes one",
        )
    try:
        document = yaml.load(_read(path), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError) as error:
        raise CatalogueError(f"not a calibration file: {str(error).splitlines()[0]}", where=str(path)) from None
    fields = _Fields(document, path)
    fields.version()
    offset = fields.child("offset")
    return Calibration(
        device=fields.text("device"),
        unit=fields.text("unit"),
        runtime=fields.text("runtime"),
        runtime_version=fields.text("runtime_version"),
        response=fields.text("response"),
        offset=_offset(offset, load_response(fields.text("response")).class_names),
        spread=_spread(fields.child("spread")),
        sample_count=int(fields.number("sample_count")),
        dataset_sha256=fields.text("dataset_sha256"),
        date=fields.text("date"),
        precisions=tuple(str(p) for p in fields.items("precisions")),
        other_responses=tuple(str(n) for n in fields.items("other_responses")) if fields.has("other_responses") else (),
    )


def dump_calibration(calibration: Calibration, class_names: tuple[str, ...], path: Path, comment: str = "") -> None:
    """Write a calibration file, as a whole or not at all.

    Raises
    ------
    OutputError
        The folder is missing or not writable.
    """
    o = calibration.offset
    document = {
        "schema_version": SCHEMA_VERSION,
        "device": calibration.device,
        "unit": calibration.unit,
        "runtime": calibration.runtime,
        "runtime_version": calibration.runtime_version,
        "precisions": list(calibration.precisions),
        "response": calibration.response,
        **({"other_responses": list(calibration.other_responses)} if calibration.other_responses else {}),
        "sample_count": calibration.sample_count,
        "dataset_sha256": calibration.dataset_sha256,
        "date": calibration.date,
        "spread": _spread_document(calibration.spread),
        "offset": {
            **{name: round(float(getattr(o, name)), 6) for name in _OFFSET_SCALARS},
            "classes": {n: round(float(v), 6) for n, v in zip(class_names, o.classes, strict=True) if abs(v) > 5e-7},
        },
    }
    text = "".join(f"# {line}\n" for line in comment.splitlines())
    write_whole(path, text + yaml.safe_dump(document, sort_keys=False, allow_unicode=True))


def dump_response(response: Response, path: Path) -> None:
    """Write a shared response, as a whole or not at all; seven significant digits a number.

    Raises
    ------
    OutputError
        The folder is missing or not writable.
    """
    document: dict[str, object] = {
        "schema_version": SCHEMA_VERSION,
        "name": response.name,
        "records": response.records,
        "class_names": list(response.class_names),
        "feature_names": list(response.feature_names),
        **{name: _digits(getattr(response, name)) for name in _CLASS_ARRAYS},
        **{name: _digits(getattr(response, name)) for name in _SCALARS},
        "cache_exponent": _digits(response.cache_exponent),
        "spreads": {kind: _spread_document(spread) for kind, spread in response.spreads.items()},
        "contexts": {name: _digits(offset.vector()) for name, offset in response.contexts.items()},
    }
    if response.network is not None:
        n = response.network
        document["network"] = {name: _digits(getattr(n, name)) for name in Network.__dataclass_fields__}
    if response.residual is not None:
        r = response.residual
        document["residual"] = {
            "length": r.length,
            **({"only_on": r.only_on} if r.only_on else {}),
            "anchors": [[round(float(v), 4) for v in row] for row in r.anchors],
            "weights": [round(float(v), 5) for v in r.weights],
        }
    write_whole(path, json.dumps(document, ensure_ascii=False, separators=(",", ":")).replace(',"', ',\n"') + "\n")


def parse_response(text: str, path: Path) -> Response:
    """Parse the JSON of a response; see `load_response`."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CatalogueError(f"not a response file: {error}", where=str(path)) from None
    fields = _Fields(document, path)
    fields.version()
    class_names = tuple(str(c) for c in fields.items("class_names"))
    feature_names = tuple(str(f) for f in fields.items("feature_names"))
    classes, features = len(class_names), len(feature_names)
    network = fields.child("network") if "network" in fields.document else None
    return Response(
        name=fields.text("name"),
        class_names=class_names,
        feature_names=feature_names,
        log_compute_efficiency=fields.array("log_compute_efficiency", (classes,)),
        log_memory_efficiency=fields.array("log_memory_efficiency", (classes,)),
        log_k_half=fields.array("log_k_half", (classes,)),
        log_n_half=fields.array("log_n_half", (classes,)),
        log_weight_cost=fields.array("log_weight_cost", (classes,)),
        log_launch_s=fields.number("log_launch_s"),
        log_launch_by_class=fields.array("log_launch_by_class", (classes,)),
        log_fixed_s=fields.number("log_fixed_s"),
        cache_gain=fields.number("cache_gain"),
        unaligned_cost=fields.number("unaligned_cost"),
        wave_exponent=fields.number("wave_exponent"),
        network=_network(network, classes, features) if network else None,
        cache_exponent=fields.number("cache_exponent") if fields.has("cache_exponent") else STEEP_CACHE_EXPONENT,
        residual=_residual(fields.child("residual")) if "residual" in fields.document else None,
        contexts={
            name: ContextOffset.from_vector(fields.child("contexts").array(name, (4 + classes,)))
            for name in fields.child("contexts").document
        },
        spreads={name: _spread(fields.child("spreads").child(name)) for name in fields.child("spreads").document},
        records=int(fields.number("records")),
    )


class _Fields:
    """Checked access to a parsed document; every error names file and field."""

    def __init__(self, document: object, path: Path, prefix: str = "") -> None:
        if not isinstance(document, Mapping):
            raise CatalogueError(f"{prefix or 'the document'} is not a mapping", where=str(path))
        self.document = document
        self.path = path
        self.prefix = prefix

    def version(self) -> None:
        if self.number("schema_version") != SCHEMA_VERSION:
            raise CatalogueError(
                f"schema_version is {self.document['schema_version']}",
                where=str(self.path),
                expected=f"{SCHEMA_VERSION}; another version of this program wrote it",
            )

    def get(self, name: str) -> object:
        if name not in self.document:
            raise CatalogueError(f"field {self.prefix}{name} is missing", where=str(self.path))
        return self.document[name]

    def has(self, name: str) -> bool:
        return name in self.document

    def child(self, name: str) -> _Fields:
        return _Fields(self.get(name), self.path, f"{self.prefix}{name}.")

    def text(self, name: str) -> str:
        value = self.get(name)
        if isinstance(value, Mapping | list):
            raise self._wrong(name, "text")
        return str(value)

    def number(self, name: str) -> float:
        value = self.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self._wrong(name, "a finite number")
        return float(value)

    def items(self, name: str) -> list[object]:
        value = self.get(name)
        if not isinstance(value, list):
            raise self._wrong(name, "a list")
        return value

    def array(self, name: str, shape: tuple[int, ...]) -> FloatArray:
        try:
            values = np.array(self.get(name), dtype=np.float64)
        except (TypeError, ValueError):
            raise self._wrong(name, f"numbers of shape {shape}") from None
        if values.shape != shape or not np.isfinite(values).all():
            raise self._wrong(name, f"finite numbers of shape {shape}, not {values.shape}")
        return values

    def _wrong(self, name: str, expected: str) -> CatalogueError:
        return CatalogueError(f"field {self.prefix}{name} is malformed", where=str(self.path), expected=expected)


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise CatalogueError(f"larger than {MAX_FILE_BYTES} bytes", where=str(path))
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CatalogueError(f"cannot read the calibration: {reason}", where=str(path)) from None


def _network(fields: _Fields, classes: int, features: int) -> Network:
    width = len(fields.items("output"))
    return Network(
        feature_mean=fields.array("feature_mean", (features,)),
        feature_scale=fields.array("feature_scale", (features,)),
        hidden=fields.array("hidden", (features, width)),
        hidden_by_class=fields.array("hidden_by_class", (classes, width)),
        second=fields.array("second", (width, width)),
        second_bias=fields.array("second_bias", (width,)),
        output=fields.array("output", (width,)),
        output_bias=fields.number("output_bias"),
        limit=fields.number("limit"),
    )


def _residual(fields: _Fields) -> Residual:
    weights = fields.items("weights")
    rows = fields.items("anchors")
    width = len(rows[0]) if rows and isinstance(rows[0], list) else 0
    return Residual(
        anchors=fields.array("anchors", (len(weights), width)),
        weights=fields.array("weights", (len(weights),)),
        length=fields.number("length"),
        only_on=fields.text("only_on") if fields.has("only_on") else "",
    )


def _offset(fields: _Fields, class_names: tuple[str, ...]) -> ContextOffset:
    classes = fields.child("classes")
    unknown = sorted(set(classes.document) - set(class_names))
    if unknown:
        raise CatalogueError(f"unknown kernel class {unknown[0]!r}", where=str(fields.path))
    values = [classes.number(n) if n in classes.document else 0.0 for n in class_names]
    compute, memory, overhead, fixed = (fields.number(n) for n in _OFFSET_SCALARS)
    return ContextOffset(compute, memory, overhead, fixed, np.array(values))


def _spread(fields: _Fields) -> Spread:
    return Spread(
        fields.number("log_p10"), fields.number("log_p90"), fields.number("median_ape"), int(fields.number("records"))
    )


def _spread_document(spread: Spread) -> dict[str, float]:
    return {
        "log_p10": round(spread.log_p10, 5),
        "log_p90": round(spread.log_p90, 5),
        "median_ape": round(spread.median_ape, 5),
        "records": spread.records,
    }


def _digits(value: object) -> object:
    if isinstance(value, np.ndarray):
        return [_digits(v) for v in value]
    return float(f"{float(value):.7g}")  # type: ignore[arg-type]  # numpy scalar or float
