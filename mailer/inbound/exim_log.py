"""Exim's main log: one line, `<=`, for every message that it has taken responsibility for.

It is written when the message stands in the spool and the client has not gone; Exim throws away
what belongs to a client that left before the answer to its final dot, and writes no such line.
"""

from __future__ import annotations

import re

from mailer.domain.evidence import Said
from mailer.inbound.relay_log import Heard

_LINE = re.compile(
    rb"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})?(?: [+-]\d{4})?) (?:\[\d{1,10}\] )?"
    rb"(\w{6}-\w{6}-\w\w|\w{6}-\w{11}-\w{4}) ([^\r\n]*)"
)
_ARRIVED = re.compile(rb"<= .{1,512}? id=([^ @<>]{1,128})@")


class EximLog:
    """Every line stands for itself."""

    name = "Exim"

    def stamp(self, line: bytes) -> bytes | None:
        """Return the line's time, if it is a line of Exim about a message."""
        found = _LINE.match(line)
        return found.group(1) if found else None

    def hear(self, line: bytes) -> Heard | None:
        """Return what the line says of a mail, which it names by what stands before the @."""
        found = _LINE.match(line) if b" <= " in line else None
        arrived = _ARRIVED.match(found.group(3)) if found else None
        return Heard(arrived.group(1), found.group(2), Said.ACCEPTED) if found and arrived else None
