import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.report.escaping import markdown_cell, printable, shorten, spreadsheet_cell


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),  # clears the screen
        ("a\nb", r"a\nb"),
        ("\u202egpj.exe", r"\u202egpj.exe"),  # writes the rest right to left
        ("\ud800", r"\ud800"),  # half a character, from an undecodable file name
        ("größe · 大小", "größe · 大小"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_as_its_escape(hostile: str, shown: str):
    assert printable(hostile) == shown


@given(st.text(st.characters()))
def test_everything_printed_is_printable(text: str):
    assert printable(text).isprintable()


@given(st.text(), st.integers(min_value=0, max_value=40))
def test_a_shortened_text_fits_and_keeps_its_end(text: str, width: int):
    short = shorten(text, width)
    assert len(short) <= width
    assert text.endswith(short.removeprefix("…"))


def test_markdown_marks_in_a_name_are_escaped():
    assert markdown_cell("a|b_<i>`") == r"a\|b\_\<i\>\`"


@given(st.text())
def test_a_markdown_cell_never_ends_its_row(text: str):
    cell = markdown_cell(text)
    assert "\n" not in cell
    assert "|" not in cell.replace(r"\\", "").replace(r"\|", "")


@pytest.mark.parametrize("formula", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)"])
def test_a_formula_in_a_name_stays_text_in_a_spreadsheet(formula: str):
    assert spreadsheet_cell(formula) == "'" + formula
