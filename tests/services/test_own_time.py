"""A mail may come to every reader when the reader's own clock shows the same time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import building as b
import pytest
from sqlalchemy import select, update

from mailer.services.campaigns.course import schedule_campaign, start_campaign, start_scheduled
from mailer.services.campaigns.drafts import create_campaign
from mailer.services.campaigns.own_time import first_in_own_time, readers_zones, zones_of_digest
from mailer.services.campaigns.preparing import prepare_campaign
from mailer.services.digests.digests import (
    Ran,
    Skipped,
    Timing,
    add_digest,
    begin_due_runs,
    begin_run,
    run_digest,
)
from mailer.store.models import Campaign, Digest, Newsletter, Subscriber, delivery
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
        campaign = session.get_one(Campaign, campaign_id)
        start_campaign(session, campaign, in_own_time=False, now=b.NOW)
    prepare_campaign(
        parts.sessions, campaign_id, renderer=parts.renderer, now=lambda: b.NOW, pause=lambda: None
    )
    assert set(due_times(parts).values()) == {b.NOW}


def morning(parts: Parts, **more: Any) -> int:
    """A digest at seven by every reader's own clock; return its id."""
    with parts.sessions() as session:
        zones = readers_zones(session)
    with parts.sessions.begin() as session:
        newsletter = session.scalars(select(Newsletter)).one()
        return add_digest(
            session, newsletter, slug="morning", purpose="updates", cron="0 7 * * *",
            timing=Timing(own_time=True, zones=zones, **more), renderer=parts.renderer, now=b.NOW,
        ).id  # fmt: skip


def at_its_time(parts: Parts, late: timedelta = timedelta()) -> tuple[datetime, Ran | Skipped]:
    """Let the digest run when it is due, or later; return when, and what came of it."""
    with parts.sessions.begin() as session:
        digest = session.scalars(select(Digest)).one()
        begun = digest.next_run_at + late
        [occasion] = begin_due_runs(session, now=begun)
        zones = zones_of_digest(session, digest.id)
        outcome = run_digest(session, occasion, zones=zones, now=begun)
        assert outcome is not None
        return begun, outcome


@pytest.mark.usefixtures("campaign_id")
def test_a_digest_runs_once_a_day_when_the_first_readers_clock_shows_its_time(
    parts: Parts,
) -> None:
    digest_id = morning(parts)
    begun, outcome = at_its_time(parts)
    assert begun.hour == 17  # seven in Kiritimati
    assert isinstance(outcome, Ran)
    with parts.sessions() as session:
        digest = session.get_one(Digest, digest_id)
        assert digest.next_run_at - begun == timedelta(days=1)
        wall = session.get_one(Campaign, outcome.campaign.id).own_time
        assert wall is not None
        assert (wall.hour, wall - begun.replace(tzinfo=None)) == (7, timedelta(hours=14))
        assert digest.next_local_at == (wall + timedelta(days=1)).isoformat()


@pytest.mark.usefixtures("campaign_id")
def test_a_missed_run_is_made_up_for_once_and_only_while_it_is_fresh(parts: Parts) -> None:
    morning(parts, fresh=timedelta(hours=3))
    begun, outcome = at_its_time(parts, late=timedelta(days=4, hours=4))
    assert isinstance(outcome, Skipped)
    assert "the time passed" in outcome.reason
    with parts.sessions() as session:
        assert begin_due_runs(session, now=begun) == []  # the days in between come in no burst
    _, outcome = at_its_time(parts, late=timedelta(hours=2))
    assert isinstance(outcome, Ran)


@pytest.mark.usefixtures("campaign_id")
def test_a_run_by_hand_comes_to_everybody_at_once(parts: Parts) -> None:
    morning(parts)
    with parts.sessions.begin() as session:
        occasion = begin_run(session.scalars(select(Digest)).one())
        outcome = run_digest(session, occasion, now=b.NOW)
        assert isinstance(outcome, Ran)
        assert outcome.campaign.local_at is None
