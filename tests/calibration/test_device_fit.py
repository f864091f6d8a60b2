"""A handful of records finds what is particular about a device."""

from dataclasses import replace

import numpy as np
import pytest

from estimator.calibration.device_fit import OffsetPrior, calibrate_device, default_prior
from estimator.calibration.graph_cache import GraphCache
from estimator.calibration.predict import find_places, predict
from estimator.calibration.records import Record, read_records, write_records
from estimator.calibration.validate import validate_records
from estimator.calibration.workload import lower_workloads, workload_of
from estimator.catalogue.calibration import ContextOffset, Residual, Spread
from estimator.catalogue.calibration_file import dump_calibration, load_calibration, load_response
from estimator.errors import CalibrationError, UnknownRuntimeError, UnsupportedCombinationError
from estimator.timing.coefficients import Coefficients
from estimator.timing.composition import COMPOSITION_SIZE
from estimator.units import s_from_ms
from tests.calibration.workloads import record, small_network
from tests.timing.coefficients import ideal_response, no_offset

SIZES = [(8, 2, 32), (16, 3, 32), (32, 2, 64), (64, 4, 32), (64, 8, 64), (128, 3, 32), (128, 9, 64), (256, 2, 16),
         (24, 12, 64), (48, 5, 48)]  # fmt: skip


@pytest.fixture
def cache(tmp_path) -> GraphCache:
    return GraphCache(tmp_path / "cache")


@pytest.fixture
def untimed(tmp_path) -> list[Record]:
    """Ten networks of different sizes; their latency is a placeholder."""
    return [
        record(str(small_network(tmp_path / f"n{i}.json", channels, depth, size)), 1.0, channels, size=size)
        for i, (channels, depth, size) in enumerate(SIZES)
    ]


def timed(records: list[Record], offset: ContextOffset, cache: GraphCache) -> list[Record]:
    """What a device with this departure from its family would have measured."""
    place = find_places(records, "family")(records[0])
    base = place.coefficients.offset.vector()
    moved = replace(place.coefficients, offset=ContextOffset.from_vector(base + offset.vector()))
    lowered = lower_workloads([workload_of(r, "npu") for r in records], cache=cache)
    return [
        replace(
            r, latency_s=predict(r, lowered[workload_of(r, "npu")], replace(place, coefficients=moved)).latency.p50_s
        )
        for r in records
    ]


def departure(compute: float, memory: float, overhead: float, fixed: float) -> ContextOffset:
    classes = len(load_response("npu").class_names)
    return ContextOffset(compute, memory, overhead, fixed, np.zeros(classes))


@pytest.mark.parametrize("rates", [(-0.5, -0.5), (0.4, 0.4), (-0.3, -0.1)])
def test_a_synthetic_device_is_recovered_from_ten_records(untimed, cache, rates):
    records = timed(untimed, departure(*rates, 0.3, 0.2), cache)
    calibration, held_out = calibrate_device(records, "sd865", "tflite", date="2025-01-31", cache=cache)
    assert held_out.before.median_ape > 0.08
    assert held_out.score.median_ape < held_out.before.median_ape / 2
    assert calibration.sample_count == 10


def test_one_wild_record_among_ten_hardly_moves_the_rest(untimed, cache):
    records = timed(untimed, departure(-0.4, -0.4, 0.0, 0.0), cache)
    clean, _ = calibrate_device(records, "sd865", "tflite", date="2025-01-31", cache=cache)
    records[4] = replace(records[4], latency_s=8 * records[4].latency_s)
    spoiled, _ = calibrate_device(records, "sd865", "tflite", date="2025-01-31", cache=cache)
    assert spoiled.offset.compute == pytest.approx(clean.offset.compute, abs=0.08)


