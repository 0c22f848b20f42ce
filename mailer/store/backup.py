"""Copies of an SQLite database: taken while the service runs, put back when it does not."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.engine import make_url

from mailer.domain.errors import Refusal

_PAGES_A_STEP = 4_096


class CannotCopy(Refusal):
    """A backup cannot be made or put back."""


def sqlite_file(url: str, advice: str) -> Path:
    """Return the database's file; refuses with `advice` where it is not SQLite."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        raise CannotCopy(advice)
    return Path(parsed.database)


def back_up(database: Path, target: Path) -> None:
    """Copy the database as it is at one moment into a new file that only its owner may read.

    Never half a file: it gets its name when it is whole. Refuses to overwrite.
    """
    if not database.is_file():
        raise CannotCopy(f"There is no database at {database}: run `mailer init` first.")
    if target.exists():
        raise CannotCopy(f"{target} exists already: choose another name.")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.touch(0o600, exist_ok=False)
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(part)) as copy:
            source.backup(copy, pages=_PAGES_A_STEP, sleep=0.005)
            copy.execute("PRAGMA journal_mode=DELETE")
        os.link(part, target)
    except FileExistsError:
        raise CannotCopy(f"{target} exists already: choose another name.") from None
    except (OSError, sqlite3.Error) as error:
        if isinstance(error, OSError):
            advice = f"Cannot write {target} ({error.strerror}): choose another place."
        else:
            advice = f"Cannot copy {database} to {target} ({error}): run `mailer db check`."
        raise CannotCopy(advice) from None
    finally:
        part.unlink(missing_ok=True)


def restore(source: Path, database: Path, *, halt: str, now: datetime) -> Path | None:
    """Put a backup in the database's place; return where the one that was there is now.

    The backup is copied beside it first and takes its name when it is whole and halted, for the
    reason given; what was there is kept, for it may be the better one. Refuses a broken backup.
    One from before there was a halt is told by its beat (`mailer.store.witness`).
    """
    problems = integrity_problems(source)
    if problems:
        raise CannotCopy(f"{source} is not a whole backup ({problems[0]}): take another one.")
    part = database.with_name(f".{database.name}.{os.getpid()}.part")
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        part.touch(0o600, exist_ok=False)
        with closing(sqlite3.connect(source)) as copy, closing(sqlite3.connect(part)) as fresh:
            copy.backup(fresh)
            _halt(fresh, halt, now)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        before = _put_aside(database)
        part.rename(database)
    except (OSError, sqlite3.Error) as error:
        raise CannotCopy(
            f"Cannot put {source} in place ({error}): stop everything that uses {database}."
        ) from None
    finally:
        part.unlink(missing_ok=True)
    return before


def set_up_at(database: Path) -> datetime | None:
    """Return when the installation was set up whose database or backup this is."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT created_at FROM installation").fetchone()
    except sqlite3.Error:
        return None
    return datetime.fromisoformat(found[0]).replace(tzinfo=UTC) if found else None


def _halt(fresh: sqlite3.Connection, reason: str, now: datetime) -> None:
    columns = {row[1] for row in fresh.execute("PRAGMA table_info(installation)")}
    if "halted_at" in columns:
        at = f"{now.astimezone(UTC):%Y-%m-%d %H:%M:%S}.{now.microsecond // 1000:03d}"
        fresh.execute("UPDATE installation SET halted = ?, halted_at = ?", (reason, at))
        fresh.commit()


def _put_aside(database: Path) -> Path | None:
    """Move the database out of the way, with what belongs to it; return its new name."""
    if not database.exists():
        return None
    number = 1
    while (aside := database.with_name(f"{database.name}.before-restore-{number}")).exists():
        number += 1
    for suffix in ("-wal", "-shm", ""):
        belongs = database.with_name(database.name + suffix)
        if belongs.exists():
            belongs.rename(aside.with_name(aside.name + suffix))
    return aside


def integrity_problems(database: Path) -> list[str]:
    """Return what is wrong inside the file: pages, indexes, rows without their owner."""
    if not database.is_file():
        return [f"there is no file {database}"]
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
            orphans = [
                f"a row of {row[0]} refers to a {row[2]} that is gone"
                for row in connection.execute("PRAGMA foreign_key_check")
            ]
            known = connection.execute(
                "SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'"
            ).fetchone()
    except sqlite3.Error as error:
        return [str(error)]
    problems = [line for line in found if line != "ok"] + orphans
    return problems if known[0] else [*problems, "it holds none of our tables"]
