"""While an installation is halted nothing is sent, begun or signed; readers are served as ever."""

from __future__ import annotations

from datetime import timedelta

import building as b
import pytest
from building import NOW
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from mailer.services.campaigns.course import (
    pause_campaign,
    resume_campaign,
    schedule_campaign,
    start_campaign,
)
from mailer.services.campaigns.drafts import create_campaign
from mailer.services.campaigns.preparing import prepare_campaign
from mailer.services.digests.digests import add_digest, begin_run, run_digest
from mailer.services.operations.overview import overview
from mailer.services.operations.tick import run_due_digests, sweep, tick
from mailer.store.halting import Halted, end_halt, halt, halted_reason, refuse_while_halted
from mailer.store.ledger import Gated, GateRequest, claim, exchange
from mailer.store.models import Campaign, Digest, Newsletter, Subscription, delivery
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts

LEASE = timedelta(seconds=60)


def test_nothing_is_sent_while_halted_and_everything_afterwards(parts: Parts) -> None:
    b.sending_campaign(parts, 3)
    with parts.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).one()
        b.sign_up(parts, session, made, "new@readers.test", now=parts.now())
        halt(session, "Something was restored.", now=NOW)
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert transport.accepted == []
    assert transport.connections == 0
    assert set(b.states(parts).values()) == {"queued"}
    with parts.sessions.begin() as session:
        end_halt(session)
    b.send_all(parts, transport)
    assert len(transport.accepted) == 4
    assert set(b.states(parts).values()) == {"sent"}


def test_what_was_leased_before_the_halt_does_not_pass_its_gate(parts: Parts) -> None:
    b.sending_campaign(parts, 2)
    with parts.sessions.begin() as session:
        claimed = claim(session.connection(), worker="one", limit=10, lease=LEASE)
    assert len(claimed) == 2
    halted(parts)
    requests = [GateRequest(each.id, each.period, each.fence) for each in claimed]
    with parts.sessions.begin() as session:
        _, gated = exchange(session.connection(), (), requests, lease=LEASE)
    assert set(gated.values()) == {Gated.CLOSED}
    assert set(b.states(parts).values()) == {"queued"}
    with parts.sessions() as session:
        assert session.scalars(select(delivery.c.settled_at)).all() == [None, None]


def test_what_a_withdrawal_forbids_is_closed_at_the_gate_all_the_same(parts: Parts) -> None:
    b.sending_campaign(parts, 1)
    with parts.sessions.begin() as session:
        [claimed] = claim(session.connection(), worker="one", limit=10, lease=LEASE)
        session.execute(update(Subscription).values(state="left"))
    with parts.sessions.begin() as session:
        request = GateRequest(claimed.id, claimed.period, claimed.fence)
        exchange(session.connection(), (), [request], lease=LEASE)
    assert set(b.states(parts).values()) == {"withdrawn"}


def test_a_sender_at_work_stops_at_the_halt(parts: Parts) -> None:
    """A mail that is past its gate is finished; all others go back to the queue."""
    b.sending_campaign(parts, 200)
    transport = Halting(parts, after=20)
    b.send_all(parts, transport)
    states = list(b.states(parts).values())
    assert set(states) == {"sent", "queued"}
    assert len(transport.accepted) == states.count("sent") < 60


def test_no_campaign_begins_and_none_goes_on(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        b.readers(parts, session, made, 1)
        drafted, scheduled, paused, preparing = (campaign(session, made) for _ in range(4))
        schedule_campaign(session, scheduled, parts.now() + timedelta(minutes=1), now=parts.now())
        for each in (paused, preparing):
            start_campaign(session, each, now=parts.now())
        pause_campaign(session, paused)
        session.flush()
        ids = [drafted.id, scheduled.id, paused.id, preparing.id]
    halted(parts)
    with parts.sessions() as session:
        with pytest.raises(Halted, match=r"Something was restored\. `mailer db resume`"):
            start_campaign(session, session.get_one(Campaign, ids[0]), now=parts.now())
        with pytest.raises(Halted):
            resume_campaign(session, session.get_one(Campaign, ids[2]), now=parts.now())
    later = parts.now() + timedelta(hours=1)
    due = tick(parts.sessions, now=lambda: later)
    assert (due.campaigns, due.digests) == ((), False)
    sweep(parts.sessions, now=lambda: later)
    prepare_campaign(
        parts.sessions, ids[3], renderer=parts.renderer, now=parts.now, pause=lambda: None
    )
    assert [b.campaign_state(parts, each) for each in ids] == [
        "draft", "scheduled", "paused", "preparing",
    ]  # fmt: skip
    assert b.states(parts) == {}


def test_no_digest_is_made(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        b.articles(session, made, 2)
        add_digest(
            session, made, slug="friday", purpose="updates", cron="0 7 * * *",
            renderer=parts.renderer, now=NOW,
        )  # fmt: skip
    halted(parts)
    tomorrow = NOW + timedelta(days=1)
    assert (
        run_due_digests(
            parts.sessions, fetch=b.out_of_reach, images=parts.images, now=lambda: tomorrow
        )
        == 0
    )
    with parts.sessions() as session, pytest.raises(Halted):
        run_digest(session, begin_run(session.scalars(select(Digest)).one()), now=NOW)


def test_the_signer_can_ask(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        refuse_while_halted(session)
        assert halt(session, "Something was restored.", now=NOW)
        assert not halt(session, "Something else.", now=NOW)
        with pytest.raises(Halted, match="Nothing is sent or signed now: Something was"):
            refuse_while_halted(session)
        assert overview(session, now=NOW)["halted"] == halted_reason(session)


class Halting(MemoryTransport):
    """A relay that takes mails, and lets the installation be halted after some."""

    def __init__(self, parts: Parts, after: int) -> None:
        super().__init__()
        self._parts = parts
        self.accepted = _Watched(self._count)  # type: ignore[assignment]
        self._left = after

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            halted(self._parts)


class _Watched(list):  # type: ignore[type-arg]
    def __init__(self, told):  # type: ignore[no-untyped-def]
        super().__init__()
        self._told = told

    def append(self, item):  # type: ignore[no-untyped-def]
        super().append(item)
        self._told()


def halted(parts: Parts) -> None:
    """Halt the installation."""
    with parts.sessions.begin() as session:
        halt(session, "Something was restored.", now=NOW)


def campaign(session: Session, made: Newsletter) -> Campaign:
    """Return a draft."""
    return create_campaign(
        session, made, purpose="updates", subject="News",
        article_ids=b.articles(session, made, 1), now=NOW,
    )  # fmt: skip
