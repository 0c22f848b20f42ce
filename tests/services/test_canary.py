"""A canary: a sample goes first, and what becomes of it decides for all the others."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import building as b
import pytest
from services.canaries import (
    BUSY,
    GONE,
    WAIT,
    begun,
    changing,
    come_due,
    draft,
    everybody,
    look,
    order,
    prepare,
    sample_of,
    send,
    shown,
)
from sqlalchemy import select, update

from mailer.domain.replies import Stage
from mailer.services.campaigns.canary import judge_canaries
from mailer.services.campaigns.course import (
    start_campaign,
)
from mailer.services.campaigns.drafts import create_campaign
from mailer.services.campaigns.preparing import _choose_sample, _plan_next
from mailer.store.models import Campaign, Feedback, delivery
from mailer.transports import ConnectFailed, Unknown
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts


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


def test_a_chunk_that_is_repeated_after_a_crash_finds_the_same_sample(parts: Parts) -> None:
    campaign_id = draft(parts, 60)
    with changing(parts, campaign_id) as (session, campaign):
        start_campaign(session, campaign, canary=order("25%"), now=parts.now())
    _choose_sample(parts.sessions, campaign_id, parts.now)
    with parts.sessions() as session:  # dies before the chunk is committed
        _plan_next(session, campaign_id, 1, 20, parts.now())
        session.rollback()
    with parts.sessions.begin() as session:
        _plan_next(session, campaign_id, 1, 20, parts.now())
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
