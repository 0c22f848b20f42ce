"""An installation that something has happened in, its audit, and hands that change single rows."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import building as b
import psycopg
from sqlalchemy import delete, insert, select
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from mailer.domain.addresses import parse_address
from mailer.domain.consent import ConsentState, Method
from mailer.services.audit import Audit, Finding
from mailer.services.campaigns.course import start_campaign
from mailer.services.campaigns.drafts import create_campaign
from mailer.services.campaigns.preparing import prepare_campaign
from mailer.services.consent.adding import add_reader
from mailer.services.consent.checkpoints import sign_checkpoint
from mailer.services.consent.preferences import leave, save_preferences
from mailer.services.consent.signup import confirm
from mailer.services.newsletters.notices import publish_notice
from mailer.store.consents import Evidence, record
from mailer.store.models import (
    ConsentEvent,
    ConsentEvidence,
    Erasure,
    Newsletter,
    Subscriber,
    Subscription,
)
from mailer.store.readers import ReaderDetails
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts

HERE = Evidence(Method.FORM, ip="192.0.2.7", user_agent="test", page_url="https://news.test/")


def audit(parts: Parts) -> Audit:
    """Return an audit of the installation that has not walked yet."""
    return Audit(parts.sessions, notary=parts.notary, home=parts.settings.home)


def wrong(parts: Parts) -> list[Finding]:
    """Return what an audit finds that is wrong."""
    return [each for each in audit(parts).findings() if not each.kind.is_note]


def live(parts: Parts) -> int:
    """Let readers come, choose, get a campaign, leave and be forgotten; return the campaign."""
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        add_many(parts, session, made, "list0@readers.test", "list1@readers.test")
        for name in ("ada", "ben", "cleo"):
            b.sign_up(
                parts, session, made, f"{name}@readers.test",
                ("updates", "partner-promotions"), now=parts.now(),
            )  # fmt: skip
    press_all(parts)
    reader = reader_id(parts, "ada@readers.test")
    save(parts, reader, "updates")
    campaign = send_campaign(parts)
    leave_by_link(parts, reader_id(parts, "ben@readers.test"))
    with parts.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).one()
        publish_notice(session, made, locale="en", text="Other words.", now=parts.now())
        b.sign_up(parts, session, made, "ben@readers.test", now=parts.now())
        b.sign_up(parts, session, made, "dan@readers.test", now=parts.now())
    forget(parts, reader_id(parts, "cleo@readers.test"))
    sign_checkpoint(parts.sessions, parts.notary, now=parts.now())
    with parts.sessions.begin() as session:
        add_many(parts, session, session.scalars(select(Newsletter)).one(), "late@readers.test")
    return campaign


def add_many(parts: Parts, session: Session, made: Newsletter, *addresses: str) -> None:
    """Record consent that was given on paper."""
    for address in addresses:
        add_reader(
            session, made, parse_address(address), purposes=["updates"], details=ReaderDetails(),
            attributes={}, renderer=parts.renderer, confirm=False,
            evidence=Evidence(Method.CLI, source="paper", stated_at=parts.now()),
            suppression_key=parts.suppression_key, now=parts.now(),
        )  # fmt: skip


def press_all(parts: Parts) -> None:
    """Send what waits, and press the button of every confirmation."""
    transport = MemoryTransport()
    b.send_all(parts, transport)
    for _, mail in transport.accepted:
        token = b.link("c", mail.decode().replace("=\r\n", ""))
        with parts.sessions.begin() as session:
            assert confirm(
                session, parts.signer, token, Evidence(Method.CONFIRM, ip="192.0.2.8"),
                message_id_of=parts.identity.message_id, now=parts.now(),
            )  # fmt: skip


def save(parts: Parts, reader: int, *wanted: str, notice: str | None = None) -> None:
    """Save a reader's preference page."""
    token = parts.links.preferences(1, reader).rpartition("/")[2]
    with parts.sessions.begin() as session:
        assert save_preferences(
            session, parts.signer, token, wanted=frozenset(wanted), notice_sha256=notice, name=None,
            locale=None, evidence=Evidence(Method.PREFERENCES), now=parts.now(),
        )  # fmt: skip


def leave_by_link(parts: Parts, reader: int) -> None:
    """Leave as the one-click link does."""
    token = parts.links.unsubscribe(1, reader).rpartition("/")[2]
    with parts.sessions.begin() as session:
        assert leave(session, parts.signer, token, Evidence(Method.ONE_CLICK), now=parts.now())


