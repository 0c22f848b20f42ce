"""`mailer subscriber import`, as an operator types it; and killed at any moment."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import KEYS
from processes import WITHIN, clean_environment
from shells.endings import refused
from sqlalchemy import func, select

from mailer.store.models import ConsentEvent, ConsentEvidence, ImportRun, PendingLeaf, Subscriber
from mailer.wiring import Parts

OUTCOMES = ("new", "already", "stays_away", "left", "suppressed", "doubled", "rejected")


@pytest.fixture
def listed(tmp_path):
    """A list of four rows, one of them bad, one a double."""
    path = tmp_path / "list.csv"
    path.write_text(
        "Kontakt;Vorname\nada@readers.test;Ada\nbola@readers.test;=Bola\nADA@readers.test;A\n"
        "nobody;=1+1\n",
        "utf-8",
    )
    return path


def take_in(weekly, path, *more, status=0):
    """Import, and return how it ended."""
    ended = weekly(
        "subscriber", "import", "weekly", str(path), "--purpose", "updates", "--source", "paper",
        *more,
    )  # fmt: skip
    assert ended.status == status, ended.err
    return ended


def test_an_import_says_what_became_of_every_row(weekly, listed):
    foreseen = take_in(weekly, listed, "--dry-run", "--json").document
    assert foreseen["dry_run"]
    assert not Path(f"{listed}.rejected.csv").exists()
    report = take_in(weekly, listed, "--json").document
    assert [report[name] for name in OUTCOMES] == [2, 0, 0, 0, 0, 1, 1]
    assert [foreseen[name] for name in OUTCOMES] == [report[name] for name in OUTCOMES]
    assert report["rows"] == 4
    assert report["delimiter"] == "semicolon"
    assert report["columns"] == {"email": "Kontakt", "first_name": "Vorname"}
    assert "'=1+1" in Path(report["rejects"]).read_text("utf-8")
    shown = weekly("subscriber", "show", "bola@readers.test", "--json").document
    assert [each["state"] for each in shown["subscriptions"]] == ["active"]
    event = weekly("consent", "show", "bola@readers.test", "--json").document[0]
    assert event["method"] == "import"
    assert event["evidence"]["source"] == "paper (list.csv, line 3)"
    again = take_in(weekly, listed)
    assert "nothing was changed" in again.err
    assert "2 subscribed already, 1 doubles of another row, 1 rejected" in again.out


def test_a_column_that_cannot_be_told_is_one_clear_sentence(weekly, tmp_path):
    path = tmp_path / "two.csv"
    path.write_text("eins,zwei\na@readers.test,b@readers.test\n")
    refused(
        take_in(weekly, path, status=1),
        f"More than one column could be the email in {path}: say --map email=COLUMN. Its columns "
        "are “eins”, “zwei”.",
    )
    assert take_in(weekly, path, "--map", "email=zwei", "--json").document["new"] == 1
    ended = take_in(weekly, path, "--map", "e-mail=zwei", status=2)
    assert "fields are email, name" in ended.err


def test_on_a_terminal_the_column_is_asked_for(weekly, tmp_path, monkeypatch):
    path = tmp_path / "two.csv"
    path.write_text("eins,zwei\na@readers.test,b@readers.test\n")
    answers = iter((7, 2))
    monkeypatch.setattr(sys, "stdin", _Terminal())
    monkeypatch.setattr("typer.prompt", lambda *given, **more: next(answers))
    ended = take_in(weekly, path)
    assert "1  eins" in ended.err
    assert "email from “zwei”" in ended.err


class _Terminal:
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--basis", "implied", "--valid-for", "forever"), "no span of time"),
        (("--notice-version", "99"), "has no notice “99”"),
        (("--stated-at", "2024-13-45"), "no column “2024-13-45”"),
        (("--stated-at", "2099-01-01"), "lies ahead"),
        (("--encoding", "klingon"), "no encoding"),
    ],
)
def test_what_cannot_be_done_is_one_line(weekly, listed, arguments, words):
    ended = take_in(weekly, listed, *arguments, status=1)
    assert words in ended.err
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file"), (b"", "is empty"), (b"email\n", "a header and no readers")],
)
def test_a_file_that_holds_nothing_is_said_so(weekly, tmp_path, content, words):
    path = tmp_path / "nothing.csv"
    if content is not None:
        path.write_bytes(content)
    assert words in take_in(weekly, path, status=1).err
    assert "is no file" in take_in(weekly, "/dev/zero", status=1).err


def test_an_implied_consent_is_shown_with_its_end(weekly, listed):
    take_in(
        weekly, listed, "--basis", "implied", "--valid-for", "6mo", "--stated-at", "2026-11-01",
        "--notice-version", "1",
    )  # fmt: skip
    event = weekly("consent", "show", "ada@readers.test", "--json").document[0]
    assert event["basis"] == "implied"
    assert event["stated_at"].startswith("2026-11-01")
    assert event["valid_until"].startswith("2027-05-01")
    assert event["notice"]["version"] == 1


def test_an_import_that_is_killed_at_any_moment_goes_on_to_the_same_end(
    parts: Parts, tmp_path: Path
) -> None:
    import building as b

    with parts.sessions.begin() as session:
        b.newsletter(session)
    path = tmp_path / "list.csv"
    rows = [f"reader{number}@readers.test" for number in range(9_000)]
    path.write_text("\n".join(["email", *rows, *rows[:100], "nobody"]), "utf-8")
    rng = random.Random(str(parts.engine.dialect.name))
    command = [
        sys.executable, "-m", "mailer", "subscriber", "import", "weekly", str(path),
        "--purpose", "updates", "--source", "paper", "--json",
    ]  # fmt: skip
    environment = clean_environment(
        MAILER_HOME=str(parts.settings.home),
        MAILER_DATABASE_URL=parts.settings.database_url.replace("+psycopg", ""),
        **KEYS,
    )
    killed = 0
    for _ in range(60):
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        goal = _done(parts) + rng.randrange(1, 3_000)
        while process.poll() is None and _done(parts) < goal:
            time.sleep(0.001)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        output, errors = process.communicate(timeout=WITHIN)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, errors.decode()
    report = json.loads(output)
    assert killed > 1
    assert [report[name] for name in OUTCOMES] == [9_000, 0, 0, 0, 0, 100, 1]
    with parts.sessions() as session:
        for table in (Subscriber, ConsentEvent, ConsentEvidence, PendingLeaf):
            assert session.scalar(select(func.count()).select_from(table)) == 9_000
        run = session.scalars(select(ImportRun)).one()
        assert run.finished_at
        assert run.rows_done == 9_100
    assert _left_behind(parts.settings.home) == []


def _done(parts: Parts) -> int:
    with parts.sessions() as session:
        session.connection(execution_options={"read_only": True})
        return session.scalar(select(ImportRun.rows_done)) or 0


def _left_behind(home: Path) -> list[str]:
    """Files in the home that hold an address; the database stands elsewhere."""
    return [
        str(path)
        for path in home.rglob("*")
        if path.is_file() and b"readers.test" in path.read_bytes()
    ]
