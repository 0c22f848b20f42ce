"""What a database keeps of deleted rows, and how it lets go of them."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import KEYS
from processes import WITHIN, clean_environment, until
from services.test_erasing import ADDRESS, LATER, erased, reasons, signed_up
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from mailer.domain.addresses import parse_address
from mailer.services.privacy.erasing import erase, finish_erasures
from mailer.store import traces
from mailer.store.models import ConsentEvidence, Erasure, Subscriber
from mailer.store.readers import ReaderDetails, find_or_add_reader
from mailer.store.traces import NotWiped, holds, wipe
from mailer.wiring import Parts

DIED = 77
COMMAND = """
import os, sys
from mailer.cli.main import main
from mailer.services.privacy import erasing
setattr(erasing, sys.argv[1], lambda *_, **__: os._exit(77))
main(sys.argv[2:])
"""


def file_of(parts: Parts) -> Path:
    """Return SQLite's file."""
    return Path(parts.engine.url.database or "")


def delete_without_care(parts: Parts) -> None:
    """Write a row and delete it, in a way that leaves its bytes between the rows."""
    with closing(sqlite3.connect(file_of(parts))) as careless:
        careless.execute("PRAGMA secure_delete=OFF")
        careless.execute(
            "INSERT INTO feedback (kind, source, status, detail, received_at) "
            "VALUES ('bounce', 'x', '5.1.1', 'what zoe.nandu@nandu.test said', '2026')"
        )
        careless.commit()
        careless.execute("DELETE FROM feedback")
        careless.commit()
        careless.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def test_what_is_left_between_the_rows_is_found_and_written_over(sqlite_parts: Parts) -> None:
    delete_without_care(sqlite_parts)
    file = file_of(sqlite_parts)
    assert holds(file, [b"nowhere", ADDRESS.encode()])
    wipe(sqlite_parts.engine, "", [b"nowhere"])
    assert holds(file, [ADDRESS.encode()]), "written anew only where something is left"
    wipe(sqlite_parts.engine, "", [b"nowhere", ADDRESS.encode()])
    assert not holds(file, [ADDRESS.encode()])


def test_what_nobody_can_look_for_is_written_over_as_well(sqlite_parts: Parts) -> None:
    delete_without_care(sqlite_parts)
    wipe(sqlite_parts.engine, "", None)
    assert not holds(file_of(sqlite_parts), [ADDRESS.encode()])


def test_a_text_is_found_across_the_pieces_that_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "_PIECE", 7)
    file = tmp_path / "file"
    for before in range(20):
        file.write_bytes(b"." * before + b"Zoe.Nandu@nandu.test!")
        assert holds(file, [b"x", ADDRESS.encode()], any_case=True)
        assert not holds(file, [ADDRESS.encode()])
        assert not holds(file, [b"zoe.nandu@nandu.test?"], any_case=True)
    file.write_bytes(b"")
    assert not holds(file, [b"x"])


def test_a_log_that_somebody_reads_is_emptied_later(
    sqlite_parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "_BETWEEN_TRIES", 0.01)
    an_hour_later = LATER + timedelta(hours=1)

    def finish() -> None:
        finish_erasures(sqlite_parts.sessions, sqlite_parts.places, now=lambda: an_hour_later)

    signed_up(sqlite_parts)
    with closing(sqlite3.connect(file_of(sqlite_parts), isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM subscriber").fetchone()
        done = erased(sqlite_parts, clean=False)
        with pytest.raises(NotWiped, match="reads the database for long"):
            wipe(sqlite_parts.engine, "", done.sought)
        finish()
        with sqlite_parts.sessions() as session:
            assert session.scalars(select(Erasure.cleaned_at)).one() is None
    finish_erasures(
        sqlite_parts.sessions, sqlite_parts.places, now=lambda: LATER + timedelta(days=1)
    )
    with sqlite_parts.sessions() as session:
        assert session.scalars(select(Erasure.cleaned_at)).one() is not None
    for file in (file_of(sqlite_parts), Path(f"{file_of(sqlite_parts)}-wal")):
        assert not holds(file, [ADDRESS.encode()])


@pytest.mark.parametrize(
    ("dies_at", "gone"), [("note_erasure", False), ("_clean", True), ("wipe", True)]
)
def test_a_command_that_is_killed_leaves_nothing_undone(
    parts: Parts, dies_at: str, gone: bool
) -> None:
    signed_up(parts)
    parts.places.inbox.save(f"To: {ADDRESS}\r\n\r\nhello".encode())
    environment = clean_environment(
        MAILER_HOME=str(parts.settings.home),
        MAILER_DATABASE_URL=parts.settings.database_url.replace("+psycopg", ""),
        **KEYS,
    )

    def run(*arguments: str) -> int:
        return subprocess.run(
            [sys.executable, *arguments], env=environment, timeout=WITHIN, capture_output=True,
            check=False,
        ).returncode  # fmt: skip

    erases = ["privacy", "erase", ADDRESS, "--yes"]
    assert run("-c", COMMAND, dies_at, *erases) == DIED
    with parts.sessions() as session:
        left = session.scalar(select(func.count()).select_from(Subscriber))
        noted = session.scalars(select(Erasure.cleaned_at)).all()
        assert (left, noted) == ((0, [None]) if gone else (1, []))
    assert run("-m", "mailer", *erases) == 0
    with parts.sessions() as session:
        for table in (Subscriber, ConsentEvidence):
            assert session.scalar(select(func.count()).select_from(table)) == 0
        assert session.scalars(select(Erasure.cleaned_at)).one() is not None
    assert parts.places.inbox.ids() == []
    if parts.engine.dialect.name == "sqlite":
        assert not holds(file_of(parts), [ADDRESS.encode()])


def test_who_signs_up_while_being_erased_is_new(parts: Parts) -> None:
    signed_up(parts)
    ids: list[int] = []

    def sign_up() -> None:
        with parts.sessions.begin() as session:
            reader = find_or_add_reader(
                session, parse_address(ADDRESS), parts.suppression_key, ReaderDetails(), now=LATER
            )
            ids.append(reader.id)

    thread = threading.Thread(target=sign_up)
    with parts.sessions.begin() as session:
        erase(session, parse_address(ADDRESS), key=parts.suppression_key, method="cli", now=LATER)
        thread.start()
        if parts.engine.dialect.name == "postgresql":
            until(lambda: _somebody_waits(parts), "the sign-up to wait for the erasure")
    thread.join(WITHIN)
    assert ids == [2]
    assert reasons(parts) == ["erasure"]


def _somebody_waits(parts: Parts) -> bool:
    with parts.engine.connect() as connection:
        waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(connection.execute(waiting).scalar())


def test_an_error_of_the_database_names_no_reader(parts: Parts) -> None:
    statement = text("INSERT INTO nowhere (email) VALUES (:email)")
    with pytest.raises(DBAPIError) as failed, parts.engine.begin() as connection:
        connection.execute(statement, {"email": ADDRESS})
    assert ADDRESS not in str(failed.value)
    assert ADDRESS not in repr(failed.value)
