"""Make names from untrusted files safe to show: terminal, Markdown, spreadsheet.

A model file may name its layers anything: terminal control sequences, pipes, formulas, markup.
HTML is escaped where it is written, in `html_page`.
"""

from __future__ import annotations

import re
from typing import Final

_MARKDOWN_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>#|~&])")
_FORMULA_START: Final = ("=", "+", "-", "@", "\t", "\r")


def printable(text: str) -> str:
    r"""Replace what a terminal would obey or hide by its escape, e.g. ``\x1b``.

    Control characters, lone surrogates, bidirectional overrides and other invisible characters.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def shorten(text: str, width: int) -> str:
    """Cut to `width` characters, keeping the end, which tells layers and files apart."""
    if len(text) <= width:
        return text
    return "…" + text[len(text) - width + 1 :] if width > 1 else "…"[:width]


def markdown_cell(text: str) -> str:
    """Escape for a cell of a Markdown table."""
    return _MARKDOWN_SPECIAL.sub(r"\\\1", printable(text))


def spreadsheet_cell(text: str) -> str:
    """Defuse a leading character that spreadsheets take for a formula."""
    text = printable(text)
    return f"'{text}" if text.startswith(_FORMULA_START) else text
