"""Plain text as a person would write it: 72 columns, no heaps of empty lines, either direction."""

from __future__ import annotations

import re
from unicodedata import bidirectional, category, east_asian_width

WIDTH = 72

_RIGHT_TO_LEFT_MARK = "\u200f"
_EMPTY_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")


def display_width(text: str) -> int:
    """Return how many columns the text takes: wide characters two, marks and controls none."""
    return sum(
        0
        if category(character) in ("Mn", "Me", "Cf")
        else 2
        if east_asian_width(character) in ("W", "F")
        else 1
        for character in text
    )


def wrapped(text: str, width: int = WIDTH, indent: str = "", hanging: str | None = None) -> str:
    """Break text into lines; its own line breaks stay, and words and links are never broken.

    The first line begins with `indent`, those that follow with `hanging` (as `indent`, if None).
    """
    rest = indent if hanging is None else hanging
    return "\n".join("\n".join(_lines(line, width, indent, rest)) for line in text.split("\n"))


def underlined(text: str, mark: str = "-", width: int = WIDTH) -> str:
    """Return a heading: the words in as many lines as they need, and a line under them."""
    lines = wrapped(text, width)
    longest = max(display_width(line) for line in lines.split("\n"))
    return f"{lines}\n{mark * max(longest, 3)}"


def first_direction(text: str) -> str | None:
    """Return `ltr` or `rtl` by the first letter that has a direction; None where none has."""
    for character in text:
        kind = bidirectional(character)
        if kind == "L":
            return "ltr"
        if kind in ("R", "AL"):
            return "rtl"
    return None


def tidy(text: str, direction: str) -> str:
    """Return a whole mail's text: one empty line at most, no spaces at ends, one direction.

    In a right-to-left mail a rule, or a line that begins with a Latin name, would be laid out from
    the left: a mark before it, which nobody sees, keeps it where it belongs.
    """
    lines = (line.rstrip() for line in _EMPTY_LINES.sub("\n\n", text).split("\n"))
    if direction == "rtl":
        lines = (_turned(line) for line in lines)
    return "\n".join(lines)


def _turned(line: str) -> str:
    letters = {bidirectional(character) for character in line}
    is_rule = bool(line) and not letters & {"L", "R", "AL"}
    strays = first_direction(line) == "ltr" and bool(letters & {"R", "AL"})
    return _RIGHT_TO_LEFT_MARK + line if is_rule or strays else line


def _lines(line: str, width: int, indent: str, hanging: str) -> list[str]:
    lines: list[str] = []
    current, used = indent, display_width(indent)
    empty = True
    for word in line.split():
        size = display_width(word)
        if not empty and used + 1 + size > width:
            lines.append(current)
            current, used, empty = hanging, display_width(hanging), True
        current += word if empty else f" {word}"
        used += size if empty else size + 1
        empty = False
    return [*lines, current if not empty else ""]
