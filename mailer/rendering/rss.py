"""A newsletter's issues as RSS 2.0 (rssboard.org/rss-specification)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime
from typing import NamedTuple

from lxml import etree

_ATOM = "http://www.w3.org/2005/Atom"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold (section 2.2), not even escaped."""


class Item(NamedTuple):
    """One issue; texts are plain."""

    title: str
    link: str
    description: str
    published: datetime


def rss(
    *, title: str, link: str, address: str, description: str, language: str, items: Sequence[Item]
) -> bytes:
    """Return the feed; `address` is its own, `link` the page that it is the feed of."""
    root = etree.Element("rss", {"version": "2.0"}, nsmap={"atom": _ATOM})
    channel = etree.SubElement(root, "channel")
    _add(channel, "title", title)
    _add(channel, "link", link)
    _add(channel, "description", description)
    _add(channel, "language", language.lower())
    etree.SubElement(
        channel,
        f"{{{_ATOM}}}link",
        {"href": address, "rel": "self", "type": "application/rss+xml"},
    )
    if items:
        _add(channel, "lastBuildDate", format_datetime(items[0].published))
    for item in items:
        entry = etree.SubElement(channel, "item")
        _add(entry, "title", item.title)
        _add(entry, "link", item.link)
        _add(entry, "guid", item.link)
        _add(entry, "pubDate", format_datetime(item.published))
        _add(entry, "description", item.description)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="utf-8", pretty_print=True))


def _add(parent: etree._Element, name: str, text: str) -> None:
    etree.SubElement(parent, name).text = _NOT_XML.sub("", text)
