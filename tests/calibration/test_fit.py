"""A domain's fit: what is left out is left out, and the same records give the same bytes."""

from dataclasses import replace

import numpy as np
import pytest

from estimator.calibration.domains import DOMAINS, Context, Domain, domain
from estimator.calibration.fit import fit_domain, fold_by_hash, fold_by_weight, recentred, with_likenesses
from estimator.calibration.graph_cache import GraphCache
from estimator.calibration.objective import Priors
from estimator.catalogue.calibration import ContextOffset
from estimator.catalogue.calibration_file import dump_calibration, dump_response, parse_response
from estimator.dtypes import Precision
from estimator.errors import CalibrationError
from estimator.lowering.kernel import CLASS_INDEX, KernelClass
from estimator.timing.coefficients import response_candidates
from tests.calibration.workloads import record, small_network

MADE = Domain(
    "made", "npu", ("tflite",), (Context.DEVICE,), Priors(hidden=0, launch_s=5e-6, fixed_s=2e-4), residual=(0.4, 0.05)
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fit")


@pytest.fixture(scope="module")
def records(folder):
    """Six networks on two phones, one of which takes 1.5 times as long."""
    made = []
    for i, (channels, depth) in enumerate([(8, 2), (16, 4), (32, 2), (64, 6), (96, 3), (128, 8)]):
        model = str(small_network(folder / f"n{i}.json", channels, depth))
        latency_s = 1e-3 + 1e-4 * depth + 2e-8 * depth * channels**2
        made += [record(model, latency_s, channels), record(model, 1.5 * latency_s, channels, device="sd8gen3")]
    return made


def fitted(records, folder):
    return fit_domain(MADE, records, date="2025-01-31", cache=GraphCache(folder / "cache"))


@pytest.fixture(scope="module")
def fit(records, folder):
    return fitted(records, folder)


def test_the_same_records_give_the_same_bytes(fit, records, folder, tmp_path):
    for name, one in (("first", fit), ("second", fitted(records, folder))):
        dump_response(one.response, tmp_path / f"{name}.json")
        dump_calibration(one.calibrations[0], one.response.class_names, tmp_path / f"{name}.yaml")
    assert (tmp_path / "first.json").read_bytes() == (tmp_path / "second.json").read_bytes()
    assert (tmp_path / "first.yaml").read_bytes() == (tmp_path / "second.yaml").read_bytes()


def test_a_response_reads_back_from_its_file(fit, tmp_path):
    response = fit.response
    path = tmp_path / "made.json"
    dump_response(response, path)
    again = parse_response(path.read_text(), path)
    np.testing.assert_allclose(again.log_compute_efficiency, response.log_compute_efficiency, rtol=1e-6)
    assert again.spreads.keys() == {"family", "novel", "datasheet"}


def test_the_slower_device_is_found_to_be_slower(fit):
    by_device = {c.device: c.offset for c in fit.calibrations}
    time = {name: offset.fixed + offset.overhead - offset.compute - offset.memory for name, offset in by_device.items()}
    assert time["sd8gen3"] > time["sd865"]


def test_every_record_is_predicted_without_its_model_family_and_device(fit):
    held_out = fit.held_out
    assert set(held_out.scores()) == {"model", "family", "device"}
    for predicted in (held_out.by_model, held_out.by_family, held_out.by_device):
        assert (predicted.latency_s > 0).all()
        assert ((predicted.novelty >= 0) & (predicted.novelty <= 1)).all()


def test_the_interval_widens_with_less_evidence(fit):
    width = {kind: s.log_p90 - s.log_p10 for kind, s in fit.response.spreads.items()}
    assert width["datasheet"] > width["family"]


def test_records_of_other_domains_are_ignored(fit, records, folder):
    strays = [replace(r, runtime="qnn", latency_s=9.0) for r in records]
    among = fitted([*strays, *records], folder)
    assert among.response.records == len(records)
    np.testing.assert_array_equal(among.held_out.by_model.latency_s, fit.held_out.by_model.latency_s)


def test_records_of_one_model_are_refused(records, folder):
    with pytest.raises(CalibrationError, match="all of one model"):
        fitted([replace(records[0], latency_s=1e-3 * i) for i in range(1, 6)], folder)


def test_too_few_records_are_refused(records, folder):
    with pytest.raises(CalibrationError, match="2 usable records for made"):
        fitted(records[:2], folder)


def test_recentring_changes_no_time_but_the_name_of_it(fit):
    response = fit.response
    classes = len(response.class_names)
    first = ContextOffset(0.2, -0.1, 0.3, 0.0, np.zeros(classes))
    second = ContextOffset(0.4, 0.1, 0.1, 0.2, np.zeros(classes))
    moved = recentred(replace(response, contexts={"device:a": first, "device:b": second}))
    np.testing.assert_allclose(moved.contexts["device:a"].vector(), -moved.contexts["device:b"].vector())
    np.testing.assert_allclose(
        moved.log_compute_efficiency + moved.contexts["device:a"].compute,
        response.log_compute_efficiency + first.compute,
    )


def test_a_class_without_records_takes_those_of_its_like_and_others_keep_theirs(fit):
    like = replace(MADE, like=((KernelClass.CONV_POINTWISE, KernelClass.MATMUL),))
    before = np.arange(len(CLASS_INDEX), dtype=np.float64)
    after = with_likenesses(replace(fit.response, log_k_half=before), like).log_k_half
    pointwise, product = CLASS_INDEX[KernelClass.CONV_POINTWISE], CLASS_INDEX[KernelClass.MATMUL]
    assert after[pointwise] == product
    np.testing.assert_array_equal(np.delete(after, pointwise), np.delete(before, pointwise))


def test_folds_keep_a_name_together_and_are_even():
    names = ["a"] * 5 + ["b"] * 4 + ["c"] * 3 + ["d"] * 3
    folds = fold_by_weight(names, 3)
    assert all(len({f for n, f in zip(names, folds, strict=True) if n == name}) == 1 for name in "abcd")
    assert sorted(np.bincount(folds)) == [4, 5, 6]  # a alone; b alone; c and d
    assert sorted(np.bincount(fold_by_hash([str(i) for i in range(9)], 3))) == [3, 3, 3]


def test_every_domain_is_one_that_estimates_ask_for():
    from estimator.catalogue.loader import list_devices

    asked = {
        name
        for device in list_devices()
        for unit in device.units.values()
        for runtime in unit.runtimes
        for layout in ("nchw", "nhwc")
        for precision in (Precision.FP32, Precision.AMP_FP16)
        for name, _ in response_candidates(unit, runtime.name, layout, precision)
    }
    assert {one.name for one in DOMAINS} <= asked


def test_an_unknown_domain_lists_the_known_ones():
    with pytest.raises(CalibrationError, match="unknown domain 'tpu'") as caught:
        domain("tpu")
    assert "gpu-torch-compile" in caught.value.expected
