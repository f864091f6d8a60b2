"""``estimator-cli devices``: what is printed, filtered and refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from estimator.catalogue.location import devices_directory
from estimator.cli.main import run


def output(capsys: pytest.CaptureFixture[str], *args: str, status: int = 0) -> str:
    assert run(["devices", *args]) == status
    return capsys.readouterr().out


def listed(capsys: pytest.CaptureFixture[str], *args: str) -> list[dict[str, object]]:
    devices = json.loads(output(capsys, "list", "--format", "json", *args))["devices"]
    assert isinstance(devices, list)
    return devices


def test_the_list_fits_a_screen_and_names_every_file(capsys: pytest.CaptureFixture[str]):
    lines = output(capsys, "list").splitlines()
    assert max(map(len, lines)) <= 100
    assert len(lines) - 1 == len(list(devices_directory().glob("*.yaml")))


def test_filters_narrow_the_list(capsys: pytest.CaptureFixture[str]):
    assert {"sd865", "coral-edgetpu"} <= {d["id"] for d in listed(capsys, "--kind", "npu", "--precision", "int8")}
    assert all(d["vendor"] == "NVIDIA" for d in listed(capsys, "--vendor", "nvidia"))
    assert {d["release_year"] for d in listed(capsys, "--year", "2020")} == {2020}
    assert "sd865" not in {d["id"] for d in listed(capsys, "--kind", "npu", "--precision", "fp16")}
    assert output(capsys, "list", "--vendor", "nobody") == "no device matches\n"


def test_show_prints_every_value_with_its_source(capsys: pytest.CaptureFixture[str]):
    text = output(capsys, "show", "rtx4090")
    assert max(map(len, text.splitlines())) <= 100
    assert "dense_tflops: 165.2 TFLOP/s" in text
    assert "datasheet: Ada GPU Architecture whitepaper · p. 30" in text
    device = json.loads(output(capsys, "show", "rtx4090", "--format", "json"))["devices"][0]
    assert text.count("\n  ") >= 2 * len(device["values"])


def test_diff_shows_only_what_differs(capsys: pytest.CaptureFixture[str]):
    lines = output(capsys, "diff", "a100-pcie-40gb", "a100-sxm-40gb").splitlines()
    assert lines[0].split() == ["value", "a100-pcie-40gb", "a100-sxm-40gb"]
    assert any(line.split() == ["power_w", "250", "W", "400", "W"] for line in lines)
    assert not any("sm_count" in line for line in lines)
    assert max(map(len, output(capsys, "diff", "sd865", "sd855").splitlines())) <= 100
    assert output(capsys, "diff", "t4", "Tesla T4") == "t4 and t4 have the same values\n"


def test_validate_prints_each_problem_with_file_and_line(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    good = devices_directory() / "t4.yaml"
    assert output(capsys, "validate", str(good)) == "1 device file, no problems\n"
    bad = tmp_path / "bad.yaml"
    bad.write_text(good.read_text(encoding="utf-8").replace("sm_count", "sm_cuont"), encoding="utf-8")
    assert run(["devices", "validate", str(bad)]) == 1
    captured = capsys.readouterr()
    assert "unknown key 'sm_cuont'" in captured.err
    assert f"{bad}:" in captured.err
    assert captured.out == "1 device file, 1 problem\n"


def test_the_group_alone_explains_itself(capsys: pytest.CaptureFixture[str]):
    assert run(["devices"]) == 0
    assert capsys.readouterr().out.startswith("Usage: estimator-cli devices")


@pytest.mark.parametrize("command", [["show", "sd866"], ["diff", "sd865", "sd866"]])
def test_an_argument_is_not_blamed_on_an_option(command: list[str], capsys: pytest.CaptureFixture[str]):
    assert run(["devices", *command]) == 2
    said = capsys.readouterr().err
    assert "unknown device 'sd866'\n" in said
    assert "--device" not in said


def test_an_unknown_device_is_a_usage_error_with_near_names(capsys: pytest.CaptureFixture[str]):
    assert run(["devices", "show", "rtx4091"]) == 2
    assert "rtx4090" in capsys.readouterr().err
