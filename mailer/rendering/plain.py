"""An operator's HTML as text that a person would read: headings, points, links as footnotes."""

from __future__ import annotations

import re

import lxml.html
from inscriptis import get_text
from inscriptis.css_profiles import CSS_PROFILES
from inscriptis.model.config import ParserConfig
from lxml.html import HtmlElement

from mailer.rendering.html import sanitise_operator_html
from mailer.rendering.wrapping import WIDTH, underlined, wrapped

_HEADING = "\ue000"  # of the private use area: no text of anybody's begins with it
_MAILTO = "mailto:"
_HEADINGS = ("h2", "h3", "h4")
_POINT = re.compile(r"(\s*(?:[*+o-]|\d+\.)\s+)(\S.*)")


def plain_text(source: str) -> str:
    """Return the HTML as lines of at most 72 columns; its links are numbered and listed below."""
    root = lxml.html.fromstring(f"<div>{sanitise_operator_html(source)}</div>")
    addresses = _number_links(root)
    for heading in root.iter(*_HEADINGS):
        heading.text = _HEADING + " ".join(heading.text_content().split())
        for child in list(heading):
            heading.remove(child)
    html = lxml.html.tostring(root, encoding="unicode")
    text = get_text(html, ParserConfig(css=CSS_PROFILES["strict"], display_images=True))
    lines = [_shaped(line) for line in text.strip().split("\n")]
    notes = [
        f"[{number}] {address.removeprefix(_MAILTO)}"
        for number, address in enumerate(addresses, start=1)
    ]
    return "\n".join([*lines, *([""] if notes else []), *notes])


def _number_links(root: HtmlElement) -> list[str]:
    """Put a number behind every link; return the addresses, each once. One that shows itself has
    none."""
    addresses: list[str] = []
    for link in list(root.iter("a")):
        address = link.get("href", "")
        words = " ".join(link.text_content().split())
        if not address or words in (address, address.removeprefix(_MAILTO)):
            continue
        if address not in addresses:
            addresses.append(address)
        number = f"\xa0[{addresses.index(address) + 1}]"
        link.tail = number + (link.tail or "")
    return addresses


def _shaped(line: str) -> str:
    if line.strip().startswith(_HEADING):
        return underlined(line.strip().removeprefix(_HEADING))
    point = _POINT.fullmatch(line)
    if point:
        indent = point.group(1)
        return wrapped(point.group(2), WIDTH, indent, " " * len(indent))
    return wrapped(line, WIDTH) if len(line) > WIDTH else line
