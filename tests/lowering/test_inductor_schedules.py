"""Generated kernels against those that inductor's own scheduler makes of whole networks (benchmarks/kernels)."""

from __future__ import annotations

import pytest

from benchmarks.kernels.__main__ import Scheduled, generated_kernels, moved_bytes, read_schedules

pytestmark = [pytest.mark.slow, pytest.mark.extra]
FARTHEST = {"gpu": 0.25, "cpu": 0.4}
SCHEDULES = {(row.unit, row.model): row for row in read_schedules()}


@pytest.mark.parametrize(
    "model",
    [
        "timm:convmixer_768_32", "timm:mobilenetv2_100", "timm:resnet50", "timm:repvgg_a1?branches=merged",
        "timm:selecsls42", "timm:vgg13_bn", "timm:xception41p",
    ],
)  # fmt: skip
def test_loops_of_a_network_are_as_many_as_inductors_and_move_the_same_bytes(model: str):
    row = SCHEDULES["gpu", model]
    kernels = generated_kernels(row)
    assert len(kernels) == row.generated_count
    assert moved_bytes(kernels) == pytest.approx(row.generated_bytes, rel=2e-3)


@pytest.mark.parametrize("row", list(SCHEDULES.values())[::5], ids=lambda row: f"{row.unit}-{row.model}")
def test_loops_of_any_network_move_about_the_bytes_that_inductors_do(row: Scheduled):
    """Not all heuristics are modelled: see `python -m benchmarks.kernels` for what is missing where."""
    kernels = generated_kernels(row)
    assert moved_bytes(kernels) == pytest.approx(row.generated_bytes, rel=FARTHEST[row.unit])
