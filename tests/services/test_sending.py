"""A delivery's life over a relay in memory, on both databases."""

import time
from datetime import timedelta

import building as b
import pytest
from processes import until
from sqlalchemy import select, update

from mailer.domain.consent import Method
from mailer.domain.deliveries import DeliveryState
from mailer.domain.replies import Reply, Stage
from mailer.domain.tokens import TokenKind
from mailer.services.alive import say_alive
from mailer.services.campaign_course import finish_done, reconcile, retry_failed
from mailer.services.preferences import leave
from mailer.services.reports import deliveries
from mailer.store.consents import Evidence
from mailer.store.ledger import (
    Gated,
    GateRequest,
    Settlement,
    claim,
    exchange,
    find_abandoned,
    recover_abandoned,
)
from mailer.store.models import (
    Campaign,
    RelayState,
    Subscriber,
    Suppression,
    attempt,
    delivery,
)
from mailer.transports import ConnectFailed, Lost, Refused, Unknown
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts


def _leave(parts: Parts, subscriber_id: int) -> None:
    token = parts.links.unsubscribe(1, subscriber_id).rpartition("/")[2]
    with parts.sessions.begin() as session:
        assert leave(session, parts.signer, token, Evidence(Method.ONE_CLICK), now=parts.now())


def test_every_reader_gets_one_mail_and_the_campaign_finishes(parts: Parts) -> None:
    campaign_id = b.sending_campaign(parts, 30)
    transport = MemoryTransport()
    b.send_all(parts, transport)
    b.send_all(parts, transport)
    recipients = sorted(envelope.recipient for envelope, _ in transport.accepted)
    assert recipients == sorted(f"reader{index}@readers.test" for index in range(30))
    assert set(b.states(parts).values()) == {"sent"}
    with parts.sessions.begin() as session:
        assert finish_done(session, now=parts.now()) == 1
    assert b.campaign_state(parts, campaign_id) == "finished"


def test_every_mail_has_its_own_working_links_and_message_id(parts: Parts) -> None:
    b.sending_campaign(parts, 3)
    transport = MemoryTransport()
    b.send_all(parts, transport)
    leavers = set()
    for envelope, content in transport.accepted:
        header = next(
            line for line in content.decode().split("\r\n") if line.startswith("List-Unsubscribe:")
        )
        token = parts.signer.read(b.link("u", header), TokenKind.UNSUBSCRIBE)
        assert token
        leavers.add(token.subscriber_id)
        assert envelope.sender == "weekly@news.test"
    assert len(leavers) == 3
    ids = {content.split(b"Message-ID: ")[1].split(b"\r\n")[0] for _, content in transport.accepted}
    assert len(ids) == 3


def test_planning_twice_adds_nobody(parts: Parts) -> None:
    campaign_id = b.sending_campaign(parts, 5)
    with parts.sessions.begin() as session:
        campaign = session.get_one(Campaign, campaign_id)
        campaign.state, campaign.cursor_subscriber_id = "preparing", 0
    added = b.prepare_campaign(
        parts.sessions, campaign_id, renderer=parts.renderer, now=parts.now, pause=lambda: None,
        chunk=2,
    )  # fmt: skip
    assert added == 0
    assert len(b.states(parts)) == 5


def test_who_leaves_after_planning_gets_nothing_more(parts: Parts) -> None:
    b.sending_campaign(parts, 3)
    _leave(parts, 2)
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert sorted(b.states(parts).values()) == ["sent", "sent", "withdrawn"]
    assert all(envelope.recipient != "reader1@readers.test" for envelope, _ in transport.accepted)


def test_who_leaves_while_the_mail_is_leased_gets_nothing_more(parts: Parts) -> None:
    b.sending_campaign(parts, 1)
    with parts.sessions.begin() as session:
        claimed = claim(session.connection(), worker="other", limit=5, lease=timedelta(minutes=1))
        assert [item.email for item in claimed] == ["reader0@readers.test"]
    _leave(parts, 1)
    with parts.sessions.begin() as session:
        request = GateRequest(claimed[0].id, claimed[0].period, claimed[0].fence)
        _, gated = exchange(session.connection(), [], [request], lease=timedelta(minutes=1))
    assert gated == {claimed[0].id: Gated.LEASE_LOST}
    assert b.states(parts) == {"reader0@readers.test": "withdrawn"}


@pytest.mark.parametrize(("scope", "reaches"), [("all", True), ("weekly", True), ("other", False)])
def test_a_suppression_reaches_as_far_as_its_scope(parts: Parts, scope: str, reaches: bool) -> None:
    with parts.sessions.begin() as session:
        other = b.newsletter(session, "other")  # whose deliveries come first
        b.readers(parts, session, other, 3)
        campaign = b.create_campaign(
            session, other, purpose="updates", subject="Other",
            article_ids=b.articles(session, other, 1), now=parts.now(),
        )  # fmt: skip
        b.start_campaign(session, campaign, now=parts.now())
        other_id = campaign.id
    b.prepare_campaign(
        parts.sessions, other_id, renderer=parts.renderer, now=parts.now, pause=lambda: None
    )
    weekly_id = b.sending_campaign(parts, 2)
    with parts.sessions.begin() as session:
        hashed = session.scalars(
            select(Subscriber.address_hash).where(Subscriber.email == "reader0@readers.test")
        ).one()
        row = {"address_hash": hashed, "scope": scope, "reason": "operator", "detail": ""}
        session.add(
            Suppression(created_at=b.NOW, **row)
        )  # so that the gate alone stands in its way
    b.send_all(parts, MemoryTransport())
    states = b.states(parts, weekly_id)
    assert states["reader0@readers.test"] == ("suppressed" if reaches else "sent")
    assert states["reader1@readers.test"] == "sent"


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


