"""What readers said, and what operators did, is only ever added to: the database refuses more."""

from __future__ import annotations

import building as b
import pytest
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mailer.store.actions import note_action
from mailer.store.models import (
    ConsentEvent,
    ConsentEvidence,
    LogCheckpoint,
    LogEntry,
    LogTile,
    Newsletter,
    OperatorAction,
    PendingLeaf,
    Purpose,
    Subscription,
)
from mailer.wiring import Parts

FIXED = ("consent_event", "consent_log", "consent_tile", "consent_checkpoint", "notice")
COLUMN = {
    "consent_event": "state",
    "consent_log": "event",
    "consent_tile": "hashes",
    "consent_checkpoint": "note",
    "notice": "text",
    "consent_evidence": "sealed",
    "operator_action": "operator",
}


@pytest.fixture
def said(parts: Parts) -> Parts:
    """An installation with a row in every table that is guarded."""
    with parts.sessions.begin() as session:
        b.readers(parts, session, b.newsletter(session), 1)
        event = session.scalars(select(ConsentEvent.id)).one()
        tile = LogTile(level=0, number=0, hashes=b"h", root=b"r")
        session.add_all([LogEntry(leaf_index=0, event=event), tile])
        session.add(LogCheckpoint(origin="o", size=1, note="n", at=b.NOW))
        note_action(session, "amina@desk", "subscriber add", now=b.NOW)
    return parts


@pytest.mark.parametrize("table", [*FIXED, "consent_evidence", "operator_action"])
def test_no_row_is_changed(said: Parts, table: str) -> None:
    refused(said, f"UPDATE {table} SET {COLUMN[table]} = {COLUMN[table]}", table)


@pytest.mark.parametrize("table", FIXED)
def test_no_row_is_deleted(said: Parts, table: str) -> None:
    refused(said, f"DELETE FROM {table}", table)


@pytest.mark.parametrize("table", FIXED)
def test_no_row_is_replaced_by_another(said: Parts, table: str) -> None:
    if said.engine.dialect.name == "sqlite":
        refused(said, f"REPLACE INTO {table} SELECT * FROM {table}", table)
        refused(said, f"UPDATE OR REPLACE {table} SET rowid = rowid + 1", table)
    else:
        refused(said, f"TRUNCATE {table} CASCADE", "")


def test_a_newsletter_of_which_somebody_said_something_cannot_be_removed(said: Parts) -> None:
    with said.sessions() as session, pytest.raises(IntegrityError):
        session.execute(delete(Newsletter))


def test_nor_can_a_purpose_that_an_event_alone_names(said: Parts) -> None:
    with said.sessions() as session:
        session.execute(delete(Subscription))
        with pytest.raises(IntegrityError, match="it stays"):
            session.execute(delete(Purpose))


def test_nor_one_that_a_subscription_alone_names(said: Parts) -> None:
    with said.sessions() as session:
        agreed_to = session.scalars(select(Subscription.purpose_id)).one()
        other = session.scalars(select(Purpose.id).where(Purpose.id != agreed_to)).first()
        session.execute(update(Subscription).values(purpose_id=other))
        with pytest.raises(IntegrityError, match="it stays"):
            session.execute(delete(Purpose).where(Purpose.id == other))


def test_one_of_which_nobody_ever_said_anything_can(said: Parts) -> None:
    with said.sessions.begin() as session:
        values = {"from_name": "", "from_address": "a@b.test", "reply_to": "", "locale": "en"}
        values |= {"postal_address": "", "privacy_url": "", "terms_url": "", "timezone": "UTC"}
        session.execute(insert(Newsletter).values(slug="x", name="X", created_at=b.NOW, **values))
        assert (
            session.connection().execute(delete(Newsletter).where(Newsletter.slug == "x")).rowcount
            == 1
        )


def test_evidence_can_be_forgotten_and_a_pending_leaf_taken_away(said: Parts) -> None:
    with said.sessions.begin() as session:
        session.execute(delete(ConsentEvidence))
        session.execute(delete(PendingLeaf))
        session.execute(delete(OperatorAction))  # in time; the retention job decides
        assert count(session, ConsentEvidence) == 0
        assert count(session, ConsentEvent) == 1


def test_what_is_written_twice_is_written_once(said: Parts) -> None:
    """`ON CONFLICT DO NOTHING`, as everything of ours writes, is no change."""
    with said.sessions.begin() as session:
        session.execute(
            text("INSERT INTO consent_log (leaf_index, event) VALUES (0, 7) ON CONFLICT DO NOTHING")
        )
        assert session.scalars(select(LogEntry.event)).one() != 7


def refused(parts: Parts, statement: str, table: str) -> None:
    """Run it and see it refused, in words that name the table."""
    with parts.sessions() as session, pytest.raises(IntegrityError, match=f"rows of {table}"):
        session.execute(text(statement))


def count(session: Session, table: type[object]) -> int:
    """Return the number of rows."""
    return len(session.scalars(select(table)).all())
