"""`extends`: a user's variant is its parent with some values replaced, flat and bounded."""

from __future__ import annotations

from pathlib import Path

import pytest

from estimator.catalogue.check import catalogue_problems, file_problems
from estimator.catalogue.loader import load_device
from estimator.errors import CatalogueError

MINE = """\
schema_version: 1
id: my-4090
display_name: My 4090 at 300 W
extends: rtx4090
power_w: {value: 300, basis: measured, record: nvidia-smi}
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_variant_changes_what_it_says_and_keeps_the_rest(tmp_path: Path):
    parent, _ = load_device("rtx4090")
    device, gpu = load_device(str(write(tmp_path / "mine.yaml", MINE)))
    assert (device.id, device.display_name, device.power_w) == ("my-4090", "My 4090 at 300 W", 300)
    assert gpu.ceilings == parent.units["gpu"].ceilings
    assert device.extends == "rtx4090"
    assert device.aliases == ()
    assert list(file_problems(tmp_path / "mine.yaml")) == []


def test_an_entry_of_a_list_replaces_the_entry_of_the_same_name(tmp_path: Path):
    text = MINE + (
        "units:\n  gpu:\n    compute:\n      - engine: tensor\n        dtype: fp16\n        accumulate: fp32\n"
        "        deviation: measured at 300 W\n"
        "        dense_tflops: {value: 120, basis: measured, record: a GEMM of 8192}\n"
    )
    _, gpu = load_device(str(write(tmp_path / "mine.yaml", text)))
    assert gpu.ceiling("fp16", engine="tensor", accumulate="fp32").flops_per_s == 120e12
    assert gpu.ceiling("fp16", engine="tensor", accumulate="fp16").flops_per_s == 330.3e12
    assert len(gpu.ceilings) == len(load_device("rtx4090")[1].ceilings)


def test_a_variant_of_a_variant_names_the_catalogue_entry(tmp_path: Path):
    write(tmp_path / "a.yaml", MINE)
    write(tmp_path / "b.yaml", MINE.replace("my-4090", "colder-4090").replace("extends: rtx4090", "extends: a.yaml"))
    assert load_device(str(tmp_path / "b.yaml"))[0].extends == "rtx4090"


def test_a_circle_and_a_long_chain_are_refused_with_their_line(tmp_path: Path):
    write(tmp_path / "a.yaml", MINE.replace("extends: rtx4090", "extends: b.yaml"))
    write(tmp_path / "b.yaml", MINE.replace("extends: rtx4090", "extends: a.yaml"))
    with pytest.raises(CatalogueError, match="goes in a circle") as caught:
        load_device(str(tmp_path / "a.yaml"))
    assert caught.value.where.endswith("b.yaml:4")
    for number in range(6):
        write(tmp_path / f"{number}.yaml", MINE.replace("extends: rtx4090", f"extends: {number + 1}.yaml"))
    with pytest.raises(CatalogueError, match="goes too deep"):
        load_device(str(tmp_path / "0.yaml"))


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("extends: rtx4090", "extends: rtx4091", r"unknown device 'rtx4091'\n.*\n  expected  .*such as rtx4090"),
        ("extends: rtx4090", "extends: [a]", "must be text"),
        ("power_w: {value: 300", "power_w: {value: low", "is not accepted"),
        ("power_w:", "powerw:", "unknown key 'powerw'"),
    ],
)
def test_a_wrong_variant_is_refused_at_its_own_line(tmp_path: Path, old: str, new: str, what: str):
    path = write(tmp_path / "mine.yaml", MINE.replace(old, new))
    with pytest.raises(CatalogueError, match=what) as caught:
        load_device(str(path))
    assert caught.value.where.startswith(f"{path}:")
    assert [problem.where for problem in catalogue_problems([path])]


def test_a_lowered_clock_without_lowered_rates_is_a_contradiction(tmp_path: Path):
    text = MINE + "units:\n  gpu:\n    execution:\n      boost_clock_mhz: {value: 1800, basis: measured, record: x}\n"
    problems = list(file_problems(write(tmp_path / "mine.yaml", text)))
    assert problems
    assert all("x what the parts give" in problem.what or "base clock" in problem.what for problem in problems)
