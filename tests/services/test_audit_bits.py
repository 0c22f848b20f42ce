"""Single bits of the database's file: whichever is flipped under a row, the audit says so."""

import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import audits as a
from sqlalchemy.exc import DatabaseError

from mailer.services.audit import Audit
from mailer.store.engine import open_engine, open_sessions
from mailer.wiring import Parts, vault_of

_PAGE = 4_096
_TABLES = ("consent_event", "consent_evidence", "consent_log", "consent_pending", "notice")
_FLIPS = 150


def test_whichever_bit_under_a_row_is_flipped_it_is_noticed(
    sqlite_parts: Parts, tmp_path: Path
) -> None:
    a.live(sqlite_parts)
    whole = _at_rest(sqlite_parts)
    file = tmp_path / "flipped.db"
    held = _rows(file, whole)
    assert held is not None
    chance = random.Random(7)
    missed, counted = [], 0
    for offset in chance.sample(_offsets_of(held, whole), _FLIPS):
        flipped = bytearray(whole)
        flipped[offset] ^= 1 << chance.randrange(8)
        now_held = _rows(file, bytes(flipped))
        if now_held == held:
            continue  # nothing of a row: a gap in the page, or an index
        counted += 1
        if now_held is not None and not _is_noticed(sqlite_parts, file):
            missed.append(offset)
    assert counted > _FLIPS / 4
    assert missed == []


def _at_rest(parts: Parts) -> bytes:
    """Return the database's file with everything in it."""
    parts.engine.dispose()
    path = a.sqlite_path(parts)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=DELETE")
    return path.read_bytes()


def _rows(file: Path, content: bytes) -> list[list[dict[str, Any]]] | None:
    """Return all rows as they stand in the tables; None where SQLite itself refuses the file."""
    file.write_bytes(content)
    with closing(sqlite3.connect(file)) as connection:
        connection.text_factory = bytes
        try:
            return [_read(connection, table) for table in _TABLES]
        except sqlite3.DatabaseError:
            return None


def _read(connection: sqlite3.Connection, table: str) -> list[dict[str, Any]]:
    shape = a.SHAPES[table]
    names = shape.key + shape.columns
    found = connection.execute(f"SELECT {', '.join(names)} FROM {table} NOT INDEXED").fetchall()
    rows = [dict(zip(names, row, strict=True)) for row in found]
    for row in rows:
        row.update((name, _meaning(row[name])) for name in shape.json)
    return rows


def _meaning(text: bytes) -> Any:
    """Return what JSON says: how it is spelled is nobody's business."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _offsets_of(held: list[list[dict[str, Any]]], whole: bytes) -> list[int]:
    """Return the octets of all pages that hold a hash or a sealed text of ours."""
    values = {
        value
        for table in held
        for row in table
        for value in row.values()
        if isinstance(value, bytes) and len(value) >= 32
    }
    pages = {whole.find(value) // _PAGE for value in values if value in whole}
    return [offset for page in sorted(pages) for offset in range(page * _PAGE, (page + 1) * _PAGE)]


def _is_noticed(parts: Parts, file: Path) -> bool:
    engine = open_engine(f"sqlite:///{file}")
    sessions = open_sessions(engine, vault_of(parts.settings))
    audit = Audit(sessions, notary=parts.notary, home=parts.settings.home)
    try:
        return any(not each.kind.is_note for each in audit.findings())
    except DatabaseError:
        return True  # the page is no page any more: `mailer db check` says where
    finally:
        engine.dispose()
