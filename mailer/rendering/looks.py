"""A newsletter's theme as templates see it: colours, font stacks, sizes that suit the script."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mailer.domain.fonts import FONTS, script_of, stack
from mailer.domain.themes import Theme

_SIZES = {
    "latin": {"text": (17, 27), "small": (13, 20), "lead": (30, 36), "title": (21, 27)},
    "arabic": {"text": (18, 32), "small": (14, 24), "lead": (30, 44), "title": (22, 34)},
    "ethiopic": {"text": (17, 30), "small": (14, 23), "lead": (28, 40), "title": (20, 30)},
}
"""Font size and line height in pixels. Arabic and Ethiopic letters are small for their size, and
Arabic needs room above and below."""


def look(theme: Theme, locale: str) -> dict[str, Any]:
    """Return what templates read as `theme`: plain values, and nothing that they could change."""
    script = script_of(locale)
    heading, text = FONTS[theme.font]
    return {
        "light": asdict(theme.light),
        "dark": asdict(theme.dark),
        "heading_font": stack(heading, script),
        "text_font": stack(text, script),
        "small_font": stack("sans", script),
        "size": {
            name: {"font": size, "line": line} for name, (size, line) in _SIZES[script].items()
        },
        "cased": script == "latin",
        "logo": theme.logo,
        "logo_alt": theme.logo_alt,
        "logo_width": theme.logo_width,
        "footer": theme.footer,
    }
