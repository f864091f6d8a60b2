"""What a start of the program loads: frameworks cost seconds, so they are loaded by those who need them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "tensorflow", "timm", "transformers", "fvcore", "ai_edge_litert", "scipy")
PROBE = """
import json, sys
try:
    {statement}
except SystemExit:
    pass
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})), file=sys.stderr)
"""


def modules_after(statement: str) -> set[str]:
    """Top-level modules of a fresh interpreter that ran a statement."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(statement=statement)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_importing_the_package_loads_no_framework_and_no_grpc():
    assert modules_after("import estimator").isdisjoint({*HEAVY, "onnx", "grpc", "google"})


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["estimate", "--help"], ["compare", "--help"]])
def test_help_loads_no_framework_and_no_grpc(arguments: list[str]):
    loaded = modules_after(f"from estimator.cli.main import main; sys.argv[1:] = {arguments!r}; main()")
    assert loaded.isdisjoint({*HEAVY, "onnx", "grpc", "numpy", "pydantic", "yaml"})
