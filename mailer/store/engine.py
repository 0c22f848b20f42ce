"""Engines and sessions for SQLite and PostgreSQL, set up for exactness first."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from mailer.domain.errors import Refusal
from mailer.store.vault import Vault

Sessions = sessionmaker[Session]

_PATIENCE = 30.0
"""Seconds that SQLite's writers wait for each other before they give up."""

_BETWEEN_TRIES = (0.0005, 0.0015)
"""Seconds between two tries for SQLite's lock: about as long as busy writers pause."""


class NoDatabase(Refusal):
    """The database cannot be reached."""


def open_engine(url: str, *, pool_size: int = 5) -> Engine:
    """Return an engine; nothing is connected before the first use (safe before a fork).

    What it raises names no value of a statement: such values are readers', and errors are logged.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(
            parsed,
            connect_args={"timeout": _PATIENCE},
            pool_size=pool_size,
            hide_parameters=True,
        )
        _prepare_sqlite(engine)
        return engine
    return create_engine(
        parsed,
        pool_size=pool_size,
        max_overflow=2 * pool_size,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={"connect_timeout": 10, "options": "-c synchronous_commit=on"},
    )


def open_sessions(engine: Engine, vault: Vault) -> Sessions:
    """Return the factory of sessions that services are given; each of them knows the vault."""
    return sessionmaker(engine, expire_on_commit=False, info={"vault": vault})


def _prepare_sqlite(engine: Engine) -> None:
    """Make SQLite durable, and make every transaction that may write say so at its begin.

    A transaction that reads first and writes later cannot be upgraded while another writes: it
    fails at once, busy timeout or not. So every transaction begins IMMEDIATE, unless it is
    opened for reading (`read_only`).
    """

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
            "recursive_triggers=ON",  # or REPLACE deletes past the guards
            f"busy_timeout={_PATIENCE * 1000:.0f}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        options = connection.get_execution_options()
        if options.get("read_only", False):
            connection.exec_driver_sql("BEGIN")
            return
        driver = connection.connection.driver_connection
        driver.execute("PRAGMA busy_timeout=0")
        try:
            if not _begin_in_turn(driver, options.get("patience", _PATIENCE)):
                connection.exec_driver_sql("BEGIN IMMEDIATE")  # fails again, in SQLAlchemy's words
        finally:
            driver.execute(f"PRAGMA busy_timeout={_PATIENCE * 1000:.0f}")


def _begin_in_turn(driver: sqlite3.Connection, patience: float) -> bool:
    """Begin to write as soon as nobody else does; False where it cannot be, or took too long.

    Left to itself, SQLite sleeps up to 100 ms between two tries, and so through the millisecond
    that a busy writer leaves to others after each commit.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            driver.execute("BEGIN IMMEDIATE")
            return True
        except sqlite3.Error as error:
            if not _is_busy(error) or time.monotonic() > deadline:
                return False
        time.sleep(random.uniform(*_BETWEEN_TRIES))


def _is_busy(error: sqlite3.Error) -> bool:
    """Say whether somebody else writes (the last byte of SQLite's code is the kind of error)."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


@contextmanager
def reading(sessions: Sessions) -> Iterator[Session]:
    """Open a session that only reads, so that on SQLite it waits for no writer."""
    with sessions() as session:
        session.connection(execution_options={"read_only": True})
        yield session


@contextmanager
def writing_soon(sessions: Sessions, patience: float) -> Iterator[Session]:
    """Open a session that writes, but on SQLite waits for its turn only so many seconds."""
    with sessions.begin() as session:
        session.connection(execution_options={"patience": patience})
        yield session


def refuse_unreachable(engine: Engine, *, make: bool = False) -> None:
    """Raise NoDatabase with one sentence where the database does not answer.

    `make`: an SQLite file that is not there is made; otherwise looking leaves nothing behind.
    """
    file = engine.url.database if engine.dialect.name == "sqlite" else None
    try:
        if file and make:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
        elif file and not Path(file).exists():
            raise NoDatabase(f"There is no database {file}: run `mailer init` first.")
        with engine.connect():
            pass
    except DatabaseError as error:
        reason = str(error.orig).strip().splitlines()[0]
        if is_damage(reason):
            raise NoDatabase(
                f"The database {file} is damaged ({reason}): restore a backup with "
                "`mailer db restore`."
            ) from None
        raise NoDatabase(
            f"The database {engine.url.render_as_string(hide_password=True)} cannot be reached "
            f"({reason}): start it, or mend MAILER_DATABASE_URL."
        ) from None
    except OSError as error:
        raise NoDatabase(
            f"The folder of the database {file} cannot be made ({error.strerror}): "
            "choose another MAILER_HOME."
        ) from None


def is_damage(reason: str) -> bool:
    """Say whether SQLite's words mean that its file is broken."""
    return any(words in reason for words in ("not a database", "malformed", "disk image"))
