"""What a database keeps of rows that are gone, and how it is made to let go of it.

SQLite overwrites what is deleted (`secure_delete`), but not the copies that it leaves behind when
it moves rows from one page to another (of 300 deleted readers, up to 4 stood there still); and its
write-ahead log keeps old pages until it begins anew. PostgreSQL keeps deleted rows until they are
vacuumed.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import DatabaseError

from mailer.domain.errors import Refusal
from mailer.store.engine import open_engine

_TABLES = (
    "subscriber", "subscription", "consent_evidence", "suppression", "feedback", "delivery",
    "attempt", "reader_topic", "wanted_variant",
)  # fmt: skip
_TRIES, _BETWEEN_TRIES = 40, 0.25
_SHORT_WAIT = 50  # ms: a checkpoint holds up all writers while it waits for a reader
_LONG_WAIT = 30_000
_PIECE = 1 << 20


class NotWiped(Refusal):
    """Somebody else holds on to the database just now."""


def wipe(engine: Engine, owner_url: str, sought: Sequence[bytes] | None) -> None:
    """Make the database let go of what was deleted; raises NotWiped where it cannot just now.

    `sought` is what is looked for in SQLite's file, so that it is written anew only where something
    is left; None: nobody knows what to look for, and it is written anew.
    """
    try:
        if engine.dialect.name == "sqlite":
            _wipe_sqlite(engine, sought)
        else:
            _vacuum(owner_url)
    except (DatabaseError, sqlite3.Error) as error:
        reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
        raise NotWiped(f"The database could not be cleaned just now ({reason}).") from None


def holds(file: Path, sought: Collection[bytes], *, any_case: bool = False) -> bool:
    """Say whether one of the texts stands anywhere in the file, in its rows or between them.

    `any_case`: the texts are in small letters, and ASCII letters of any size will do.
    """
    overlap = max(map(len, sought), default=1) - 1
    before = b""
    with file.open("rb") as content:
        while piece := content.read(_PIECE):
            window = before + (piece.lower() if any_case else piece)
            if any(each in window for each in sought):
                return True
            before = window[-overlap:] if overlap else b""
    return False


def _wipe_sqlite(engine: Engine, sought: Sequence[bytes] | None) -> None:
    with closing(engine.raw_connection()) as connection:
        cursor = connection.cursor()
        _begin_log_anew(cursor)
        file = Path(engine.url.database or "")
        if sought is None or holds(file, sought):
            cursor.execute("VACUUM")
            _begin_log_anew(cursor)


def _begin_log_anew(cursor: Any) -> None:
    """Copy the write-ahead log into the database and make it empty; raises NotWiped."""
    cursor.execute(f"PRAGMA busy_timeout={_SHORT_WAIT}")
    try:
        for _ in range(_TRIES):
            (busy, _, _) = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:
                return
            time.sleep(_BETWEEN_TRIES)
    finally:
        cursor.execute(f"PRAGMA busy_timeout={_LONG_WAIT}")
    raise NotWiped("Somebody reads the database for long, so that its log cannot be emptied.")


def _vacuum(owner_url: str) -> None:
    """Let PostgreSQL take the old rows away; only a table's owner may say so."""
    engine = open_engine(owner_url)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f"VACUUM {', '.join(_TABLES)}")
    finally:
        engine.dispose()
