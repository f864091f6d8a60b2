import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.report.wrapping import WIDTH, wrapped


@pytest.mark.parametrize("label", ["  expected      ", "error: ", "warning: "])
def test_what_follows_a_label_is_indented_to_where_its_text_began(label: str):
    first, *rest = wrapped(label + "word " * 40).splitlines()
    assert first.startswith(label + "word")
    assert {len(line) - len(line.lstrip()) for line in rest} == {len(label)}


def test_a_short_line_stays_as_it_is():
    assert wrapped("  next          estimator-cli --help") == "  next          estimator-cli --help"


def test_a_long_path_stays_whole():
    path = "/folder" * 20
    assert path in wrapped(f"  where         {path}:3, in a function").splitlines()[1]


@given(st.lists(st.text("abc", min_size=1, max_size=30), min_size=1, max_size=60))
def test_no_line_is_wider_than_a_screen_and_no_word_is_lost(words: list[str]):
    lines = wrapped("error: " + " ".join(words)).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert " ".join(lines).split() == ["error:", *words]
