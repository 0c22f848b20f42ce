"""A compiled mail whose every copy is signed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mailer.rendering.dkim import DkimSigner
from mailer.rendering.message import CompiledMessage
from mailer.rendering.personalise import SlotUse
from mailer.rendering.values import ReaderValues

_FIELD_BEGINS = re.compile(rb"(?<=\r\n)(?![ \t])")


class SignedMessage:
    """One variant, cut into header and body, with all prepared that its readers share."""

    def __init__(self, message: CompiledMessage, signer: DkimSigner) -> None:
        fields, self._cut, self._blank = _header(message.segments)
        last = message.segments[-1]
        if not isinstance(last, bytes) or not re.search(rb"[^\n]\r\n\Z", last):
            raise ValueError("a mail that is signed ends with exactly one CRLF")
        places = {
            segment.name: place
            for place, segment in enumerate(message.segments[: self._cut])
            if isinstance(segment, SlotUse)
        }
        self._message = message
        self._form = signer.form(fields)
        self._own = [places[name] for name in self._form.own]

    @property
    def sender(self) -> str:
        """The envelope's sender."""
        return self._message.sender

    def personalise(self, values: ReaderValues) -> bytes:
        """Return the whole message for one reader, its signatures first (RFC 6376 §5.6).

        Raises HeaderRefused where a value would begin another header field.
        """
        pieces = self._message.filled(values)
        cut, divided = self._cut, pieces[self._cut]
        body = b"".join([divided[self._blank + 2 :], *pieces[cut + 1 :]])
        signatures = self._form.sign([pieces[at] for at in self._own], body, at=values.date)
        return b"".join([signatures, *pieces[:cut], divided[: self._blank + 2], body])


def _header(segments: Sequence[bytes | SlotUse]) -> tuple[list[bytes | str], int, int]:
    """Return the header's fields, and the empty line behind them: its segment and place there."""
    fields: list[bytes | str] = []
    for place, segment in enumerate(segments):
        if isinstance(segment, SlotUse):
            fields.append(segment.name)
            continue
        blank = (b"\r\n" + segment).find(b"\r\n\r\n")  # what stands before ends with CRLF
        header = segment if blank < 0 else segment[:blank]
        fields.extend(field for field in _FIELD_BEGINS.split(header) if field)
        if blank >= 0:
            return fields, place, blank
    raise ValueError("no empty line ends the header")
