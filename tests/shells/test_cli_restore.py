"""Yesterday's backup comes back: workers and pages as processes, a relay, and files on disk."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest
import servers
from processes import WITHIN, clean_environment, running, until
from shells.endings import Command, Ended, refused
from sink import noted, running_sink
from sqlalchemy import select

from mailer.services.privacy.erasing import erase_again
from mailer.store.models import Subscriber
from mailer.wiring import open_parts

READERS = ["amina", "bola", "chidi", "dayo"]
HALTED = (
    "Nothing is sent or signed now: yesterday.db was restored. `mailer db resume` says what has to "
    "be settled, and ends this."
)


@pytest.fixture
def relay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A relay's file; the settings lead to it."""
    file = tmp_path / "relay.jsonl"
    with running_sink(file) as port:
        monkeypatch.setenv("MAILER_SMTP_URL", f"smtp://127.0.0.1:{port}?tls=none&connections=2")
        monkeypatch.setenv("MAILER_BIND", f"127.0.0.1:{servers.free_port()}")
        yield file


@pytest.fixture
def press(weekly: Command, relay: Path) -> Command:
    """A newsletter with four readers, a letter, and no worker."""
    Path("letter.html").write_text("<p>News of the port.</p>", "utf-8")
    for name in READERS[1:]:
        given = ("--purpose", "updates", "--source", "paper")
        assert weekly("subscriber", "add", "weekly", f"{name}@readers.test", *given).status == 0
    return weekly


def test_a_restored_backup_sends_nothing_until_it_is_resumed(
    press: Command, relay: Path, home: Path
) -> None:
    first = send(press)
    assert press("db", "backup", "yesterday.db").status == 0
    assert worker().status == 0  # it goes out; and more happens
    assert accepted(relay) == READERS
    press("subscriber", "unsubscribe", "amina@readers.test")
    press("suppression", "add", "bola@readers.test")
    erase("chidi@readers.test")
    assert worker().status == 0

    restored = press("db", "restore", "yesterday.db", "--yes")
    assert restored.out.endswith(
        "Nothing is sent from it yet. Next: `mailer db check`, then `mailer db resume`.\n"
    )
    ended = worker()
    assert (ended.status, ended.err.splitlines()[-1]) == (1, f"mailer: {HALTED}")
    assert press("status").out.startswith("HALTED, nothing is sent: yesterday.db was restored.")
    assert finding(press, "halt")["says"].startswith("nothing is sent: yesterday.db was restored.")
    refused(press("campaign", "send", str(draft(press))), HALTED)
    assert accepted(relay) == READERS

    refused(
        press("db", "resume"),
        "Halted: yesterday.db was restored. This database becomes the one that is gone on with. "
        "Nothing was done: add --yes to go on.",
    )
    done = press("db", "resume", "--yes", "--json").document
    assert (done["withdrawn"], done["suppressed"], done["erased"]) == (1, 1, 1)
    assert done["campaigns"] == [first]
    assert worker().status == 0
    assert accepted(relay) == READERS  # nobody gets a second mail
    shown = press("campaign", "show", str(first), "--json").document
    assert shown["state"] == "paused"

    press("campaign", "cancel", str(first), "--yes")
    send(press)
    assert worker().status == 0
    assert accepted(relay) == [*READERS, "dayo"]  # who alone has neither left nor gone
    assert press("db", "resume").out == "Nothing is halted, so that nothing was done.\n"
    assert press("subscriber", "show", "chidi@readers.test").status == 1


def test_a_file_that_was_copied_back_by_hand_is_known_as_an_old_one(
    press: Command, relay: Path, home: Path
) -> None:
    assert worker().status == 0
    assert press("db", "backup", "yesterday.db").status == 0
    send(press)
    assert worker().status == 0
    press("subscriber", "unsubscribe", "amina@readers.test")
    assert worker().status == 0
    for file in home.glob("mailer.db*"):
        file.unlink()
    shutil.copy("yesterday.db", home / "mailer.db")

    send(press)  # whoever orders it does not know yet
    ended = worker()
    assert ended.status == 1
    assert "This database is an old one: the witness folder" in ended.err
    log = Path("web.log")
    with running(["web"], environment(), log):
        url = f"http://{os.environ['MAILER_BIND']}"
        until(lambda: ready(url), "the pages")
        assert ready(url)["sending"].startswith("halted: This database is an old one")
        form = {"email": "eze@readers.test", "purpose": "updates"}
        assert httpx2.post(f"{url}/n/weekly", data=form, trust_env=False).status_code == 200
    assert "Nothing is sent: This database is an old one" in log.read_text()

    assert press("db", "resume", "--yes", "--json").document["withdrawn"] == 1
    assert worker().status == 0
    assert accepted(relay) == [*READERS, "eze"]  # who is asked to confirm
    shown = press("subscriber", "show", "amina@readers.test", "--json").document
    assert [each["state"] for each in shown["subscriptions"]] == ["left"]


