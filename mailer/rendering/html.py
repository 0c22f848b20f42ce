"""HTML of mails: inlining, where slots may stand, and what an operator's own HTML may hold."""

from __future__ import annotations

import logging
import re

import lxml.html
import nh3
from premailer import Premailer

from mailer.rendering.personal.deferred import Slot, SlotMisused
from mailer.rendering.personal.expressions import LINKS, describe
from mailer.rendering.personal.trace import Trace

_STYLES_ALONE = ("width", "height", "bgcolor")
"""What premailer would also write as attributes, and on elements that have none such. A template
writes those that Outlook reads itself: the widths of tables, cells and images."""

_SLOT_ATTRIBUTES = frozenset({"href", "alt", "title", "content", "value"})
_ATTRIBUTE = re.compile(r"""([\w:-]+)\s*=\s*["']((?<=")[^"]*|(?<=')[^']*)$""")
_LINK = ("attr", LINKS)

_TAGS = {
    "a", "abbr", "b", "blockquote", "br", "code", "div", "em", "figcaption", "figure", "h2", "h3",
    "h4", "hr", "i", "img", "li", "ol", "p", "pre", "s", "small", "span", "strong", "sub", "sup",
    "table", "tbody", "td", "th", "thead", "tr", "u", "ul",
}  # fmt: skip
_ATTRIBUTES = {
    "a": {"href", "title"},
    "img": {"src", "alt", "title", "width", "height"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
    "*": {"lang", "dir"},
}


def inlined(source: str) -> str:
    """Move styles into the elements, once per variant; what a media query needs stays in head.

    The rest of the style goes: said twice, it made every mail 3 KB longer.
    """
    return str(
        Premailer(
            source,
            keep_style_tags=False,
            strip_important=False,
            disable_validation=True,
            allow_network=False,
            remove_classes=False,
            disable_basic_attributes=list(_STYLES_ALONE),
            cssutils_logging_level=logging.CRITICAL,
        ).transform()
    )


def placed(source: str, trace: Trace) -> str:
    """Return the HTML with the slots in addresses marked as such.

    Raises SlotMisused, with file and line, where a reader's value stands in a tag, a class, a style
    or a script.
    """
    seen, pieces = "", []
    for text, number in trace.split(source):
        seen += text
        pieces.append(text)
        if number is None:
            break
        slot = trace.slot(number)
        attribute = _refuse_misplaced(seen, slot, trace.origin(number))
        if (
            attribute is not None
            and attribute.group(1).lower() == "href"
            and slot.node[:2] != _LINK
        ):
            begins = not attribute.group(2)
            slot = Slot(("address", slot.node, begins), slot.escapes)
        pieces.append(trace.mark(slot, trace.origin(number)))
        seen += "x"
    return "".join(pieces)


def _refuse_misplaced(before: str, slot: Slot, origin: str) -> re.Match[str] | None:
    """Return the attribute in which the slot stands, if it stands in one."""
    named = f"{origin}: “{describe(slot.node)}”"
    for element in ("style", "script"):
        if before.rfind(f"<{element}") > before.rfind(f"</{element}"):
            raise SlotMisused(f"{named} stands in <{element}>")
    tag = before.rfind("<")
    if tag <= before.rfind(">"):
        return None
    attribute = _ATTRIBUTE.search(before[tag:])
    if attribute is None or attribute.group(1).lower() not in _SLOT_ATTRIBUTES:
        raise SlotMisused(f"{named} stands inside a tag where it could change the page")
    return attribute


def sanitise_operator_html(source: str) -> str:
    """Return the allowed part of an operator's HTML: text, links, images, tables; no script."""
    return nh3.clean(
        source,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes={"http", "https", "mailto", "tel"},
        link_rel=None,
    )


def has_homeless_image(source: str) -> bool:
    """Say whether an operator's HTML has an image that is not on the web: `data:`, or a file."""
    root = lxml.html.fromstring(f"<div>{sanitise_operator_html(source)}</div>")
    return any(
        not img.get("src", "").startswith(("http://", "https://")) for img in root.iter("img")
    )
