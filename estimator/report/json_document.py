"""The JSON form of an estimate: versioned, complete, and read back into the same estimate.

Field names and units are a contract that scripts rely on: ``latency_ms`` in milliseconds, a kernel's
``latency_us`` in microseconds, sizes in bytes, shares as fractions. Fields are added freely; a
renamed or removed one raises `SCHEMA_VERSION`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from estimator.result import Estimate, KernelEstimate
from estimator.units import MICRO, MILLI, ms_from_s, us_from_s

SCHEMA_VERSION: Final = 1

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
"""What a JSON document is made of."""


def estimate_document(estimate: Estimate, *, with_kernels: bool = True) -> dict[str, Json]:
    """Turn an estimate into plain JSON values.

    Parameters
    ----------
    with_kernels : bool
        Leave the kernels out for rows of a comparison.
    """
    memory, share, provenance = estimate.memory, estimate.bound_share, estimate.provenance
    document: dict[str, Json] = {
        "schema_version": SCHEMA_VERSION,
        "model": estimate.model,
        "device": estimate.device,
        "device_name": estimate.device_name,
        "unit": estimate.unit,
        "runtime": estimate.runtime,
        "precision": estimate.precision,
        "layout": estimate.layout,
        "batch": estimate.batch,
        "latency_ms": {
            "p10": ms_from_s(estimate.latency.p10_s),
            "p50": ms_from_s(estimate.latency.p50_s),
            "p90": ms_from_s(estimate.latency.p90_s),
        },
        "naive_latency_ms": ms_from_s(estimate.naive_latency_s),
        "roofline_latency_ms": ms_from_s(estimate.roofline_latency_s),
        "macs": estimate.macs,
        "flops": estimate.flops,
        "params": estimate.params,
        "bytes_moved": estimate.bytes_moved,
        "memory": {
            "peak_bytes": memory.peak_bytes,
            "weights_bytes": memory.weights_bytes,
            "activation_bytes": memory.activation_bytes,
            "workspace_bytes": memory.workspace_bytes,
            "kv_cache_bytes": memory.kv_cache_bytes,
            "capacity_bytes": estimate.memory_capacity_bytes,
        },
        "bound_share": {"compute": share.compute, "memory": share.memory, "overhead": share.overhead},
        "coverage": estimate.coverage,
        "unsupported_ops": list(estimate.unsupported_ops),
        "provenance": {
            "kind": provenance.kind.value,
            "records": provenance.records,
            "heldout_median_ape": provenance.heldout_median_ape,
            "calibration": provenance.calibration,
        },
        "peak_flops_per_s": estimate.peak_flops_per_s,
        "peak_bandwidth_bytes_per_s": estimate.peak_bandwidth_bytes_per_s,
    }
    if with_kernels:
        document["kernels"] = [_kernel_object(kernel) for kernel in estimate.kernels]
    return document | {"warnings": list(estimate.warnings), "assumptions": list(estimate.assumptions)}


def _kernel_object(kernel: KernelEstimate) -> dict[str, Json]:
    return {
        "name": kernel.name,
        "ops": list(kernel.ops),
        "class": kernel.kernel_class,
        "latency_us": us_from_s(kernel.time_s),
        "share": kernel.share,
        "bound": kernel.bound.value,
        "flops": kernel.flops,
        "bytes": kernel.bytes_moved,
        "intensity": kernel.intensity_flops_per_byte,
        "utilisation": kernel.utilisation,
        "scope": kernel.scope,
    }


def json_text(document: Json) -> str:
    """Serialise with stable order and two-space indentation; ASCII only, so that any pipe carries it."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def estimate_json(estimate: Estimate) -> str:
    """Write an estimate as JSON text."""
    return json_text(estimate_document(estimate))


def estimate_from_json(text: str) -> Estimate:
    """Read back what `estimate_json` wrote.

    Integers, texts and fractions come back as they were; durations to within two units in the last
    place, the rounding of seconds to milliseconds and back.

    Raises
    ------
    ValueError
        Not such a document, of another schema version, or with a field of a wrong type.
    """
    from pydantic import TypeAdapter

    raw = TypeAdapter(dict[str, object]).validate_json(text)
    if raw.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"not an estimate of schema version {SCHEMA_VERSION}")
    objects = TypeAdapter(dict[str, dict[str, object]])
    parts = objects.validate_python({key: raw.get(key) for key in ("latency_ms", "memory", "provenance")})
    kernels = TypeAdapter(list[dict[str, object]]).validate_python(raw.get("kernels"))
    fields = raw | {
        "latency": {f"{quantile}_s": _scaled(value, MILLI) for quantile, value in parts["latency_ms"].items()},
        "naive_latency_s": _scaled(raw.get("naive_latency_ms"), MILLI),
        "roofline_latency_s": _scaled(raw.get("roofline_latency_ms"), MILLI),
        "memory_capacity_bytes": parts["memory"].get("capacity_bytes"),
        "kernels": [
            kernel
            | {
                "kernel_class": kernel.get("class"),
                "time_s": _scaled(kernel.get("latency_us"), MICRO),
                "bytes_moved": kernel.get("bytes"),
                "intensity_flops_per_byte": kernel.get("intensity"),
            }
            for kernel in kernels
        ],
    }
    return TypeAdapter(Estimate).validate_python(fields)


def _scaled(value: object, factor: float) -> float:
    if not isinstance(value, int | float):
        raise ValueError(f"expected a number, found {value!r}")
    return value * factor
