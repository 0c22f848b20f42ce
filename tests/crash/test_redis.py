"""Redis forgets everything, dies or freezes in the middle of a campaign under `mailer up`.

It is only a doorbell: the campaign goes on and finishes, and nobody gets it twice.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import building as b
import pytest
import servers
from crash.accounts import account, environment_of, relay_at
from processes import clean_environment, running, until
from redis import Redis
from sink import accepted_by, running_sink

from mailer.embedded.valkey import socket_path
from mailer.wiring import Parts


@contextmanager
def _up(parts: Parts, tmp_path: Path, *, pause: float = 0.0) -> Iterator[None]:
    """Run everything until the body is done and the campaign has come to its end."""
    with running_sink(tmp_path / "accepted", pause=pause) as port:
        environment = environment_of(
            parts, MAILER_SMTP_URL=relay_at(port, 3),
            MAILER_BIND=f"127.0.0.1:{servers.free_port()}",
        )  # fmt: skip
        with running(["up"], clean_environment(**environment), tmp_path / "log"):
            until(lambda: _accepted(tmp_path) > 20, "the first mails")
            yield
            until(lambda: b.campaign_state(parts, 1) == "finished", "the campaign's end", 120)


def _accepted(tmp_path: Path) -> int:
    return sum(accepted_by(tmp_path / "accepted").values())


def _flush(home: Path) -> None:
    with Redis(unix_socket_path=str(socket_path(home))) as client:
        client.flushall()


def _kill(home: Path) -> None:
    os.kill(_process_of_redis(home), signal.SIGKILL)


def _process_of_redis(home: Path) -> int:
    with Redis(unix_socket_path=str(socket_path(home))) as client:
        return int(client.info("server")["process_id"])


@contextmanager
def _frozen_redis(home: Path) -> Iterator[None]:
    redis = _process_of_redis(home)
    os.kill(redis, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(redis, signal.SIGCONT)


def test_redis_may_forget_everything_and_die_in_the_middle(
    sqlite_parts: Parts, tmp_path: Path
) -> None:
    campaign_id = b.sending_campaign(sqlite_parts, 400)
    with _up(sqlite_parts, tmp_path):
        _flush(sqlite_parts.settings.home)
        until(lambda: _accepted(tmp_path) > 100, "mails after Redis forgot everything")
        _kill(sqlite_parts.settings.home)
    result = account(sqlite_parts, campaign_id, tmp_path / "accepted")
    result.check(exposed=0)
    assert set(result.states.values()) == {"sent"}


@pytest.mark.parametrize(
    ("seconds", "readers"), [(3.0, 300), pytest.param(60.0, 1_500, marks=pytest.mark.long)]
)
def test_a_frozen_redis_holds_up_nothing(
    sqlite_parts: Parts, tmp_path: Path, seconds: float, readers: int
) -> None:
    campaign_id = b.sending_campaign(sqlite_parts, readers)
    pause = seconds * 3 / readers  # three connections: about as long as Redis is frozen
    with _up(sqlite_parts, tmp_path, pause=pause), _frozen_redis(sqlite_parts.settings.home):
        before, ends = _accepted(tmp_path), time.monotonic() + seconds
        goal = min(before + readers // 4, readers)
        until(lambda: _accepted(tmp_path) >= goal, "mails beside a frozen Redis")
        while time.monotonic() < ends:
            time.sleep(0.1)
    result = account(sqlite_parts, campaign_id, tmp_path / "accepted")
    result.check(exposed=0)
    assert set(result.states.values()) == {"sent"}
