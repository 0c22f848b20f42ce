"""The sequencer: gives leaves that wait their place in the log.

A sign-up does not wait for a place: it leaves a row in `consent_pending`, and one sequencer at a
time takes those rows away. Places, tiles and the end of waiting are one transaction, so that
whoever dies in between has done nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select, text
from sqlalchemy.orm import Session

from mailer.domain import merkle
from mailer.store.log.tree import LogDamaged, hashes_below
from mailer.store.models import ConsentEvent, LogEntry, LogTile, PendingLeaf

_LOCK = 0x6C6F67  # whoever holds it may make the log longer (PostgreSQL)

_GIVEN = {
    "sqlite": "(SELECT key AS place, value AS event FROM json_each(:events))",
    "postgresql": "(SELECT place - 1 AS place, event "
    "FROM unnest(CAST(:events AS bigint[])) WITH ORDINALITY AS given(event, place))",
}
"""The events of a batch as rows: one statement for all of them, and no parameter for each."""


def hold_log(session: Session, *, wait: bool = True) -> bool:
    """Keep others from making the log longer until the transaction ends; False if one is at it.

    On SQLite every transaction that may write has the lock from its begin.
    """
    if session.get_bind().dialect.name == "sqlite":
        return True
    if wait:
        session.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        return True
    return bool(session.scalar(select(func.pg_try_advisory_xact_lock(_LOCK))))


def leaves_wait(session: Session) -> bool:
    """Say whether any leaf has no place yet."""
    return session.scalar(select(PendingLeaf.event).limit(1)) is not None


def log_size(session: Session) -> int:
    """Return how many leaves have their place."""
    return session.scalar(select(func.coalesce(func.max(LogEntry.leaf_index) + 1, 0))) or 0


def time_of_leaf(session: Session, index: int) -> datetime | None:
    """Return when the event at this place was said; None where there is none."""
    return session.scalar(
        select(ConsentEvent.at)
        .join(LogEntry, LogEntry.event == ConsentEvent.id)
        .where(LogEntry.leaf_index == index)
    )


def sequence(session: Session, *, after: int, most: int) -> list[int]:
    """Give the next `most` events behind event `after` their place, in the order of their ids.

    Returns their ids. The caller holds the log. Raises LogDamaged where it is not what it was.
    """
    waiting = session.execute(
        select(PendingLeaf.event, ConsentEvent.leaf_hash)
        .join(ConsentEvent, ConsentEvent.id == PendingLeaf.event)
        .where(PendingLeaf.event > after)
        .order_by(PendingLeaf.event)
        .limit(most)
    ).all()
    if not waiting:
        return []
    events, hashes = [row.event for row in waiting], [row.leaf_hash for row in waiting]
    _refuse_unhashed(events, hashes)
    size = log_size(session)
    _refuse_cut(session, size)
    _give_places(session, size, events)
    _write_tiles(session, size, hashes)
    return events


def _give_places(session: Session, size: int, events: Sequence[int]) -> None:
    dialect = session.get_bind().dialect.name
    given = {"events": json.dumps(events) if dialect == "sqlite" else events}
    rows = _GIVEN[dialect]
    session.execute(
        text(
            "INSERT INTO consent_log (leaf_index, event) "
            f"SELECT :size + place, event FROM {rows} AS batch ORDER BY place"
        ),
        {"size": size, **given},
    )
    session.execute(
        text(f"DELETE FROM consent_pending WHERE event IN (SELECT event FROM {rows} AS batch)"),
        given,
    )


def _write_tiles(session: Session, size: int, hashes: Sequence[bytes]) -> None:
    """Write every tile that these leaves, the first of them at index `size`, make full."""
    width = merkle.TILE_WIDTH
    begun = size - size % width
    for level, number in merkle.completed_tiles(size, size + len(hashes)):
        first = number * width
        if level == 0:
            before = hashes_below(session, 0, begun, size) if first == begun else []
            start = max(first - size, 0)
            tile = [*before, *hashes[start : first + width - size]]
        else:
            tile = hashes_below(session, level, first, first + width)
        _write_tile(session, level, number, tile)


def _write_tile(session: Session, level: int, number: int, hashes: Sequence[bytes]) -> None:
    if len(hashes) != merkle.TILE_WIDTH:
        raise LogDamaged(
            f"Tile {number} of level {level} of the consent log cannot be written: it would hold "
            f"{len(hashes)} hashes and not {merkle.TILE_WIDTH}, so that some below it are gone. "
            "`mailer consent audit` says which."
        )
    values: dict[str, Any] = {
        "level": level,
        "number": number,
        "hashes": b"".join(hashes),
        "root": merkle.root_of(hashes),
    }
    session.execute(insert(LogTile).values(values))


def _refuse_unhashed(events: Sequence[int], hashes: Sequence[bytes]) -> None:
    for event, leaf_hash in zip(events, hashes, strict=True):
        if len(leaf_hash) != merkle.HASH_SIZE:
            raise LogDamaged(
                f"Consent event {event} has no leaf hash, so that the log cannot take it in: "
                "`mailer consent audit` says what else was changed."
            )


def _refuse_cut(session: Session, size: int) -> None:
    """Raise LogDamaged where there are tiles behind the end of the log."""
    whole = session.scalar(select(func.max(LogTile.number)).where(LogTile.level == 0))
    covered = 0 if whole is None else (whole + 1) * merkle.TILE_WIDTH
    if covered > size:
        raise LogDamaged(
            f"The consent log was cut: it ends after {size} leaves, and its tiles hold {covered}. "
            "Nothing is added to it. `mailer consent audit` says what is missing; put a newer "
            "backup back."
        )
