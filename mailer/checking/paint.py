"""Colours as CSS writes them, and which styles hold for which elements, in light and in dark."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cssselect import HTMLTranslator, SelectorError
from lxml.etree import XPath, XPathError
from lxml.html import HtmlElement

from mailer.checking.css import Declaration, Rule, Sheet, read_style
from mailer.domain.colours import mix

_NAMED = {
    "black": "#000000", "silver": "#c0c0c0", "gray": "#808080", "grey": "#808080",
    "white": "#ffffff", "maroon": "#800000", "red": "#ff0000", "purple": "#800080",
    "fuchsia": "#ff00ff", "green": "#008000", "lime": "#00ff00", "olive": "#808000",
    "yellow": "#ffff00", "navy": "#000080", "blue": "#0000ff", "teal": "#008080",
    "aqua": "#00ffff", "orange": "#ffa500", "darkgray": "#a9a9a9", "lightgray": "#d3d3d3",
    "darkgrey": "#a9a9a9", "lightgrey": "#d3d3d3", "whitesmoke": "#f5f5f5", "dimgray": "#696969",
}  # fmt: skip
_HEX = re.compile(r"#?([0-9a-f]{3,8})")
_RGB = re.compile(r"rgba?\(([^()]{1,60})\)")
_TOKEN = re.compile(r"#[0-9a-fA-F]{3,8}\b|rgba?\([^()]{1,60}\)|[a-zA-Z]+")
_MOST_RULES = 400
_LONGEST_SELECTOR = 200
_WHOLE = 255.0


class Colour(NamedTuple):
    """A colour, `#rrggbb`, and how much of it covers what is below (0 to 1)."""

    code: str
    cover: float = 1.0

    def over(self, ground: str) -> str:
        """Return what is seen on the ground."""
        return self.code if self.cover >= 1 else mix(ground, self.code, self.cover)


def colour(text: str) -> Colour | None:
    """Return the colour; None for what is none, or none that we know."""
    text = text.strip().lower()
    if text == "transparent":
        return Colour("#000000", 0.0)
    if text in _NAMED:
        return Colour(_NAMED[text])
    if found := _HEX.fullmatch(text):
        return _from_hex(found[1])
    if found := _RGB.fullmatch(text):
        return _from_numbers(found[1])
    return None


def background(style: dict[str, str]) -> Colour | None:
    """Return the colour that a style paints below, out of either property."""
    if (own := colour(style.get("background-color", ""))) is not None:
        return own
    return next(
        (
            found
            for token in _TOKEN.findall(style.get("background", ""))
            if (found := colour(token)) is not None
        ),
        None,
    )


def styles(
    elements: Iterable[HtmlElement], root: HtmlElement, sheets: Iterable[Sheet], *, dark: bool
) -> dict[HtmlElement, dict[str, str]]:
    """Return what holds for each element: its own style, and the rules that win over it.

    Those for narrow windows and for paper do not; those for dark windows only where it is `dark`.
    """
    found = {element: read_style(element.get("style", "")) for element in elements}
    winning: dict[HtmlElement, list[Declaration]] = {}
    weak: dict[HtmlElement, list[Declaration]] = {}
    for _, rule, selector in sorted(_chosen(sheets, dark), key=lambda each: each[0]):
        for element in _matched(selector, root):
            for declaration in rule.declarations:
                side = winning if declaration.important else weak
                side.setdefault(element, []).append(declaration)
    result = {}
    for element, own in found.items():
        mine = [each for each in own if each.important]
        order = [*weak.get(element, ()), *own, *winning.get(element, ()), *mine]
        result[element] = {each.name: each.value for each in order}
    return result


def _chosen(
    sheets: Iterable[Sheet], dark: bool
) -> Iterator[tuple[tuple[tuple[int, int, int], int], Rule, str]]:
    number = 0
    for sheet in sheets:
        for rule in sheet.rules:
            if not all(_holds(block, dark) for block in rule.within):
                continue
            for selector in rule.selectors:
                number += 1
                if number > _MOST_RULES:
                    return
                yield (_weight(selector), number), rule, selector


def _weight(selector: str) -> tuple[int, int, int]:
    """Return about how specific a selector is: ids, classes, elements."""
    ids, classes = selector.count("#"), len(re.findall(r"\.|\[|(?<!:):(?!:)", selector))
    return ids, classes, len(re.findall(r"(?:^|[\s>+~])[a-zA-Z]", selector))


def _holds(block: str, dark: bool) -> bool:
    """Say whether what stands in an at-rule holds in a wide window on a screen."""
    if not block.startswith("@media"):
        return block.startswith("@layer")
    query = block.replace(" ", "")
    if "prefers-color-scheme:dark" in query:
        return dark and "max-width" not in query
    if "prefers-color-scheme:light" in query:
        return not dark and "max-width" not in query
    return query in ("@mediaall", "@mediascreen", "@mediaonlyscreen") or "min-width" in query


def _matched(selector: str, root: HtmlElement) -> list[HtmlElement]:
    if len(selector) > _LONGEST_SELECTOR:
        return []
    try:
        found = XPath(HTMLTranslator().css_to_xpath(selector))(root)
    except (SelectorError, XPathError, RecursionError):
        return []
    return list(found) if isinstance(found, list) else []


def _from_hex(digits: str) -> Colour | None:
    if len(digits) in (3, 4):
        digits = "".join(digit * 2 for digit in digits)
    if len(digits) not in (6, 8):
        return None
    cover = int(digits[6:], 16) / _WHOLE if len(digits) == 8 else 1.0
    return Colour(f"#{digits[:6]}", cover)


def _from_numbers(text: str) -> Colour | None:
    parts = re.split(r"[\s,/]+", text.strip())
    try:
        numbers = [
            float(part[:-1]) * (_WHOLE / 100 if index < 3 else 0.01)
            if part.endswith("%")
            else float(part)
            for index, part in enumerate(parts)
        ]
    except ValueError:
        return None
    if len(numbers) not in (3, 4) or not all(-1e6 < number < 1e6 for number in numbers):
        return None
    code = "#" + "".join(f"{min(max(round(number), 0), 255):02x}" for number in numbers[:3])
    return Colour(code, min(max(numbers[3], 0.0), 1.0) if len(numbers) == 4 else 1.0)
