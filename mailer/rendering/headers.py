"""Header fields as bytes (RFC 5322, RFC 2047): folded, encoded, and never injected into."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.utils import format_datetime

from mailer.domain.addresses import wire_address
from mailer.domain.errors import Refusal

_SIMPLE_NAME = re.compile(r"[A-Za-z0-9 ,.'&-]{1,40}")
_SIMPLE_ADDRESS = re.compile(r"[A-Za-z0-9_.+-]{1,64}@[A-Za-z0-9.-]{1,100}")
_LONG_WORD = re.compile(r"\S{60}")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\u0085\u2028\u2029]")
_LONGEST_NAME = 200


class HeaderRefused(Refusal):
    """A value cannot stand in a header field."""


@dataclass(frozen=True, slots=True)
class StaticHeaders:
    """What all readers of a variant have in common. `list_id` makes it list mail (RFC 2919)."""

    from_name: str
    from_address: str
    reply_to: str | None
    language: str
    list_id: str | None = None
    list_help_url: str | None = None
    feedback_id: str | None = None
    auto_submitted: bool = False


def text_field(name: str, value: str) -> bytes:
    """Return a field of free text, folded at 78, encoded words where it is not ASCII."""
    return f"{name}: ".encode() + text_value(value, len(name) + 2) + b"\r\n"


def text_value(value: str, indent: int = 0) -> bytes:
    """Return free text as it stands in a header; raises HeaderRefused for line breaks."""
    refuse_control(value)
    # A long word cannot be folded, and what looks like an encoded word would be decoded.
    simple = value.isascii() and "=?" not in value and not _LONG_WORD.search(value)
    charset = "us-ascii" if simple else "utf-8"
    header = Header(value, charset, maxlinelen=75, header_name="x" * max(indent - 2, 0))
    return header.encode(linesep="\r\n").encode("ascii")


def literal_field(name: str, value: str) -> bytes:
    """Return a field whose value must stand as it is: never folded, never encoded (RFC 8058)."""
    refuse_control(value)
    if not value.isascii():
        raise HeaderRefused(f"The header {name} must be ASCII: encode the address first.")
    return f"{name}: {value}\r\n".encode("ascii")


def mailbox(name: str, address: str) -> bytes:
    """Return `Display Name <local@domain>`; the domain in ASCII (RFC 5890)."""
    if _SIMPLE_ADDRESS.fullmatch(address) and len(address) + len(name) < 66:
        if not name:
            return address.encode()
        if _SIMPLE_NAME.fullmatch(name) and name == name.strip():
            return f'"{name}" <{address}>'.encode()
    refuse_control(name)
    refuse_control(address)
    spec = f"<{wire_address(address)}>".encode()
    shown = " ".join(name.split())[:_LONGEST_NAME]
    if not shown:
        return spec[1:-1]
    if shown.isascii():
        quoted = shown.replace("\\", "\\\\").replace('"', '\\"')
        phrase = f'"{quoted}"'.encode()
    else:
        phrase = text_value(shown, 4)
    separator = b" " if len(phrase) + len(spec) < 70 else b"\r\n "
    return phrase + separator + spec


def date_value(moment: datetime) -> bytes:
    """Return a date with a numeric zone (RFC 5322 §3.3)."""
    return format_datetime(moment).encode("ascii")


def refuse_control(value: str) -> None:
    """Raise HeaderRefused for CR, LF, NUL and their like: they would begin another field."""
    if _CONTROL.search(value):
        raise HeaderRefused("A line break or control character cannot stand in a mail's header.")
