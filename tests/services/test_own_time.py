"""A mail may come to every reader when the reader's own clock shows the same time."""

from __future__ import annotations

from datetime import datetime, timedelta

import building as b
import pytest
from sqlalchemy import select, update

from mailer.services.campaign_course import schedule_campaign, start_campaign, start_scheduled
from mailer.services.campaigns import create_campaign
from mailer.services.own_time import first_in_own_time, readers_zones
from mailer.services.preparing import prepare_campaign
from mailer.store.models import Campaign, Subscriber, delivery
from mailer.wiring import Parts

HOME = "Africa/Lagos"
ZONES = {
    "reader0": "Asia/Tokyo", "reader1": "", "reader2": "America/New_York",
    "reader3": "Mars/Olympus", "reader4": "Pacific/Kiritimati", "reader5": "Pacific/Pago_Pago",
}  # fmt: skip
WALL = (b.NOW + timedelta(days=2)).replace(hour=7, tzinfo=None)


@pytest.fixture
def campaign_id(parts: Parts) -> int:
    """A draft, for readers all over the world."""
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        b.readers(parts, session, made, len(ZONES))
        for name, zone in ZONES.items():
            session.execute(
                update(Subscriber)
                .where(Subscriber.email.startswith(f"{name}@"))
                .values(timezone=zone)
            )
        return create_campaign(
            session, made, purpose="updates", subject="Morning",
            article_ids=b.articles(session, made, 1), now=b.NOW,
        ).id  # fmt: skip


def scheduled(parts: Parts, campaign_id: int, wall: datetime = WALL) -> datetime:
    """Schedule it for the clock time; return when it begins."""
    with parts.sessions() as session:
        zones = readers_zones(session)
    with parts.sessions.begin() as session:
        campaign = session.get_one(Campaign, campaign_id)
        first = first_in_own_time(campaign.newsletter, wall, zones)
        schedule_campaign(session, campaign, first, local_at=wall, now=b.NOW)
    return first


def due_times(parts: Parts) -> dict[str, datetime]:
    """Reader → when the mail is due."""
    with parts.sessions() as session:
        rows = session.execute(
            select(Subscriber.email, delivery.c.next_at).join(
                delivery, delivery.c.subscriber_id == Subscriber.id
            )
        )
        return {email.partition("@")[0]: due for email, due in rows}


def hours_before_utc(parts: Parts) -> dict[str, float]:
    """Reader → how much earlier than in UTC the mail is due, in hours."""
    return {
        name: (WALL - due.replace(tzinfo=None)).total_seconds() / 3600
        for name, due in due_times(parts).items()
    }


def test_it_begins_with_the_first_reader_and_is_due_by_each_readers_clock(
    parts: Parts, campaign_id: int
) -> None:
    first = scheduled(parts, campaign_id)
    assert first.replace(tzinfo=None) == WALL - timedelta(hours=14)
    assert start_scheduled(parts.sessions, now=first - timedelta(seconds=1)) == 0
    assert start_scheduled(parts.sessions, now=first) == 1
    prepare_campaign(
        parts.sessions, campaign_id, renderer=parts.renderer, now=lambda: first,
        pause=lambda: None, chunk=2,
    )  # fmt: skip
    new_york = {4.0, 5.0}  # summer and winter
    found = hours_before_utc(parts)
    assert -found.pop("reader2") in new_york
    assert found == {
        "reader0": 9, "reader1": 1, "reader3": 1, "reader4": 14, "reader5": -11,
    }  # fmt: skip


def test_it_lives_until_the_last_reader_has_had_time_for_it(parts: Parts, campaign_id: int) -> None:
    first = scheduled(parts, campaign_id)
    start_scheduled(parts.sessions, now=first)
    with parts.sessions() as session:
        ends_at = session.get_one(Campaign, campaign_id).ends_at
    last = max(due_times(parts).values(), default=first + timedelta(hours=25))
    assert ends_at is not None
    assert ends_at > last + timedelta(hours=1)


def test_one_that_is_sent_now_after_all_comes_to_everybody_now(
    parts: Parts, campaign_id: int
) -> None:
    scheduled(parts, campaign_id)
    with parts.sessions.begin() as session:
        start_campaign(session, session.get_one(Campaign, campaign_id), now=b.NOW)
    prepare_campaign(
        parts.sessions, campaign_id, renderer=parts.renderer, now=lambda: b.NOW, pause=lambda: None
    )
    assert set(due_times(parts).values()) == {b.NOW}
