"""Fit lines of prose to the screen, with a hanging indent."""

from __future__ import annotations

import re
import textwrap
from typing import Final

WIDTH: Final = 100
"""Columns of everything that a person reads."""

_LONGEST_WHOLE_WORD: Final = 250
_LABELLED: Final = re.compile(r"\s+\S+( \S+)*:?\s{2,}|\s*(error|warning|note): ")


def wrapped(line: str, width: int = WIDTH) -> str:
    """Break a line at spaces; what follows is indented to where the text after a label began.

    A label is ``error: ``, or indented words and two spaces: ``  expected      a, b``. A path longer
    than the width stays whole, so that it can be copied; absurdly long words are broken.
    """
    if len(line) <= width:
        return line
    label = _LABELLED.match(line)
    indent = label.end() if label else len(line) - len(line.lstrip()) + 2
    return textwrap.fill(
        line,
        width,
        subsequent_indent=" " * min(indent, width // 2),
        break_long_words=max(map(len, line.split())) > _LONGEST_WHOLE_WORD,
        break_on_hyphens=False,
    )
