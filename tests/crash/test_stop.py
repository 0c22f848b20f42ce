"""SIGTERM to a worker in the middle of a campaign: nothing uncertain, nothing lost, a quick end."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import building as b
import servers
from conftest import KEYS
from processes import clean_environment, running, until
from sink import accepted_by, running_sink

from mailer.wiring import Parts

READERS = 400


def test_a_worker_that_is_asked_to_stop_finishes_its_bodies_and_gives_the_rest_back(
    parts: Parts, tmp_path: Path
) -> None:
    campaign_id = b.sending_campaign(parts, READERS)
    accepted = tmp_path / "accepted"
    valkey_home = tmp_path / "valkey"
    valkey_home.mkdir()
    with (
        servers.valkey_server(valkey_home) as redis_url,
        running_sink(accepted, pause=0.2) as port,
    ):
        environment = clean_environment(
            MAILER_HOME=str(parts.settings.home),
            MAILER_DATABASE_URL=parts.settings.database_url.replace("+psycopg", ""),
            MAILER_REDIS_URL=redis_url,
            MAILER_SMTP_URL=f"smtp://127.0.0.1:{port}?tls=none&connections=10",
            **KEYS,
        )
        with running(["worker", "--queue", "send"], environment, tmp_path / "log") as worker:
            until(lambda: sum(accepted_by(accepted).values()) > 20, "the first mails")
            worker.send_signal(signal.SIGTERM)
            began = time.monotonic()
            assert worker.wait(60) == 0, (tmp_path / "log").read_text()
            print(f"ended after {time.monotonic() - began:.2f} s")
        states = b.states(parts, campaign_id)
        taken = accepted_by(accepted)
        assert set(states.values()) == {"sent", "queued"}
        assert {address for address, state in states.items() if state == "sent"} == set(taken)
        with running(["worker", "--queue", "send"], environment, tmp_path / "log"):
            until(lambda: len(accepted_by(accepted)) == READERS, "the rest, by another worker")
    assert set(accepted_by(accepted).values()) == {1}
