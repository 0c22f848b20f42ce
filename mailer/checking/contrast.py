"""Whether the text can be read on its ground, in light and in dark (WCAG 2.2, 1.4.3).

Worked out from the styles as clients see them, not from a picture. Text on a picture, and in
colours that we do not know, is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from lxml.html import HtmlElement

from mailer.checking.findings import Finding, Level
from mailer.checking.mail import Mail, place
from mailer.checking.paint import background, colour, styles
from mailer.checking.seen import hides
from mailer.domain.colours import READABLE, contrast, readable_on

_LARGE_READABLE = 3.0
_INVISIBLE = 1.6
_LARGE = 24.0
_LARGE_BOLD = 18.66
_BOLD = 700.0
_SIZES = {"h1": 32.0, "h2": 24.0, "h3": 18.72, "h4": 16.0, "small": 13.3, "big": 19.2}
_WEIGHTS = {"bold": 700.0, "bolder": 700.0, "normal": 400.0, "lighter": 300.0}
_BOLD_TAGS = ("b", "strong", "th", "h1", "h2", "h3", "h4", "h5", "h6")
_LENGTH = re.compile(r"(\d{1,5}(?:\.\d{1,4})?)(px|pt|em|rem|%)")
_PIXELS = {"px": 1.0, "pt": 4 / 3, "rem": 16.0}
_UNSEEN_TAGS = ("head", "style", "script", "title", "template")


class _Ink(NamedTuple):
    """How text within an element looks; None: nobody can tell."""

    ink: str | None
    ground: str | None
    size: float
    weight: float
    seen: bool


class _Page(NamedTuple):
    ink: str
    ground: str
    link: str


_LIGHT = _Page("#000000", "#ffffff", "#0000ee")
_DARK = _Page("#ffffff", "#121212", "#9e9eff")


def contrast_findings(mail: Mail) -> Iterator[Finding]:
    """Look at every text, once for light windows and once for dark ones."""
    yield from _findings(mail, dark=False)
    if any("prefers-color-scheme" in rule for sheet in mail.sheets for rule in sheet.at_rules):
        yield from _findings(mail, dark=True)
    else:
        yield Finding(
            Level.NOTE, "dark mode", "<style>",
            "The mail says nothing of dark windows: clients choose its colours there themselves.",
            "Write @media (prefers-color-scheme: dark) rules, as _layout/style.css does.",
        )  # fmt: skip


def _findings(mail: Mail, *, dark: bool) -> Iterator[Finding]:
    poor: dict[tuple[str, str, bool], list[HtmlElement]] = {}
    for element, look in _looks(mail, dark=dark):
        if look.ink is None or look.ground is None or not look.seen or not _has_words(element):
            continue
        large = look.size >= _LARGE or (look.size >= _LARGE_BOLD and look.weight >= _BOLD)
        if contrast(look.ink, look.ground) < (_LARGE_READABLE if large else READABLE):
            poor.setdefault((look.ink, look.ground, large), []).append(element)
    for (ink, ground, large), elements in poor.items():
        ratio, least = contrast(ink, ground), _LARGE_READABLE if large else READABLE
        times = f", {len(elements)} times" if len(elements) > 1 else ""
        better = readable_on(ink, ground, least=least)
        yield Finding(
            Level.ERROR if ratio < _INVISIBLE else Level.WARNING,
            "contrast in dark" if dark else "contrast",
            place(elements[0]),
            f"{ink} on {ground} has a contrast of {ratio:.1f}:1; text needs {least:g}:1{times}.",
            f"Write it in {better}." if better else "Choose another ground.",
        )  # fmt: skip


def _looks(mail: Mail, *, dark: bool) -> Iterator[tuple[HtmlElement, _Ink]]:
    page = _DARK if dark else _LIGHT
    held = styles(mail.elements, mail.root, mail.sheets, dark=dark)
    looks: dict[HtmlElement, _Ink] = {}
    start = _Ink(page.ink, page.ground, 16.0, 400.0, True)
    for element in mail.elements:
        parent = element.getparent()
        above = looks.get(parent, start) if parent is not None else start
        looks[element] = look = _within(element, above, held[element], page)
        yield element, look


def _within(element: HtmlElement, above: _Ink, style: dict[str, str], page: _Page) -> _Ink:
    """Return how text in an element looks, from what holds around it and what its style says."""
    seen = above.seen and element.tag not in _UNSEEN_TAGS and "hidden" not in element.attrib
    if not seen or hides(style):
        return above._replace(seen=False)
    ground = above.ground
    painted = background(style) or colour(element.get("bgcolor", ""))
    image = style.get("background", "") + style.get("background-image", "")
    if "url(" in image or "gradient(" in image:
        ground = None
    elif painted is not None and (ground is not None or painted.cover >= 1):
        ground = painted.over(ground or "#ffffff")
    elif painted is None and ("background-color" in style or element.get("background")):
        ground = None if style.get("background-color") != "inherit" else ground
    ink = above.ink
    said = style.get("color") or (element.get("color") if element.tag == "font" else None)
    if said and said.lower() not in ("inherit", "currentcolor"):
        own = colour(said)
        ink = own.over(ground) if own is not None and ground is not None else None
    elif element.tag == "a" and element.get("href") and not said:
        ink = page.link
    return _Ink(
        ink, ground, _size(element, style, above.size), _weight(element, style, above), True
    )


def _size(element: HtmlElement, style: dict[str, str], above: float) -> float:
    found = _LENGTH.fullmatch(style.get("font-size", "").lower())
    if found is None:
        return _SIZES.get(element.tag, above)
    number, unit = float(found[1]), found[2]
    if unit in _PIXELS:
        return number * _PIXELS[unit]
    return number * above * (0.01 if unit == "%" else 1)


def _weight(element: HtmlElement, style: dict[str, str], above: _Ink) -> float:
    said = style.get("font-weight", "").lower()
    if said in _WEIGHTS:
        return _WEIGHTS[said]
    if said.isascii() and said.isdigit():
        return float(said[:4])
    return _BOLD if element.tag in _BOLD_TAGS else above.weight


def _has_words(element: HtmlElement) -> bool:
    """Say whether words stand in the element itself, and not only in those within."""
    own = [element.text, *(child.tail for child in element)]
    return any(text and any(sign.isalnum() for sign in text) for text in own)
