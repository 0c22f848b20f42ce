"""Looking for a person in bytes, however they are spelled. Shares no code with the product."""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping

import idna


class Search:
    """Looks for some texts in bytes: in any case, and in any of the ways in which mail spells."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._patterns = {
            what: re.compile(b"|".join(sorted(set(_spellings(text)))), re.I | re.S)
            for what, text in texts.items()
        }

    def found(self, content: bytes) -> dict[str, bytes]:
        """Return what is found, and how it is spelled; also across the line breaks of encodings."""
        joined = content.replace(b"=\r\n", b"").replace(b"=\n", b"")
        joined = b"" if joined == content else joined
        unbroken = re.sub(rb"\r?\n", b"", content)
        hits = {}
        for what, pattern in self._patterns.items():
            for each in (content, joined, unbroken):
                if match := pattern.search(each):
                    hits[what] = match.group(0)
        return hits


def wire(address: str) -> str:
    """Return the address with its domain as DNS knows it."""
    local, _, domain = address.rpartition("@")
    return f"{local}@{idna.encode(domain, uts46=True).decode()}"


def _spellings(text: str) -> Iterator[bytes]:
    """Yield patterns for every way to write the text."""
    for cased in {text, text.lower(), text.upper(), text.casefold()}:
        for form in ("NFC", "NFD"):
            yield from _encoded(unicodedata.normalize(form, cased))


def _encoded(text: str) -> Iterator[bytes]:
    raw = text.encode()
    yield b"".join(map(_escaped, raw))
    for encoding in ("utf-16-le", "utf-16-be", "latin-1"):
        yield re.escape(text.encode(encoding, "replace"))
    yield re.escape(raw.hex().encode())
    in_json = json.dumps(text)[1:-1].encode()
    yield re.escape(in_json)
    yield re.escape(in_json.replace(b"\\", b"\\\\"))
    yield re.escape(text.encode("ascii", "xmlcharrefreplace"))
    yield re.escape(text.encode("ascii", "backslashreplace"))
    for coded in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            yield re.escape(_inner(coded(b"\0" * before + raw), before, len(raw)))


def _escaped(byte: int) -> bytes:
    """Return a pattern for one octet: as it is, or as quoted-printable, URLs or Python write it."""
    written = {
        re.escape(bytes([byte])),
        *(b"%s%02x" % (sign, byte) for sign in (b"=", b"%", rb"\\x")),
    }
    if byte == 0x20:
        written |= {b"_", rb"\+"}
    return b"(?:" + b"|".join(sorted(written)) + b")"


def _inner(coded: bytes, before: int, length: int) -> bytes:
    """Return those digits of the base64 that depend on the text alone."""
    first = -(-before * 8 // 6)
    last = (before + length) * 8 // 6
    return coded[first:last]
