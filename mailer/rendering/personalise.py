"""Filling slots: one reader's values, escaped for where each of them stands."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache

from markupsafe import escape

from mailer.rendering.headers import date_value, literal_field, mailbox
from mailer.rendering.personal.evaluate import text_of
from mailer.rendering.quoted_printable import encode
from mailer.rendering.values import ReaderValues


class Place(StrEnum):
    """Where a slot stands, and so how its value is escaped."""

    HTML = "html"
    TEXT = "text"
    HEADER = "header"  # a whole header field that differs from reader to reader


@dataclass(frozen=True, slots=True)
class SlotUse:
    """One place that a reader's value goes to."""

    name: str
    place: Place


@lru_cache(maxsize=4)
def _date_field(moment: datetime) -> bytes:
    """Return the field; the same for all mails of one second."""
    return b"Date: " + date_value(moment) + b"\r\n"


Value = Callable[[ReaderValues], str]
Fill = Callable[[ReaderValues], bytes]

VALUES: dict[str, Value] = {
    "reader.name": lambda values: values.name,
    "reader.first_name": lambda values: values.first_name,
    "reader.email": lambda values: values.email,
    "links.unsubscribe": lambda values: values.unsubscribe_url,
    "links.preferences": lambda values: values.preferences_url,
    "links.confirm": lambda values: values.confirm_url,
    "links.export": lambda values: values.export_url,
    "links.erase": lambda values: values.erase_url,
}
"""What is so plain that it is not worked out: where it comes from."""

HEADER_FIELDS: dict[str, Fill] = {
    "To": lambda values: b"To: " + mailbox(values.name, values.email) + b"\r\n",
    "Date": lambda values: _date_field(values.date.replace(microsecond=0)),
    "Message-ID": lambda values: literal_field("Message-ID", values.message_id),
    "X-Mailer-Delivery": lambda values: literal_field("X-Mailer-Delivery", values.delivery),
    "List-Unsubscribe": lambda values: literal_field(
        "List-Unsubscribe", f"<{values.unsubscribe_url}>"
    ),
}
"""The header fields that differ from reader to reader (a subject may, too)."""


COMPUTED = "="
"""Begins the name of a slot whose value is worked out: the encoded tree follows."""


def value_of(name: str, locale: str) -> Value:
    """Return the function that gives a slot's value; raises KeyError for a name that is none."""
    if name.startswith(COMPUTED):
        return text_of(name.removeprefix(COMPUTED), locale)
    return VALUES[name]


_escapes = re.compile("[&<>\"']").search


def _escaped(text: str) -> str:
    """Escape as templates do; of most values, such as links, there is nothing to escape."""
    return str(escape(text)) if _escapes(text) else text


def fill_of(use: SlotUse, locale: str) -> Fill:
    """Return the function that fills the slot; raises KeyError for a name that is none."""
    if use.place is Place.HEADER:
        return HEADER_FIELDS[use.name]
    value = value_of(use.name, locale)
    if use.place is Place.HTML and not use.name.startswith(COMPUTED):
        return lambda values: encode(_escaped(value(values)))
    return lambda values: encode(value(values))
