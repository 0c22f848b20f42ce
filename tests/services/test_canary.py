"""A canary: a sample goes first, and what becomes of it decides for all the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import building as b
import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from mailer.domain.canary import CanaryOrder, order_canary
from mailer.domain.consent import Method
from mailer.domain.replies import Reply, Stage
from mailer.services.campaign_course import (
    CannotCampaign,
    cancel_campaign,
    pause_campaign,
    resume_campaign,
    schedule_campaign,
    start_campaign,
)
from mailer.services.campaigns import create_campaign
from mailer.services.canary import judge_canaries
from mailer.services.preferences import leave
from mailer.services.preparing import _choose_sample, _plan_next
from mailer.services.reports import report
from mailer.services.tick import sweep, tick
from mailer.store.consents import Evidence
from mailer.store.models import Campaign, Feedback, Subscriber, delivery
from mailer.transports import ConnectFailed, Refused, Unknown
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


def test_the_sample_goes_first_and_everybody_else_after_its_wait_each_once(parts: Parts) -> None:
    campaign_id = begun(parts, 100)
    first = send(parts)
    assert len(first) == 10
    assert shown(parts, campaign_id)["audience"] == 100
    assert look(parts) == ()
    assert look(parts, WAIT - timedelta(minutes=1)) == ()
    assert send(parts) == []
    assert b.campaign_state(parts, campaign_id) == "sending"
    assert look(parts, WAIT + timedelta(minutes=1)) == (campaign_id,)
    prepare(parts, campaign_id)
    rest = send(parts)
    assert sorted(first + rest) == everybody(100)
    assert look(parts) == ()
    assert b.campaign_state(parts, campaign_id) == "finished"
    assert set(b.states(parts).values()) == {"sent"}
    assert shown(parts, campaign_id)["audience"] == 100


def test_the_sample_is_judged_only_when_all_of_it_have_been_tried(parts: Parts) -> None:
    begun(parts, 100)
    assert look(parts, WAIT) == ()
    with parts.sessions() as session:
        assert session.get_one(Campaign, 1).canary.tried_at is None  # type: ignore[union-attr]
    send(parts)
    assert look(parts, WAIT) == ()  # and its wait begins only now
    assert look(parts, 3 * WAIT) == (1,)


def test_too_many_failures_hold_the_campaign_and_say_the_numbers(parts: Parts) -> None:
    campaign_id = begun(parts, 100)
    sample = sample_of(parts)
    send(parts, [(to, GONE) for to in sample[:3]])
    look(parts)
    assert look(parts, 2 * WAIT) == ()
    assert b.campaign_state(parts, campaign_id) == "paused"
    reason = shown(parts, campaign_id)["paused_reason"]
    assert reason == (
        "the sample of 10: 3 failed or bounced (30.0%, limit 20%), 0 deferred (0.0%, limit 10%), "
        f"0 uncertain; look at `mailer campaign deliveries {campaign_id} --state failed`, then "
        f"`mailer campaign resume {campaign_id}` sends to all, "
        f"`mailer campaign cancel {campaign_id}` ends it"
    )
    assert shown(parts, campaign_id)["canary"]["state"] == "held"
    assert send(parts) == []
    assert sample_of(parts) == sample


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


def test_as_many_failures_as_the_limit_allows_hold_nothing(parts: Parts) -> None:
    campaign_id = begun(parts, 100)
    send(parts, [(to, GONE) for to in sample_of(parts)[:2]])
    look(parts)
    assert look(parts, 2 * WAIT) == (campaign_id,)


@pytest.mark.parametrize(("kind", "held"), [("bounce", 3), ("complaint", 3), ("delivered", 0)])
def test_what_comes_back_after_the_relay_took_it_counts_once(
    parts: Parts, kind: str, held: int
) -> None:
    campaign_id = begun(parts, 100)
    send(parts)
    with parts.sessions.begin() as session:
        for delivery_id in session.scalars(select(delivery.c.id).limit(3)).all():
            for _ in range(2):
                row = {"status": "5.1.1", "detail": "", "source": "test", "kind": kind}
                session.add(Feedback(delivery_id=delivery_id, received_at=b.NOW, **row))
    look(parts)
    look(parts, 2 * WAIT)
    reason = shown(parts, campaign_id)["paused_reason"]
    assert reason.startswith(f"the sample of 10: {held} failed or bounced" if held else "")
    assert b.campaign_state(parts, campaign_id) == ("paused" if held else "preparing")


def test_what_receivers_defer_is_tried_again_meanwhile_and_holds_if_it_stays(parts: Parts) -> None:
    campaign_id = begun(parts, 100)
    sample = sample_of(parts)
    send(parts, [(to, BUSY) for to in sample[:4]])
    look(parts)
    come_due(parts)  # five minutes later: two of them are taken
    assert send(parts, [(to, BUSY) for to in sample[:2]]) == sample[2:4]
    look(parts, 2 * WAIT)
    reason = shown(parts, campaign_id)["paused_reason"]
    assert "0 failed or bounced (0.0%, limit 20%), 2 deferred (20.0%, limit 10%)" in reason


def test_an_uncertain_one_is_named_and_counts_for_nothing(parts: Parts) -> None:
    campaign_id = begun(parts, 100)
    sample = sample_of(parts)
    send(parts, [*((to, GONE) for to in sample[:3]), (sample[3], Unknown("reset"))])
    come_due(parts)  # whose envelope was lost with that connection
    send(parts)
    look(parts)
    look(parts, 2 * WAIT)
    assert (
        "3 failed or bounced (30.0%, limit 20%), 0 deferred (0.0%, limit 10%), 1 uncertain"
        in shown(parts, campaign_id)["paused_reason"]
    )


def test_a_relay_that_is_down_leaves_the_sample_waiting_and_unjudged(parts: Parts) -> None:
    campaign_id = begun(parts, 100)
    down = MemoryTransport(refuses_connections=ConnectFailed(Stage.CONNECT, "refused"))
    b.send_all(parts, down)
    look(parts)
    assert look(parts, 3 * WAIT) == ()
    assert b.campaign_state(parts, campaign_id) == "sending"
    assert len(sample_of(parts)) == 10


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


def test_a_chunk_that_is_repeated_after_a_crash_finds_the_same_sample(parts: Parts) -> None:
    campaign_id = draft(parts, 60)
    with changing(parts, campaign_id) as (session, campaign):
        start_campaign(session, campaign, canary=order("25%"), now=parts.now())
    _choose_sample(parts.sessions, campaign_id, parts.now)
    with parts.sessions() as session:  # dies before the chunk is committed
        _plan_next(session, campaign_id, 20, parts.now())
        session.rollback()
    with parts.sessions.begin() as session:
        _plan_next(session, campaign_id, 20, parts.now())
    with parts.sessions.begin() as session:
        made = session.scalars(select(b.Newsletter)).one()
        b.readers(parts, session, made, 90)  # who comes later changes nothing
    _choose_sample(parts.sessions, campaign_id, parts.now)
    with changing(parts, campaign_id) as (session, campaign):
        campaign.cursor_subscriber_id = 0
    prepare(parts, campaign_id)
    sample = sample_of(parts)
    assert len(sample) == 15
    with changing(parts, campaign_id) as (session, campaign):
        campaign.state, campaign.cursor_subscriber_id = "preparing", 0
    prepare(parts, campaign_id)
    assert sample_of(parts) == sample
    send(parts)
    look(parts)
    look(parts, 2 * WAIT)
    for _ in range(2):  # the rest, and once more
        with changing(parts, campaign_id) as (session, campaign):
            campaign.state, campaign.cursor_subscriber_id = "preparing", 0
        prepare(parts, campaign_id)
    assert sample_of(parts) == everybody(60)


def test_the_sample_is_spread_over_the_audience_and_not_the_same_every_time(parts: Parts) -> None:
    begun(parts, 200, order("10%"))
    with parts.sessions() as session:
        first = list(session.scalars(select(delivery.c.subscriber_id).order_by("subscriber_id")))
        gaps = [later - earlier for earlier, later in pairwise(first)]
        assert len(first) == 20
        assert max(gaps) <= 20
        made = session.scalars(select(b.Newsletter)).one()
        made_id = made.id
    with parts.sessions.begin() as session:
        made = session.get_one(b.Newsletter, made_id)
        other = create_campaign(
            session, made, purpose="updates", subject="More",
            article_ids=b.articles(session, made, 1), now=parts.now(),
        )  # fmt: skip
        start_campaign(session, other, canary=order("10%"), now=parts.now())
        other_id = other.id
    prepare(parts, other_id)
    with parts.sessions() as session:
        of_other = select(delivery.c.subscriber_id).where(delivery.c.campaign_id == other_id)
        assert set(session.scalars(of_other)).isdisjoint(first)


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


@pytest.mark.parametrize(("readers", "sample"), [(30, 1), (199, 2)])
def test_the_share_of_a_small_list_is_one_reader_at_least(
    parts: Parts, readers: int, sample: int
) -> None:
    begun(parts, readers, order("1%"))
    assert len(sample_of(parts)) == sample


@pytest.mark.parametrize("readers", [0, 1, 10])
def test_where_the_sample_is_everybody_nobody_waits(parts: Parts, readers: int) -> None:
    campaign_id = begun(parts, readers)
    assert len(send(parts)) == readers
    look(parts)
    assert b.campaign_state(parts, campaign_id) == "finished"


def test_a_sample_that_nobody_is_left_of_tells_nothing_and_so_holds(parts: Parts) -> None:
    campaign_id = begun(parts, 30, order("1"))
    with parts.sessions.begin() as session:
        gone = {"state": "withdrawn", "settled_at": parts.now()}
        session.execute(update(delivery).values(gone))
    look(parts)
    look(parts, 2 * WAIT)
    assert b.campaign_state(parts, campaign_id) == "paused"
    reason = shown(parts, campaign_id)["paused_reason"]
    assert reason.startswith("nobody of the sample could be sent the mail; look at")


def test_judging_twice_at_once_is_judging_once(parts: Parts) -> None:
    campaign_id = begun(parts, 30)
    send(parts)
    assert judge_canaries(parts.sessions, now=parts.now()) == 0
    later = parts.now() + 2 * WAIT
    assert judge_canaries(parts.sessions, now=later) == 1
    assert judge_canaries(parts.sessions, now=later) == 0
    assert b.campaign_state(parts, campaign_id) == "preparing"


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
