"""Quoted-printable (RFC 2045 §6.7), so that parts encoded apart can be joined.

Every part begins and ends at the begin of a line; parts are joined by soft line breaks. So no slot
is split, no line exceeds 76 characters, and no line begins with a dot.
"""

from __future__ import annotations

import re
from functools import lru_cache

SOFT_BREAK = b"=\r\n"
_WIDTH = 75  # and the soft break's "="
_UNSAFE = re.compile(rb"[^\t !-<>-~]")
_PLAIN = re.compile(r"[A-Za-z0-9:/_.@?&+,;%~#-]+")


@lru_cache(maxsize=64)  # a reader's links stand in both parts, one after the other
def encode(text: str) -> bytes:
    """Return the text encoded, without a line break at its end."""
    if _PLAIN.fullmatch(text) and "." not in text[::_WIDTH]:
        # Such as a link: nothing to escape, and no piece of it begins with a dot.
        raw = text.encode("ascii")
        return SOFT_BREAK.join([raw[at : at + _WIDTH] for at in range(0, len(raw), _WIDTH)])
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return b"\r\n".join(_line(line.encode()) for line in lines)


def _line(raw: bytes) -> bytes:
    encoded = _UNSAFE.sub(lambda found: b"=%02X" % found.group()[0], raw)
    if encoded[-1:] in (b" ", b"\t"):
        encoded = encoded[:-1] + b"=%02X" % encoded[-1]
    pieces = []
    while len(encoded) > _WIDTH:
        cut = _WIDTH
        escape = encoded.rfind(b"=", cut - 2, cut)
        if escape >= 0:
            cut = escape
        pieces.append(_without_leading_dot(encoded[:cut]))
        encoded = encoded[cut:]
    pieces.append(_without_leading_dot(encoded))
    return SOFT_BREAK.join(pieces)


def _without_leading_dot(line: bytes) -> bytes:
    if not line.startswith(b"."):
        return line
    # Two characters longer, which the width of 75 leaves no room for at the very end.
    longer = b"=2E" + line[1:]
    if len(longer) <= _WIDTH:
        return longer
    cut = len(longer) - 4
    escape = longer.rfind(b"=", cut - 2, cut)
    cut = escape if escape >= 0 else cut
    return longer[:cut] + SOFT_BREAK + _without_leading_dot(longer[cut:])
