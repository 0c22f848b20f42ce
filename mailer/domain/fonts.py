"""Fonts that readers' machines have: stacks by choice and by script, for nothing is fetched."""

from __future__ import annotations

from babel import Locale, UnknownLocaleError

FONTS = {
    "newspaper": ("serif", "serif"),
    "modern": ("sans", "sans"),
    "magazine": ("serif", "sans"),
    "classic": ("book", "book"),
}
"""What can be chosen: the kind of the headings, and of the text. Small print is always sans."""

_LATIN = {
    "serif": ("Georgia",),
    "book": ("'Palatino Linotype'", "Palatino", "'Book Antiqua'", "Georgia"),
    "sans": ("-apple-system", "'Segoe UI'", "Roboto", "'Helvetica Neue'"),
}
_BY_SCRIPT = {
    ("arabic", "serif"): ("'Noto Naskh Arabic'", "'Geeza Pro'", "'Traditional Arabic'"),
    ("arabic", "sans"): ("'Noto Sans Arabic'", "'Geeza Pro'", "Tahoma"),
    ("ethiopic", "serif"): ("'Noto Serif Ethiopic'", "Nyala", "Kefa", "'Abyssinica SIL'"),
    ("ethiopic", "sans"): ("'Noto Sans Ethiopic'", "Ebrima", "Kefa"),
}
_LAST = {
    "serif": ("'Times New Roman'", "'Noto Serif'", "serif"),
    "sans": ("'Noto Sans'", "Helvetica", "Arial", "sans-serif"),
}
_SCRIPTS = {"Arab": "arabic", "Ethi": "ethiopic"}
_LANGUAGES = {
    "ar": "arabic", "fa": "arabic", "ur": "arabic", "am": "ethiopic", "ti": "ethiopic",
}  # fmt: skip


def script_of(locale: str) -> str:
    """Return `arabic`, `ethiopic`, or `latin`, which stands for every other script."""
    try:
        parsed = Locale.parse(locale, sep="-")
    except (UnknownLocaleError, ValueError):
        return "latin"
    if parsed.script:
        return _SCRIPTS.get(parsed.script, "latin")
    return _LANGUAGES.get(parsed.language, "latin")


def stack(kind: str, script: str) -> str:
    """Return the font-family of a kind (`serif`, `book` or `sans`) for a script."""
    plain = "sans" if kind == "sans" else "serif"
    names = (*_LATIN[kind], *_BY_SCRIPT.get((script, plain), ()), *_LAST[plain])
    return ", ".join(names)
