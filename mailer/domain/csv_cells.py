"""Cells of a CSV that no spreadsheet takes for formulas, and the way back.

A spreadsheet computes a cell that begins with `= + - @`, also after a tab or a line's end, and some
do for the full-width forms (OWASP, "CSV Injection"). An apostrophe in front keeps it text. Where a
semicolon separates lists, as in many countries, a cell also begins after one.

One more apostrophe is put before every such place, whatever number stands there already, and one
is taken away again: so each text comes back as it was.
"""

from __future__ import annotations

import re

_BEGINS = r"(?:^|(?<=[;\t\r\n\0]))"
_COMPUTES = r"(?='*[=+\-@\t\r\n\0＝＋－＠])"
_PLAIN = re.compile(_BEGINS + _COMPUTES)
_NEUTRAL = re.compile(_BEGINS + "'" + _COMPUTES)


def neutral(text: str) -> str:
    """Return the cell as a spreadsheet may have it."""
    return _PLAIN.sub("'", text)


def restored(cell: str) -> str:
    """Return the text that `neutral` made the cell of; any other cell stays as it is."""
    return _NEUTRAL.sub("", cell)