def send_campaign(parts: Parts) -> int:
    """Send one campaign to everybody who wants updates; return its id."""
    with parts.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).one()
        campaign = create_campaign(
            session, made, purpose="updates", subject="News",
            article_ids=b.articles(session, made, 1), now=parts.now(),
        )  # fmt: skip
        start_campaign(session, campaign, now=parts.now())
        number = campaign.id
    prepare_campaign(
        parts.sessions, number, renderer=parts.renderer, now=parts.now, pause=lambda: None
    )
    b.send_all(parts, MemoryTransport())
    return number


def forget(parts: Parts, reader: int) -> None:
    """Take a reader's row, subscriptions and evidence away, and write that down."""
    events = select(ConsentEvent.id).where(ConsentEvent.subscriber_id == reader)
    with parts.sessions.begin() as session:
        session.execute(delete(ConsentEvidence).where(ConsentEvidence.event.in_(events)))
        session.execute(delete(Subscription).where(Subscription.subscriber_id == reader))
        session.execute(delete(Subscriber).where(Subscriber.id == reader))
        written = {"subscriber_id": reader, "address_hash": "…", "method": "cli", "at": parts.now()}
        session.execute(insert(Erasure).values(written))


def reader_id(parts: Parts, address: str) -> int:
    """Return a reader's number."""
    with parts.sessions() as session:
        return session.scalars(select(Subscriber.id).where(Subscriber.email == address)).one()


def say(parts: Parts, address: str, state: ConsentState, *, now: datetime) -> None:
    """Let a reader say something about updates, at a time."""
    with parts.sessions.begin() as session:
        reader = session.scalars(select(Subscriber).where(Subscriber.email == address)).one()
        purpose = session.scalars(select(Newsletter)).one().purposes[0]
        assert record(session, reader, purpose, state, HERE, now=now)


@dataclass(frozen=True)
class Hand:
    """Somebody who reaches past the service into the tables; no trigger or key stops them."""

    execute: Callable[..., list[tuple[Any, ...]]]
    mark: str  # of a parameter

    def update(self, table: str, column: str, value: Any, key: dict[str, Any]) -> None:
        """Change one column of one row."""
        self.execute(
            f"UPDATE {table} SET {column} = {self.mark} WHERE {self._where(key)}",
            [value, *key.values()],
        )

    def delete(self, table: str, key: dict[str, Any]) -> None:
        """Take one row away."""
        self.execute(f"DELETE FROM {table} WHERE {self._where(key)}", list(key.values()))

    def insert(self, table: str, row: dict[str, Any]) -> None:
        """Put a row in."""
        marks = ", ".join([self.mark] * len(row))
        names = ", ".join(row)
        self.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(row.values()))

    def rows(self, table: str, columns: list[str]) -> list[dict[str, Any]]:
        """Return all rows, as the database holds them."""
        found = self.execute(f"SELECT {', '.join(columns)} FROM {table}", [])
        return [dict(zip(columns, row, strict=True)) for row in found]

    def _where(self, key: dict[str, Any]) -> str:
        return " AND ".join(f"{name} = {self.mark}" for name in key)


@contextmanager
def hand_in(parts: Parts) -> Iterator[Hand]:
    """Open the tables for somebody who is their owner."""
    url = make_url(parts.settings.database_url)
    if url.get_backend_name() == "sqlite":
        with closing(sqlite3.connect(url.database or "", isolation_level=None)) as connection:
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type='trigger'"
            ):
                connection.execute(f"DROP TRIGGER {name}")
            yield Hand(lambda *said: connection.execute(*said).fetchall(), "?")
        return
    plain = parts.settings.database_url.replace("+psycopg", "")
    with psycopg.connect(plain, autocommit=True) as server:
        server.execute("SET session_replication_role = replica")

        def execute(statement: str, values: list[Any]) -> list[tuple[Any, ...]]:
            cursor = server.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

        yield Hand(execute, "%s")


@dataclass(frozen=True)
class Shape:
    """A table: its key, its other columns, those of JSON, and a key that says nothing."""

    key: list[str]
    columns: list[str]
    json: list[str] = field(default_factory=list)
    free: list[str] = field(default_factory=list)


