"""What cannot be done: one clear line that says what to do, status 1, and nothing half-written."""

from __future__ import annotations

import fcntl
import shutil
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mailer.cli.ports import PortInUse, refuse_taken_port
from mailer.services.alive import say_alive
from mailer.store import migrate
from mailer.wiring import open_parts

LATER_MIGRATION = f"""
from alembic import op

revision = "9999"
down_revision = "{migrate._scripts().get_current_head()}"


def upgrade():
    op.execute("CREATE TABLE later (id INTEGER)")
"""
TEMPLATES = Path(__file__).parents[2] / "templates" / "email"


def refused(ended, sentence):
    """Say whether the command ended with this one line and nothing else for people to read."""
    assert ended.status == 1
    assert ended.out == ""
    assert ended.err.splitlines()[-1] == f"mailer: {sentence}"
    assert "Traceback" not in ended.err


def test_a_wrong_setting_is_named(mailer, monkeypatch):
    monkeypatch.setenv("MAILER_BIND", "everywhere")
    refused(
        mailer("status"), "MAILER_BIND is “everywhere”: write HOST:PORT, such as 127.0.0.1:8000."
    )


def test_an_unknown_setting_is_named(mailer, monkeypatch):
    monkeypatch.setenv("MAILER_COLOUR", "red")
    refused(
        mailer("status"),
        "Unknown environment variable MAILER_COLOUR: see docs/reference/settings.md for the names "
        "there are.",
    )


def test_without_an_installation_the_next_command_is_named(mailer, home):
    refused(
        mailer("newsletter", "list"),
        f"There is no installation in {home} yet (no MAILER_SECRET_KEY): run `mailer init`, "
        "or set MAILER_HOME.",
    )
    assert not home.exists()


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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAILER_DATABASE_URL", "postgresql://h:port/x"),
        ("MAILER_DATABASE_URL", "postgresql://[::1"),
        ("MAILER_REDIS_URL", "redis://[::1"),
        ("MAILER_SMTP_URL", "smtp://[::1"),
        ("MAILER_PUBLIC_URL", "http://[::1"),
        ("MAILER_PUBLIC_URL", "http://x:99999"),
        ("MAILER_PUBLIC_URL", 'http://x"><script>'),
        ("MAILER_PUBLIC_URL", "http://ünï.example"),
        ("MAILER_TRUSTED_PROXIES", "garbage"),
        ("MAILER_BIND", "127.0.0.1:²"),
        ("MAILER_SECRET_KEY", ","),
    ],
)
@pytest.mark.parametrize("verb", ["status", "doctor"])
def test_a_setting_that_cannot_be_read_is_named_by_every_verb(
    weekly, monkeypatch, name, value, verb
):
    monkeypatch.setenv(name, value)
    ended = weekly(verb)
    assert ended.status == 1
    assert "Traceback" not in ended.err
    told = ended.out + ended.err
    assert name in told or "relay" in told


def test_a_key_file_that_is_no_text_is_named(weekly, monkeypatch, tmp_path):
    (tmp_path / "key").write_bytes(b"\xff\xfe" * 40)
    monkeypatch.setenv("MAILER_LOG_KEY_FILE", str(tmp_path / "key"))
    ended = weekly("status")
    assert ended.status == 1
    assert "MAILER_LOG_KEY" in ended.err


def test_bytes_that_are_no_utf8_are_stored_nowhere(weekly):
    ended = weekly("purpose", "add", "weekly", "p9", "--label", "x\udcffy")
    assert ended.status == 1
    assert "is not UTF-8" in ended.err
    assert [row["purpose"] for row in weekly("purpose", "list", "weekly", "--json").document] == [
        "updates"
    ]


@pytest.mark.parametrize("number", ["99999999999999999999999", "²", "0x1"])
@pytest.mark.parametrize("noun", ["newsletter", "campaign", "article", "subscriber"])
def test_an_id_that_is_none_is_not_found(weekly, noun, number):
    ended = weekly(noun, "show", number)
    assert ended.status == 1
    assert len(ended.err.splitlines()) == 1


def test_a_file_without_end_is_not_read_to_its_end(weekly):
    for line in (
        ["notice", "publish", "weekly", "--text-file", "/dev/zero"],
        ["article", "add", "weekly", "/dev/zero"],
    ):
        ended = weekly(*line)
        assert ended.status == 1
        assert "larger than 5 MB" in ended.err


