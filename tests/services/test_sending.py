"""A delivery's life over a relay in memory, on both databases."""

import time
from datetime import timedelta

import building as b
from processes import until
from sqlalchemy import select, update

from mailer.domain.deliveries import DeliveryState
from mailer.domain.tokens import TokenKind
from mailer.services.campaigns.course import finish_done
from mailer.services.installation.alive import say_alive
from mailer.store.ledger import (
    Settlement,
    claim,
    exchange,
    find_abandoned,
    recover_abandoned,
)
from mailer.store.models import Campaign, delivery
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts


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
