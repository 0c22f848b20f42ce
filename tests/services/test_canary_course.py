"""A campaign with a canary is paused, scheduled, spread, cancelled like any other."""

from __future__ import annotations

from datetime import timedelta

import building as b
import pytest
from services.canaries import (
    GONE,
    WAIT,
    begun,
    changing,
    draft,
    everybody,
    look,
    order,
    prepare,
    sample_of,
    send,
    shown,
)
from sqlalchemy import select

from mailer.domain.consent import Method
from mailer.services.campaigns.course import (
    CannotCampaign,
    cancel_campaign,
    pause_campaign,
    resume_campaign,
    schedule_campaign,
    start_campaign,
)
from mailer.services.consent.preferences import leave
from mailer.services.operations.tick import sweep, tick
from mailer.store.consents import Evidence
from mailer.store.models import Campaign, Subscriber, delivery
from mailer.wiring import Parts


def test_resuming_what_its_canary_holds_sends_to_all_the_others(parts: Parts) -> None:
    campaign_id = begun(parts, 40)
    sample = sample_of(parts)
    first = send(parts, [(to, GONE) for to in sample[:3]])
    look(parts)
    look(parts, 2 * WAIT)
    with changing(parts, campaign_id) as (session, campaign):
        resume_campaign(session, campaign, now=parts.now())
        assert (campaign.state, campaign.paused_reason) == ("preparing", "")
    assert look(parts) == (campaign_id,)
    prepare(parts, campaign_id)
    rest = send(parts)
    assert sorted(first + rest + sample[:3]) == everybody(40)
    look(parts)
    assert b.campaign_state(parts, campaign_id) == "finished"


def test_pausing_by_hand_does_not_skip_the_judgement(parts: Parts) -> None:
    campaign_id = begun(parts, 100)
    for word in (pause_campaign, None):
        with changing(parts, campaign_id) as (session, campaign):
            if word:
                pause_campaign(session, campaign)
            else:
                resume_campaign(session, campaign, now=parts.now())
        look(parts, 3 * WAIT)
    assert b.campaign_state(parts, campaign_id) == "sending"
    sample = sample_of(parts)
    assert len(sample) == 10
    send(parts, [(to, GONE) for to in sample])
    look(parts)
    with changing(parts, campaign_id) as (session, campaign):
        pause_campaign(session, campaign)
    look(parts, 3 * WAIT)
    assert shown(parts, campaign_id)["paused_reason"] == "by hand"
    with changing(parts, campaign_id) as (session, campaign):
        resume_campaign(session, campaign, now=parts.now())
    look(parts, 3 * WAIT)
    assert "10 failed" in shown(parts, campaign_id)["paused_reason"]
    assert sample_of(parts) == sample


def test_a_paused_campaign_that_has_begun_is_not_started_again(parts: Parts) -> None:
    campaign_id = begun(parts, 20)
    with changing(parts, campaign_id) as (session, campaign):
        pause_campaign(session, campaign)
        with pytest.raises(CannotCampaign, match="campaign resume"):
            start_campaign(session, campaign, now=parts.now())
        with pytest.raises(CannotCampaign, match="campaign resume"):
            schedule_campaign(session, campaign, parts.now() + WAIT, now=parts.now())


def test_over_spreads_the_rest_from_the_release_on_and_the_sample_not_at_all(parts: Parts) -> None:
    campaign_id = begun(parts, 40, over=timedelta(hours=10))
    assert len(send(parts)) == 10
    look(parts)
    released = parts.now() + timedelta(hours=1)
    assert tick(parts.sessions, now=lambda: released).campaigns == (campaign_id,)
    prepare(parts, campaign_id)
    with parts.sessions() as session:
        campaign = session.get_one(Campaign, campaign_id)
        waiting = delivery.c.settled_at.is_(None)
        due = session.scalars(
            select(delivery.c.next_at).where(waiting).order_by(delivery.c.subscriber_id)
        ).all()
        assert campaign.canary
        assert campaign.canary.released_at
        began = campaign.canary.released_at
        assert campaign.ends_at == began + timedelta(hours=82)
    assert abs(began - released) < timedelta(milliseconds=2)
    hours = [(moment - began) / timedelta(hours=1) for moment in due]
    assert len(hours) == 30
    assert hours == sorted(hours)
    assert 0 <= hours[0] < 1
    assert 9 < hours[-1] <= 10


