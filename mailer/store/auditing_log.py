"""Reading the consent log, and what its rows refer to, as `mailer.store.auditing` reads readers."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Text, cast, func, select, type_coerce
from sqlalchemy.orm import Session

from mailer.store.auditing import all_rows, moment_of
from mailer.store.models import (
    Campaign,
    ConsentEvent,
    ConsentEvidence,
    LogCheckpoint,
    LogEntry,
    LogTile,
    Newsletter,
    Notice,
    PendingLeaf,
    Purpose,
)


class LeafRow(NamedTuple):
    """A place in the log; hash and time are None where the event is not there."""

    leaf_index: int
    event: int
    leaf_hash: bytes | None
    at: str | None


class TileRow(NamedTuple):
    """A tile as it is stored."""

    hashes: bytes
    root: bytes


class CheckpointRow(NamedTuple):
    """A checkpoint as it is stored."""

    id: int
    origin: str
    size: int
    note: str


class PurposeRow(NamedTuple):
    """A purpose, with its newsletter's slug."""

    id: int
    slug: str
    newsletter_id: int
    newsletter: str


class NoticeRow(NamedTuple):
    """A notice, its JSON unread."""

    id: int
    newsletter_id: int
    newsletter: str | None
    locale: str
    version: int
    sha256: str
    text: str
    purposes: str
    controller: str
    links: str


@dataclass(frozen=True, slots=True)
class Extent:
    """How much there is to look at, at one moment."""

    events: int
    leaves: int
    last_leaf: int | None
    tiles: frozenset[tuple[int, int]]
    checkpoints: tuple[CheckpointRow, ...]


def read_extent(session: Session) -> Extent:
    """Return how far the log reaches, with the keys of its tiles and its checkpoints."""
    ((leaves, last),) = all_rows(session, select(func.count(), func.max(LogEntry.leaf_index)))
    tiles = all_rows(session, select(LogTile.level, LogTile.number))
    return Extent(
        session.scalar(select(func.count()).select_from(ConsentEvent)) or 0,
        leaves,
        last,
        frozenset((row[0], row[1]) for row in tiles),
        read_checkpoints(session),
    )


def read_checkpoints(session: Session) -> tuple[CheckpointRow, ...]:
    """Return all checkpoints of the database, oldest first."""
    rows = all_rows(
        session,
        select(
            LogCheckpoint.id, LogCheckpoint.origin, LogCheckpoint.size, LogCheckpoint.note
        ).order_by(LogCheckpoint.id),
    )
    return tuple(CheckpointRow._make(row) for row in rows)


def read_leaves(session: Session, after: int | None, last: int, most: int) -> list[LeafRow]:
    """Return the next places of the log with their events' hashes and times."""
    at = moment_of(session)(ConsentEvent.at)
    statement = (
        select(LogEntry.leaf_index, LogEntry.event, ConsentEvent.leaf_hash, at)
        .outerjoin(ConsentEvent, ConsentEvent.id == LogEntry.event)
        .where(LogEntry.leaf_index <= last)
        .order_by(LogEntry.leaf_index)
        .limit(most)
    )
    if after is not None:
        statement = statement.where(LogEntry.leaf_index > after)
    return [LeafRow._make(row) for row in all_rows(session, statement)]


def read_tiles(session: Session, level: int, first: int, end: int) -> dict[int, TileRow]:
    """Return the tiles of a level from one number up to another, by their numbers."""
    rows = all_rows(
        session,
        select(LogTile.number, LogTile.hashes, LogTile.root).where(
            LogTile.level == level, LogTile.number >= first, LogTile.number < end
        ),
    )
    return {row[0]: TileRow(row[1], row[2]) for row in rows}


def pending_of_nothing(session: Session) -> list[int]:
    """Return the waiting leaves whose event is not there."""
    return _without_event(session, PendingLeaf.event)


def evidence_of_nothing(session: Session) -> list[int]:
    """Return the evidence whose event is not there."""
    return _without_event(session, ConsentEvidence.event)


def damage(session: Session) -> list[tuple[str, str, str]]:
    """Return table, row (where it is known) and what SQLite says of rows and indexes that differ.

    What a query finds by an index, it may also read there, and never look at the row.
    """
    if session.get_bind().dialect.name != "sqlite":
        return []
    return [
        (table, found.group(1) if (found := _ROW.match(row[0])) else "", str(row[0]))
        for table in _LOOKED_INTO
        for row in session.connection().exec_driver_sql(f"PRAGMA integrity_check({table})")
        if row[0] != "ok"
    ]


_ROW = re.compile(r"row (\d+) ")
_LOOKED_INTO = (
    "consent_event", "consent_evidence", "consent_log", "consent_pending", "consent_tile",
    "consent_checkpoint", "notice", "subscription",
)  # fmt: skip


def _without_event(session: Session, column: Any) -> list[int]:
    rows = (
        select(column)
        .outerjoin(ConsentEvent, ConsentEvent.id == column)
        .where(ConsentEvent.id.is_(None))
        .order_by(column)
    )
    return [row[0] for row in all_rows(session, rows)]


def read_purposes(session: Session) -> dict[int, PurposeRow]:
    """Return all purposes."""
    rows = all_rows(
        session,
        select(Purpose.id, Purpose.slug, Purpose.newsletter_id, Newsletter.slug).join(
            Newsletter, Newsletter.id == Purpose.newsletter_id
        ),
    )
    return {row[0]: PurposeRow._make(row) for row in rows}


def read_notices(session: Session) -> list[NoticeRow]:
    """Return all notices, each as its row has it."""
    rows = all_rows(
        session,
        select(
            Notice.id, Notice.newsletter_id, Newsletter.slug, Notice.locale, Notice.version,
            Notice.sha256, Notice.text, *(
                _json_text(session, column)
                for column in (Notice.purposes, Notice.controller, Notice.links)
            ),
        )
        .outerjoin(Newsletter, Newsletter.id == Notice.newsletter_id)
        .order_by(Notice.newsletter_id, Notice.locale, Notice.version)
    )  # fmt: skip
    return [NoticeRow._make(row) for row in rows]


def purposes_of_campaigns(session: Session, campaigns: Collection[int]) -> dict[int, int]:
    """Return for each of these campaigns the purpose that its readers must have agreed to."""
    rows = select(Campaign.id, Campaign.purpose_id).where(Campaign.id.in_(campaigns))
    return {row[0]: row[1] for row in all_rows(session, rows)} if campaigns else {}


def _json_text(session: Session, column: Any) -> Any:
    if session.get_bind().dialect.name == "sqlite":
        return type_coerce(column, Text)
    return cast(column, Text)
