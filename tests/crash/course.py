"""The course of a campaign under trouble: its senders, and how much is still to be done."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from processes import clean_environment
from sqlalchemy import func, select, update

from mailer.domain.deliveries import OPEN
from mailer.embedded.leash import leashed
from mailer.store.models import delivery
from mailer.wiring import Parts

SENDER = Path(__file__).parent / "sender.py"


@contextmanager
def sender_process(
    environment: dict[str, str], log: Path, **order: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a sender by this order (`sender.Order`); it is killed in the end."""
    arguments = [part for name, value in order.items() for part in (f"--{name}", str(value))]
    with log.open("ab") as output:
        sender = subprocess.Popen(
            [sys.executable, str(SENDER), *arguments],
            env=clean_environment(**environment), stdout=output, stderr=output,
            preexec_fn=leashed(signal.SIGKILL),
        )  # fmt: skip
    try:
        yield sender
    finally:
        sender.kill()
        sender.wait()


def open_deliveries(parts: Parts) -> int:
    """Return how many deliveries still have something to be done."""
    with parts.sessions() as session:
        states = [state.value for state in OPEN]
        return session.scalar(select(func.count()).where(delivery.c.state.in_(states))) or 0


def leases_run_out(parts: Parts) -> None:
    """Let the time of all leases pass, so that a test need not wait for it, nor race it."""
    with parts.sessions.begin() as session:
        leased = delivery.c.lease_until.is_not(None)
        past = parts.now() - timedelta(hours=1)
        session.execute(update(delivery).where(leased).values(lease_until=past))


def text_of(log: Path) -> str:
    """Return the end of what a process had to say."""
    return log.read_text("utf-8", "replace")[-20_000:]
