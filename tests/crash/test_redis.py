"""Redis forgets everything, dies or freezes in the middle of a campaign under `mailer up`.

It is only a doorbell: the campaign still finishes, and nobody gets it twice.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import building as b
import pytest
import servers
from conftest import opened, settings_for
from crash.accounts import account, environment_of, relay_at
from processes import clean_environment, running, until
from redis import Redis
from sink import accepted_by, running_sink

from mailer.embedded.valkey import socket_path
from mailer.wiring import Parts

READERS = 300


@pytest.fixture
def home_parts(sqlite_template: Path, tmp_path: Path) -> Iterator[Parts]:
    """An installation on SQLite, for `mailer up`."""
    shutil.copy(sqlite_template, tmp_path / "mailer.db")
    yield from opened(settings_for(f"sqlite:///{tmp_path / 'mailer.db'}", tmp_path / "home"))


def _flush(home: Path) -> None:
    with Redis(unix_socket_path=str(socket_path(home))) as client:
        client.flushall()


def _process_id(home: Path) -> int:
    with Redis(unix_socket_path=str(socket_path(home))) as client:
        return int(client.info("server")["process_id"])


def _kill(home: Path) -> None:
    os.kill(_process_id(home), signal.SIGKILL)


@contextmanager
def _frozen(home: Path) -> Iterator[None]:
    redis = _process_id(home)
    os.kill(redis, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(redis, signal.SIGCONT)
