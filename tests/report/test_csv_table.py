import csv
import io

import pytest
from hypothesis import given

from estimator.report.csv_table import COLUMNS, csv_text, estimate_csv
from estimator.result import Estimate
from tests.report.estimates import estimate, estimates, kernel


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_total_comes_first_then_the_kernels_in_execution_order():
    total, *kernels = rows_of(estimate_csv(estimate(kernels=(kernel("b"), kernel("a")))))
    assert total["row"] == "total"
    assert float(total["latency_us"]) == pytest.approx(4e-3 * 1e6)
    assert [row["name"] for row in kernels] == ["b", "a"]
    assert float(kernels[0]["latency_us"]) == pytest.approx(1e-3 * 1e6)


@given(estimates())
def test_every_row_has_every_column_whatever_the_names(made: Estimate):
    rows = list(csv.reader(io.StringIO(estimate_csv(made))))
    assert len(rows) == 2 + len(made.kernels)
    assert {len(row) for row in rows} == {len(COLUMNS)}


def test_an_unknown_is_an_empty_cell():
    assert csv_text(("a", "b"), [(None, 1)]) == "a,b\n,1\n"