def test_a_backup_from_before_there_was_a_halt_is_known_by_its_beat(
    press: Command, home: Path
) -> None:
    assert press("db", "backup", "yesterday.db").status == 0
    with closing(sqlite3.connect("yesterday.db")) as older:
        [(newest,)] = older.execute("SELECT version_num FROM alembic_version")
        older.execute("ALTER TABLE installation DROP COLUMN halted_at")
        older.execute("UPDATE alembic_version SET version_num = '0005'")
        older.commit()
    assert not (home / "witness").exists()
    assert press("db", "restore", "yesterday.db", "--yes").status == 0
    with closing(sqlite3.connect(home / "mailer.db")) as upgraded:
        upgraded.execute("ALTER TABLE installation ADD COLUMN halted_at TEXT")
        upgraded.execute("UPDATE alembic_version SET version_num = ?", (newest,))
        upgraded.commit()
    ended = worker()
    assert ended.status == 1
    assert "This database is an old one" in ended.err


def test_doctor_warns_of_a_witness_beside_the_database(
    weekly: Command, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = finding(weekly, "witness")
    assert beside["result"] == "warning"
    assert "Set MAILER_WITNESS_DIR to another disk" in beside["says"]
    monkeypatch.setenv("MAILER_WITNESS_DIR", str(tmp_path / "apart"))
    assert finding(weekly, "witness")["result"] == "fine"
    (tmp_path / "apart").mkdir()
    (tmp_path / "apart" / "position.json").write_text("what")
    assert finding(weekly, "witness")["result"] == "WRONG"
    (tmp_path / "unmounted").symlink_to(tmp_path / "nowhere")
    monkeypatch.setenv("MAILER_WITNESS_DIR", str(tmp_path / "unmounted" / "witness"))
    assert finding(weekly, "witness")["says"] == (
        f"{tmp_path}/unmounted/witness cannot be written: give {tmp_path}/unmounted to this user."
    )


def test_doctor_says_why_nothing_is_signed(weekly: Command, home: Path) -> None:
    assert finding(weekly, "consent log")["result"] == "fine"
    assert weekly("consent", "checkpoint").status == 0
    (home / "witness" / "checkpoints" / "latest").write_text("what")
    found = finding(weekly, "consent log")
    assert found["result"] == "WRONG"
    assert "latest is not believed" in found["says"]


def finding(press: Command, check: str) -> dict[str, Any]:
    """Return what doctor says of one thing."""
    found: list[dict[str, Any]] = press("doctor", "--json").document
    return next(each for each in found if each["check"] == check)


def worker() -> Ended:
    """Let a worker work until nothing is due, as a process of its own."""
    ran = subprocess.run(
        [sys.executable, "-m", "mailer", "worker", "--until-idle"],
        env=environment(), capture_output=True, text=True, check=False, timeout=WITHIN,
    )  # fmt: skip
    assert "Traceback" not in ran.stderr
    return Ended(ran.returncode, ran.stdout, ran.stderr)


def environment() -> dict[str, str]:
    """Return the settings of this test for a process."""
    ours = {name: value for name, value in os.environ.items() if name.startswith("MAILER_")}
    return clean_environment(**ours)


def draft(press: Command) -> int:
    """Return the number of a campaign that is ready to be sent."""
    made = press(
        *("campaign", "create", "weekly", "--purpose", "updates"),
        *("--subject", "News", "--html", "letter.html", "--json"),
    )
    return int(made.document["campaign_id"])


def send(press: Command) -> int:
    """Order a campaign to everybody; return its number."""
    number = draft(press)
    assert press("campaign", "send", str(number)).status == 0
    return number


def erase(email: str) -> None:
    """Erase the reader."""
    parts = open_parts()
    with parts.sessions.begin() as session:
        reader = session.scalars(select(Subscriber).where(Subscriber.email == email)).one()
        hashed, now = reader.address_hash, parts.now()
        assert erase_again(session, hashed, reader.id, method="cli", at=now, now=now)
    parts.engine.dispose()


def ready(url: str) -> Any:
    """Return what /readyz answers; nothing while nobody does."""
    try:
        return httpx2.get(f"{url}/readyz", trust_env=False).json()
    except (httpx2.HTTPError, json.JSONDecodeError):
        return None


def accepted(relay: Path) -> list[str]:
    """Return whose mails the relay took: the first four by name, as their order is nobody's."""
    names = [entry["to"].partition("@")[0] for entry in noted(relay, "accepted")]
    return [*sorted(names[:4]), *names[4:]]
