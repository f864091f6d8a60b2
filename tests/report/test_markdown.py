import re

from hypothesis import given

from estimator.report.markdown import estimate_markdown, markdown_table
from estimator.result import Estimate
from tests.report.estimates import estimate, estimates

UNESCAPED_PIPE = re.compile(r"(?<!\\)(?:\\\\)*\|")


def test_texts_are_left_and_numbers_right_aligned():
    assert markdown_table(("name", "ms"), [("a", "1.0")], "lr") == "| name | ms |\n| :-- | --: |\n| a | 1.0 |\n"


def test_the_answer_is_bold_and_carries_its_interval():
    assert "| **Latency** | **4.00 ms** | 3.60 … 4.50 ms (p10 … p90);" in estimate_markdown(estimate(), top=3)


def test_warnings_are_listed():
    assert "- warning: try \\--batch" not in estimate_markdown(estimate(), top=0)
    assert "- warning: try --batch 8" in estimate_markdown(estimate(warnings=("try --batch 8",)), top=0)


@given(estimates())
def test_no_name_breaks_a_table(made: Estimate):
    lines = estimate_markdown(made, top=9).splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    widths = {len(UNESCAPED_PIPE.findall(row)) - 1 for row in rows}
    assert widths <= {3, 7}
