"""Writing many readers and events in a few statements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.errors import DeadlockDetected, UniqueViolation
from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from mailer.domain.errors import Refusal
from mailer.store.importing.prepare import FOLLOWS, Said
from mailer.store.importing.shapes import COLUMNS
from mailer.store.models import ConsentEvent

_INSERT = {
    table: f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    for table, columns in COLUMNS.items()
}
_COPY = {
    table: f"COPY {table} ({', '.join(columns)}) FROM STDIN" for table, columns in COLUMNS.items()
}


class TakenMeanwhile(Refusal):
    """Somebody signed up, or was suppressed, after we looked: look again."""

    def __init__(self) -> None:
        super().__init__(
            "Others write the same readers again and again: import the file once more, and it goes "
            "on where it stopped."
        )


def reserve_readers(session: Session, number: int) -> Sequence[int]:
    """Return so many numbers for readers that nobody else is given, in a transaction of its own.

    What is not used of them is lost; numbers of readers are never given twice anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        return _next_of_sequence(session, "subscriber", number)
    moved = text("UPDATE sqlite_sequence SET seq = seq + :number WHERE name = 'subscriber'")
    if not session.connection().execute(moved, {"number": number}).rowcount:
        first = text("INSERT INTO sqlite_sequence (name, seq) VALUES ('subscriber', :number)")
        session.execute(first, {"number": number})
    last = session.execute(
        text("SELECT seq FROM sqlite_sequence WHERE name = 'subscriber'")
    ).scalar_one()
    return range(last - number + 1, last + 1)


def reserve_events(session: Session, number: int) -> Sequence[int]:
    """Return numbers for events on PostgreSQL; SQLite gives them in the order of writing."""
    if session.get_bind().dialect.name == "sqlite":
        return ()
    return _next_of_sequence(session, "consent_event", number)


def insert_new(session: Session, subscribers: Sequence[Any], said: Sequence[Said]) -> None:
    """Write new readers with all they said; raises TakenMeanwhile where one is there by now."""
    _put(session, "subscriber", subscribers)
    insert_events(session, said, first=said)


def insert_events(session: Session, said: Sequence[Said], *, first: Sequence[Said]) -> None:
    """Write events, their evidence, their pending leaves, and the subscriptions of the `first`.

    Those are events of readers who have no subscription for the purpose yet; SQLite sees for itself
    which they are.
    """
    if not said:
        return
    # Not by their names: those that come from another process are plain tuples.
    _, events, evidence, pending, *_ = zip(*said, strict=True)
    if session.get_bind().dialect.name == "postgresql":
        _put(session, "consent_event", events)
        _put(session, "consent_evidence", evidence)
        _put(session, "consent_pending", pending)
        _put(session, "subscription", [each[0] for each in first])
        return
    begin = (session.scalar(select(func.max(ConsentEvent.id))) or 0) + 1
    numbers = range(begin, begin + len(said))
    numbered = [(number, *event) for number, event in zip(numbers, events, strict=True)]
    _put(session, "consent_event", numbered)
    _put(session, "consent_evidence", list(zip(numbers, evidence, strict=True)))
    for derived in (_PENDING, _FIRST):
        session.connection().exec_driver_sql(derived, (numbers[0], numbers[-1]))


_SINCE = "FROM consent_event WHERE id BETWEEN ? AND ?"
_FOLLOWS = " ".join(f"WHEN '{said}' THEN '{follows}'" for said, follows in FOLLOWS.items())
_PENDING = f"INSERT INTO consent_pending (event) SELECT id {_SINCE}"
_FIRST = (
    f"INSERT OR IGNORE INTO subscription ({', '.join(COLUMNS['subscription'])}) "
    "SELECT subscriber_id, purpose_id, newsletter_id, "
    f"CASE state {_FOLLOWS} END, at, valid_until, 0, '{{}}' {_SINCE}"
)
"""SQLite's own part: what is in an event already is not handed over once more."""


def _put(session: Session, table: str, rows: Sequence[Any]) -> None:
    if not rows:
        return
    connection = session.connection()
    if session.get_bind().dialect.name == "sqlite":
        connection.exec_driver_sql(_INSERT[table], rows)
        return
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(_COPY[table]) as copy:
            copy.write("\n".join([*rows, ""]))
    except (UniqueViolation, DeadlockDetected) as error:
        raise TakenMeanwhile from error
    except psycopg.OperationalError as error:
        raise OperationalError(_COPY[table], None, error) from error


def _next_of_sequence(session: Session, table: str, number: int) -> Sequence[int]:
    statement = text(  # one text: so many rows cost more than what they number
        "SELECT string_agg(nextval(pg_get_serial_sequence(:table, 'id'))::text, ',') "
        "FROM generate_series(1, :number)"
    )
    listed = session.execute(statement, {"table": table, "number": number}).scalar_one()
    return [*map(int, listed.split(","))]
