"""On SQLite one writes at a time: who waits gets a turn soon, and nobody writes while it thinks."""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

import building as b
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError

from mailer.domain.consent import Method
from mailer.services.campaigns.course import start_campaign
from mailer.services.campaigns.preparing import prepare_campaign
from mailer.services.consent.preferences import leave
from mailer.services.mails.renderer import Renderer
from mailer.services.operations import tick
from mailer.store import engine
from mailer.store.consents import Evidence
from mailer.store.ledger import find_abandoned
from mailer.store.models import Subscriber
from mailer.wiring import Parts

HOLDS, PAUSES = 0.006, 0.001


@dataclass
class BusyWriter:
    """A writer that takes the lock in rounds, on a clock that goes on while the other one sleeps.

    `rounds` is how many it has begun.
    """

    connection: sqlite3.Connection
    pauses: float = PAUSES
    now: float = 0.0
    rounds: int = 0
    turn_ends: float = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        while self.turn_ends <= self.now:
            if self.connection.in_transaction and self.pauses:
                self.connection.execute("COMMIT")
                self.turn_ends += self.pauses
            else:
                self.begin()

    def begin(self) -> None:
        if not self.connection.in_transaction:
            self.connection.execute("BEGIN IMMEDIATE")
        self.rounds += 1
        self.turn_ends += HOLDS


@pytest.fixture
def busy(sqlite_parts: Parts, monkeypatch: pytest.MonkeyPatch) -> Iterator[BusyWriter]:
    """A busy writer in the midst of its first round, whose clock is the engine's."""
    connection = sqlite3.connect(sqlite_parts.engine.url.database or "", isolation_level=None)
    writer = BusyWriter(connection)
    writer.begin()
    monkeypatch.setattr(engine, "time", writer)
    yield writer
    connection.close()


def test_a_writer_gets_its_turn_in_one_of_the_next_pauses_of_a_busy_one(
    sqlite_parts: Parts, busy: BusyWriter
) -> None:
    waited = []
    for _ in range(20):
        before = busy.rounds
        with sqlite_parts.sessions.begin() as session:
            session.execute(text("UPDATE subscriber SET name = ''"))
        waited.append(busy.rounds - before)
        busy.sleep(PAUSES + HOLDS / 2)  # it is at it again
    assert sum(waited) <= 40, "two rounds each, though SQLite by itself would sleep over many"
    assert max(waited) <= 20


def test_a_writer_that_gets_no_turn_gives_up_with_the_error_of_the_database(
    sqlite_parts: Parts, busy: BusyWriter
) -> None:
    busy.pauses = 0.0
    with (
        pytest.raises(OperationalError, match="database is locked"),
        sqlite_parts.engine.begin(),
    ):
        pytest.fail("it has begun")
    assert busy.now == pytest.approx(30, abs=0.1)


def test_waiting_for_a_turn_leaves_the_patience_of_all_other_statements_as_it_is(
    sqlite_parts: Parts, busy: BusyWriter
) -> None:
    with sqlite_parts.sessions.begin() as session:
        assert session.scalar(text("PRAGMA busy_timeout")) == 30_000


def leaves(parts: Parts, subscriber_id: int) -> None:
    """Let a reader leave, in a transaction of its own."""
    token = parts.links.unsubscribe(1, subscriber_id).rpartition("/")[2]
    with parts.sessions.begin() as session:
        evidence = Evidence(Method.ONE_CLICK)
        assert leave(session, parts.signer, token, evidence, now=parts.now())


def test_a_reader_leaves_while_a_campaign_is_compiled(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        b.readers(parts, session, made, 2)
        leaver = session.scalars(select(Subscriber.id).order_by(Subscriber.id)).first()
        assert leaver
        campaign = b.create_campaign(
            session, made, purpose="updates", subject="News",
            article_ids=b.articles(session, made, 1), now=b.NOW,
        )  # fmt: skip
        start_campaign(session, campaign, now=parts.now())
        campaign_id = campaign.id
    compile_it = Renderer.campaign_message

    def compile_slowly(*arguments: object) -> object:
        leaves(parts, leaver)
        return compile_it(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "_PATIENCE", 0.2)
    monkeypatch.setattr(Renderer, "campaign_message", compile_slowly)
    prepare_campaign(
        parts.sessions, campaign_id, renderer=parts.renderer, now=parts.now, pause=lambda: None
    )
    assert b.states(parts) == {"reader1@readers.test": "queued"}


def test_a_reader_leaves_while_the_sweep_looks_for_what_dead_workers_left(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    b.sending_campaign(parts, 2)
    with parts.sessions() as session:
        leaver = session.scalars(select(Subscriber.id).order_by(Subscriber.id)).first()
        assert leaver

    def look_slowly(*arguments: object, **more: object) -> object:
        leaves(parts, leaver)
        return find_abandoned(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "_PATIENCE", 0.2)
    monkeypatch.setattr(tick, "find_abandoned", look_slowly)
    tick.sweep(parts.sessions, now=parts.now)
    assert b.states(parts) == {
        "reader0@readers.test": "withdrawn", "reader1@readers.test": "queued"
    }  # fmt: skip


def test_a_sender_walks_over_nothing_that_was_loaded_before_when_it_frees_memory(
    sqlite_parts: Parts,
) -> None:
    gc.unfreeze()
    sqlite_parts.sender("test")
    assert gc.get_freeze_count() > len(gc.get_objects())
    gc.unfreeze()
