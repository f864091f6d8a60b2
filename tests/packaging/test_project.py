"""The project's own files agree with one another."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TARGETS = [
    "run", "setup", "fmt", "lint", "type", "arch", "test", "test-all", "proto", "proto-check", "devices", "docs",
    "bench", "accuracy", "accuracy-check", "build", "ci", "clean",
]  # fmt: skip
TEXTS = (
    "pyproject.toml",
    "constraints.txt",
    "Makefile",
    ".ci/run",
    ".pre-commit-config.yaml",
    "README.md",
    "CONTRIBUTING.md",
)


def normalised(requirement: str) -> str:
    return re.split(r"[\s<>=!~;\[]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def declared() -> set[str]:
    project = PROJECT["project"]
    optional = [name for extra in project["optional-dependencies"].values() for name in extra]
    return {normalised(name) for name in (*project["dependencies"], *optional)}


def imported_packages() -> set[str]:
    names: set[str] = set()
    for path in (ROOT / "estimator").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"estimator"}


def test_every_package_that_is_imported_is_declared():
    homes = packages_distributions()
    carried = {"google", "pydantic_core"}  # a namespace that protobuf shares with others; half of pydantic
    undeclared = {
        name
        for name in imported_packages() - carried
        if not {normalised(home) for home in homes.get(name, [name])} & declared()
    }
    assert undeclared == set()


def test_every_dependency_is_pinned_for_ci_but_the_extra_that_ci_does_not_install():
    pinned = {normalised(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    not_installed = {"ray"}
    assert declared() - pinned == not_installed


def test_the_generator_of_the_wire_code_is_the_floor_of_its_runtime():
    (tools,) = (tool for tool in PROJECT["dependency-groups"]["proto"] if tool.startswith("grpcio-tools"))
    version = tools.partition("==")[2]
    assert f"grpcio>={version}" in PROJECT["project"]["dependencies"]


@pytest.mark.parametrize("target", TARGETS)
def test_every_make_target_exists_and_says_what_it_does(target: str):
    assert re.search(rf"^{target}:.*  ## \S", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_ci_runs_the_test_command_of_the_readme():
    assert "make test" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(r"^make ci$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert re.search(r"^ci:.* test( |$)", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", TEXTS)
def test_no_registry_is_named(name: str):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not re.search(r"index-url|find-links|pypi\.org|pythonhosted|download\.pytorch", text)


def test_the_changelog_has_an_entry_for_this_version():
    version = PROJECT["project"]["version"]
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_decisions_are_numbered_without_gap_or_repetition():
    numbers = sorted(path.name[:4] for path in (ROOT / "docs" / "adr").glob("[0-9]*.md"))
    assert numbers == [f"{number:04d}" for number in range(1, len(numbers) + 1)]
