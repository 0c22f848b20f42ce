"""The built-in inbox: shown to this machine alone, and filled by one process at a time."""

from __future__ import annotations

import shutil
import smtplib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
import servers
from conftest import opened, settings_for
from processes import clean_environment, running, until
from shells.endings import Command
from starlette.testclient import TestClient

from mailer.transports.capture import NoInbox, capture_address
from mailer.web.app import create_app
from mailer.wiring import Parts


def test_the_inbox_is_for_this_machine_alone(client: TestClient, sqlite_parts: Parts) -> None:
    assert sqlite_parts.mailbox
    mail_id = sqlite_parts.mailbox.save(
        b"From: a@b.test\r\nTo: c@d.test\r\nSubject: <b>x\r\nContent-Type: text/html\r\n\r\n"
        b"<html><head></head><body><script>alert(1)</script>Hi</body></html>"
    )
    assert "&lt;b&gt;x" in client.get("/inbox").text
    frame = client.get(f"/inbox/{mail_id}/html")
    assert "sandbox" in frame.headers["content-security-policy"]
    assert client.get("/inbox/..%2f..%2fmailer/raw").status_code == 404
    assert client.post("/inbox").status_code == 400
    assert client.get("/inbox", headers={"host": "evil.test"}).status_code == 404
    elsewhere = TestClient(client.app, base_url="http://127.0.0.1:8000", client=("192.0.2.1", 1))
    assert elsewhere.get("/inbox").status_code == 404
    passed_on = {"x-forwarded-for": "192.0.2.1"}  # by a proxy on this machine, under its name
    assert client.get("/inbox", headers=passed_on).status_code == 404


@pytest.mark.parametrize(
    "more",
    [{"MAILER_PUBLIC_URL": "https://news.example.org"}, {"MAILER_BIND": "0.0.0.0:8000"}],
)
def test_an_installation_that_others_reach_shows_no_inbox(
    more: dict[str, str], sqlite_template: Path, tmp_path: Path
) -> None:
    shutil.copy(sqlite_template, tmp_path / "mailer.db")
    url = f"sqlite:///{tmp_path / 'mailer.db'}"
    for parts in opened(settings_for(url, tmp_path / "home", **more)):
        here = TestClient(
            create_app(parts), base_url="http://127.0.0.1:8000", client=("127.0.0.1", 1)
        )
        assert here.get("/inbox").status_code == 404
        assert "inbox" not in here.get("/").text


@contextmanager
def _web(home: Path, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run `mailer web` on a port of its own until it answers."""
    base = f"127.0.0.1:{servers.free_port()}"
    environment = clean_environment(MAILER_HOME=str(home), MAILER_BIND=base)
    with running(["web"], environment, log) as process:
        until(lambda: _inbox_of(base) is not None, "the web process")
        yield process, base


def _inbox_of(base: str) -> str | None:
    try:
        return httpx2.get(f"http://{base}/inbox", trust_env=False).text
    except httpx2.HTTPError:
        return None


def _catches(home: Path, subject: str) -> bool:
    """Say whether a mail to where the note says is taken."""
    try:
        with smtplib.SMTP(*capture_address(home / "inbox")) as inbox:
            inbox.sendmail("a@b.test", "c@d.test", f"Subject: {subject}\r\n\r\nHi\r\n")
    except (OSError, NoInbox):
        return False
    return True


def test_a_second_web_process_leaves_the_inbox_alone_and_has_it_when_the_first_is_gone(
    mailer: Command, home: Path, tmp_path: Path
) -> None:
    assert mailer("init").status == 0
    with _web(home, tmp_path / "first") as (first, its_page):
        address = capture_address(home / "inbox")
        with _web(home, tmp_path / "second") as (_, other_page):
            assert capture_address(home / "inbox") == address
            assert "another process catches the mails" in (tmp_path / "second").read_text()
            assert _catches(home, "caught by the first")
            for page in (its_page, other_page):
                assert "caught by the first" in (_inbox_of(page) or "")
            first.kill()
            first.wait()
            until(lambda: _catches(home, "caught by the second"), "the second to listen")
            assert capture_address(home / "inbox") != address
            assert "caught by the second" in (_inbox_of(other_page) or "")


def test_a_killed_process_leaves_an_inbox_that_the_next_one_has_at_once(
    mailer: Command, home: Path, tmp_path: Path
) -> None:
    assert mailer("init").status == 0
    with _web(home, tmp_path / "killed") as (killed, _):
        killed.kill()
        killed.wait()
    assert capture_address(home / "inbox"), "its note is left"
    assert not _catches(home, "too early")
    with _web(home, tmp_path / "next"):
        assert _catches(home, "caught by the next")
        assert (tmp_path / "next").read_text() == ""
    with pytest.raises(NoInbox):
        capture_address(home / "inbox")
