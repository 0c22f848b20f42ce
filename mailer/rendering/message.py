"""A compiled mail: bytes that are the same for all readers, and slots for what is not."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

from mailer.rendering.headers import text_field
from mailer.rendering.personal.deferred import Decision
from mailer.rendering.personal.expressions import decode, fields_read
from mailer.rendering.personalise import COMPUTED, Fill, Place, SlotUse, Value, fill_of, value_of
from mailer.rendering.values import ReaderValues

SUBJECT = SlotUse("Subject", Place.HEADER)
"""Stands in the segments where the subject itself holds a reader's value."""

_FORM = 3


@dataclass(frozen=True, slots=True)
class CompiledMessage:
    """One variant. `subject_parts` is the subject cut at its slots: text, name, text, …, text.

    What it makes is fit for the wire as it is: CRLF only, no line over 998 octets, and none that
    begins with a dot, whatever the values are (RFC 5321 §4.5.2 has nothing to do).
    """

    segments: tuple[bytes | SlotUse, ...]
    subject_parts: tuple[str, ...]
    sender: str  # the envelope's, as it was when the mail was compiled
    locale: str  # whose words its values are written in
    path: tuple[Decision, ...] = field(default=(), compare=False)
    """The decisions by which it was compiled; they are kept beside it, not in it."""
    _pieces: list[bytes] = field(init=False, repr=False, compare=False)
    _holes: list[tuple[Fill, tuple[int, ...]]] = field(init=False, repr=False, compare=False)
    _subject: list[str | Value] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Find the holes once, so that filling them is a few assignments and a join."""
        places: dict[SlotUse, list[int]] = {}
        pieces = []
        for place, segment in enumerate(self.segments):
            pieces.append(segment if isinstance(segment, bytes) else b"")
            if not isinstance(segment, bytes):
                places.setdefault(segment, []).append(place)
        holes = [
            (self._subject_field if use == SUBJECT else fill_of(use, self.locale), tuple(where))
            for use, where in places.items()
        ]
        object.__setattr__(self, "_pieces", pieces)
        object.__setattr__(self, "_holes", holes)
        subject = [
            value_of(part, self.locale) if index % 2 else part
            for index, part in enumerate(self.subject_parts)
        ]
        object.__setattr__(self, "_subject", subject)

    def personalise(self, values: ReaderValues) -> bytes:
        """Return the whole message for one reader.

        Raises HeaderRefused where a value would begin another header field.
        """
        return b"".join(self.filled(values))

    def filled(self, values: ReaderValues) -> list[bytes]:
        """Return the segments with one reader's values in their slots."""
        pieces = self._pieces.copy()
        for fill, places in self._holes:
            filled = fill(values)
            for place in places:
                pieces[place] = filled
        return pieces

    def subject(self, values: ReaderValues) -> str:
        """Return the subject as the reader sees it."""
        return "".join([part if isinstance(part, str) else part(values) for part in self._subject])

    @property
    def reads(self) -> frozenset[str]:
        """The reader's fields that its slots are filled from, but for plain ones."""
        names = {use.name for use in self.segments if isinstance(use, SlotUse)}
        names.update(self.subject_parts[1::2])
        computed = [name for name in names if name.startswith(COMPUTED)]
        return frozenset[str]().union(
            *(fields_read(decode(name.removeprefix(COMPUTED))) for name in computed)
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
            "form": _FORM,
            "segments": segments,
            "subject": list(self.subject_parts),
            "sender": self.sender,
            "locale": self.locale,
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
            sender=document["sender"],
            locale=document.get("locale", ""),
        )

    def _subject_field(self, values: ReaderValues) -> bytes:
        return text_field("Subject", self.subject(values))

    def _part(self, values: ReaderValues, content_type: str) -> str:
        message = message_from_bytes(self.personalise(values), policy=default)
        assert isinstance(message, EmailMessage)
        for part in message.walk():
            if part.get_content_type() == content_type:
                return str(part.get_content())
        raise AssertionError(content_type)
