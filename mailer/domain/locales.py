"""What a locale says about how its text is written."""

from __future__ import annotations

from babel import Locale, UnknownLocaleError


def direction(locale: str) -> str:
    """Return `rtl` or `ltr` for a locale such as `ar` or `pt-BR`; an unknown one reads `ltr`."""
    try:
        return str(Locale.parse(locale, sep="-").text_direction)
    except (UnknownLocaleError, ValueError):
        return "ltr"
