"""How rows go to each database: SQLite takes values, PostgreSQL's COPY takes lines of text."""

from __future__ import annotations

import re
from typing import Any, NamedTuple, Protocol

from mailer.domain.importing import ListRow

COLUMNS = {
    "subscriber": (
        "id", "email", "address_hash", "provider", "name", "locale", "timezone", "attributes",
        "created_at", "sealed_key",
    ),
    "subscription": (
        "subscriber_id", "purpose_id", "newsletter_id", "state", "since", "valid_until", "request",
        "details",
    ),
    "consent_event": (
        "id", "event_id", "subscriber_id", "stated_at", "valid_until", "commitment", "leaf_hash",
        "newsletter_id", "purpose_id", "state", "method", "basis", "notice_id", "notice_assumed",
        "at",
    ),
    "consent_evidence": ("event", "sealed"),
    "consent_pending": ("event",),
}  # fmt: skip
"""The tables that an import fills, in an order that their foreign keys allow."""


class Same(NamedTuple):
    """What all events of one kind have in common: COLUMNS of an event, from the newsletter on."""

    newsletter_id: int
    purpose_id: int
    state: str
    method: str
    basis: str
    notice_id: int | None
    notice_assumed: bool
    at: str
    follows: str
    """The state of the subscription after it."""


class Shape(Protocol):
    """Makes rows; a moment is text in UTC, such as `2026-11-24 09:00:00.123`."""

    def alike(self, same: Same) -> Any:
        """Return the columns that events of one kind have in common, as `event` takes them."""

    def subscriber(self, number: int, row: ListRow, at: str, sealed: bytes) -> Any:
        """Return a new reader's row."""

    def subscription(self, reader: int, same: Same, ends: str | None) -> Any:
        """Return the row of a subscription that there was not."""

    def event(
        self,
        number: int | None,
        event_id: str,
        reader: int,
        stated: str | None,
        ends: str | None,
        commitment: bytes,
        leaf_hash: bytes,
        alike: Any,
    ) -> Any:
        """Return an event's row; SQLite's gets its number when it is written."""

    def evidence(self, number: int | None, sealed: bytes) -> Any:
        """Return the row of an event's evidence."""

    def pending(self, number: int | None) -> Any:
        """Return the row that has the log take the event up."""


class SqliteShape:
    """Rows as tuples; moments stand there as `Instant` writes them."""

    def alike(self, same: Same) -> Any:
        """Return the end of an event's tuple."""
        return tuple(same[:-1])

    def subscriber(self, number: int, row: ListRow, at: str, sealed: bytes) -> Any:
        """Return a new reader's row."""
        return (
            number, row.email, row.hashed, row.provider, row.name, row.locale, row.timezone,
            row.attributes or "{}", at, sealed,
        )  # fmt: skip

    def subscription(self, reader: int, same: Same, ends: str | None) -> Any:
        """Return nothing: it is made of the event."""
        return None

    def event(
        self,
        number: int | None,
        event_id: str,
        reader: int,
        stated: str | None,
        ends: str | None,
        commitment: bytes,
        leaf_hash: bytes,
        alike: Any,
    ) -> Any:
        """Return an event's row without its number."""
        return (event_id, reader, stated, ends, commitment, leaf_hash, *alike)

    def evidence(self, number: int | None, sealed: bytes) -> Any:
        """Return what is sealed; the number comes later."""
        return sealed

    def pending(self, number: int | None) -> Any:
        """Return nothing: it is made of the event."""
        return None


class PostgresShape:
    """Rows as lines of COPY's text format, without the line's end."""

    def alike(self, same: Same) -> Any:
        """Return the end of an event's line."""
        assumed = "t" if same.notice_assumed else "f"
        notice = _maybe(same.notice_id)
        return (
            f"{same.newsletter_id}\t{same.purpose_id}\t{same.state}\t{same.method}\t{same.basis}\t"
            f"{notice}\t{assumed}\t{same.at}{_UTC}"
        )

    def subscriber(self, number: int, row: ListRow, at: str, sealed: bytes) -> Any:
        """Return a new reader's row."""
        said = f"{row.email}\t{row.hashed}\t{row.provider}"
        told = row.name, row.locale, row.timezone, row.attributes or "{}"
        name, locale, timezone, attributes = map(_text, told)
        return (
            f"{number}\t{said}\t{name}\t{locale}\t{timezone}\t{attributes}\t{at}{_UTC}\t"
            f"\\\\x{sealed.hex()}"
        )

    def subscription(self, reader: int, same: Same, ends: str | None) -> Any:
        """Return the row of a subscription that there was not."""
        return (
            f"{reader}\t{same.purpose_id}\t{same.newsletter_id}\t{same.follows}\t{same.at}{_UTC}\t"
            f"{_moment(ends)}\t0\t{{}}"
        )

    def event(
        self,
        number: int | None,
        event_id: str,
        reader: int,
        stated: str | None,
        ends: str | None,
        commitment: bytes,
        leaf_hash: bytes,
        alike: Any,
    ) -> Any:
        """Return an event's row."""
        return (
            f"{number}\t{event_id}\t{reader}\t{_moment(stated)}\t{_moment(ends)}\t"
            f"\\\\x{commitment.hex()}\t\\\\x{leaf_hash.hex()}\t{alike}"
        )

    def evidence(self, number: int | None, sealed: bytes) -> Any:
        """Return the row of an event's evidence."""
        return f"{number}\t\\\\x{sealed.hex()}"

    def pending(self, number: int | None) -> Any:
        """Return the row that has the log take the event up."""
        return str(number)


_UTC = "+00"
_NOTHING = "\\N"
_SPECIAL = re.compile(r"[\\\t\n\r]")
_ESCAPES = {ord("\\"): "\\\\", ord("\t"): "\\t", ord("\n"): "\\n", ord("\r"): "\\r"}


def _text(value: str) -> str:
    return value.translate(_ESCAPES) if _SPECIAL.search(value) else value


def _moment(text: str | None) -> str:
    return _NOTHING if text is None else f"{text}{_UTC}"


def _maybe(number: int | None) -> str:
    return _NOTHING if number is None else str(number)


def shape_for(dialect: str) -> Shape:
    """Return the shape of this database's rows."""
    return SqliteShape() if dialect == "sqlite" else PostgresShape()