def test_a_written_calibration_is_what_validate_then_uses(untimed, cache, tmp_path):
    records = timed(untimed, departure(-0.5, -0.5, 0.0, 0.0), cache)
    calibration, _ = calibrate_device(records, "sd865/npu", "tflite", date="2025-01-31", cache=cache)
    path = tmp_path / "own.yaml"
    dump_calibration(calibration, load_response(calibration.response).class_names, path)
    assert load_calibration(path).sample_count == 10
    without = validate_records(records, source="family", cache=cache)
    with_own = validate_records(records, calibrations=(path,), cache=cache)
    assert with_own.score.median_ape < 0.03 < without.score.median_ape
    assert {p.kind for p in with_own.predictions} == {"calibrated"}


def test_records_of_others_are_ignored(untimed, cache):
    records = timed(untimed, departure(-0.2, -0.2, 0.0, 0.0), cache)
    others = [replace(r, latency_s=9.0, device="sd8gen3") for r in records]
    others += [replace(r, latency_s=9.0, runtime="qnn") for r in records]
    alone, _ = calibrate_device(records, "sd865", "tflite", date="2025-01-31", cache=cache)
    among, _ = calibrate_device([*others, *records], "sd865", "tflite", date="2025-01-31", cache=cache)
    np.testing.assert_array_equal(alone.offset.vector(), among.offset.vector())
    assert alone.dataset_sha256 == among.dataset_sha256


def test_two_records_are_too_few(untimed, cache):
    with pytest.raises(CalibrationError, match="2 usable records of sd865/npu with tflite") as caught:
        calibrate_device(untimed[:2], "sd865", "tflite", date="2025-01-31", cache=cache)
    assert "3 or more" in str(caught.value)


def test_unusable_records_are_named(untimed, cache):
    broken = [replace(r, model="missing.json") for r in untimed[:3]]
    with pytest.raises(CalibrationError, match=r"0 usable records .* \(3 in the file\)") as caught:
        calibrate_device(broken, "sd865", "tflite", date="2025-01-31", cache=cache)
    assert "missing.json" in caught.value.where


def test_too_few_records_name_what_the_file_holds(untimed, cache):
    others = [*(replace(r, runtime="qnn") for r in untimed[:3]), replace(untimed[0], device="sd8gen3")]
    with pytest.raises(CalibrationError, match="0 usable records") as caught:
        calibrate_device(others, "sd865", "tflite", date="2025-01-31", cache=cache)
    assert caught.value.where == "the file holds 3 of sd865/npu with qnn, 1 of sd8gen3/npu with tflite"


def test_a_runtime_that_the_unit_lacks_is_a_wrong_request(untimed, cache):
    with pytest.raises(UnknownRuntimeError, match="foo"):
        calibrate_device(untimed, "sd865", "foo", date="2025-01-31", cache=cache)
    with pytest.raises(UnsupportedCombinationError, match="tensorrt") as caught:
        calibrate_device(untimed, "sd865", "tensorrt", date="2025-01-31", cache=cache)
    assert "tflite" in caught.value.expected


@pytest.mark.parametrize("named_by_file", [True, False])
def test_records_of_a_device_of_the_users_own_calibrate_it(untimed, cache, tmp_path, named_by_file):
    board = tmp_path / "board.yaml"
    board.write_text("schema_version: 1\nid: board\ndisplay_name: Our board\nextends: sd865\n")
    records = timed(untimed, departure(-0.5, -0.5, 0.0, 0.0), cache)
    own = [replace(r, device=str(board) if named_by_file else "board") for r in records]
    calibration, held_out = calibrate_device(own, f"{board}/npu", "tflite", date="2025-01-31", cache=cache)
    assert (calibration.device, calibration.unit, calibration.sample_count) == ("board", "npu", 10)
    assert held_out.score.median_ape < held_out.before.median_ape / 2
    path = tmp_path / "own.yaml"
    dump_calibration(calibration, load_response(calibration.response).class_names, path)
    by_file = [replace(r, device=str(board)) for r in records]
    assert {p.kind for p in validate_records(by_file, calibrations=(path,), cache=cache).predictions} == {"calibrated"}


