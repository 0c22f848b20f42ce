"""A compiled mail: bytes that are the same for all readers, and slots for what is not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from enum import StrEnum

from mailer.rendering.headers import (
    ReaderValues,
    date_value,
    literal_field,
    mailbox,
    text_field,
)
from mailer.rendering.html import escape
from mailer.rendering.quoted_printable import encode


class Place(StrEnum):
    """Where a slot stands, and so how its value is escaped."""

    HTML = "html"
    TEXT = "text"
    HEADERS = "headers"  # all header fields that differ from reader to reader


@dataclass(frozen=True, slots=True)
class SlotUse:
    """One place that a reader's value goes to."""

    name: str
    place: Place


@dataclass(frozen=True, slots=True)
class CompiledMessage:
    """One variant. `subject` is cut at its slots: text, name, text, name, …, text."""

    segments: tuple[bytes | SlotUse, ...]
    subject_parts: tuple[str, ...]
    is_list_mail: bool

    def personalise(self, values: ReaderValues) -> bytes:
        """Return the whole message for one reader: CRLF, no line over 998 octets.

        Raises HeaderRefused where a value would begin another header field.
        """
        known = _reader_values(values)
        filled: dict[SlotUse, bytes] = {}
        pieces = []
        for segment in self.segments:
            if isinstance(segment, bytes):
                pieces.append(segment)
                continue
            if segment not in filled:
                filled[segment] = self._fill(segment, known, values)
            pieces.append(filled[segment])
        return b"".join(pieces)

    def subject(self, values: ReaderValues) -> str:
        """Return the subject as the reader sees it."""
        known = _reader_values(values)
        return "".join(
            known[part] if index % 2 else part for index, part in enumerate(self.subject_parts)
        )

    def preview_html(self, values: ReaderValues) -> str:
        """Return the HTML part, taken from the very bytes that would be sent."""
        return self._part(values, "text/html")

    def preview_text(self, values: ReaderValues) -> str:
        """Return the text part, taken from the very bytes that would be sent."""
        return self._part(values, "text/plain")

    def to_json(self) -> str:
        """Return the compiled form as text, to be kept in the database."""
        segments: list[str | list[str]] = [
            segment.decode("latin-1")
            if isinstance(segment, bytes)
            else [segment.name, segment.place]
            for segment in self.segments
        ]
        document = {
            "version": 1,
            "segments": segments,
            "subject": list(self.subject_parts),
            "list": self.is_list_mail,
        }
        return json.dumps(document, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> CompiledMessage:
        """Return what `to_json` wrote."""
        document = json.loads(text)
        return cls(
            segments=tuple(
                segment.encode("latin-1")
                if isinstance(segment, str)
                else SlotUse(segment[0], Place(segment[1]))
                for segment in document["segments"]
            ),
            subject_parts=tuple(document["subject"]),
            is_list_mail=document["list"],
        )

    def _fill(self, use: SlotUse, known: dict[str, str], values: ReaderValues) -> bytes:
        match use.place:
            case Place.HTML:
                return encode(escape(known[use.name]))
            case Place.TEXT:
                return encode(known[use.name])
            case Place.HEADERS:
                return self._headers(values)

    def _headers(self, values: ReaderValues) -> bytes:
        fields = [
            b"To: " + mailbox(values.name, values.email) + b"\r\n",
            text_field("Subject", self.subject(values)),
            b"Date: " + date_value(values.date) + b"\r\n",
            literal_field("Message-ID", values.message_id),
            literal_field("X-Mailer-Delivery", values.delivery),
        ]
        if self.is_list_mail:
            fields.append(literal_field("List-Unsubscribe", f"<{values.unsubscribe_url}>"))
        return b"".join(fields)

    def _part(self, values: ReaderValues, content_type: str) -> str:
        message = message_from_bytes(self.personalise(values), policy=default)
        assert isinstance(message, EmailMessage)
        for part in message.walk():
            if part.get_content_type() == content_type:
                return str(part.get_content())
        raise AssertionError(content_type)


def _reader_values(values: ReaderValues) -> dict[str, str]:
    return {
        "reader.name": values.name,
        "reader.email": values.email,
        "links.unsubscribe": values.unsubscribe_url,
        "links.preferences": values.preferences_url,
        "links.confirm": values.confirm_url,
    }
