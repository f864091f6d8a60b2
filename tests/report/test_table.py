import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from estimator.report.table import estimate_screen
from estimator.report.wrapping import WIDTH
from estimator.result import Bound, BoundShare, Estimate, Interval, MemoryEstimate, Provenance, ProvenanceKind
from tests.report.estimates import estimate, estimates, kernel

ANSI = re.compile(r"\x1b\[[0-9;]*m")


def line_of(screen: str, label: str) -> str:
    (line,) = [line for line in screen.splitlines() if line.strip().startswith(label)]
    return line


@given(estimates(), st.integers(min_value=0, max_value=4), st.booleans())
def test_no_line_is_wider_than_a_hundred_columns(made: Estimate, top: int, colour: bool):
    screen = ANSI.sub("", estimate_screen(made, top=top, colour=colour))
    assert max(cell_len(line) for line in screen.splitlines()) <= WIDTH


@given(estimates())
def test_colour_adds_nothing_but_colour(made: Estimate):
    coloured = [ANSI.sub("", line).rstrip() for line in estimate_screen(made, colour=True).splitlines()]
    assert coloured == estimate_screen(made, colour=False).splitlines()


@given(estimates())
def test_no_name_from_a_file_reaches_the_terminal_as_a_control_sequence(made: Estimate):
    assert all(character == "\n" or character.isprintable() for character in estimate_screen(made))


def test_the_first_line_says_what_was_run_where():
    first = estimate_screen(estimate()).splitlines()[0]
    assert first == "torchvision:mobilenet_v2 · batch 1 · int8 · tflite · Qualcomm Snapdragon 865 (sd865/npu)"


def test_the_latency_line_carries_interval_and_provenance():
    line = line_of(estimate_screen(estimate(latency=Interval(3.6e-3, 4e-3, 4.5e-3))), "Latency")
    assert "4.00 ms" in line
    assert "3.60 … 4.50 (p10 … p90)" in line
    assert line.endswith("calibrated, 71 records, ±8.1 % held out")


@pytest.mark.parametrize("kind", [ProvenanceKind.FAMILY, ProvenanceKind.DATASHEET])
def test_an_uncalibrated_estimate_says_so_on_the_latency_line(kind: ProvenanceKind):
    screen = estimate_screen(estimate(provenance=Provenance(kind, 412, 0.1)))
    assert "not calibrated" in line_of(screen, "Latency")
    assert not line_of(screen, "Latency").endswith("…")


def test_flops_over_peak_and_roofline_stand_beside_the_estimate_as_a_ratio():
    screen = estimate_screen(
        estimate(latency=Interval(3e-3, 4e-3, 5e-3), naive_latency_s=4e-5, roofline_latency_s=2e-4)
    )
    assert "0.0400 ms" in line_of(screen, "FLOPs ÷ peak")
    assert "1/100 of the estimate" in line_of(screen, "FLOPs ÷ peak")  # 4 ms ÷ 0.04 ms
    assert "1/20 of the estimate" in line_of(screen, "Roofline")  # 4 ms ÷ 0.2 ms


def test_what_bounds_it_is_given_in_time_and_share():
    line = line_of(estimate_screen(estimate(bound_share=BoundShare(0.25, 0.5, 0.25))), "Bound by")
    assert line.strip() == (
        "Bound by      compute 1.00 ms (25 %)   memory 2.00 ms (50 %)   fixed overhead 1.00 ms (25 %)"
    )


def test_a_share_that_tells_nothing_has_no_time():
    made = estimate(latency=Interval(4e-3, 4e-3, 4e-3), bound_share=BoundShare(0.005, 0.0, 0.995))
    shown = "Bound by      compute (0.5 %)   memory (0 %)   fixed overhead 3.98 ms (100 %)"  # 0.995 × 4 ms
    assert line_of(estimate_screen(made), "Bound by").strip() == shown


@given(st.floats(1e-9, 1e4), st.floats(0, 1), st.floats(0, 1))
def test_the_share_that_dominates_is_never_cut_off(latency_s: float, compute: float, rest: float):
    share = BoundShare(compute, (1 - compute) * rest, (1 - compute) * (1 - rest))
    latency = Interval(latency_s, latency_s, latency_s)
    line = line_of(estimate_screen(estimate(latency=latency, bound_share=share)), "Bound by")
    assert line.count("%)") == 3
    assert "…" not in line


def test_memory_is_shown_by_part_and_against_capacity():
    memory = MemoryEstimate(weights_bytes=3_000_000, activation_bytes=1_000_000, workspace_bytes=0)
    line = line_of(estimate_screen(estimate(memory=memory, memory_capacity_bytes=8_000_000)), "Peak memory")
    assert "4.00 MB" in line  # 3 + 1
    assert "weights 3.00  activations 1.00  workspace 0 MB" in line
    assert line.endswith("50 % of 8.00 MB")


def test_only_the_label_is_dim_and_the_answer_stands_out():
    latency = next(line for line in estimate_screen(estimate(), colour=True).splitlines() if "Latency" in line)
    label, answer, *rest = re.split(r"\x1b\[0m", latency)
    assert label.startswith("\x1b[2m")
    assert answer.startswith("\x1b[1m")
    assert not any("\x1b" in part for part in rest)


def test_less_than_a_megabyte_is_shown_in_kilobytes():
    memory = MemoryEstimate(weights_bytes=864, activation_bytes=11_264, workspace_bytes=12_128)  # 24,256 together
    line = line_of(estimate_screen(estimate(memory=memory, memory_capacity_bytes=25_769_803_776)), "Peak memory")
    assert line.endswith("weights 0.864  activations 11.3  workspace 12.1 kB  < 0.1 % of 25.8 GB")


def test_operators_without_a_rule_are_named():
    line = line_of(
        estimate_screen(estimate(coverage=0.97, unsupported_ops=("custom::x", "custom::x", "y"))), "Coverage"
    )
    assert "97 % of operators" in line
    assert line.endswith("without a rule: custom::x, y")


def test_a_coverage_that_rounds_to_all_is_not_called_all():
    screen = estimate_screen(estimate(coverage=0.9999, unsupported_ops=("y",)))
    assert "just under 100 %" in line_of(screen, "Coverage")


def test_identical_kernels_are_one_line_and_the_rest_is_summed_up():
    twins = [kernel(f"conv{i}", time_s=1e-3, share=0.25) for i in range(2)]
    others = [kernel("pool", kernel_class="pool", time_s=0.5e-3, share=0.125, bound=Bound.MEMORY)]
    others.append(kernel("add", kernel_class="pointwise", time_s=0.5e-3, share=0.125, bound=Bound.MEMORY))
    screen = estimate_screen(estimate(kernels=(*twins, *others)), top=1)
    assert line_of(screen, "conv_dense ×2").split()[-8:-2] == ["2.00", "ms", "50", "%", "compute", "100"]
    assert "1.00 ms   25 %" in line_of(screen, "2 more")  # 0.5 + 0.5 ms


def test_no_kernels_no_table():
    assert "FLOP/B  " not in estimate_screen(estimate(kernels=()))
    assert "utilisation" not in estimate_screen(estimate(), top=0)


def test_integer_operations_are_not_called_flops():
    assert "15.0 TOP/s advertised" in estimate_screen(estimate(precision="int8", peak_flops_per_s=15e12))
    assert "15.0 TFLOP/s advertised" in estimate_screen(estimate(precision="fp16", peak_flops_per_s=15e12))
