"""kill -9 and FLUSHALL in the middle of a campaign; the relay's own file is the truth."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import building as b
import pytest
import servers
from conftest import KEYS, opened, settings_for
from processes import clean_environment, running, until
from redis import Redis
from sink import accepted_by, running_sink
from sqlalchemy import func, select

from mailer.embedded.leash import leashed
from mailer.embedded.valkey import socket_path
from mailer.store.models import delivery
from mailer.wiring import Parts

HERE = Path(__file__).parent
READERS = 300


def _sender(parts: Parts, port: int, log: Path, wrong: bool = False) -> subprocess.Popen[bytes]:
    environment = clean_environment(
        MAILER_HOME=str(parts.settings.home),
        MAILER_DATABASE_URL=parts.settings.database_url.replace("+psycopg", ""),
        MAILER_SMTP_URL=f"smtp://127.0.0.1:{port}?tls=none&connections=5",
        **KEYS,
    )
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, str(HERE / "sender.py"), *(["--wrong"] if wrong else [])],
            env=environment, stdout=output, stderr=output, preexec_fn=leashed(signal.SIGKILL),
        )  # fmt: skip


def _accepted(tmp_path: Path) -> Counter[str]:
    return accepted_by(tmp_path / "accepted")


def _open(parts: Parts) -> int:
    with parts.sessions() as session:
        states = ["queued", "leased", "sending"]
        return session.scalar(select(func.count()).where(delivery.c.state.in_(states))) or 0


def _play(parts: Parts, tmp_path: Path, seed: int, *, wrong: bool = False) -> tuple[int, int]:
    """Send to everybody, killing the sender now and then; return crashes and the sink's number."""
    dice = random.Random(seed)
    trouble = 0.0 if wrong else 0.03
    crashes = 0
    with running_sink(tmp_path / "accepted", seed=seed, trouble=trouble) as port:
        sender = _sender(parts, port, tmp_path / "log", wrong)
        try:
            deadline = time.monotonic() + 150
            while crashes < 5 if wrong else _open(parts):
                assert time.monotonic() < deadline, (tmp_path / "log").read_text()[-3000:]
                if crashes < 5 and sum(_accepted(tmp_path).values()) > crashes * READERS / 6:
                    time.sleep(dice.random() * 0.15)
                    sender.kill()
                    sender.wait()
                    crashes += 1
                    sender = _sender(parts, port, tmp_path / "log", wrong)
                time.sleep(0.02)
        finally:
            sender.kill()
            sender.wait()
    return crashes, sum(_accepted(tmp_path).values())


def test_killed_again_and_again_nobody_gets_it_twice_and_nobody_is_forgotten(
    parts: Parts, tmp_path: Path
) -> None:
    campaign_id = b.sending_campaign(parts, READERS)
    crashes, _ = _play(parts, tmp_path, seed=7)
    accepted = _accepted(tmp_path)
    states = b.states(parts, campaign_id)
    uncertain = {address for address, state in states.items() if state == "uncertain"}
    assert crashes == 5
    assert max(accepted.values()) == 1
    assert set(states) - set(accepted) - uncertain == set()
    assert set(states.values()) <= {"sent", "uncertain"}
    # One message per open connection may hang at a crash, and one per drop that the sink plays.
    assert len(uncertain) < READERS / 5


def test_the_test_finds_a_sender_that_records_after_sending(
    sqlite_parts: Parts, tmp_path: Path
) -> None:
    b.sending_campaign(sqlite_parts, READERS)
    _play(sqlite_parts, tmp_path, seed=7, wrong=True)
    assert max(_accepted(tmp_path).values()) > 1


@pytest.mark.parametrize("trouble", ["flushed", "killed"])
def test_redis_may_forget_everything_or_die_in_the_middle(
    sqlite_template: Path, tmp_path: Path, trouble: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "mailer.db").write_bytes(sqlite_template.read_bytes())
    url = f"sqlite:///{tmp_path / 'mailer.db'}"
    with (
        contextmanager(opened)(settings_for(url, home)) as parts,
        running_sink(tmp_path / "accepted") as port,
    ):
        campaign_id = b.sending_campaign(parts, READERS)
        environment = clean_environment(
            MAILER_HOME=str(home), MAILER_DATABASE_URL=url,
            MAILER_BIND=f"127.0.0.1:{servers.free_port()}",
            MAILER_SMTP_URL=f"smtp://127.0.0.1:{port}?tls=none&connections=3", **KEYS,
        )  # fmt: skip
        with running(["up"], environment, tmp_path / "log"):
            until(lambda: sum(_accepted(tmp_path).values()) > READERS / 10, "the first mails")
            _hurt_redis(home, trouble)
            until(lambda: b.campaign_state(parts, campaign_id) == "finished", "the campaign's end")
        assert set(_accepted(tmp_path).values()) == {1}
        assert len(_accepted(tmp_path)) == READERS


def _hurt_redis(home: Path, trouble: str) -> None:
    with Redis(unix_socket_path=str(socket_path(home))) as client:
        if trouble == "flushed":
            client.flushall()
        else:
            pid = int(client.info("server")["process_id"])
            os.kill(pid, signal.SIGKILL)