SHAPES = {
    "consent_event": Shape(
        ["id"],
        ["event_id", "newsletter_id", "purpose_id", "subscriber_id", "state", "method", "basis",
         "notice_id", "notice_assumed", "at", "stated_at", "valid_until", "commitment",
         "leaf_hash"],
    ),
    "consent_evidence": Shape(["event"], ["sealed"]),
    "consent_pending": Shape(["event"], []),
    "consent_log": Shape(["leaf_index"], ["event"]),
    "consent_tile": Shape(["level", "number"], ["hashes", "root"]),
    # When it was signed is not signed: `at` is for people, and the id says the order alone.
    "consent_checkpoint": Shape(["id"], ["origin", "size", "note"], free=["id"]),
    # When a wording was published is not under its hash.
    "notice": Shape(
        ["id"],
        ["newsletter_id", "locale", "version", "sha256", "text", "purposes", "controller", "links"],
        ["purposes", "controller", "links"],
    ),
    # `request` and `details` are no consent: which sign-up asked last, and what it said of itself.
    "subscription": Shape(
        ["subscriber_id", "purpose_id"], ["newsletter_id", "state", "since", "valid_until"]
    ),
}  # fmt: skip


def unnoticed_changes(
    parts: Parts, *tables: str, look: Callable[[Parts], list[Finding]] = wrong
) -> Iterator[str]:
    """Change every column of every row of these tables, one at a time, and put it back.

    Yields the changes after which the audit did not name that row.
    """
    with hand_in(parts) as hand:
        for table in tables:
            shape = SHAPES[table]
            for row in hand.rows(table, shape.key + shape.columns):
                key = {name: row[name] for name in shape.key}
                for column in (name for name in row if name not in shape.free):
                    after = another(column, row[column], is_json=column in shape.json)
                    hand.update(table, column, after, key)
                    there = {**key, column: after} if column in key else key
                    if not is_named(look(parts), table, key, there):
                        yield f"{table} {key}: {column} from {row[column]!r} to {after!r}"
                    hand.update(table, column, _given(row[column], column in shape.json), there)


def unnoticed_losses(
    parts: Parts, *tables: str, look: Callable[[Parts], list[Finding]] = wrong
) -> Iterator[str]:
    """Take every row of these tables away, one at a time, and put it back.

    Yields the rows that the audit did not miss: it names the row, or what refers to it.
    """
    with hand_in(parts) as hand:
        for table in tables:
            for row in hand.rows(table, _columns(hand, table)):
                key = {name: row[name] for name in SHAPES[table].key}
                event = {"id": row["event"] if "event" in row else row.get("id")}
                hand.delete(table, key)
                found = look(parts)
                if not (
                    is_named(found, table, key)
                    or is_named(found, "consent_event", event)
                    or is_named(found, "witness", {"name": f"1/{row.get('size', 0):012}"})
                    or any(re.search(rf"event {event['id']}\b", each.words) for each in found)
                ):
                    yield f"{table} {key}"
                hand.insert(table, {name: _given(value, False) for name, value in row.items()})


def is_named(found: Iterable[Finding], table: str, *keys: dict[str, Any]) -> bool:
    """Say whether the findings name one of the rows."""
    rows = {"/".join(str(part) for part in key.values()) for key in keys}
    return any(each.table == table and each.row in rows for each in found)


def another(column: str, value: Any, *, is_json: bool = False) -> Any:
    """Return the value with one bit, one character or one millisecond changed."""
    match value:
        case None if column == "notice_id":
            return 1
        case None:
            return "2026-11-24 09:00:00.000"
        case bool():
            return not value
        case int() if column in ("notice_assumed", "level"):
            return value ^ 1
        case int():
            return value ^ 1024
        case bytes():
            middle = len(value) // 2
            return value[:middle] + bytes([value[middle] ^ 1]) + value[middle + 1 :]
        case datetime():
            return value + timedelta(milliseconds=1)
        case str():
            place = next(i for i in reversed(range(len(value))) if value[i].isalnum())
            other = chr(ord(value[place]) ^ 1)
            return value[:place] + other + value[place + 1 :]
        case _ if is_json:
            return another(column, json.dumps(value, ensure_ascii=False))
    raise TypeError(f"{column}: {value!r}")


def _given(value: Any, is_json: bool) -> Any:
    """Return a value as it is to be written back (PostgreSQL reads JSON for us)."""
    if is_json or isinstance(value, dict | list):
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return value


def _columns(hand: Hand, table: str) -> list[str]:
    if hand.mark == "?":
        return [row[1] for row in hand.execute(f"PRAGMA table_info({table})", [])]
    return [
        row[0]
        for row in hand.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = %s", [table]
        )
    ]


def stamp(parts: Parts, moment: datetime) -> Any:
    """Return a moment as the database holds it."""
    if parts.engine.dialect.name == "sqlite":
        return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    return moment


def sqlite_path(parts: Parts) -> Path:
    """Return the file of an SQLite database."""
    return Path(make_url(parts.settings.database_url).database or "")
