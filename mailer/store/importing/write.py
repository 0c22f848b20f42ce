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
from mailer.store.importing.prepare import Prepared, Said
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


def insert_new(session: Session, prepared: Sequence[Prepared]) -> None:
    """Write new readers with all they said; raises TakenMeanwhile where one is there by now."""
    _put(session, "subscriber", [each.subscriber for each in prepared])
    said = [event for each in prepared for event in each.said]
    insert_subscriptions(session, said)
    insert_events(session, said)


def insert_subscriptions(session: Session, said: Sequence[Said]) -> None:
    """Write the subscriptions that follow from events, where there was none."""
    _put(session, "subscription", [each.subscription for each in said])


def insert_events(session: Session, said: Sequence[Said]) -> None:
    """Write events, their evidence and their pending leaves."""
    events = [each.event for each in said]
    evidences = [each.evidence for each in said]
    pending = [each.pending for each in said]
    if said and session.get_bind().dialect.name == "sqlite":
        first = (session.scalar(select(func.max(ConsentEvent.id))) or 0) + 1
        numbers = range(first, first + len(said))
        events = [(number, *row) for number, row in zip(numbers, events, strict=True)]
        evidences = list(zip(numbers, evidences, strict=True))
        pending = [(number,) for number in numbers]
    _put(session, "consent_event", events)
    _put(session, "consent_evidence", evidences)
    _put(session, "consent_pending", pending)


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
    statement = text(
        "SELECT nextval(pg_get_serial_sequence(:table, 'id')) FROM generate_series(1, :number)"
    )
    return session.scalars(statement, {"table": table, "number": number}).all()
