"""The command line as a person uses it, in a home of its own; the pages as a browser asks them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import building as b
import pytest
from shells.endings import Command, Ended
from starlette.testclient import TestClient

from mailer.cli.main import main
from mailer.web.app import create_app
from mailer.wiring import Parts


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and no other setting."""
    for name in [name for name in os.environ if name.startswith("MAILER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MAILER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MAILER_SPAMASSASSIN", "none")  # it takes a second of every send
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def mailer(home: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Run `mailer …` in this process and return how it ended."""
    mask = os.umask(0o022)  # which a command changes, and other tests' servers would not start

    def run(*arguments: str) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(arguments)
        captured = capsys.readouterr()
        return Ended(int(end.value.code or 0), captured.out, captured.err)

    yield run
    os.umask(mask)


@pytest.fixture
def weekly(mailer: Command, tmp_path: Path) -> Command:
    """An installation with a newsletter, a purpose, a notice and an active reader."""
    wording = tmp_path / "notice.txt"
    wording.write_text("We write to you every week, and you can leave at any time.", "utf-8")
    for line in (
        ["init"],
        [
            *("newsletter", "add", "weekly", "--name", "Weekly"),
            *("--from", "Weekly <news@example.org>", "--postal-address", "1 Long Street, Kassa"),
        ],
        ["purpose", "add", "weekly", "updates", "--label", "Updates"],
        ["notice", "publish", "weekly", "--text-file", str(wording)],
        [
            *("subscriber", "add", "weekly", "amina@readers.test"),
            *("--purpose", "updates", "--source", "paper list"),
        ],
    ):
        ended = mailer(*line)
        assert ended.status == 0, ended.err
    return mailer


@pytest.fixture
def client(sqlite_parts: Parts) -> Iterator[TestClient]:
    """A browser on this machine, and one newsletter."""
    with sqlite_parts.sessions.begin() as session:
        b.newsletter(session)
    base = "http://127.0.0.1:8000"
    with TestClient(create_app(sqlite_parts), base_url=base, client=("127.0.0.1", 5000)) as client:
        yield client
