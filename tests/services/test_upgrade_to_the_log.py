"""A database of the version before the consent log: what was said in it becomes leaves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from alembic import command
from conftest import KEYS, settings_for
from sqlalchemy import JSON, Connection, Engine, bindparam, inspect, select, text
from sqlalchemy.orm import Session

from mailer.domain.errors import Refusal
from mailer.domain.leaves import Leaf, NoticeRef, commitment, commitment_key
from mailer.services.consent.witnessing import visit
from mailer.store.clock import Instant
from mailer.store.engine import open_engine
from mailer.store.migrate import _config, refuse_wrong_version, upgrade
from mailer.store.models import (
    ConsentEvent,
    ConsentEvidence,
    JournalPending,
    LogEntry,
    Newsletter,
    Notice,
    PendingLeaf,
    Purpose,
    Subscriber,
)
from mailer.store.vault import Vault
from mailer.store.witness_folder import WitnessFolder
from mailer.wiring import open_parts, vault_of

AT = datetime(2026, 3, 1, 12, 30, 15, 987_654, tzinfo=UTC)
VAULT = Vault([KEYS["MAILER_EVIDENCE_KEY"].encode()])
AMINA = {
    "address": "Amina@readers.test",
    "ip": "192.0.2.7",
    "page_url": "https://n.test/ü",
    "user_agent": "Browser",
    "source": "",
    "confirmation_message_id": "<c@n>",
}
NOTHING = dict.fromkeys(AMINA, "")


@pytest.fixture
def before(empty_database_url: str) -> str:
    """A database of the version before, with readers of whom one is gone."""
    engine = open_engine(empty_database_url)
    config = _config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")
        _fill(connection)
    engine.dispose()
    return empty_database_url


def test_everything_that_was_said_becomes_a_leaf(before: str) -> None:
    upgrade(before, VAULT)
    with _opened(before) as session:
        events = session.scalars(select(ConsentEvent).order_by(ConsentEvent.id)).all()
        assert [event.event_id for event in events] == ["asked", "given", "of-one-gone", "refused"]
        for event in events:
            assert event.leaf_hash == _leaf(session, event).hash
        assert session.scalars(select(PendingLeaf.event)).all() == [1, 2, 3, 4]
        assert session.scalars(select(LogEntry)).all() == []  # the sequencer's, not ours
        assert {event.basis for event in events} == {"consent"}
        assert [event.notice_assumed for event in events] == [False, True, False, False]


def test_the_evidence_is_sealed_under_each_readers_own_key(before: str) -> None:
    upgrade(before, VAULT)
    with _opened(before) as session:
        rows = session.execute(
            select(Subscriber.sealed_key, ConsentEvent, ConsentEvidence.sealed)
            .join(ConsentEvent, ConsentEvent.subscriber_id == Subscriber.id)
            .join(ConsentEvidence, ConsentEvidence.event == ConsentEvent.id)
            .order_by(ConsentEvent.id)
        ).all()
        opened = []
        for sealed_key, event, sealed in rows:
            key = VAULT.open_key(sealed_key)
            opened.append(VAULT.open(key, event.event_id, sealed))
            assert event.commitment == commitment(commitment_key(key, event.event_id), opened[-1])
        assert opened == [AMINA, {**NOTHING, "address": "Amina@readers.test"}, NOTHING]
        keys = session.scalars(select(Subscriber.sealed_key)).all()
        assert len(set(keys)) == len(keys) == 2


def test_of_who_is_gone_nothing_can_be_opened_any_more(before: str) -> None:
    upgrade(before, VAULT)
    with _opened(before) as session:
        assert (
            len(
                session.scalar(select(ConsentEvidence.sealed).where(ConsentEvidence.event == 3))
                or b""
            )
            > 28
        )
        assert session.get(Subscriber, 9) is None
    _holds_nothing_open(open_engine(before))


def test_without_the_key_it_refuses_and_changes_nothing(before: str) -> None:
    with pytest.raises(Refusal, match="there is no MAILER_EVIDENCE_KEY: run `mailer db upgrade`"):
        upgrade(before)
    engine = open_engine(before)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "0005"
        assert connection.scalar(text("SELECT count(*) FROM consent_evidence")) == 3
    assert "consent_log" not in inspect(engine).get_table_names()
    engine.dispose()
    upgrade(before, VAULT)  # and can be done then


def test_what_was_upgraded_is_guarded_and_works(before: str, tmp_path: Any) -> None:
    settings = settings_for(before, tmp_path / "home")
    upgrade(before, vault_of(settings))
    upgrade(before, vault_of(settings))
    parts = open_parts(settings)
    refuse_wrong_version(parts.engine)
    with parts.sessions() as session, pytest.raises(Exception, match="only added, never changed"):
        session.execute(text("UPDATE consent_event SET state = 'given'"))
    folder = WitnessFolder(tmp_path / "witness")
    visit(parts.sessions, folder, now=AT)
    [told] = folder.lines("suppressions")
    assert told.line == {
        "beat": 1, "at": "2026-03-01T12:30:15.987Z", "address_hash": "hash-of-femi",
        "scope": "weekly", "reason": "complaint",
    }  # fmt: skip
    with parts.sessions() as session:
        assert session.scalars(select(JournalPending)).all() == []
    parts.engine.dispose()


@contextmanager
def _opened(url: str) -> Iterator[Session]:
    engine = open_engine(url)
    with Session(engine) as session:
        yield session
    engine.dispose()


def _leaf(session: Session, event: ConsentEvent) -> Leaf:
    notice = session.get(Notice, event.notice_id) if event.notice_id else None
    return Leaf(
        event_id=event.event_id, at=event.at, reader=event.subscriber_id, state=event.state,
        newsletter=session.get_one(Newsletter, event.newsletter_id).slug,
        purpose=session.get_one(Purpose, event.purpose_id).slug,
        method=event.method, basis=event.basis, commitment=event.commitment,
        notice=NoticeRef(notice.sha256, notice.version, notice.locale, event.notice_assumed)
        if notice
        else None,
    )  # fmt: skip


def _holds_nothing_open(engine: Engine) -> None:
    """No column of the log's tables holds what is personal in it."""
    with engine.connect() as connection:
        for table in ("consent_event", "consent_evidence", "consent_pending", "journal_pending"):
            rows = connection.execute(text(f"SELECT * FROM {table}")).all()
            written = repr([tuple(map(_plain, row)) for row in rows])
            assert "192.0.2.7" not in written
            assert "readers.test" not in written
    engine.dispose()