@pytest.mark.parametrize("html", ["<script>x</script>", "<style>p {}</style>", "<p> </p>"])
def test_html_of_which_nothing_is_left_makes_no_campaign(weekly, tmp_path, html):
    (tmp_path / "body.html").write_text(html)
    refused(
        weekly(
            "campaign", "create", "weekly", "--purpose", "updates", "--subject", "x",
            "--html", str(tmp_path / "body.html"),
        ),
        "Of that HTML nothing is left that a mail may hold: no text, no image.",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["a\x1b[31mred", "two\nlines", "x" * 101])
def test_a_name_that_no_header_can_hold_is_refused(weekly, name):
    ended = weekly("subscriber", "edit", "amina@readers.test", "--name", name)
    assert ended.status == 1
    assert "name" in ended.err


def test_a_broken_database_is_one_line(weekly, home):
    with closing(sqlite3.connect(home / "mailer.db")) as connection, connection:
        connection.execute("ALTER TABLE worker RENAME TO workers_away")
    refused(
        weekly("status"),
        "The database failed (no such table: worker): run `mailer doctor` to see what is wrong.",
    )


def test_a_port_in_use_is_named_with_another_one():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse) as caught:
            refuse_taken_port("127.0.0.1", port)
    assert str(caught.value) == (
        f"Port {port} on 127.0.0.1 is in use: stop what listens there, or set MAILER_BIND to "
        f"another port, such as 127.0.0.1:{port + 1 if port < 65535 else 8000}."
    )


@pytest.mark.parametrize("verb", ["up", "web"])
def test_nothing_starts_on_a_port_in_use(weekly, monkeypatch, verb):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("MAILER_BIND", f"127.0.0.1:{taken.getsockname()[1]}")
        ended = weekly(verb)
    assert ended.status == 1
    assert "is in use: stop what listens there" in ended.err


def test_an_unknown_newsletter_says_which_there_are(weekly):
    refused(
        weekly("newsletter", "show", "daily"), "There is no newsletter “daily”: there are weekly."
    )


def test_an_address_that_is_none_adds_nobody(weekly):
    ended = weekly(
        "subscriber", "add", "weekly", "nonsense", "--purpose", "updates", "--source", "x"
    )
    refused(ended, "“nonsense” is not an e-mail address: An email address must have an @-sign.")
    assert len(weekly("subscriber", "list", "--json").document) == 1


def test_an_unknown_purpose_adds_nobody(weekly):
    ended = weekly(
        "subscriber", "add", "weekly", "b@readers.test", "--purpose", "sports", "--source", "x"
    )
    refused(ended, "Newsletter weekly has no purpose “sports”: there are updates.")
    assert len(weekly("subscriber", "list", "--json").document) == 1


def test_a_notice_without_purposes_is_refused(weekly, tmp_path):
    weekly("newsletter", "add", "daily", "--name", "Daily", "--from", "d@example.org")
    refused(
        weekly("notice", "publish", "daily", "--text-file", str(tmp_path / "notice.txt")),
        "Newsletter daily has no purposes, so that nobody could agree to anything: add them with "
        "`mailer purpose add daily`.",
    )
    assert weekly("notice", "list", "daily", "--json").document == []


def test_a_file_that_is_not_there_is_named(weekly, tmp_path):
    missing = tmp_path / "missing.txt"
    refused(
        weekly("notice", "publish", "weekly", "--text-file", str(missing)),
        f"Cannot read {missing} (No such file or directory): check the path.",
    )


def test_a_file_that_is_no_feed_is_told_and_kept_on_the_feed(weekly, tmp_path):
    feed = tmp_path / "feed.xml"
    feed.write_text("hello", "utf-8")
    assert weekly("feed", "add", "weekly", str(feed)).status == 0
    ended = weekly("feed", "fetch", "weekly", "--json")
    assert ended.status == 1
    assert ended.document[0]["error"]
    assert "is no feed (RSS, Atom or JSON Feed)" in ended.err.splitlines()[-1]
    assert weekly("article", "list", "weekly", "--json").document == []


def test_a_huge_feed_is_refused_before_it_is_read(weekly, tmp_path):
    feed = tmp_path / "feed.xml"
    with feed.open("wb") as file:
        file.truncate(500_000_000)
    weekly("feed", "add", "weekly", str(feed))
    ended = weekly("feed", "fetch", "weekly")
    assert ended.status == 1
    assert ended.err.splitlines()[-1] == f"mailer: {feed} is larger than 5 MB."


