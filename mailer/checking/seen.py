"""Whether an element can be seen at all, as far as its own attributes tell."""

from __future__ import annotations

import re

from lxml.html import HtmlElement

from mailer.checking.css import read_style

_NOTHING = re.compile(r"0(?:\.0+)?(?:px|pt|em|rem|%)?")
_TINY = re.compile(r"[012](?:\.\d+)?px")


def hidden(element: HtmlElement) -> bool:
    """Say whether the element's own style keeps it, and all within, from being seen."""
    if "hidden" in element.attrib:
        return True
    style = {each.name: each.value.lower() for each in read_style(element.get("style", ""))}
    return hides(style)


def hides(style: dict[str, str]) -> bool:
    """Say whether such a style hides what it is for."""
    return (
        style.get("display") == "none"
        or style.get("visibility") == "hidden"
        or style.get("mso-hide") == "all"
        or _is(_NOTHING, style.get("opacity"))
        or _is(_NOTHING, style.get("font-size"))
        or _is(_TINY, style.get("font-size"))
        or (
            style.get("overflow") == "hidden"
            and (_is(_NOTHING, style.get("max-height")) or _is(_NOTHING, style.get("height")))
        )
    )


def _is(pattern: re.Pattern[str], value: str | None) -> bool:
    return value is not None and pattern.fullmatch(value) is not None
