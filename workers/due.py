"""Doing what is due, with the parts of this process; the same for tasks and for `--until-idle`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from mailer.domain.errors import Refusal
from mailer.services.alive import say_alive, say_gone
from mailer.services.preparing import prepare_campaign
from mailer.services.tick import tick
from mailer.wiring import Parts, worker_name

_PAUSE_BETWEEN_CHUNKS = 0.002  # SQLite: so that a withdrawal need not wait for the whole campaign


def tick_once(parts: Parts) -> list[int]:
    """Do what time has made due; return the campaigns that wait to be prepared."""
    return tick(parts.sessions, fetch=parts.fetch, now=parts.now)


def prepare_one(parts: Parts, campaign_id: int) -> int:
    """Compile and plan one campaign; raises Refusal where it cannot be rendered."""
    return prepare_campaign(
        parts.sessions,
        campaign_id,
        renderer=parts.renderer,
        now=parts.now,
        pause=lambda: time.sleep(_PAUSE_BETWEEN_CHUNKS),
    )


def work_until_idle(parts: Parts, progress: Callable[[str], None] = lambda _: None) -> None:
    """Do everything that is due now, in this process, and return when nothing is left."""
    name = worker_name("all")
    with parts.sessions.begin() as session:
        say_alive(session, name, "all", now=parts.now())
    sender = parts.sender(name)
    sender.start()
    try:
        while True:
            waiting = tick_once(parts)
            for campaign_id in waiting:
                progress(f"preparing campaign {campaign_id}")
                with contextlib.suppress(Refusal):
                    prepare_one(parts, campaign_id)
            sender.wake()
            sender.idle.wait()
            if not waiting:
                tick_once(parts)  # ends the campaigns that have just been sent
                return
    finally:
        sender.stop()
        with parts.sessions.begin() as session:
            say_gone(session, name)
