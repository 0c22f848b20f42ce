"""The built-in inbox: shown to this machine alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import opened, settings_for
from starlette.testclient import TestClient

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
