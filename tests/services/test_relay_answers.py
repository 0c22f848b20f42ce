"""What a relay says of a mail, and what becomes of the mail then; on both databases."""

from datetime import timedelta

import building as b
import pytest
from sqlalchemy import select, update

from mailer.domain.replies import Reply, Stage
from mailer.services.campaigns.course import finish_done
from mailer.services.campaigns.reports import deliveries
from mailer.store.models import (
    Campaign,
    RelayState,
    Suppression,
    attempt,
    delivery,
)
from mailer.transports import ConnectFailed, Lost, Refused, Unknown
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts

REFUSALS = {
    "a 4xx at RCPT is tried again later": (
        Refused(Stage.RCPT, Reply(450, "4.2.1", "busy")), "queued", "sending",
    ),
    "a 5xx after the dot is final": (
        Refused(Stage.DOT, Reply(554, "5.6.0", "content")), "failed", "sending",
    ),
    "a lost connection before the dot is tried again": (
        Lost(Stage.DATA, "reset"), "queued", "sending",
    ),
    "a lost connection after the dot is uncertain": (
        Unknown("reset"), "uncertain", "sending",
    ),
    "a 5xx at MAIL pauses the campaign": (
        Refused(Stage.MAIL, Reply(550, "5.7.1", "sender refused")), "queued", "paused",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_what_the_relay_says_decides(parts: Parts, case: str) -> None:
    outcome, state, campaign_state = REFUSALS[case]
    campaign_id = b.sending_campaign(parts, 1)
    transport = MemoryTransport(script={"reader0@readers.test": [outcome]})
    b.send_all(parts, transport)
    assert b.states(parts) == {"reader0@readers.test": state}
    assert b.campaign_state(parts, campaign_id) == campaign_state
    with parts.sessions() as session:
        row = session.execute(select(delivery)).one()
        assert row.attempts == 1
        assert session.execute(select(attempt.c.outcome)).scalars().all() == [state]
        if state == "queued":
            assert row.next_at > parts.now() + timedelta(minutes=3)
    assert transport.accepted == []


def test_a_dead_address_is_suppressed_and_the_others_go_on(parts: Parts) -> None:
    b.sending_campaign(parts, 3)
    dead = Refused(Stage.RCPT, Reply(550, "5.1.1", "no such user reader1@readers.test"))
    b.send_all(parts, MemoryTransport(script={"reader1@readers.test": [dead]}))
    assert sorted(b.states(parts).values()) == ["failed", "sent", "sent"]
    with parts.sessions() as session:
        suppression = session.scalars(select(Suppression)).one()
        assert suppression.reason == "hard-bounce"
        assert "readers.test" not in suppression.detail


def test_a_relay_that_is_down_costs_no_reader_an_attempt_and_is_left_alone(parts: Parts) -> None:
    b.sending_campaign(parts, 5)
    transport = MemoryTransport(refuses_connections=ConnectFailed(Stage.CONNECT, "refused"))
    b.send_all(parts, transport)
    with parts.sessions() as session:
        rows = session.execute(select(delivery.c.state, delivery.c.attempts)).all()
        assert {attempts for _, attempts in rows} == {0}
        assert {state for state, _ in rows} <= {"queued", "leased"}


def test_a_relay_that_failed_is_probed_with_one_mail_before_it_gets_more(parts: Parts) -> None:
    b.sending_campaign(parts, 6)
    broken = MemoryTransport(refuses_connections=ConnectFailed(Stage.CONNECT, "refused"))
    b.send_all(parts, broken)
    with parts.sessions.begin() as session:
        past = parts.now() - timedelta(seconds=1)
        session.execute(update(RelayState).values(back_off_until=past))
        session.execute(update(delivery).values(state="queued", next_at=past))
    b.send_all(parts, broken)
    with parts.sessions() as session:
        tried = session.scalars(select(attempt.c.fence).where(attempt.c.outcome == "queued")).all()
        assert session.scalars(select(RelayState.failures)).one() == 2
    assert len(tried) <= 4 + 1  # the four connections of the first time, and one probe
    with parts.sessions.begin() as session:
        session.execute(update(RelayState).values(back_off_until=past))
        session.execute(update(delivery).values(state="queued", next_at=past))
    b.send_all(parts, MemoryTransport())
    assert set(b.states(parts).values()) == {"sent"}


def test_a_content_that_is_refused_too_often_pauses_its_campaign(parts: Parts) -> None:
    campaign_id = b.sending_campaign(parts, 30)
    spam = Refused(Stage.DOT, Reply(550, "5.7.1", "looks like spam"))
    script = {f"reader{number}@readers.test": [spam] for number in range(30)}
    b.send_all(parts, MemoryTransport(script=script), connections=1)
    states = list(b.states(parts).values())
    assert states.count("failed") == 11
    assert states.count("queued") == 19
    with parts.sessions() as session:
        campaign = session.get_one(Campaign, campaign_id)
        assert campaign.state == "paused"
        assert "looks like spam" in campaign.paused_reason


def test_an_uncertain_delivery_waits_for_a_person_and_keeps_its_message_id(parts: Parts) -> None:
    campaign_id = b.sending_campaign(parts, 1)
    transport = MemoryTransport(script={"reader0@readers.test": [Unknown("reset")]})
    b.send_all(parts, transport)
    b.send_all(parts, transport)
    assert transport.accepted == []
    with parts.sessions.begin() as session:
        campaign = session.get_one(Campaign, campaign_id)
        before = deliveries(session, campaign, message_id_of=parts.renderer.message_id)
        assert b.decide(session, campaign, "resend", parts.now()) == 1
    b.send_all(parts, transport)
    assert before[0]["message_id"].encode() in transport.accepted[0][1]
    assert b.states(parts) == {"reader0@readers.test": "sent"}


def test_a_confirmation_that_nobody_knows_the_fate_of_goes_again_by_itself(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        b.sign_up(parts, session, made, "new@readers.test", now=parts.now())
    transport = MemoryTransport(script={"new@readers.test": [Unknown("reset")]})
    b.send_all(parts, transport)
    assert b.states(parts) == {"new@readers.test": "queued"}
    with parts.sessions.begin() as session:
        session.execute(update(delivery).values(next_at=b.NOW - timedelta(days=365)))
    b.send_all(parts, transport)
    assert b.states(parts) == {"new@readers.test": "sent"}


def test_failed_deliveries_are_tried_again_on_demand(parts: Parts) -> None:
    campaign_id = b.sending_campaign(parts, 2)
    final = Refused(Stage.DOT, Reply(554, "5.6.0", "no"))
    transport = MemoryTransport(script={"reader0@readers.test": [final]})
    b.send_all(parts, transport)
    with parts.sessions.begin() as session:
        finish_done(session, now=parts.now())
        campaign = session.get_one(Campaign, campaign_id)
        assert b.decide(session, campaign, "retry", parts.now()) == 1
        assert campaign.state == "sending"
    b.send_all(parts, transport)
    assert set(b.states(parts).values()) == {"sent"}
