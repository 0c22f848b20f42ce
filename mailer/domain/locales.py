"""What a locale says about how its text is written, and which one a reader's mail is in."""

from __future__ import annotations

from collections.abc import Collection

from babel import Locale, UnknownLocaleError


def mail_locale(own: str, default: str, written: Collection[str]) -> str:
    """Return the locale of a reader's mail: their own if its language is written, else `default`.

    Where that is only another kind of the newsletter's language (`en-GB`, `en-US`), it is the
    newsletter's own, so that no mail is compiled twice for the sake of nothing.
    """
    spoken = own.replace("_", "-").split("-")[0].lower()
    if not spoken or spoken == default.replace("_", "-").split("-")[0].lower():
        return default
    by_name = {each.replace("_", "-").lower(): each for each in written}
    exact = by_name.get(own.replace("_", "-").lower())
    return exact or by_name.get(spoken, default)


def direction(locale: str) -> str:
    """Return `rtl` or `ltr` for a locale such as `ar` or `pt-BR`; an unknown one reads `ltr`."""
    try:
        return str(Locale.parse(locale, sep="-").text_direction)
    except (UnknownLocaleError, ValueError):
        return "ltr"
