"""The verb ``devices``: list, show, compare and check device files."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from estimator.cli.failure import one_screen
from estimator.cli.options import OutputFormat, table_or_json_option
from estimator.cli.output import write_result
from estimator.errors import UnknownDeviceError
from estimator.report.wrapping import WIDTH, wrapped
from estimator.units import format_bytes, format_rate

if TYPE_CHECKING:
    from estimator.catalogue.device import Device, SourcedValue, Unit

_NAME_WIDTH: Final = 29


@click.group(invoke_without_command=True)
@click.pass_context
def devices(context: click.Context) -> None:
    """List, show and validate the device catalogue."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@devices.command("list")
@click.option("--kind", type=click.Choice(["cpu", "gpu", "npu"]), help="Only devices with a unit of this kind.")
@click.option("--vendor", metavar="NAME", help="Only this vendor's, e.g. nvidia.")
@click.option("--year", type=click.IntRange(1970, 2100), metavar="YYYY", help="Only those released in this year.")
@click.option("--precision", metavar="P", help="Only devices with a unit that runs in this precision.")
@table_or_json_option
def list_command(
    kind: str | None, vendor: str | None, year: int | None, precision: str | None, output_format: OutputFormat
) -> None:
    """List the devices, optionally filtered.

    \b
    estimator-cli devices list --kind npu --precision int8
    """  # noqa: D301 - \b is click's mark for "do not rewrap", not a typing slip
    from estimator.catalogue.loader import list_devices

    wanted = _parse_precision(precision)
    chosen = [
        device
        for device in list_devices()
        if (kind is None or any(unit.kind == kind for unit in device.units.values()))
        and (vendor is None or device.vendor.lower() == vendor.lower())
        and (year is None or device.release_year == year)
        and (wanted is None or any(_runs_in(unit, wanted, kind) for unit in device.units.values()))
    ]
    if output_format is OutputFormat.JSON:
        _write_json([_device_json(device) for device in chosen])
        return
    rows: list[tuple[str, ...]] = [("id", "name", "year", "units", "peak of the first", "memory")]
    rows += [_list_row(device) for device in chosen]
    write_result(_aligned(rows) if chosen else "no device matches")


@devices.command("show")
@click.argument("reference", metavar="ID|FILE")
@table_or_json_option
def show_command(reference: str, output_format: OutputFormat) -> None:
    """Show every value of a device with its source."""
    device = _named(reference)
    if output_format is OutputFormat.JSON:
        _write_json([{**_device_json(device), "values": [_value_json(value) for value in device.values]}])
        return
    write_result("\n".join(map(wrapped, _show_lines(device))))


@devices.command("diff")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
def diff_command(first: str, second: str) -> None:
    """Show the values in which two devices differ."""
    left, right = _named(first), _named(second)
    theirs = {value.path: value.value for value in right.values}
    ours = {value.path: value.value for value in left.values}
    paths = [*ours, *(path for path in theirs if path not in ours)]
    rows = [("value", left.id, right.id)]
    rows += [(path, ours.get(path, "–"), theirs.get(path, "–")) for path in paths if ours.get(path) != theirs.get(path)]
    write_result("\n".join(_fitted(rows)) if len(rows) > 1 else f"{left.id} and {right.id} have the same values")


@devices.command("validate")
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
def validate_command(paths: tuple[Path, ...]) -> int:
    """Check device files: syntax, schema, sources, and that no value contradicts another."""
    from estimator.catalogue.check import catalogue_problems

    problems = list(catalogue_problems(paths))
    for problem in problems:
        click.echo(one_screen(f"error: {problem}"), err=True)
    noun = "device file" if len(paths) == 1 else "device files"
    write_result(f"{len(paths)} {noun}, {len(problems) or 'no'} problem{'' if len(problems) == 1 else 's'}")
    return 1 if problems else 0


def _named(reference: str) -> Device:
    from estimator.catalogue.loader import load_device

    try:
        return load_device(reference)[0]
    except UnknownDeviceError as error:
        error.option = ""  # it is an argument here
        raise


def _parse_precision(text: str | None) -> str | None:
    from estimator.dtypes import Precision

    return None if text is None else Precision.parse(text).value


def _runs_in(unit: Unit, precision: str, kind: str | None) -> bool:
    return (kind is None or unit.kind == kind) and any(precision in runtime.precisions for runtime in unit.runtimes)


def _ordered_units(device: Device) -> list[Unit]:
    default = device.units[device.default_unit]
    return [default, *(unit for unit in device.units.values() if unit is not default)]


