"""Colours as `#rrggbb`, and whether one can be read on the other (WCAG 2.2, 1.4.3)."""

from __future__ import annotations

import re

READABLE = 4.5
"""The contrast that text needs on its ground."""

_COLOUR = re.compile(r"#[0-9a-f]{6}")
_STEPS = 100


def is_colour(text: str) -> bool:
    """Say whether the text is a colour in small letters, such as `#9a3412`."""
    return _COLOUR.fullmatch(text) is not None


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, from 1 (alike) to 21 (black on white)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def mix(colour: str, other: str, share: float) -> str:
    """Return the colour with a share (0 to 1) of the other in it."""
    mixed = (
        round(mine * (1 - share) + theirs * share)
        for mine, theirs in zip(_channels(colour), _channels(other), strict=True)
    )
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def readable_on(colour: str, *grounds: str, least: float = READABLE) -> str | None:
    """Return the nearest colour of that contrast on all grounds; None where there is none.

    It goes towards black or white, whichever is nearer.
    """
    for step in range(_STEPS + 1):
        for end in ("#000000", "#ffffff"):
            candidate = mix(colour, end, step / _STEPS)
            if all(contrast(candidate, ground) >= least for ground in grounds):
                return candidate
    return None


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _luminance(colour: str) -> float:
    """Return the relative luminance as WCAG defines it."""
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (channel / 255 for channel in _channels(colour))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
