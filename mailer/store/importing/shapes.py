"""How a row goes to each database: SQLite takes values, PostgreSQL's COPY takes text."""

from __future__ import annotations

import re
from typing import Any, Protocol

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
        "id", "event_id", "newsletter_id", "purpose_id", "subscriber_id", "state", "method",
        "basis", "notice_id", "notice_assumed", "at", "stated_at", "valid_until", "commitment",
        "leaf_hash",
    ),
    "consent_evidence": ("event", "sealed"),
    "consent_pending": ("event",),
}  # fmt: skip
"""The tables that an import fills, in an order that their foreign keys allow."""


class Shape(Protocol):
    """Makes one row of a table out of its values, in the order of COLUMNS."""

    zone: str
    """What stands behind a moment in UTC, written `2026-11-24 09:00:00.123`."""

    def row(self, values: tuple[Any, ...]) -> Any:
        """Return the row: texts, whole numbers, bytes, booleans and None."""


class SqliteShape:
    """Rows as tuples, moments as `Instant` writes them."""

    zone = ""

    def row(self, values: tuple[Any, ...]) -> Any:
        """Return the values as they are."""
        return values


class PostgresShape:
    """Rows as lines of COPY's text format."""

    zone = "+00"

    def row(self, values: tuple[Any, ...]) -> Any:
        """Return the line."""
        return "\t".join([_COPIED[type(value)](value) for value in values]) + "\n"


def _text(value: str) -> str:
    if _SPECIAL.search(value):
        return value.translate(_ESCAPES)
    return value


_SPECIAL = re.compile(r"[\\\t\n\r]")
_ESCAPES = {ord("\\"): "\\\\", ord("\t"): "\\t", ord("\n"): "\\n", ord("\r"): "\\r"}
_COPIED: dict[type, Any] = {
    str: _text,
    int: str,
    bytes: lambda value: f"\\\\x{value.hex()}",
    bool: lambda value: "t" if value else "f",
    type(None): lambda value: "\\N",
}


def shape_for(dialect: str) -> Shape:
    """Return the shape of this database's rows."""
    return SqliteShape() if dialect == "sqlite" else PostgresShape()