def _list_row(device: Device) -> tuple[str, ...]:
    units = _ordered_units(device)
    peak = max(units[0].ceilings, key=lambda ceiling: ceiling.flops_per_s, default=None)
    name = device.display_name
    return (
        device.id,
        name if len(name) <= _NAME_WIDTH else name[: _NAME_WIDTH - 1] + "…",
        str(device.release_year or "–"),
        _unit_names(units),
        f"{format_rate(peak.flops_per_s).replace('FLOP/s', 'OP/s')} {peak.dtype}" if peak else "–",
        format_bytes(device.memory_capacity_bytes) if device.memory_capacity_bytes else "–",
    )


def _unit_names(units: Sequence[Unit]) -> str:
    names = " ".join(unit.name for unit in units)
    return names if len(names) <= 12 else f"{units[0].kind} ×{len(units)}"


def _show_lines(device: Device) -> Iterable[str]:
    year = f" · {device.release_year}" if device.release_year else ""
    yield f"{device.id} · {device.display_name} · {device.vendor}{year}"
    if device.aliases:
        yield f"  also           {', '.join(device.aliases)}"
    if device.extends:
        yield f"  variant of     {device.extends}"
    yield f"  default unit   {device.default_unit} of {', '.join(device.units)}"
    for claim in device.claims:
        yield f"  claim          {claim.text} ({claim.source})"
    section = None
    for value in device.values:
        head, _, rest = _split(value)
        if head != section:
            section = head
            yield f"\n{head}"
        yield f"  {rest}: {value.value}"
        yield f"      {_evidence(value)}"


def _split(value: SourcedValue) -> tuple[str, str, str]:
    """Section and key of a value's path: ``units.gpu`` and ``execution.sm_count``."""
    parts = value.path.split(".", 2)
    if parts[0] == "units" and len(parts) == 3:
        return f"{parts[0]}.{parts[1]}", ".", parts[2]
    return ("device", ".", value.path)


def _evidence(value: SourcedValue) -> str:
    said = " · ".join(part for part in (value.source, value.where) if part)
    return f"{value.basis}{': ' + said if said else ''}"


def _device_json(device: Device) -> dict[str, Any]:
    return {
        "id": device.id,
        "display_name": device.display_name,
        "vendor": device.vendor,
        "aliases": list(device.aliases),
        "release_year": device.release_year,
        "default_unit": device.default_unit,
        "memory_capacity_bytes": device.memory_capacity_bytes,
        "app_memory_bytes": device.app_memory_bytes,
        "power_w": device.power_w,
        "extends": device.extends,
        "claims": [{"text": claim.text, "source": claim.source} for claim in device.claims],
        "units": [_unit_json(unit) for unit in _ordered_units(device)],
    }


def _unit_json(unit: Unit) -> dict[str, Any]:
    return {
        "name": unit.name,
        "kind": unit.kind,
        "display_name": unit.display_name,
        "architecture": unit.architecture,
        "core_count": unit.core_count,
        "boost_clock_hz": unit.boost_clock_hz,
        "ceilings": [
            {
                "engine": ceiling.engine,
                "dtype": ceiling.dtype,
                "accumulate": ceiling.accumulate,
                "flops_per_s": ceiling.flops_per_s,
                "basis": ceiling.basis,
            }
            for ceiling in unit.ceilings
        ],
        "memory": [
            {
                "level": level.level,
                "bandwidth_bytes_per_s": level.bandwidth_bytes_per_s,
                "size_bytes": level.size_bytes,
                "basis": level.basis,
            }
            for level in unit.memory
        ],
        "runtimes": [
            {"name": runtime.name, "precisions": [str(precision) for precision in runtime.precisions]}
            for runtime in unit.runtimes
        ],
        "assumptions": list(unit.assumptions),
    }


def _value_json(value: SourcedValue) -> dict[str, str]:
    return {
        "path": value.path,
        "value": value.value,
        "basis": value.basis,
        "source": value.source,
        "where": value.where,
    }


def _write_json(items: Sequence[dict[str, Any]]) -> None:
    import json

    write_result(json.dumps({"devices": items}, indent=2, ensure_ascii=False))


def _fitted(rows: Sequence[tuple[str, str, str]]) -> Iterable[str]:
    """Three columns in the width of a screen: values continue below themselves."""
    first = max(len(path) for path, _, _ in rows)
    second = min(max(len(left) for _, left, _ in rows), (WIDTH - first - 4) // 2)
    for path, left, right in rows:
        lefts = textwrap.wrap(left, second)
        rights = textwrap.wrap(right, WIDTH - first - second - 4)
        for name, here, there in zip_longest([path], lefts, rights, fillvalue=""):
            yield f"{name:<{first}}  {here:<{second}}  {there}".rstrip()


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
