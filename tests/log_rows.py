"""Rows of the consent log, many and quickly, and the log as a list of hashes."""

from __future__ import annotations

import hashlib

import building as b
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from mailer.store.models import ConsentEvent, LogEntry, Newsletter, PendingLeaf

NOBODY = 999_999
"""The number of a reader that there is not."""


def add_events(session: Session, number: int, *, first: int = 0) -> None:
    """Add events that nobody said, quickly; only their hashes count for the log."""
    newsletter = session.scalar(select(Newsletter)) or b.newsletter(session)
    known = {
        "newsletter_id": newsletter.id, "purpose_id": newsletter.purposes[0].id,
        "subscriber_id": NOBODY, "state": "given", "method": "import", "notice_assumed": False,
        "at": b.NOW, "commitment": bytes(32),
    }  # fmt: skip
    rows = [
        {**known, "event_id": f"{n:032x}", "leaf_hash": hashlib.sha256(str(n).encode()).digest()}
        for n in range(first, first + number)
    ]
    ids = session.scalars(insert(ConsentEvent).returning(ConsentEvent.id), rows)
    session.execute(insert(PendingLeaf), [{"event": event} for event in ids])


def leaf_hashes(session: Session) -> list[bytes]:
    """Return all leaf hashes in the order of the log; refuses gaps."""
    rows = session.execute(
        select(LogEntry.leaf_index, ConsentEvent.leaf_hash)
        .join(ConsentEvent, ConsentEvent.id == LogEntry.event)
        .order_by(LogEntry.leaf_index)
    ).all()
    assert [row.leaf_index for row in rows] == list(range(len(rows)))
    return [row.leaf_hash for row in rows]
