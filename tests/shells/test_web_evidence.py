"""What of a reader's request is kept as evidence, and what is switched off."""

from __future__ import annotations

import shutil
from pathlib import Path

import building as b
import pytest
from conftest import opened, settings_for
from starlette.testclient import TestClient

from mailer.web.app import create_app

BASE = "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    ("setting", "kept"),
    [
        (None, {"ip", "user_agent", "page_url"}),
        ("ip", {"ip"}),
        ("user-agent, page", {"user_agent", "page_url"}),
        ("none", set()),
    ],
)
def test_what_is_switched_off_is_not_kept_of_any_page(
    sqlite_template: Path, tmp_path: Path, setting: str | None, kept: set[str]
) -> None:
    shutil.copy(sqlite_template, tmp_path / "mailer.db")
    more = {} if setting is None else {"MAILER_EVIDENCE": setting}
    url = f"sqlite:///{tmp_path / 'mailer.db'}"
    for parts in opened(settings_for(url, tmp_path / "home", **more)):
        with parts.sessions.begin() as session:
            b.newsletter(session)
        with TestClient(create_app(parts), base_url=BASE, client=("192.0.2.4", 5000)) as client:
            form = {"email": "ada@readers.test", "purpose": "updates"}
            assert client.post("/n/weekly", data=form).status_code == 200
            confirm = parts.links.confirm(1, 1, 1)
            assert client.post(confirm).status_code == 200
            leave = parts.links.unsubscribe(1, 1)
            assert client.post(leave, data={"List-Unsubscribe": "One-Click"}).status_code == 200
        found = b.evidences(parts)
        assert len(found) == 3
        values = {
            "ip": "192.0.2.4", "user_agent": "testclient", "page_url": f"{BASE}/n/weekly",
        }  # fmt: skip
        for evidence in found:
            assert {name for name in values if evidence[name]} == kept
            assert evidence["address"] == "ada@readers.test"
        assert {name: found[0][name] for name in kept} == {name: values[name] for name in kept}
