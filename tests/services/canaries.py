"""Campaigns with a canary, and the time that passes for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import building as b
from sqlalchemy import update
from sqlalchemy.orm import Session

from mailer.domain.canary import CanaryOrder, order_canary
from mailer.domain.replies import Reply, Stage
from mailer.services.campaigns.course import (
    start_campaign,
)
from mailer.services.campaigns.drafts import create_campaign
from mailer.services.campaigns.reports import report
from mailer.services.operations.tick import tick
from mailer.store.models import Campaign, delivery
from mailer.transports import Refused
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts

WAIT = timedelta(minutes=10)


GONE = Refused(Stage.RCPT, Reply(550, "5.1.1", "no such user"))


BUSY = Refused(Stage.RCPT, Reply(450, "4.2.1", "busy"))


def order(sample: str = "10", limit: str = "20%") -> CanaryOrder:
    return order_canary(sample, limit, WAIT)


def begun(
    parts: Parts, readers: int, canary: CanaryOrder | None = None, *, over: timedelta = timedelta()
) -> int:
    """Start a campaign with a canary and plan its sample; return its id."""
    campaign_id = draft(parts, readers)
    with changing(parts, campaign_id) as (session, campaign):
        start_campaign(session, campaign, over=over, canary=canary or order(), now=parts.now())
    prepare(parts, campaign_id)
    return campaign_id


def draft(parts: Parts, readers: int, *, expires_at: datetime | None = None) -> int:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        b.readers(parts, session, made, readers)
        return create_campaign(
            session, made, purpose="updates", subject="News",
            article_ids=b.articles(session, made, 1), expires_at=expires_at, now=parts.now(),
        ).id  # fmt: skip


def prepare(parts: Parts, campaign_id: int) -> None:
    b.prepare_campaign(
        parts.sessions, campaign_id, renderer=parts.renderer, now=parts.now, pause=lambda: None,
        chunk=7,
    )  # fmt: skip


def look(parts: Parts, after: timedelta = timedelta()) -> tuple[int, ...]:
    """Let the tick look at some later time; return the campaigns that wait to be prepared."""
    at = parts.now() + after
    return tick(parts.sessions, now=lambda: at).campaigns


@contextmanager
def changing(parts: Parts, campaign_id: int) -> Iterator[tuple[Session, Campaign]]:
    with parts.sessions.begin() as session:
        yield session, session.get_one(Campaign, campaign_id)


def sample_of(parts: Parts) -> list[str]:
    """Return the addresses of all who have a row so far."""
    return sorted(b.states(parts))


def send(parts: Parts, answers: Iterable[tuple[str, object]] = ()) -> list[str]:
    """Send all that is due, with the relay's answers to some; return who was accepted."""
    transport = MemoryTransport(script={to: [answer] for to, answer in answers})  # type: ignore[list-item]
    b.send_all(parts, transport)
    return sorted(envelope.recipient for envelope, _ in transport.accepted)


def come_due(parts: Parts) -> None:
    """Let time pass until the next try of all that waits."""
    with parts.sessions.begin() as session:
        waiting = update(delivery).where(delivery.c.settled_at.is_(None))
        session.execute(waiting.values(next_at=parts.now() - timedelta(seconds=1)))


def everybody(number: int) -> list[str]:
    return sorted(f"reader{index}@readers.test" for index in range(number))


def shown(parts: Parts, campaign_id: int) -> dict[str, Any]:
    with parts.sessions() as session:
        return report(session, session.get_one(Campaign, campaign_id))
