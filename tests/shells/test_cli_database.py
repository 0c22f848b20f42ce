"""A database that is older, newer, empty, damaged or at work: told, and left as it is."""

from __future__ import annotations

import fcntl
import shutil
import sqlite3
from contextlib import closing

from shells.endings import refused

from mailer.services.installation.alive import say_alive
from mailer.store import migrate
from mailer.wiring import open_parts

LATER_MIGRATION = f"""
from alembic import op

revision = "9999"
down_revision = "{migrate._scripts().get_current_head()}"


def upgrade():
    op.execute("CREATE TABLE later (id INTEGER)")
"""


def test_a_newer_database_is_refused(weekly, home):
    _set_version(home, "9999_from_the_future")
    refused(
        weekly("newsletter", "list"),
        "The database is of a newer version (9999_from_the_future) than this program: install the "
        "newer mailer, or restore a backup made with this one.",
    )


def test_an_older_database_is_left_alone_until_the_operator_upgrades_it(
    weekly, tmp_path, monkeypatch
):
    migrations = tmp_path / "migrations"
    shutil.copytree(migrate._MIGRATIONS, migrations)
    (migrations / "versions" / "9999_later.py").write_text(LATER_MIGRATION, "utf-8")
    monkeypatch.setattr(migrate, "_MIGRATIONS", migrations)
    sentence = "The database is of an older version: back it up, then run `mailer db upgrade`."
    refused(weekly("newsletter", "list"), sentence)
    refused(weekly("init"), sentence)
    assert weekly("db", "upgrade").status == 0
    assert weekly("newsletter", "list").status == 0


def test_an_empty_database_names_init(weekly, home):
    for file in home.glob("mailer.db*"):
        file.unlink()
    (home / "mailer.db").touch()
    refused(weekly("status"), "The database is empty: run `mailer init` first.")


def test_a_database_that_is_not_there_is_not_made_by_looking(weekly, tmp_path, monkeypatch):
    monkeypatch.setenv("MAILER_DATABASE_URL", f"sqlite:///{tmp_path}/nowhere/x.db")
    refused(
        weekly("status"), f"There is no database {tmp_path}/nowhere/x.db: run `mailer init` first."
    )
    assert not (tmp_path / "nowhere").exists()


def test_tables_of_no_version_are_left_alone(weekly, home):
    with closing(sqlite3.connect(home / "mailer.db")) as connection, connection:
        connection.execute("DELETE FROM alembic_version")
    sentence = (
        "The database holds tables without saying of which version: choose an empty database, "
        "or restore a backup."
    )
    for line in (["status"], ["init"], ["db", "upgrade"]):
        refused(weekly(*line), sentence)


def test_a_damaged_database_is_told_and_healed_by_a_backup(weekly, home, tmp_path):
    backup = tmp_path / "good.db"
    assert weekly("db", "backup", str(backup)).status == 0
    with closing(sqlite3.connect(home / "mailer.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (home / "mailer.db").write_bytes(b"no database at all" * 500)
    for line in (["status"], ["db", "check"], ["db", "upgrade"], ["init"]):
        ended = weekly(*line)
        assert ended.status == 1
        assert "is damaged" in ended.err
        assert "Traceback" not in ended.err
    ended = weekly("db", "restore", str(backup), "--yes", "--json")
    assert ended.status == 0, ended.err
    assert ended.document["before"].endswith("mailer.db.before-restore-1")
    assert weekly("subscriber", "show", "amina@readers.test").status == 0


def test_a_restore_waits_until_nobody_works(weekly, home, tmp_path):
    backup = tmp_path / "good.db"
    assert weekly("db", "backup", str(backup)).status == 0
    parts = open_parts()
    with parts.sessions.begin() as session:
        say_alive(session, "send@here", "send", now=parts.now())
    parts.engine.dispose()
    refused(
        weekly("db", "restore", str(backup), "--yes"),
        "The worker send@here is alive: stop it first.",
    )
    (home / "up.lock").write_text("4711")
    with (home / "up.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused(
            weekly("db", "restore", str(backup), "--yes"),
            f"`mailer` runs on {home} (process 4711): stop it first.",
        )


def test_a_broken_database_is_one_line(weekly, home):
    with closing(sqlite3.connect(home / "mailer.db")) as connection, connection:
        connection.execute("ALTER TABLE worker RENAME TO workers_away")
    refused(
        weekly("status"),
        "The database failed (no such table: worker): run `mailer doctor` to see what is wrong.",
    )


def test_a_dangerous_verb_without_a_yes_does_nothing(weekly, home, tmp_path):
    copy = tmp_path / "copy.db"
    assert weekly("db", "backup", str(copy)).status == 0
    refused(
        weekly("db", "restore", str(copy)),
        f"Everything that happened since {copy} was written is lost. Nothing was done: "
        "add --yes to go on.",
    )


def _set_version(home, version):
    with closing(sqlite3.connect(home / "mailer.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