def test_few_records_promise_no_narrower_an_interval_than_they_can_show(untimed, cache):
    records = timed(untimed, departure(-0.3, -0.3, 0.0, 0.0), cache)
    few, _ = calibrate_device(records[:3], "sd865", "tflite", date="2025-01-31", cache=cache)
    many, _ = calibrate_device(records, "sd865", "tflite", date="2025-01-31", cache=cache)
    width = [c.spread.log_p90 - c.spread.log_p10 for c in (few, many)]
    assert width[0] > width[1] > 0


def test_a_looser_prior_follows_the_records_further(untimed, cache):
    records = timed(untimed[-3:], departure(-0.8, -0.8, 0.0, 0.0), cache)  # large enough to show their kernels
    tight, loose = (
        calibrate_device(records, "sd865", "tflite", date="d", cache=cache, prior=OffsetPrior(common=s))[0].offset
        for s in (0.01, 1.0)
    )
    assert loose.compute + loose.memory < tight.compute + tight.memory < 0


def test_the_command_prints_held_out_errors_and_writes_a_usable_file(untimed, cache, tmp_path, monkeypatch, capsys):
    from estimator.cli.main import run

    monkeypatch.setenv("ESTIMATOR_CACHE", str(cache.folder))
    records, own = tmp_path / "few.csv", tmp_path / "own.yaml"
    write_records(timed(untimed, departure(-0.5, -0.5, 0.1, 0.1), cache), records)
    assert read_records(records)[0].latency_s < s_from_ms(100)
    assert run(["calibrate", str(records), "--device", "sd865", "--runtime", "tflite", "-o", str(own)]) == 0
    said = capsys.readouterr()
    assert "heldout_median_ape" in said.out
    assert said.err == f"wrote {own}: use it with --device sd865 --runtime tflite --calibration {own}\n"
    assert run(["validate", str(records), "--calibration", str(own)]) == 0
    assert "10 records · 10 scored · 0 failed" in capsys.readouterr().out


def test_a_calibration_that_does_harm_is_said_to(untimed, cache, tmp_path, monkeypatch, capsys):
    from estimator.cli.main import run

    monkeypatch.setenv("ESTIMATOR_CACHE", str(cache.folder))
    exact = timed(untimed[:4], departure(0.0, 0.0, 0.0, 0.0), cache)
    factors = (1.2, 0.8, 1.2, 0.8)  # 20 % off either way: each three pull away from the fourth
    scattered = [replace(r, latency_s=r.latency_s * factor) for r, factor in zip(exact, factors, strict=True)]
    records, own = tmp_path / "few.csv", tmp_path / "own.yaml"
    write_records(scattered, records)
    assert run(["calibrate", str(records), "--device", "sd865", "--runtime", "tflite", "-o", str(own)]) == 0
    assert "warning: this calibration makes records that were left out of it worse" in capsys.readouterr().err


def known_to(median: float, residual: Residual | None = None) -> Coefficients:
    response = replace(ideal_response(), residual=residual)
    return Coefficients(response, no_offset(), "family", Spread(-0.1, 0.1, median, 40), 40, "hand")


@pytest.mark.parametrize(("median", "noise"), [(0.10, 0.06), (0.02, 0.03), (0.25, 0.12)])
def test_what_a_family_leaves_is_noise_within_bounds(median, noise):
    assert default_prior(known_to(median)).noise == pytest.approx(noise)  # 0.6 of the median


def test_a_correction_that_stays_elsewhere_leaves_twice_the_noise():
    correction = Residual(np.zeros((1, COMPOSITION_SIZE)), np.ones(1), 0.4, only_on="i9-10940x")
    assert default_prior(known_to(0.08, correction)).noise == pytest.approx(0.6 * 0.08)
    assert default_prior(known_to(0.08, correction.on("i7-12700h"))).noise == pytest.approx(2 * 0.6 * 0.08)
