"""What a compiled mail is filled with: one reader's own values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

NOTHING: Mapping[str, Any] = {}


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
    locale: str = ""
    timezone: str = ""
    attributes: Mapping[str, Any] = NOTHING
    topics: Sequence[str] = ()

    @property
    def first_name(self) -> str:
        """Return the first word of the name."""
        return self.name.split(" ", 1)[0] if self.name else ""
