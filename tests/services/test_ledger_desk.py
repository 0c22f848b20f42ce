"""The ledger's desk, when the database is away for a while."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import building as b
import pytest
from processes import until
from sqlalchemy import Connection, select, update
from sqlalchemy.exc import OperationalError

from mailer.domain.deliveries import DeliveryState
from mailer.domain.replies import Reply, Stage
from mailer.services.campaigns.course import (
    cancel_campaign,
    close_ended,
    finish_done,
    pause_campaign,
)
from mailer.services.delivery import ledger_desk
from mailer.store.ledger import (
    GateRequest,
    Settlement,
    exchange,
    find_abandoned,
    recover_abandoned,
)
from mailer.store.models import Campaign, Suppression, attempt, delivery
from mailer.transports import HandedOver, Lost, Offered, Refused
from mailer.transports.memory import MemoryConnection, MemoryTransport
from mailer.wiring import Parts


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("what", ["settle", "gate"])
def test_what_a_relay_said_is_not_forgotten_when_a_round_fails(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, what: str, when: str
) -> None:
    """Before: nothing was written. After: it was committed, and only the answer was lost."""
    if when == "after" and parts.engine.dialect.name == "sqlite":
        pytest.skip("SQLite is no server: the answer to a COMMIT cannot get lost")
    b.sending_campaign(parts, 8)
    rounds = 0

    def flaky(
        connection: Connection,
        settlements: Sequence[Settlement],
        requests: Sequence[GateRequest],
        **more: object,
    ) -> object:
        nonlocal rounds
        rounds += bool(settlements) if what == "settle" else bool(requests)
        fails = rounds == 2 and (settlements if what == "settle" else requests)
        if fails and when == "before":
            rounds += 1
            raise OperationalError("", {}, Exception("server closed the connection"))
        answer = exchange(connection, settlements, requests, **more)  # type: ignore[arg-type]
        if fails:
            rounds += 1
            raise OperationalError("", {}, Exception("server closed the connection"))
        return answer

    monkeypatch.setattr(ledger_desk, "exchange", flaky)
    transport = MemoryTransport()
    sender = b.make_sender(parts, transport)
    sender.start()
    try:
        until(lambda: set(b.states(parts).values()) == {"sent"}, "all to be sent")
    finally:
        sender.stop()
    recipients = [envelope.recipient for envelope, _ in transport.accepted]
    assert len(recipients) == len(set(recipients)) == 8


def test_a_dead_address_is_suppressed_though_the_database_was_away_when_it_was_told(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    b.sending_campaign(parts, 4)
    failures = 0

    def flaky(
        connection: Connection,
        settlements: Sequence[Settlement],
        requests: Sequence[GateRequest],
        **more: object,
    ) -> object:
        nonlocal failures
        dead = any(each.state is DeliveryState.FAILED for each in settlements)
        if dead and failures < 2:
            failures += 1
            raise OperationalError("", {}, Exception("server closed the connection"))
        return exchange(connection, settlements, requests, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(ledger_desk, "exchange", flaky)
    dead = Refused(Stage.RCPT, Reply(550, "5.1.1", "no such user"))
    sender = b.make_sender(parts, MemoryTransport(script={"reader1@readers.test": [dead]}))
    sender.start()
    try:
        until(
            lambda: sorted(b.states(parts).values()) == ["failed", "sent", "sent", "sent"],
            "all to be settled",
        )
    finally:
        sender.stop()
    assert failures == 2
    with parts.sessions() as session:
        assert session.scalars(select(Suppression.reason)).all() == ["hard-bounce"]


class _Frozen(MemoryTransport):
    """A relay whose worker is frozen once, between gate and content, past lease and grace."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        super().__init__()
        self.meanwhile: list[Callable[[], None]] = [meanwhile]
        """What the others do in that time."""

    async def connect(self) -> MemoryConnection:
        """Open a connection."""
        return _FrozenConnection(self, self.meanwhile)


class _FrozenConnection(MemoryConnection):
    def __init__(self, transport: _Frozen, meanwhile: list[Callable[[], None]]) -> None:
        super().__init__(transport)
        self._meanwhile = meanwhile

    async def hand_over(self, content: bytes, **more: Any) -> tuple[HandedOver, Offered | None]:
        """Find that the deadline has passed; or, the second time, hand over."""
        if not self._meanwhile:
            return await super().hand_over(content, **more)
        await asyncio.to_thread(self._meanwhile.pop())
        self.alive = False
        return Lost(Stage.DATA, "the deadline passed before the final dot"), None


def _give_up(parts: Parts) -> None:
    """Do what other workers do with what a dead one left; the campaign has nothing else to do."""
    with parts.sessions.begin() as session:
        past = parts.now() - timedelta(hours=1)
        session.execute(update(delivery).values(lease_until=past))
        grace = timedelta(minutes=15)
        found = find_abandoned(session, grace=grace)
        assert recover_abandoned(session, found, grace=grace) == 1
    with parts.sessions.begin() as session:
        finish_done(session, now=parts.now())
    assert b.states(parts) == {"reader0@readers.test": "uncertain"}


@pytest.mark.parametrize(
    ("then", "state", "campaign"),
    [
        ("nothing", "sent", "finished"),
        ("presume sent", "presumed_sent", "finished"),
        ("presume resend", "sent", "finished"),
        ("cancel", "cancelled", "cancelled"),
        ("pause", "queued", "paused"),
        ("time is over", "expired", "expired"),
    ],
)
def test_a_frozen_worker_that_surely_sent_nothing_takes_its_mail_back_from_uncertainty(
    parts: Parts, then: str, state: str, campaign: str
) -> None:
    campaign_id = b.sending_campaign(parts, 1)

    def meanwhile() -> None:
        _give_up(parts)
        with parts.sessions.begin() as session:
            found = session.get_one(Campaign, campaign_id)
            assert found.state == "finished"
            match then:
                case "presume sent" | "presume resend":
                    b.decide(session, found, then.partition(" ")[2], parts.now())
                case "cancel":
                    found.state = "sending"  # as if another mail were still to be sent
                    cancel_campaign(session, found, now=parts.now())
                case "pause":
                    found.state = "sending"
                    pause_campaign(session, found)
                case "time is over":
                    found.ends_at = parts.now() - timedelta(minutes=1)

    transport = _Frozen(meanwhile)
    b.send_all(parts, transport)
    with parts.sessions.begin() as session:
        session.execute(update(delivery).values(next_at=b.NOW - timedelta(days=365)))
    b.send_all(parts, transport)
    with parts.sessions.begin() as session:
        close_ended(session, now=parts.now())
        finish_done(session, now=parts.now())
    assert b.states(parts) == {"reader0@readers.test": state}
    assert b.campaign_state(parts, campaign_id) == campaign
    assert len(transport.accepted) == (state == "sent")
    with parts.sessions() as session:
        row = session.execute(select(delivery)).one()
        assert (row.settled_at is None) == (state == "queued")
        outcomes = session.execute(
            select(attempt.c.fence, attempt.c.outcome, attempt.c.stage).order_by(attempt.c.fence)
        ).all()
    assert outcomes[0] == (1, "uncertain", "gate")
    if not then.startswith("presume"):
        assert outcomes[1] == (2, "queued", "data")