def _plain(value: object) -> object:
    return bytes(value) if isinstance(value, memoryview) else value


def _fill(connection: Connection) -> None:
    empty = {"reply_to": "", "postal_address": "", "privacy_url": "", "terms_url": ""}
    _add(connection, "newsletter", id=1, slug="weekly", name="Weekly", from_name="W", locale="en",
         from_address="w@n.test", timezone="UTC", created_at=AT, **empty)  # fmt: skip
    _add(connection, "purpose", id=1, newsletter_id=1, slug="updates", kind="editorial",
         labels={"en": "Updates"}, position=1)  # fmt: skip
    _add(connection, "notice", id=1, newsletter_id=1, locale="en", version=3, sha256="ab" * 32,
         text="…", purposes=[], controller={}, links={}, published_at=AT)  # fmt: skip
    for number, email in ((1, "amina@readers.test"), (2, "femi@readers.test")):
        _add(connection, "subscriber", id=number, email=email, address_hash=f"hash {number}",
             provider="readers.test", name="", locale="", timezone="", attributes={},
             created_at=AT)  # fmt: skip
    events = (
        (1, "asked", 1, "requested", "form", 1, False),
        (2, "given", 1, "given", "confirm", 1, True),
        (3, "of-one-gone", 9, "withdrawn", "one-click", None, False),
        (4, "refused", 2, "refused", "preferences", None, False),
    )
    for number, event_id, reader, state, method, notice, assumed in events:
        _add(connection, "consent_event", id=number, event_id=event_id, newsletter_id=1,
             purpose_id=1, subscriber_id=reader, state=state, method=method, notice_id=notice,
             notice_assumed=assumed, at=AT)  # fmt: skip
    _add(connection, "consent_evidence", event_id="asked", **AMINA)
    _add(connection, "consent_evidence", event_id="given",
         **{**NOTHING, "address": "Amina@readers.test"})  # fmt: skip
    _add(connection, "consent_evidence", event_id="of-one-gone",
         **{**NOTHING, "address": "gone@readers.test", "ip": "192.0.2.7"})  # fmt: skip
    _add(connection, "suppression", id=1, address_hash="hash-of-femi", scope="weekly",
         reason="complaint", detail="", created_at=AT)  # fmt: skip
    _add(connection, "installation", id=1, key_fingerprints={}, created_at=AT)


def _add(connection: Connection, table: str, **values: Any) -> None:
    types = {datetime: Instant(), dict: JSON(), list: JSON()}
    given = [bindparam(name, value, type_=types.get(type(value))) for name, value in values.items()]
    names = ", ".join(values)
    places = ", ".join(f":{name}" for name in values)
    statement = text(f"INSERT INTO {table} ({names}) VALUES ({places})").bindparams(*given)
    connection.execute(statement)