def test_confirmations_overtake_a_campaign_that_is_being_sent(parts: Parts) -> None:
    b.sending_campaign(parts, 400)
    transport = MemoryTransport()
    sender = b.make_sender(parts, transport, connections=1, rate=200.0)
    sender.start()
    try:
        until(lambda: len(transport.accepted) > 20, "the first mails")
        with parts.sessions.begin() as session:
            made = session.scalars(select(b.Newsletter)).one()
            b.sign_up(parts, session, made, "new@readers.test", now=parts.now())
        sender.wake()
        until(lambda: len(transport.accepted) == 401, "all mails")
    finally:
        sender.stop()
    order = [envelope.recipient for envelope, _ in transport.accepted]
    assert order.index("new@readers.test") < 350


def test_an_uncertain_delivery_waits_for_a_person_and_keeps_its_message_id(parts: Parts) -> None:
    campaign_id = b.sending_campaign(parts, 1)
    transport = MemoryTransport(script={"reader0@readers.test": [Unknown("reset")]})
    b.send_all(parts, transport)
    b.send_all(parts, transport)
    assert transport.accepted == []
    with parts.sessions.begin() as session:
        campaign = session.get_one(Campaign, campaign_id)
        before = deliveries(session, campaign, message_id_of=parts.renderer.message_id)
        assert reconcile(session, campaign, presume="resend", now=parts.now()) == 1
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
        assert retry_failed(session, campaign, now=parts.now()) == 1
        assert campaign.state == "sending"
    b.send_all(parts, transport)
    assert set(b.states(parts).values()) == {"sent"}


def test_a_lease_that_ran_out_is_taken_over_with_a_higher_fence(parts: Parts) -> None:
    b.sending_campaign(parts, 1)
    with parts.sessions.begin() as session:
        first = claim(session.connection(), worker="one", limit=1, lease=timedelta(seconds=-1))
    with parts.sessions.begin() as session:
        second = claim(session.connection(), worker="two", limit=1, lease=timedelta(minutes=1))
        assert (
            claim(session.connection(), worker="three", limit=1, lease=timedelta(minutes=1)) == []
        )
    assert second[0].fence == first[0].fence + 1
    stale = Settlement(
        first[0].id, first[0].period, first[0].fence, DeliveryState.FAILED, "r", "rcpt", "no"
    )
    with parts.sessions.begin() as session:
        held, _ = exchange(session.connection(), [stale], [], lease=timedelta(minutes=1))
    assert held == [False]
    assert b.states(parts) == {"reader0@readers.test": "leased"}


def test_a_worker_that_died_past_the_gate_leaves_it_uncertain_and_a_confirmation_goes_again(
    parts: Parts,
) -> None:
    b.sending_campaign(parts, 1)
    with parts.sessions.begin() as session:
        made = session.scalars(select(b.Newsletter)).one()
        b.sign_up(parts, session, made, "new@readers.test", now=parts.now())
        past = parts.now() - timedelta(hours=1)
        session.execute(update(delivery).values(state="sending", lease_until=past))
        found = find_abandoned(session, grace=timedelta(minutes=15))
        assert recover_abandoned(session, found, grace=timedelta(minutes=15)) == 1
    assert b.states(parts) == {"reader0@readers.test": "uncertain", "new@readers.test": "queued"}


def test_stopping_in_the_middle_leaves_nothing_uncertain_and_another_sender_finishes(
    parts: Parts,
) -> None:
    b.sending_campaign(parts, 200)
    transport = MemoryTransport()
    sender = b.make_sender(parts, transport, connections=2)
    sender.start()
    deadline = time.monotonic() + 20
    while len(transport.accepted) < 5 and time.monotonic() < deadline:
        time.sleep(0.001)
    began = time.monotonic()
    sender.stop()
    assert time.monotonic() - began < 5
    left = set(b.states(parts).values())
    assert left <= {"sent", "queued"}
    b.send_all(parts, transport)
    recipients = [envelope.recipient for envelope, _ in transport.accepted]
    assert len(recipients) == len(set(recipients)) == 200


def test_a_relays_rate_is_kept_and_shared_by_the_workers_that_live(parts: Parts) -> None:
    b.sending_campaign(parts, 40)
    with parts.sessions.begin() as session:
        for name in ("test", "another"):
            say_alive(session, name, "send", now=parts.now())
    transport = MemoryTransport()
    began = time.monotonic()
    b.send_all(parts, transport, connections=8, rate=40.0)
    assert len(transport.accepted) == 40
    assert time.monotonic() - began > 40 / 20 * 0.8  # this worker's share: 20 a second


def test_who_leaves_while_the_relay_has_the_mail_gets_no_second_try(parts: Parts) -> None:
    """The withdrawal cannot end what is past its gate; the next gate does."""
    b.sending_campaign(parts, 1)
    minute = timedelta(minutes=1)
    for gate in (Gated.OPEN, Gated.CLOSED):
        with parts.sessions.begin() as session:
            session.execute(update(delivery).values(next_at=b.NOW - timedelta(days=365)))
            (one,) = claim(session.connection(), worker="w", limit=1, lease=minute)
            request = GateRequest(one.id, one.period, one.fence)
            _, gated = exchange(session.connection(), [], [request], lease=minute)
            assert gated == {one.id: gate}
        if gate is Gated.OPEN:
            _leave(parts, 1)
            again = Settlement(
                one.id, one.period, one.fence, DeliveryState.QUEUED, "r", "dot", "451 later"
            )
            with parts.sessions.begin() as session:
                assert exchange(session.connection(), [again], [], lease=minute)[0] == [True]
    assert set(b.states(parts).values()) == {"withdrawn"}