def test_a_scheduled_campaign_keeps_its_canary(parts: Parts) -> None:
    campaign_id = draft(parts, 50)
    at = parts.now() + timedelta(hours=1)
    with changing(parts, campaign_id) as (session, campaign):
        schedule_campaign(session, campaign, at, canary=order("6%"), now=parts.now())
    assert look(parts) == ()
    assert look(parts, timedelta(hours=2)) == (campaign_id,)
    prepare(parts, campaign_id)
    assert len(send(parts)) == 3
    assert b.campaign_state(parts, campaign_id) == "sending"


def test_a_wait_that_outlives_the_campaign_is_refused(parts: Parts) -> None:
    campaign_id = draft(parts, 5, expires_at=parts.now() + timedelta(minutes=9))
    with changing(parts, campaign_id) as (session, campaign):
        with pytest.raises(CannotCampaign, match="shorter --canary-wait"):
            start_campaign(session, campaign, canary=order(), now=parts.now())
        with pytest.raises(CannotCampaign, match="shorter --canary-wait"):
            schedule_campaign(
                session, campaign, parts.now() + timedelta(minutes=1), canary=order(),
                now=parts.now(),
            )  # fmt: skip
        assert campaign.state == "draft"


def test_what_expires_while_it_is_held_is_sent_to_nobody_else(parts: Parts) -> None:
    campaign_id = draft(parts, 30, expires_at=parts.now() + timedelta(minutes=11))
    with changing(parts, campaign_id) as (session, campaign):
        start_campaign(session, campaign, canary=order(), now=parts.now())
    prepare(parts, campaign_id)
    first = send(parts)
    look(parts)
    with changing(parts, campaign_id) as (session, campaign):
        pause_campaign(session, campaign)
        resume_campaign(session, campaign, now=parts.now() + timedelta(minutes=12))
        campaign.canary.tried_at = parts.now() + timedelta(minutes=12)  # type: ignore[union-attr]
    assert look(parts, timedelta(minutes=12)) == ()
    assert b.campaign_state(parts, campaign_id) == "expired"
    assert sample_of(parts) == first


def test_what_is_cancelled_while_it_is_held_is_sent_to_nobody_else(parts: Parts) -> None:
    campaign_id = begun(parts, 100)
    with changing(parts, campaign_id) as (session, campaign):
        assert cancel_campaign(session, campaign, now=parts.now()) == 100
    look(parts, 3 * WAIT)
    sweep(parts.sessions, now=parts.now)
    assert send(parts) == []
    assert b.campaign_state(parts, campaign_id) == "cancelled"
    states = b.states(parts)
    assert len(states) == 10
    assert set(states.values()) == {"cancelled"}


def test_who_leaves_while_the_campaign_is_held_gets_nothing(parts: Parts) -> None:
    campaign_id = begun(parts, 30)
    sample = send(parts)
    leaver = next(each for each in everybody(30) if each not in sample)
    with parts.sessions.begin() as session:
        subscriber_id = session.scalars(
            select(Subscriber.id).where(Subscriber.email == leaver)
        ).one()
        token = parts.links.unsubscribe(1, subscriber_id).rpartition("/")[2]
        assert leave(session, parts.signer, token, Evidence(Method.ONE_CLICK), now=parts.now())
    look(parts)
    look(parts, 2 * WAIT)
    prepare(parts, campaign_id)
    rest = send(parts)
    assert sorted([*sample, *rest, leaver]) == everybody(30)
