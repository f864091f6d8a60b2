import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.report.wording import milliseconds, operation_rate, percent, provenance_phrase, significant, times_faster
from estimator.result import Interval, Provenance, ProvenanceKind
from tests.report.estimates import estimate


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (4.6123, "4.61"), (46.123, "46.1"), (461.23, "461"), (4612.3, "4610"), (0.0432, "0.0432"),
        (0.04, "0.0400"), (9.999, "10.0"), (0.0009999, "0.00100"), (0.9996, "1.00"), (1e-7, "1.00e-07"),
        (2e12, "2.00e+12"),
    ],
)  # fmt: skip
def test_three_significant_digits_are_kept_and_no_more(value: float, text: str):
    assert significant(value) == text


@given(st.floats(min_value=1e-6, max_value=9e8))
def test_significant_digits_are_within_half_a_unit_of_the_third(value: float):
    assert float(significant(value)) == pytest.approx(value, rel=0.5e-2)


def test_milliseconds_are_a_thousandth():
    assert milliseconds(0.00461) == "4.61"


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (0, "0 %"),
        (1e-5, "< 0.1 %"),
        (0.008, "0.8 %"),
        (0.0994, "9.9 %"),
        (0.0996, "10 %"),
        (0.344, "34 %"),
        (1, "100 %"),
        (20, "2000 %"),
    ],
)
def test_a_fraction_is_a_per_cent_of_sensible_precision(fraction: float, text: str):
    assert percent(fraction) == text


def test_a_rate_of_integers_is_in_operations():
    assert operation_rate(15e12, "int8") == "15.0 TOP/s"
    assert operation_rate(7.5e12, "w8a16") == "7.50 TOP/s"
    assert operation_rate(82.6e12, "fp32") == "82.6 TFLOP/s"


def test_provenance_names_its_records_and_its_error():
    calibrated = Provenance(ProvenanceKind.CALIBRATED, records=12, heldout_median_ape=0.05)
    assert provenance_phrase(calibrated) == "calibrated, 12 records, ±5.0 % held out"
    assert provenance_phrase(Provenance(ProvenanceKind.FAMILY, 70)) == "not calibrated; family fit, 70 records"
    assert provenance_phrase(Provenance(ProvenanceKind.DATASHEET)) == "not calibrated: datasheet values only"


def test_the_error_of_a_few_records_is_not_printed():
    calibrated = Provenance(ProvenanceKind.CALIBRATED, records=1, heldout_median_ape=0.05)
    assert provenance_phrase(calibrated) == "calibrated, only 1 record"


def test_a_simpler_model_is_given_as_a_part_of_the_estimate():
    four_ms = estimate(latency=Interval(4e-3, 4e-3, 4e-3))
    assert times_faster(four_ms, 4e-5) == "1/100 of the estimate"  # 4 ÷ 0.04
    assert times_faster(four_ms, 8e-3) == "200 % of the estimate"  # 8 ÷ 4
    assert times_faster(four_ms, 0.0) == ""
