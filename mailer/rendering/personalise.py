"""Filling slots: one reader's values, escaped for where each of them stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from html import escape
from typing import NamedTuple

from mailer.rendering.headers import date_value, literal_field, mailbox
from mailer.rendering.quoted_printable import encode


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


class ReaderValues(NamedTuple):
    """One reader's own values; URLs and the Message-ID stand in headers as they are."""

    email: str
    name: str
    unsubscribe_url: str
    preferences_url: str
    confirm_url: str
    message_id: str
    date: datetime
    delivery: str
    export_url: str = ""
    erase_url: str = ""


@lru_cache(maxsize=4)
def _date_field(moment: datetime) -> bytes:
    """Return the field; the same for all mails of one second."""
    return b"Date: " + date_value(moment) + b"\r\n"


Value = Callable[[ReaderValues], str]
Fill = Callable[[ReaderValues], bytes]

VALUES: dict[str, Value] = {
    "reader.name": lambda values: values.name,
    "reader.email": lambda values: values.email,
    "links.unsubscribe": lambda values: values.unsubscribe_url,
    "links.preferences": lambda values: values.preferences_url,
    "links.confirm": lambda values: values.confirm_url,
    "links.export": lambda values: values.export_url,
    "links.erase": lambda values: values.erase_url,
}
"""What templates may name of a reader, and where it comes from."""

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


def fill_of(use: SlotUse) -> Fill:
    """Return the function that fills the slot; raises KeyError for a name that is none."""
    if use.place is Place.HEADER:
        return HEADER_FIELDS[use.name]
    value = VALUES[use.name]
    if use.place is Place.HTML:
        return lambda values: encode(escape(value(values), quote=True))
    return lambda values: encode(value(values))
