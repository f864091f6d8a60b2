"""Ways to damage a file: cut it off, flip bits, overwrite a stretch."""

from __future__ import annotations

from hypothesis import strategies as st


@st.composite
def damaged(draw: st.DrawFn, data: bytes, header: int = 4096) -> bytes:
    """Draw a damaged copy; half of the damage goes to the first `header` bytes, where structure mostly is."""
    result = bytearray(data)
    if draw(st.booleans()):
        del result[draw(st.integers(0, len(result) - 1)) :]
        return bytes(result)
    reach = len(result) if draw(st.booleans()) else min(header, len(result))
    for _ in range(draw(st.integers(1, 12))):
        at = draw(st.integers(0, reach - 1))
        if draw(st.booleans()):
            result[at] ^= 1 << draw(st.integers(0, 7))
        else:
            stretch = draw(st.binary(min_size=1, max_size=8))
            result[at : at + len(stretch)] = stretch
    return bytes(result)
