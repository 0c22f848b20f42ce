"""Running senders: worker processes over one installation, and what they cost."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import func, select

from bench import content
from bench.sink import VerifyingSink
from mailer.domain.errors import Refusal
from mailer.store.models import Campaign, delivery
from mailer.wiring import Parts


class CannotMeasure(Refusal):
    """Something is missing, or went wrong, so that no figure would mean anything."""


class Cost(NamedTuple):
    """What sending took: seconds of the slowest worker, CPU of all, memory of the largest."""

    seconds: float
    cpu_seconds: float
    peak_mib: float


def send_all(parts: Parts, *, workers: int = 1, more: Mapping[str, str]) -> Cost:
    """Run worker processes until nothing is due; return what they cost."""
    settings = parts.settings
    environment = {
        **os.environ,
        "MAILER_HOME": str(settings.home),
        "MAILER_DATABASE_URL": settings.database_url.replace("+psycopg", ""),
        "MAILER_PUBLIC_URL": settings.public_url,
        "MAILER_SMTP_URL": settings.smtp_url or "",
        **more,
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.sender"],
            env=environment, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1],
        )
        for _ in range(workers)
    ]  # fmt: skip
    # The last line: before it stands what the log has to say.
    told = [json.loads(process.communicate()[0].splitlines()[-1]) for process in processes]
    return Cost(
        max(each["seconds"] for each in told),
        sum(each["cpu_seconds"] for each in told),
        max(each["peak_mib"] for each in told),
    )


def finish(parts: Parts, campaign_id: int) -> None:
    """End the campaign; raises CannotMeasure unless every mail of it was sent."""
    with parts.sessions.begin() as session:
        states: dict[str, int] = dict(
            session.execute(
                select(delivery.c.state, func.count())
                .where(delivery.c.campaign_id == campaign_id)
                .group_by(delivery.c.state)
            ).all()
        )
        session.get_one(Campaign, campaign_id).state = "finished"
    if set(states) != {"sent"}:
        raise CannotMeasure(f"Not every mail was sent, so that nothing was measured: {states}.")


def verify(parts: Parts, connections: int) -> str:
    """Send one campaign to the sink that looks into every mail; say what it found."""
    with verifying(parts) as sink:
        _campaign_to(sink, parts, connections, workers=1)
    return f"{len(sink.readers)} mails, each with its own working link"


def two_workers(parts: Parts, connections: int) -> float:
    """Return how many times as fast two workers are against a sink of 100 ms a mail.

    The sink looks into every mail, so that two workers on the same one would be found.
    """
    seconds = []
    for workers in (1, 2):
        with verifying(parts, pause=0.1) as sink:
            seconds.append(_campaign_to(sink, parts, connections, workers=workers).seconds)
    return seconds[0] / seconds[1]


def _campaign_to(sink: VerifyingSink, parts: Parts, connections: int, *, workers: int) -> Cost:
    campaign_id = content.start(parts)
    url = f"smtp://127.0.0.1:{sink.port}?tls=none&connections={connections}"
    cost = send_all(parts, workers=workers, more={"MAILER_SMTP_URL": url})
    finish(parts, campaign_id)
    return cost


@contextmanager
def verifying(parts: Parts, pause: float = 0.0, turned_away: str = "") -> Iterator[VerifyingSink]:
    """Run the sink on a thread of its own; raises CannotMeasure if a mail was wrong."""
    sink = VerifyingSink(parts.signer, pause=pause, turned_away=turned_away)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(sink.start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        asyncio.run_coroutine_threadsafe(sink.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
    if sink.problems:
        raise CannotMeasure(f"{len(sink.problems)} mails are wrong, such as {sink.problems[0]}.")
