"""A finished mail, taken apart once for all checks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from functools import cached_property

import lxml.html
from lxml.etree import ParserError
from lxml.html import HtmlElement, HTMLParser

from mailer.checking.css import Sheet, read_sheet

LARGEST = 500_000
"""Characters of HTML that are looked at; a mail that has more is too large five times over."""

_SHOWN = 60
_EMPTY = "<html><body></body></html>"


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a mail besides its bytes.

    `own_url`: under which our pages are. `told`: what stands in its stories, as others wrote
    them.
    """

    postal_address: str = ""
    unsubscribe_url: str = ""
    preferences_url: str = ""
    own_url: str = ""
    told: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mail:
    """What one reader gets."""

    subject: str
    html: str
    text: str
    headers: tuple[tuple[str, str], ...] = ()
    eml: bytes = b""
    about: About = About()

    @cached_property
    def root(self) -> HtmlElement:
        """The HTML as a tree, however broken it is."""
        parser = HTMLParser(recover=True, encoding="utf-8", remove_comments=True, remove_pis=True)
        source = self.html[:LARGEST].replace("\0", "").strip() or _EMPTY
        try:
            return lxml.html.document_fromstring(source.encode("utf-8", "replace"), parser=parser)
        except ParserError:
            return lxml.html.document_fromstring(_EMPTY)

    @cached_property
    def elements(self) -> list[HtmlElement]:
        """All elements, in the order in which they stand."""
        return [each for each in self.root.iter() if isinstance(each.tag, str)]

    @cached_property
    def sheets(self) -> list[Sheet]:
        """What stands in the style elements."""
        return [read_sheet(each.text or "") for each in self.elements if each.tag == "style"]

    def header(self, name: str) -> list[str]:
        """Return all fields of this name, unfolded."""
        return [value for found, value in self.headers if found.lower() == name.lower()]


def read_mail(eml: bytes, about: About) -> Mail:
    """Take the bytes apart that would go to the relay."""
    message = message_from_bytes(eml, policy=default)
    assert isinstance(message, EmailMessage)
    return Mail(
        subject=str(message.get("Subject", "")),
        html=_part(message, "text/html"),
        text=_part(message, "text/plain"),
        headers=tuple(_fields(eml)),
        eml=eml,
        about=about,
    )


def place(element: HtmlElement) -> str:
    """Say where an element stands: its line and how it begins."""
    shown = "".join(
        f' {name}="{_shortened(element.get(name, ""))}"'
        for name in ("id", "class", "src", "href")
        if element.get(name)
    )
    words = _shortened(" ".join(words_of(element, 400).split()))
    line = f"line {element.sourceline}, " if element.sourceline else ""
    return f"{line}<{element.tag}{shown}>{f' “{words}”' if words else ''}"


def words_of(element: HtmlElement, most: int = 10_000) -> str:
    """Return the text within an element, as far as it is not too long."""
    pieces, length = [], 0
    for piece in element.itertext():
        pieces.append(piece)
        length += len(piece)
        if length > most:
            break
    return "".join(pieces)


def _fields(eml: bytes) -> Iterator[tuple[str, str]]:
    """Yield the header's fields as they stand on the wire, unfolded, and not decoded."""
    header = eml.partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
    for line in header.replace("\r\n ", " ").replace("\r\n\t", " ").split("\r\n"):
        name, colon, value = line.partition(":")
        if colon:
            yield name, value.strip()


def _part(message: EmailMessage, content_type: str) -> str:
    for part in message.walk():
        if part.get_content_type() == content_type:
            return str(part.get_content())
    return ""


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
