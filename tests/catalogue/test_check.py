"""The whole catalogue is right, and names mean one product."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from estimator.catalogue.check import catalogue_files, catalogue_problems
from estimator.catalogue.location import devices_directory


def test_the_catalogue_has_no_problem():
    assert [str(problem) for problem in catalogue_problems(catalogue_files())] == []


def test_the_check_runs_as_a_module():
    run = subprocess.run([sys.executable, "-m", "estimator.catalogue.check"], capture_output=True, text=True)
    assert run.returncode == 0
    assert run.stdout == f"{len(catalogue_files())} device files, 0 problems\n"


def test_a_name_of_two_products_is_refused(tmp_path: Path):
    text = (devices_directory() / "t4.yaml").read_text(encoding="utf-8")
    first, second = tmp_path / "t4.yaml", tmp_path / "t5.yaml"
    first.write_text(text)
    second.write_text(text.replace("id: t4\n", "id: t5\n"))
    problems = list(catalogue_problems([first, second]))
    assert "'NVIDIA Tesla T4' names t4 too" in [problem.what for problem in problems]
    assert all(problem.where.startswith(str(second)) for problem in problems)


def test_names_must_come_before_everything_else(tmp_path: Path):
    lines = (devices_directory() / "t4.yaml").read_text(encoding="utf-8").splitlines(keepends=True)
    aliases = next(line for line in lines if line.startswith("aliases:"))
    path = tmp_path / "t4.yaml"
    path.write_text("".join(line for line in lines if line != aliases) + aliases)
    assert [problem.what for problem in catalogue_problems([path])] == ["names must come first"]
