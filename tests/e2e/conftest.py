"""A served installation and a browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import building as b
import pytest
import servers
import uvicorn
from conftest import opened, settings_for
from playwright.sync_api import Browser, sync_playwright
from processes import until

from mailer.web.app import create_app
from mailer.wiring import Parts


@pytest.fixture
def site(sqlite_template: Path, tmp_path: Path) -> Iterator[Parts]:
    """A served installation with its inbox, its sender running."""
    port = servers.free_port()
    bind = f"127.0.0.1:{port}"
    url = f"sqlite:///{tmp_path / 'mailer.db'}"
    (tmp_path / "mailer.db").write_bytes(sqlite_template.read_bytes())
    for parts in opened(settings_for(url, tmp_path / "home", MAILER_BIND=bind)):
        config = uvicorn.Config(create_app(parts), port=port, log_level="warning", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        until(lambda server=server: server.started, "the server")
        with parts.sessions.begin() as session:
            b.newsletter(session)
        sender = parts.sender("test")
        sender.start()
        yield parts
        sender.stop()
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"])
        yield started
        started.close()
