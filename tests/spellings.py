"""Looking for a person in bytes, however they are spelled. Shares no code with the product."""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping

import idna

_ESCAPED = re.compile(rb"(?:[=%]|\\x)([0-9a-f]{2})")  # quoted-printable, URLs, Python


class Search:
    """Looks for some texts in bytes: in any case, and in any of the ways in which mail spells."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._spelled = {what: sorted(set(_spellings(text))) for what, text in texts.items()}

    def found(self, content: bytes) -> dict[str, bytes]:
        """Return what is found, and how it is spelled; also across the line breaks of encodings."""
        read = tuple(set(_readings(content.lower())))
        return {
            what: spelling
            for what, spellings in self._spelled.items()
            for spelling in spellings
            if any(spelling in each for each in read)
        }


def wire(address: str) -> str:
    """Return the address with its domain as DNS knows it."""
    local, _, domain = address.rpartition("@")
    return f"{local}@{idna.encode(domain, uts46=True).decode()}"


def _readings(content: bytes) -> Iterator[bytes]:
    """Yield the content as it is, and without what encodings put in between."""
    yield content
    yield content.replace(b"\r", b"").replace(b"\n", b"")
    joined = content.replace(b"=\r\n", b"").replace(b"=\n", b"")
    yield _ESCAPED.sub(lambda found: bytes.fromhex(found.group(1).decode()), joined).lower()


def _spellings(text: str) -> Iterator[bytes]:
    """Yield every way to write the text, in small letters where they are ASCII."""
    for cased in {text, text.lower(), text.upper(), text.casefold()}:
        for form in ("NFC", "NFD"):
            yield from (each.lower() for each in _encoded(unicodedata.normalize(form, cased)))


def _encoded(text: str) -> Iterator[bytes]:
    raw = text.encode()
    yield from (raw, raw.replace(b" ", b"_"), raw.replace(b" ", b"+"), raw.hex().encode())
    for encoding in ("utf-16-le", "utf-16-be", "latin-1"):
        yield text.encode(encoding, "replace")
    in_json = json.dumps(text)[1:-1].encode()
    yield from (in_json, in_json.replace(b"\\", b"\\\\"))
    yield text.encode("ascii", "xmlcharrefreplace")
    yield text.encode("ascii", "backslashreplace")
    for coded in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            yield _inner(coded(b"\0" * before + raw), before, len(raw))


def _inner(coded: bytes, before: int, length: int) -> bytes:
    """Return those digits of the base64 that depend on the text alone."""
    first = -(-before * 8 // 6)
    last = (before + length) * 8 // 6
    return coded[first:last]
