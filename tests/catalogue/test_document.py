"""The YAML subset: what is surprising is refused, with file and line; nothing else is."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator.catalogue.document import MAX_BYTES, parse_document, read_document
from estimator.errors import CatalogueError

HEAD = "schema_version: 1\nid: my-board\n"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("value: 1:30", "'1:30' is ambiguous"),
        ("value: on", "'on' is ambiguous"),
        ("value: No", "'No' is ambiguous"),
        ("value: 3.35e12", "'3.35e12' is ambiguous"),
        ("value: 1e3", "'1e3' is ambiguous"),
        ("value: 010", "'010' is ambiguous"),
        ("value: 0x1F", "'0x1F' is ambiguous"),
        ("value: 1_000", "'1_000' is ambiguous"),
        ("value: .5", "'.5' is ambiguous"),
        ("value: +5", "'+5' is ambiguous"),
        ("value: .inf", "'.inf' is ambiguous"),
        ("value: ~", "'~' is ambiguous"),
        ("value:", "a value is missing"),
        ("value: 2001-12-14 21:59:43", "is ambiguous"),
        ("id: again", "duplicate key 'id'"),
        ("value: &a 1", "anchor &a is not allowed"),
        ("value: *a", "alias *a is not allowed"),
        ("value: !!python/object:os.system 1", "tag"),
        ("on: 1", "key 'on' is not plain text"),
        ("1: 1", "key '1' is not plain text"),
        ("[a, b]: 1", "a key must be text"),
        ("value: {a: 1, a: 2}", "duplicate key 'a'"),
        ("value: [1, 2", "not YAML"),
        ("---\nvalue: 1", "several documents"),
        ("value: " + "[" * 40 + "]" * 40, "nested too deeply"),
    ],
)
def test_a_surprising_spelling_is_refused_with_file_and_line(line: str, what: str):
    with pytest.raises(CatalogueError, match=r".") as caught:
        parse_document(HEAD + line + "\n", "my.yaml")
    assert what in caught.value.what
    assert caught.value.where.startswith("my.yaml:")
    assert int(caught.value.where.partition(":")[2]) >= 3


def test_an_alias_bomb_is_refused_at_its_first_anchor():
    levels = "\n".join(f"l{n}: &l{n} [{', '.join(f'*l{n - 1}' for _ in range(9))}]" for n in range(1, 9))
    with pytest.raises(CatalogueError, match="anchor &l0 is not allowed"):
        parse_document(f"l0: &l0 [lol]\n{levels}\n", "bomb.yaml")


def test_a_file_over_the_limit_is_refused_before_it_is_parsed(tmp_path: Path):
    path = tmp_path / "big.yaml"
    path.write_text("a: " + "x" * MAX_BYTES)
    with pytest.raises(CatalogueError, match="too large"):
        read_document(path)


def test_bytes_that_are_not_utf8_are_refused_with_their_position(tmp_path: Path):
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"name: M\xfcller\n")
    with pytest.raises(CatalogueError, match="not UTF-8") as caught:
        read_document(path)
    assert caught.value.where.endswith("byte 7")


def test_a_missing_file_and_a_list_are_refused(tmp_path: Path):
    with pytest.raises(CatalogueError, match="cannot read"):
        read_document(tmp_path / "absent.yaml")
    with pytest.raises(CatalogueError, match="does not hold a mapping"):
        parse_document("- 1\n", "list.yaml")


def test_a_key_is_found_at_its_line():
    text = "a: 1\nunits:\n  gpu:\n    compute:\n      - {dtype: fp16}\n      - dtype: int8\n        rate: 2\n"
    document = parse_document(text, "my.yaml")
    assert document.where(("units", "gpu", "compute", 0)) == "my.yaml:5"
    assert document.where(("units", "gpu", "compute", 1, "rate")) == "my.yaml:7"
    assert document.where(("units", "gpu", "absent")) == "my.yaml:3"


PLAIN_TEXT = st.text(st.characters(categories=("Lu", "Ll")), min_size=4, max_size=12).filter(
    lambda text: text.lower() not in ("true", "null", "false")
)
NUMBERS = st.integers(-(10**15), 10**15) | st.floats(0.001, 1e12, allow_nan=False).map(lambda x: round(x, 3))
VALUES = st.recursive(
    PLAIN_TEXT | NUMBERS | st.booleans(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(PLAIN_TEXT, below, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)  # the machine is shared; time is not what is tested
@given(st.dictionaries(PLAIN_TEXT, VALUES, min_size=1, max_size=5))
def test_what_is_not_surprising_reads_as_any_yaml_parser_reads_it(data: dict[str, object]):
    text = yaml.safe_dump(data, allow_unicode=True, width=math.inf)
    assert parse_document(text, "my.yaml").root == yaml.safe_load(text) == data


@settings(deadline=None)
@given(st.text(max_size=200))
def test_no_text_breaks_the_parser_in_another_way_than_its_own_error(text: str):
    with contextlib.suppress(CatalogueError):
        parse_document(text, "any.yaml")