def test_a_page_without_an_article_adds_nothing(weekly, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<html><body><p>Home</p></body></html>", "utf-8")
    ended = weekly("article", "add", "weekly", str(page), "--url", "https://example.org/a")
    assert ended.status == 1
    assert ended.err.splitlines()[-1] == (
        f"mailer: {page} holds no article: give the address of one story, not of a front page."
    )
    assert weekly("article", "list", "weekly", "--json").document == []


def test_a_template_with_an_unknown_variable_makes_no_campaign(weekly, home, tmp_path):
    own = home / "templates" / "mine"
    shutil.copytree(TEMPLATES / "announcement", own)
    (own / "body.txt").write_text("{{ nobody_knows }}", "utf-8")
    letter = tmp_path / "letter.html"
    letter.write_text("<p>Hello</p>", "utf-8")
    ended = weekly(
        *("campaign", "create", "weekly", "--purpose", "updates", "--subject", "Hi"),
        *("--html", str(letter), "--template", "mine"),
    )
    assert ended.status == 1
    assert "nobody_knows" in ended.err.splitlines()[-1]
    assert weekly("campaign", "list", "--json").document == []


@pytest.mark.parametrize("when", ["tomorrow", "2001-01-01T07:00"])
def test_a_time_that_is_none_or_over_schedules_nothing(weekly, tmp_path, when):
    letter = tmp_path / "letter.html"
    letter.write_text("<p>Hello</p>", "utf-8")
    made = weekly(
        *("campaign", "create", "weekly", "--purpose", "updates", "--subject", "Hi"),
        *("--html", str(letter), "--json"),
    ).document
    ended = weekly("campaign", "schedule", str(made["campaign_id"]), "--at", when)
    assert ended.status == 1
    assert ended.err.startswith(f"mailer: “{when}” is ")
    shown = weekly("campaign", "show", str(made["campaign_id"]), "--json").document
    assert shown["state"] == "draft"


@pytest.mark.parametrize(
    "line",
    [
        ["nonsense"],
        ["purpose", "add", "weekly"],
        ["newsletter", "edit", "weekly"],
        ["worker", "--queue", "other"],
        ["campaign", "create", "weekly", "--purpose", "updates", "--subject", "Hi"],
        ["subscriber", "unsubscribe"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_two(weekly, line):
    ended = weekly(*line)
    assert ended.status == 2
    assert "Error:" in ended.err
    assert "Traceback" not in ended.err


def test_a_relay_that_is_down_is_named_and_costs_no_reader_an_attempt(
    weekly, monkeypatch, tmp_path
):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and not listening: nothing can answer there
        port = nobody.getsockname()[1]
        monkeypatch.setenv("MAILER_SMTP_URL", f"smtp://127.0.0.1:{port}?tls=none")
        letter = tmp_path / "letter.html"
        letter.write_text("<p>Dear reader</p>", "utf-8")
        create = ["campaign", "create", "weekly", "--purpose", "updates", "--subject", "Hi"]
        assert weekly(*create, "--html", str(letter)).status == 0
        assert weekly("campaign", "send", "1").status == 0
        ended = weekly("worker", "--until-idle")
        status = weekly("status", "--json").document
        (row,) = weekly("campaign", "deliveries", "1", "--json").document
    assert ended.status == 1
    assert "mailer: The relay default fails (no connection: Connection refused)" in ended.err
    assert ended.err.rstrip().endswith("see `mailer doctor`. Mails waiting: 1.")
    assert status["failing_relays"][0]["relay"] == "default"
    assert (row["state"], row["attempts"]) == ("queued", 0)


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


@pytest.mark.parametrize("over", ["3", "h", "3w", "-3h", "²h", "99d"])
def test_a_duration_that_is_none_starts_nothing(weekly, tmp_path, over):
    (tmp_path / "body.html").write_text("<p>Hello.</p>")
    made = weekly(
        "campaign", "create", "weekly", "--purpose", "updates", "--subject", "x",
        "--html", str(tmp_path / "body.html"), "--json",
    )  # fmt: skip
    number = str(made.document["campaign_id"])
    ended = weekly("campaign", "send", number, f"--over={over}")
    assert ended.status == 1
    assert over in ended.err
    assert weekly("campaign", "show", number, "--json").document["state"] == "draft"
